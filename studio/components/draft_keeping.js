// The way of an edit to the studio and back: each is sent as it is made, one at a time, and what the
// studio does not have yet outlives a reload. `body` is the constitution as it stands in this tab; `seq`
// names the studio's copy of it.

const TYPING = 600; // ms without a key before what was typed is sent
const AGAIN = 3000; // ms until the studio is asked again after it did not answer
// One address serves one session after another; texts of the one are nothing to the other.
const STASH = `cai-unsent:${SESSION}`;
const ASIDE = `cai-aside:${SESSION}`;

let name = "", body = null, seq = null, state = null;
let cards = [];
let unsent = null; // the action that the studio does not know of yet
let sending = null, inflight = null, timer = 0;
let announced = "";
let opening = 0;

const call = async (what, data) => {
  const text = await server[what](JSON.stringify({ session: SESSION, ...data }));
  return text === undefined ? null : JSON.parse(text); // Gradio gives undefined where the studio failed
};

// What this tab looked at: the studio acts on nothing else.
const over = () => state?.saved?.version ?? null;
const seen = () => ({ expected: seq, over: over() });

// What was typed in the last moment before a reload lies here until the studio has it.
const stash = () => {
  try {
    if (unsent === null && inflight === null) sessionStorage.removeItem(STASH);
    else sessionStorage.setItem(STASH, JSON.stringify({ name, seq, over: over(), inflight, body }));
  } catch { /* a private window: then half a second of typing can be lost */ }
};
const stashed = () => {
  try { return JSON.parse(sessionStorage.getItem(STASH)); } catch { return null; }
};

// Texts that somebody's edit overtook, by constitution, newest first: each stays until it is used or
// dismissed. The tab remembers them over a reload.
const aside = new Map();
try { for (const [of, texts] of JSON.parse(sessionStorage.getItem(ASIDE)) ?? []) aside.set(of, texts); } catch { /* none */ }

const setAside = (of, texts) => {
  if (texts.length) aside.set(of, texts);
  else aside.delete(of);
  try { sessionStorage.setItem(ASIDE, JSON.stringify([...aside])); } catch { /* kept until a reload */ }
  offerAside();
};
const keepAside = (of, text) => {
  if (text) setAside(of, [JSON.parse(JSON.stringify(text)), ...(aside.get(of) ?? []).filter((one) => !alike(one, text))]);
};
const offerAside = () => {
  const [mine, ...older] = aside.get(name) ?? [];
  bar.offer(mine ? older.length + 1 : 0,
    () => { body = mine; setAside(name, older); layAll(); changed("put back my edits over another's"); },
    () => setAside(name, older));
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

// Whether the studio has all that was typed. If not: it did not answer (what was typed is still unsent), or
// somebody else was faster (it is kept aside).
const flush = async () => {
  if (unsent === null && !sending) return true; // what a reload left in the stash is not touched
  return sending ??= send().finally(() => { sending = null; });
};

// The same for an act that needs it; says why `what` can't be done.
const settled = async (what) => {
  if (await flush()) return true;
  if (unsent !== null) bar.say(`The studio does not answer: ${what}.`);
  return false;
};

const send = async () => {
  clearTimeout(timer);
  while (unsent !== null) {
    const action = unsent, mine = JSON.parse(JSON.stringify(body));
    [unsent, inflight] = [null, mine];
    stash();
    const answer = await call("keep_draft", { name, body: mine, action, ...seen() });
    inflight = null;
    if (answer === null) {
      unsent ??= action;
      bar.keeping("the studio does not answer: what you wrote waits here");
      timer = setTimeout(flush, AGAIN);
      return false;
    }
    if (answer.stale) { overtaken(answer); return false; }
    know(answer.state);
  }
  stash();
  bar.keeping(seq === null ? "" : "draft kept");
  return true;
};

// Somebody else was faster. Theirs is shown; mine is not lost: one press puts it on top, and undo takes it off.
const overtaken = (answer) => {
  keepAside(name, body);
  unsent = null;
  stash();
  bar.keeping("");
  show(answer.state);
  bar.say(answer.told);
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
  const turn = ++opening;
  let answer = null;
  do { // again, if something was typed while the studio answered
    const kept = (await flush()) || unsent === null;
    answer = kept ? await call("fetch_draft", { name: wanted }) : null;
    if (turn !== opening) return; // another was chosen meanwhile
  } while (answer !== null && (unsent !== null || sending));
  if (answer === null) {
    bar.keeping("the studio does not answer");
    setTimeout(() => { if (turn === opening) open(wanted, told); }, AGAIN);
    return;
  }
  const left = stashed();
  show(answer.state);
  bar.keeping(seq === null ? "" : "draft kept");
  if (told) bar.say(told, state.canUndo ? "Undo" : "", () => walk("undo"));
  if (left && (left.name !== name || !body)) { keepAside(left.name, left.body); stash(); }
  else if (left) recover(left);
};

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const alike = (one, other) => same(one?.principles, other?.principles) && one?.description === other?.description;
const recover = (left) => {
  const reached = left.inflight !== null && alike(left.inflight, body);
  if (alike(left.body, body)) { stash(); return; }
  if (reached || (left.seq === seq && left.over === over())) {
    body = left.body;
    layAll();
    changed("go on after a reload");
    return;
  }
  keepAside(name, left.body);
  stash();
  bar.say("What you typed last lies aside: somebody edited this meanwhile, or saved a version of it.");
};

const walk = async (step) => {
  if (!state || (step === "undo" && unsent === null && !state.canUndo) || (step === "redo" && !state.canRedo)) return;
  const of = name;
  if (!(await settled("nothing was done")) || name !== of) return;
  const answer = await call("walk_draft", { name, step, ...seen() });
  if (name !== of) return; // another constitution is shown by now
  if (answer === null) { bar.say("The studio does not answer: nothing was done."); return; }
  show(answer.state);
  bar.keeping(seq === null ? "" : "draft kept");
  if (answer.told) bar.say(answer.told);
  else bar.speak({ undo: "Undone", redo: "Done again", discard: "Changes discarded" }[step]);
};

// Whether a version was saved; if not, the reason is said.
const save = async (note) => {
  const of = name;
  if (!(await settled("no version was saved")) || name !== of) return false;
  const answer = await call("save_version", { name, note, ...seen() });
  if (name !== of) return false;
  if (answer === null) { bar.say("The studio does not answer: no version was saved."); return false; }
  if (answer.stale) { overtaken(answer); return false; }
  const saved = answer.state.saved?.version !== state.saved?.version;
  know(answer.state);
  if (unsent === null) bar.keeping("");
  bar.say(answer.told);
  return saved;
};
