// Keys and buttons of the reading page. Each act names the chain that was on the screen when it was asked
// for: a second press before the next chain has come is about the same one, and changes nothing.
const KEYS = {
  a: "accept", r: "reject", s: "skip", n: "note", u: "undo", j: "next", k: "previous", "?": "help",
  ArrowRight: "next", ArrowLeft: "previous",
};
const UNREAD = 400; // ms: a press this soon was meant for the chain before
const TYPING = "input, textarea, select, [contenteditable=true], [role=listbox], [role=combobox]";
const box = () => document.querySelector("#reading .cai-note-input");
const chain = () => document.querySelector("#reading [data-chain]")?.dataset.chain ?? "";
let undone = -Infinity;

// A note that was typed and not kept yet outlives a refresh, in this tab.
const draft = {
  put: (id, text) => { try { sessionStorage.setItem(`cai-note:${id}`, text) } catch { /* then not */ } },
  drop: (id) => { try { sessionStorage.removeItem(`cai-note:${id}`) } catch { /* nothing was kept */ } },
};
// It is unsent until the studio has answered that it has it (reading_said.js): sent twice it is kept once.
const typed = () => {
  const field = box();
  return field && field.value !== field.defaultValue ? field.value : null;
};

const act = (action) => {
  const id = chain();
  if (action === "help") {
    const list = element.querySelector("#reading-keys");
    list.hidden = !list.hidden;
    element.querySelector("[data-act=help]").setAttribute("aria-expanded", String(!list.hidden));
  } else if (action === "note") {
    box()?.focus();
  } else if (action === "undo") {
    const last = document.querySelector("#figures [data-last]")?.dataset.last;
    // The answer to the first press may have come: the second would take back the verdict before it, too.
    if (last === undefined || performance.now() - undone < UNREAD) return;
    undone = performance.now();
    trigger("act", { action, chain: id, last, note: null });
  } else if (id) {
    const judges = action === "accept" || action === "reject";
    if (judges && performance.now() - window.caiReadSince < UNREAD) return;
    trigger("act", { action, chain: id, note: judges ? typed() : null });
  }
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) act(button.dataset.act);
});
document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return; // an input method has this key
  if (!element.isConnected || !document.body.classList.contains("cai-notice-read")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target === box() && (event.key === "Enter" || event.key === "Escape")) {
    if (event.key === "Escape") { box().value = box().defaultValue; draft.drop(chain()); }
    event.preventDefault();
    box().blur();
    return;
  }
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.target.closest?.(TYPING)) return;
  // A key held down walks, but never judges: nobody has read what flies by.
  if (event.repeat && action !== "next" && action !== "previous") return;
  event.preventDefault();
  act(action);
});
document.addEventListener("input", (event) => {
  if (event.target === box()) draft.put(chain(), event.target.value);
});
document.addEventListener("focusout", (event) => {
  if (event.target !== box()) return;
  const id = chain(), note = typed();
  if (note === null) draft.drop(id);
  else trigger("act", { action: "note", chain: id, note });
});
