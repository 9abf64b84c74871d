// The way of an edit to the studio and back: each is sent as it is made, one at a time, and what the
// studio does not have yet outlives a reload. `body` is the constitution as it stands in this tab; `seq`
// names the studio's copy of it.

const TYPING = 600; // ms without a key before what was typed is sent
const AGAIN = 3000; // ms until the studio is asked again after it did not answer
const STASH = "cai-unsent";

let name = "", body = null, seq = null, state = null;
let cards = [];
let unsent = null; // the action that the studio does not know of yet
let sending = null, inflight = null, timer = 0;
let announced = "";
let opening = 0;

const call = async (what, data) => {
  const text = await server[what](JSON.stringify(data));
  return text === undefined ? null : JSON.parse(text); // Gradio gives undefined where the studio failed
};

// What was typed in the last moment before a reload lies here until the studio has it.
const stash = () => {
  try {
    if (unsent === null && inflight === null) sessionStorage.removeItem(STASH);
    else sessionStorage.setItem(STASH, JSON.stringify({ name, seq, inflight, body }));
  } catch { /* a private window: then half a second of typing can be lost */ }
};
const stashed = () => {
  try { return JSON.parse(sessionStorage.getItem(STASH)); } catch { return null; }
};

const changed = (action, typing = false) => {
  unsent = action;
  stash();
  bar.quiet();
  bar.keeping("keeping…");
  clearTimeout(timer);
  if (typing) timer = setTimeout(flush, TYPING);
  else flush();
};

const flush = () => (sending ??= send().finally(() => { sending = null; }));

const send = async () => {
  clearTimeout(timer);
  while (unsent !== null) {
    const action = unsent, mine = JSON.parse(JSON.stringify(body));
    [unsent, inflight] = [null, mine];
    stash();
    const answer = await call("keep_draft", { name, body: mine, action, expected: seq });
    inflight = null;
    if (answer === null) {
      unsent ??= action;
      bar.keeping("the studio does not answer: what you wrote waits here");
      timer = setTimeout(flush, AGAIN);
      return;
    }
    if (answer.stale) { overtaken(answer); return; }
    know(answer.state);
  }
  stash();
  bar.keeping(seq === null ? "" : "draft kept");
};

// Somebody else was faster. Theirs is shown; mine is not lost: one press puts it on top, and undo takes it off.
const overtaken = (answer) => {
  const mine = body;
  unsent = null;
  stash();
  bar.keeping("");
  show(answer.state);
  bar.say(answer.told, "Use mine instead", () => { body = mine; layAll(); changed("put back my edits over another's"); });
};

const know = (now) => {
  state = now;
  seq = now.seq;
  bar.show(now);
  const head = [], own = cards.map(() => []);
  for (const { where, path, what } of now.problems) {
    if (where[0] === "principles" && where.length > 1) own[where[1]]?.push({ path: where.slice(2), what });
    else head.push(`${path}: ${what}`);
  }
  cards.forEach((card, at) => card.show(own[at]));
  general.textContent = head.join("\n");
  general.hidden = !head.length;
  announce();
};

const announce = () => {
  const text = JSON.stringify({ name, seq, saved: state.saved?.version ?? null });
  if (text === announced) return;
  announced = text;
  props.value = text;
};

const open = async (wanted, told) => {
  if (unsent !== null) await flush();
  const turn = ++opening;
  const answer = await call("fetch_draft", { name: wanted });
  if (turn !== opening) return; // another was chosen meanwhile
  if (answer === null) {
    bar.keeping("the studio does not answer");
    setTimeout(() => { if (turn === opening) open(wanted, told); }, AGAIN);
    return;
  }
  const left = stashed();
  show(answer.state);
  bar.keeping(seq === null ? "" : "draft kept");
  if (told) bar.say(told, state.canUndo ? "Undo" : "", () => walk("undo"));
  if (left?.name === name && body) recover(left);
};

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const recover = (left) => {
  const reached = left.inflight !== null && same(left.inflight.principles, body.principles);
  if (same(left.body.principles, body.principles) && left.body.description === body.description) { stash(); return; }
  const restore = () => { body = left.body; layAll(); changed("go on after a reload"); };
  if (left.seq === seq || reached) restore();
  else bar.say("What you typed last was not kept: another tab edited meanwhile.", "Use mine instead", restore);
};

const walk = async (step) => {
  if (!state || (step === "undo" && unsent === null && !state.canUndo) || (step === "redo" && !state.canRedo)) return;
  await flush();
  const answer = await call("walk_draft", { name, step, expected: seq });
  if (answer === null) { bar.say("The studio does not answer: nothing was done."); return; }
  show(answer.state);
  bar.keeping(seq === null ? "" : "draft kept");
  bar.quiet();
  if (answer.told) bar.say(answer.told);
  else bar.speak({ undo: "Undone", redo: "Done again", discard: "Changes discarded" }[step]);
};

const save = async (note) => {
  await flush();
  const answer = await call("save_version", { name, note, expected: seq });
  if (answer === null) { bar.say("The studio does not answer: no version was saved."); return; }
  if (answer.stale) { overtaken(answer); return; }
  know(answer.state);
  bar.keeping("");
  bar.say(answer.told);
};
