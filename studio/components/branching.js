// Edit opens a form in the step, Redraw and Branch start a branch. The texts are escaped; the only buttons
// in here are ours, and each says its chain and its step.
const place = (node) => {
  const { chain, position } = node.closest("[data-position]").dataset;
  return { chain, position: Number(position) };
};

// A text that was typed and not branched yet outlives a refresh, in this tab.
const key = ({ chain, position }) => `cai-edit:${chain}:${position}`;
const draft = {
  put: (field) => { try { sessionStorage.setItem(key(place(field)), field.value) } catch { /* then not */ } },
  get: (field) => { try { return sessionStorage.getItem(key(place(field))) } catch { return null } },
  drop: (at) => { try { sessionStorage.removeItem(key(at)) } catch { /* nothing was kept */ } },
};
const typed = (field) => field.value !== field.defaultValue;

const open = (step, wanted) => {
  step.querySelector(".cai-edit").hidden = !wanted;
  step.querySelector(".cai-acts").hidden = wanted;
};
const edit = (step) => {
  const field = step.querySelector(".cai-edit textarea");
  open(step, true);
  if (typed(field)) draft.put(field); // it was cancelled, and is wanted after all
  field.focus();
};
const cancel = (step) => {
  draft.drop(place(step.querySelector(".cai-edit textarea")));
  open(step, false);
  step.querySelector("[data-branch=edit]").focus();
};

// Asked twice before the branch is shown, it is the same one; but not for ever, if no answer comes.
let asked = null;
const free = () => { clearTimeout(asked); asked = null; };
const ask = (at, text) => {
  if (asked !== null) return false;
  asked = setTimeout(free, 5000);
  trigger("branch", { ...at, text });
  return true;
};
const refused = document.querySelector("#problem");
if (refused) new MutationObserver(() => { if (refused.textContent.trim()) free(); }).observe(refused, { childList: true, subtree: true });

let sent = null; // the edit that a branch was asked of
const branch = (step) => {
  const field = step.querySelector(".cai-edit textarea");
  if (ask(place(field), field.value)) sent = place(field);
};
// After each picture. Until another chain is shown the branch may have been refused, and the text counts.
const arrived = () => {
  free();
  if (sent && !element.querySelector(`[data-chain="${CSS.escape(sent.chain)}"]`)) {
    draft.drop(sent);
    sent = null;
  }
  for (const field of element.querySelectorAll(".cai-edit textarea")) {
    const text = draft.get(field);
    if (text === null) continue;
    field.value = text;
    open(field.closest(".cai-step"), true);
  }
};
watch("value", arrived);

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-branch]");
  if (!button) return;
  const step = button.closest(".cai-step"), what = button.dataset.branch;
  if (what === "edit") edit(step);
  else if (what === "cancel") cancel(step);
  else if (what === "redraw") ask(place(button), null);
  else branch(step);
});
element.addEventListener("input", (event) => {
  if (event.target.matches(".cai-edit textarea")) draft.put(event.target);
});
element.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return; // an input method has this key
  if (!event.target.matches(".cai-edit textarea")) return;
  const step = event.target.closest(".cai-step");
  if (event.key === "Escape") cancel(step);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) branch(step);
});
