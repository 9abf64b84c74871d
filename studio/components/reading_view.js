// After each picture: the address says what is shown, and a note that was typed is back in its place.
let shown = null;
const arrived = () => {
  const here = element.querySelector("[data-query]");
  if (!here) return;
  history.replaceState(null, "", `${location.pathname}?${here.dataset.query}`);
  const other = shown !== null && shown !== here.dataset.chain;
  if (shown !== here.dataset.chain) window.caiReadSince = performance.now();
  if (other) scrollTo(0, 0);
  shown = here.dataset.chain;
  const box = element.querySelector(".cai-note-input");
  let draft = null;
  try { draft = sessionStorage.getItem(`cai-note:${shown}`) } catch { /* none is kept then */ }
  // Where both notes are the same, Gradio leaves what was typed of the chain before in the field.
  if (box && (draft !== null || other)) box.value = draft ?? box.getAttribute("value");
};
watch("value", arrived);
