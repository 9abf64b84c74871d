// What is kept of a chain: the note that was sent is unsent no longer, unless somebody typed on meanwhile.
const answered = () => {
  const said = element.querySelector("[data-kept]");
  if (!said) return;
  const { kept, note } = said.dataset, key = `cai-note:${kept}`;
  try { if (sessionStorage.getItem(key) === note) sessionStorage.removeItem(key) } catch { /* none is kept then */ }
  const here = document.querySelector("#reading [data-chain]");
  const box = here?.dataset.chain === kept ? here.querySelector(".cai-note-input") : null;
  if (box) box.defaultValue = note;
};
watch("value", answered);
