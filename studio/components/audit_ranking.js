// Ranking: the cards are ordered here, by keys or by dragging, and sent when they are saved. Until then the
// order is kept in this tab, so that a refresh loses nothing, nor an answer that did not come.
const TYPING = "input:not([type=radio]), textarea, select, [contenteditable=true], [role=listbox], [role=combobox]";
const UNREAD = 400; // ms: a press this soon was meant for the responses before
const article = () => document.querySelector("#audit article[data-task=ranking]");
const list = () => article()?.querySelector(".cai-ranking");
const cards = () => [...(list()?.children ?? [])];
const asked = () => {
  const query = new URLSearchParams(article()?.dataset.query ?? "");
  return `cai-ranking:${query.get("as") ?? ""} ${query.get("axis") ?? ""}`;
};
const draft = () => `${asked()} ${article()?.dataset.item}`;
const tied = (card) => card.dataset.tied === "true";

const order = () => {
  const levels = [];
  for (const card of cards()) {
    if (levels.length && tied(card)) levels.at(-1).push(card.dataset.letter);
    else levels.push([card.dataset.letter]);
  }
  return levels;
};
const number = () => {
  let place = 0;
  cards().forEach((card, at) => {
    if (at === 0) card.dataset.tied = "false";
    if (!tied(card)) place = at + 1;
    card.querySelector(".cai-place").textContent = tied(card) ? `${place} =` : String(place);
    card.setAttribute("aria-label", `Response ${card.dataset.letter}, place ${place}${tied(card) ? ", tied with the one above" : ""}`);
  });
};
const changed = () => {
  number();
  try { sessionStorage.setItem(draft(), JSON.stringify(order())) } catch { /* then not */ }
};
let sent = null; // the ranking that was saved last: its answer is another group
const restore = () => {
  const here = article();
  if (sent && here && asked() === sent.asked && here.dataset.item !== sent.item) {
    try { sessionStorage.removeItem(`${sent.asked} ${sent.item}`) } catch { /* nothing was kept */ }
    sent = null;
  }
  if (!list()) return;
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(draft()) ?? "null") } catch { /* none */ }
  const byLetter = new Map(cards().map((card) => [card.dataset.letter, card]));
  const levels = kept?.flat().length === byLetter.size ? kept : [...byLetter.keys()].sort().map((letter) => [letter]);
  // A card that is moved loses the focus, so they are left where they stand right.
  const stand = JSON.stringify(order()) === JSON.stringify(levels);
  if (!stand) for (const level of levels) level.forEach((letter, at) => {
    const card = byLetter.get(letter);
    if (!card) return;
    card.dataset.tied = String(at > 0);
    list().append(card);
  });
  number();
};

const held = () => document.activeElement?.closest?.(".cai-ranking > li") ?? last;
let last = null;
const take = (card) => { if (card) { last = card; card.focus(); } };
const put = (card, at) => {
  if (!card) return;
  const others = cards().filter((other) => other !== card);
  // Whoever follows a card that leaves is no longer tied through it.
  const next = card.nextElementSibling;
  if (next && tied(next) && !tied(card)) next.dataset.tied = "false";
  card.dataset.tied = "false";
  const before = others[Math.max(0, Math.min(at, others.length))] ?? null;
  if (before && tied(before)) before.dataset.tied = "false";
  list().insertBefore(card, before);
  take(card);
  card.scrollIntoView({ block: "nearest" });
  changed();
};
const move = (step) => {
  const card = held();
  if (card) put(card, cards().indexOf(card) + step);
  else take(cards()[0]);
};
const walk = (step) => take(cards()[Math.max(0, Math.min(cards().indexOf(held()) + step, cards().length - 1))]);

const act = (action) => {
  const here = article();
  if (!here) return;
  if (action === "help") {
    const keys = element.querySelector("#ranking-keys");
    keys.hidden = !keys.hidden;
    element.querySelector("[data-act=help]").setAttribute("aria-expanded", String(!keys.hidden));
  } else if (action === "more") {
    document.querySelector("#last details.cai-last")?.dispatchEvent(new CustomEvent("cai-more", { bubbles: true }));
  } else if (action === "up" || action === "down") {
    move(action === "up" ? -1 : 1);
  } else if (action === "tie") {
    const card = held();
    if (!card || card === cards()[0]) return;
    card.dataset.tied = String(!tied(card));
    changed();
  } else if (here.dataset.item || action === "undo") {
    const clock = window.caiAuditClock;
    const ms = clock ? clock.ms + (clock.since === null ? 0 : performance.now() - clock.since) : null;
    if (action === "rank" && ms !== null && ms < UNREAD) return;
    const { item, state, query, last } = here.dataset;
    sent = action === "rank" ? { asked: asked(), item } : null;
    trigger("act", { action, item, state, query, last, seconds: ms === null ? null : ms / 1000, order: order() });
  }
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) act(button.dataset.act);
});
document.addEventListener("focusin", (event) => {
  const card = event.target.closest?.(".cai-ranking > li");
  if (card) last = card;
});
document.addEventListener("keydown", (event) => {
  if (!element.isConnected || !article() || !document.body.classList.contains("cai-notice-read")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.target.closest?.(TYPING)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const card = cards().find((one) => one.dataset.letter.toLowerCase() === key);
  const once = { t: "tie", "=": "tie", s: "skip", r: "more", u: "undo", "?": "help", Enter: "rank" }[key];
  if (key === "Enter" && event.target.closest?.("button, a, summary")) return;
  if (event.target.matches?.("[type=radio]") && /^(Arrow.*|Enter| )$/.test(key)) return; // they choose there
  if (card) take(card);
  else if (/^[1-9]$/.test(key)) put(held(), Number(key) - 1);
  else if (key === "ArrowUp" || key === "ArrowDown") move(key === "ArrowUp" ? -1 : 1);
  else if (key === "j" || key === "k") walk(key === "j" ? 1 : -1);
  else if (key === "Escape" && !element.querySelector("#ranking-keys").hidden) act("help");
  else if (once && !event.repeat) act(once);
  else if (!once) return;
  event.preventDefault();
});

// Dragging: the card moves to where the pointer is among the others.
let dragged = null;
document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.(".cai-ranking > li") ?? null;
  if (dragged) { event.dataTransfer.effectAllowed = "move"; dragged.classList.add("cai-dragged"); }
});
document.addEventListener("dragover", (event) => {
  if (dragged && event.target.closest?.(".cai-ranking")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!dragged || !event.target.closest?.(".cai-ranking")) return;
  event.preventDefault();
  const others = cards().filter((card) => card !== dragged);
  const below = others.findIndex((card) => {
    const place = card.getBoundingClientRect();
    return event.clientY < place.top + place.height / 2;
  });
  put(dragged, below === -1 ? others.length : below);
});
document.addEventListener("dragend", () => { dragged?.classList.remove("cai-dragged"); dragged = null; });
document.addEventListener("cai-shown", restore);
restore();
