// The what-if controls: each change sends the weights of the scored principles, 0 for those that are off, at
// once. Those that were not scored have no controls, and are not spoken of. A slider stands on its own steps,
// a saved weight need not: it counts as saved until somebody moves the slider.
const rows = () => [...element.querySelectorAll("li[data-principle]:not([data-none])")];
const parts = (row) => ({ on: row.querySelector("[type=checkbox]"), weight: row.querySelector("[type=range]") });

const weightOf = (row) => Number("moved" in row.dataset ? parts(row).weight.value : row.dataset.weight);
const move = (row, weight) => { row.dataset.moved = ""; parts(row).weight.value = weight; };
const restore = (row) => {
  delete row.dataset.moved;
  parts(row).weight.value = row.dataset.weight;
  parts(row).on.checked = "on" in row.dataset;
};

const weights = () => Object.fromEntries(
  rows().map((row) => [row.dataset.principle, parts(row).on.checked ? weightOf(row) : 0]));
const paint = () => {
  for (const row of rows()) {
    const weight = weightOf(row);
    row.querySelector("output").textContent = Number(weight.toPrecision(4));
    row.classList.toggle("cai-off", !parts(row).on.checked || weight === 0);
  }
};
const tell = () => { paint(); trigger("act", { weights: JSON.stringify(weights()) }); };

element.addEventListener("input", (event) => {
  const row = event.target.closest("li[data-principle]:not([data-none])");
  if (!row) return;
  // Who pulls a slider up wants the principle.
  if (event.target.type === "range") {
    move(row, event.target.value);
    if (weightOf(row) > 0) parts(row).on.checked = true;
  }
  tell();
});
element.addEventListener("click", (event) => {
  const all = event.target.closest("[data-all]")?.dataset.all;
  if (!all) return;
  for (const row of rows()) {
    parts(row).on.checked = all === "on";
    if (all === "saved") restore(row);
    if (all === "on" && weightOf(row) === 0) move(row, 1);
  }
  tell();
});
element.closest("#whatif").weights = weights; // what Save sends
// What was tried in one comparison is not tried in another, but Gradio leaves a control that was touched.
let of = element.querySelector("[data-of]")?.dataset.of;
watch("value", () => {
  const now = element.querySelector("[data-of]")?.dataset.of;
  if (now !== of) rows().forEach(restore);
  of = now;
  paint();
});
paint();
