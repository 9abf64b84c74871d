// Keys and buttons of the arena. Each act names the battle or pair that was on the screen and its state: a
// second press before the answer has come is about the same one, and changes nothing.
const KEYS = {
  1: "left", 2: "right", t: "tie", b: "both_bad", n: "next", s: "skip", u: "undo", Escape: "stop", "?": "help",
};
const TYPING = "input:not([type=radio]), textarea, select, [contenteditable=true], [role=listbox], [role=combobox]";
const VOTES = ["left", "right", "tie", "both_bad"];
const UNREAD = 0.4; // seconds: a press this soon was meant for the one before
const article = () => document.querySelector("article[data-task=TASK]");
const button = (action) => element.querySelector(`[data-act=${action}]`);
const seconds = () => {
  const clock = window.caiAuditClock;
  return clock ? (clock.ms + (clock.since === null ? 0 : performance.now() - clock.since)) / 1000 : null;
};
let undone = -Infinity;
const act = (action) => {
  if (action === "help") {
    const list = element.querySelector("#TASK-keys");
    list.hidden = !list.hidden;
    button("help").setAttribute("aria-expanded", String(!list.hidden));
    return;
  }
  const here = article();
  if (!here) return; // nothing is shown yet: it can't be said what to take back
  const { item, state, last } = here.dataset;
  if (VOTES.includes(action) && (state !== "open" || (seconds() !== null && seconds() < UNREAD))) return;
  if (action === "stop" ? state !== "writing" : action === "next" && state === "writing") return;
  if (action === "undo") {
    // The answer to the first press may have come: the second would take back the vote before it, too.
    if (performance.now() - undone < 1000 * UNREAD) return;
    undone = performance.now();
  }
  trigger("act", { action, item, state, last, seconds: seconds() });
};
element.addEventListener("click", (event) => {
  const pressed = event.target.closest("button[data-act]");
  if (pressed) act(pressed.dataset.act);
});
document.addEventListener("keydown", (event) => {
  // Of two tabs, the one that is seen.
  if (!element.isConnected || !element.offsetParent || !document.body.classList.contains("cai-notice-read")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (event.key === "Escape" && !element.querySelector("#TASK-keys").hidden) return act("help");
  if (!action || !button(action) || event.target.closest?.(TYPING)) return;
  event.preventDefault();
  if (!event.repeat) act(action); // a key held down never votes: nobody has read what flies by
});
