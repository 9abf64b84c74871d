// The what-if controls: each change sends the weights of the scored principles, 0 for those that are off, at
// once. Those that were not scored have no controls, and are not spoken of.
const rows = () => [...element.querySelectorAll("li[data-principle]:not([data-none])")];
const parts = (row) => ({ on: row.querySelector("[type=checkbox]"), weight: row.querySelector("[type=range]") });

const weights = () => Object.fromEntries(rows().map((row) => {
  const { on, weight } = parts(row);
  return [row.dataset.principle, on.checked ? Number(weight.value) : 0];
}));
const paint = () => {
  for (const row of rows()) {
    const { on, weight } = parts(row);
    row.querySelector("output").textContent = weight.value;
    row.classList.toggle("cai-off", !on.checked || Number(weight.value) === 0);
  }
};
const tell = () => { paint(); trigger("act", { weights: JSON.stringify(weights()) }); };

element.addEventListener("input", (event) => {
  const row = event.target.closest("li[data-principle]:not([data-none])");
  if (!row) return;
  // Who pulls a slider up wants the principle.
  if (event.target.type === "range" && Number(event.target.value) > 0) parts(row).on.checked = true;
  tell();
});
element.addEventListener("click", (event) => {
  const all = event.target.closest("[data-all]")?.dataset.all;
  if (!all) return;
  for (const row of rows()) {
    const { on, weight } = parts(row);
    on.checked = all === "on" || (all === "saved" && "on" in row.dataset);
    if (all === "saved") weight.value = row.dataset.weight;
    if (all === "on" && Number(weight.value) === 0) weight.value = 1;
  }
  tell();
});
element.closest("#whatif").weights = weights; // what Save sends
watch("value", paint);
paint();
