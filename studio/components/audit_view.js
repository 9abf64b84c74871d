// After each picture: the address says what is shown, a typed note is back in its place, and the clock of
// this pair starts. Time while the tab is hidden is not counted.
let shown = null;
const clock = (window.caiAuditClock ??= { item: "", ms: 0, since: null });
const run = (on) => {
  const now = performance.now();
  if (clock.since !== null) clock.ms += now - clock.since;
  clock.since = on ? now : null;
};
const arrived = () => {
  const here = element.querySelector("article[data-query]");
  if (!here || !element.offsetParent) return; // of a page's tabs, the one that is seen
  if (location.search.slice(1) !== here.dataset.query) history.replaceState(null, "", `${location.pathname}?${here.dataset.query}`);
  const query = new URLSearchParams(here.dataset.query);
  const as = query.get("as") ?? "";
  try { if (as) localStorage.setItem("cai-annotator", as) } catch { /* asked again next time */ }
  const item = `${as} ${query.get("axis") ?? ""} ${here.dataset.item}`;
  // Gradio changes the page where it differs, and leaves in place what a person typed, opened or scrolled.
  const other = shown !== item;
  if (shown !== null && other) {
    scrollTo(0, 0);
    for (const open of element.querySelectorAll("details[open]")) open.open = false;
    for (const text of element.querySelectorAll(".cai-said")) text.scrollTop = 0;
  }
  shown = item;
  if (clock.item !== item) Object.assign(clock, { item, ms: 0, since: document.hidden ? null : performance.now() });
  const box = element.querySelector(".cai-note-input");
  let draft = null;
  try { draft = sessionStorage.getItem(`cai-audit-note:${item}`) } catch { /* none is kept then */ }
  if (box && (other || box !== document.activeElement)) box.value = draft ?? box.getAttribute("value");
  element.dispatchEvent(new CustomEvent("cai-shown", { bubbles: true }));
};
document.addEventListener("visibilitychange", () => run(!document.hidden));
watch("value", arrived);
new ResizeObserver(arrived).observe(element); // also where its tab comes into sight
