// What is kept of a pair: the note that was sent is unsent no longer, unless somebody typed on meanwhile. The
// pair is not always shown once more, so what undo would take back now is told here too.
const answered = () => {
  const said = element.querySelector("[data-last], [data-kept]");
  const here = document.querySelector("#audit article[data-task=pairs]");
  if (!said) return;
  const { kept, note, last, asked } = said.dataset, key = `cai-audit-note:${kept}`;
  if (kept) try { if (sessionStorage.getItem(key) === note) sessionStorage.removeItem(key) } catch { /* none is kept then */ }
  if (!here) return;
  const query = new URLSearchParams(here.dataset.query);
  const shown = `${query.get("as") ?? ""} ${query.get("axis") ?? ""}`;
  if (last !== undefined && asked === shown) here.dataset.last = last;
  const box = kept === `${shown} ${here.dataset.item}` ? here.querySelector(".cai-note-input") : null;
  if (!box) return;
  if (box.value === box.defaultValue) box.value = note; // nobody has typed: it follows what is kept
  box.defaultValue = note;
};
watch("value", answered);
