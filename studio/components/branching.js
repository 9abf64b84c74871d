// Edit opens a form in the step, Redraw and Branch start a branch. The texts are escaped; the only buttons
// in here are ours, and each says its chain and its step.
const place = (node) => {
  const { chain, position } = node.closest("[data-position]").dataset;
  return { chain, position: Number(position) };
};
const open = (step, wanted) => {
  step.querySelector(".cai-edit").hidden = !wanted;
  step.querySelector(".cai-acts").hidden = wanted;
  (wanted ? step.querySelector(".cai-edit textarea") : step.querySelector("[data-branch=edit]")).focus();
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-branch]");
  if (!button) return;
  const step = button.closest(".cai-step"), what = button.dataset.branch;
  if (what === "edit" || what === "cancel") open(step, what === "edit");
  else if (what === "redraw") trigger("branch", { ...place(button), text: null });
  else trigger("branch", { ...place(button), text: step.querySelector(".cai-edit textarea").value });
});
element.addEventListener("keydown", (event) => {
  if (!event.target.matches(".cai-edit textarea")) return;
  const step = event.target.closest(".cai-step");
  if (event.key === "Escape") open(step, false);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) step.querySelector("[data-branch=run]").click();
});
