// Keys and buttons for pairs. Each act names the pair that was on the screen, and whether it was judged by
// then: a second press before the next pair has come is about the same one, and changes nothing.
const KEYS = {
  a: "a", b: "b", t: "tie", s: "skip", n: "note", u: "undo", j: "next", k: "previous", x: "show", r: "more", "?": "help",
  Enter: "next", " ": "next",
};
const TYPING = "input:not([type=radio]), textarea, select, [contenteditable=true], [role=listbox], [role=combobox]";
const JUDGES = ["a", "b", "tie", "skip"];
const UNREAD = 0.4; // seconds: a press this soon was meant for the pair before
const article = () => document.querySelector("#audit article[data-task=pairs]");
const box = () => article()?.querySelector(".cai-note-input");
const draft = () => {
  const query = new URLSearchParams(article()?.dataset.query ?? "");
  return `cai-audit-note:${query.get("as") ?? ""} ${query.get("axis") ?? ""} ${article()?.dataset.item}`;
};
const keep = (text) => {
  try { text === null ? sessionStorage.removeItem(draft()) : sessionStorage.setItem(draft(), text) } catch { /* then not */ }
};
const seconds = () => {
  const clock = window.caiAuditClock;
  return clock ? (clock.ms + (clock.since === null ? 0 : performance.now() - clock.since)) / 1000 : null;
};

const act = (action) => {
  const here = article();
  if (!here) return;
  const { item, state, query } = here.dataset;
  if (action === "help") {
    const list = element.querySelector("#pairs-keys");
    list.hidden = !list.hidden;
    element.querySelector("[data-act=help]").setAttribute("aria-expanded", String(!list.hidden));
  } else if (action === "more") {
    document.querySelector("#last details.cai-last")?.dispatchEvent(new CustomEvent("cai-more", { bubbles: true }));
  } else if (action === "note") {
    box()?.focus();
  } else if (item || !JUDGES.concat("show").includes(action)) {
    const note = box()?.value ?? "";
    if (JUDGES.includes(action) && seconds() !== null && seconds() < UNREAD) return;
    trigger("act", { action, item, state, query, last: here.dataset.last, seconds: seconds(), note });
  }
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) act(button.dataset.act);
});
document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return; // an input method has this key
  if (!element.isConnected || !article() || !document.body.classList.contains("cai-notice-read")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target === box() && (event.key === "Enter" || event.key === "Escape")) {
    if (event.key === "Escape") { box().value = box().defaultValue; keep(null); }
    event.preventDefault();
    box().blur();
    return;
  }
  if (event.key === "Escape" && !element.querySelector("#pairs-keys").hidden) return act("help");
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.target.closest?.(TYPING)) return;
  if (event.key === "Enter" || event.key === " ") {
    // On a pair that is still to be judged they are what they are anywhere: a press of what has the focus.
    if (event.target.closest?.("button, a, summary, input") || article().dataset.state !== "judged") return;
  }
  event.preventDefault();
  // A key held down walks, but never judges: nobody has read what flies by.
  if (event.repeat && action !== "next" && action !== "previous") return;
  act(action);
});
document.addEventListener("input", (event) => {
  if (event.target === box()) keep(event.target.value);
});
// A note on a pair that is judged already is kept when the field is left. Any note is unsent until the studio
// has answered that it has it (audit_said.js).
document.addEventListener("focusout", (event) => {
  const field = box();
  if (event.target !== field || article().dataset.state !== "judged") return;
  if (field.value === field.defaultValue) { keep(null); return; }
  const { item, state, query } = article().dataset;
  trigger("act", { action: "note", item, state, query, seconds: null, note: field.value });
});
