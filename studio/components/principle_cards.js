// The list of cards and what is done with them, and the keys. Runs last: it builds the editor.

// A link may name a principle: it is opened once, when its constitution is first shown.
let sought = new URLSearchParams(location.search).get("principle");
const openSought = () => {
  const card = sought && cards.find((one) => one.principle.id === sought);
  sought = null;
  if (!card) return;
  card.open(true);
  card.focus("title");
  card.node.scrollIntoView({ block: "start" });
};

const show = (now) => {
  const other = now.name !== name;
  bar.quiet(); // an offer was about what is shown no longer
  if (unsent !== null) { // typed while the studio answered
    keepAside(name, body);
    clearTimeout(timer);
    unsent = null;
    stash();
  }
  ({ name, body } = now);
  state = now;
  if (other) search.value = "";
  layAll(other);
  know(now);
  setAside(name, (aside.get(name) ?? []).filter((one) => !alike(one, body)));
  openSought();
};

// Make all cards anew; what was open and focused stays so.
const layAll = (fresh = false) => {
  const wasOpen = fresh ? [] : cards.filter((card) => card.isOpen()).map((card) => card.principle.id);
  const held = cards.findIndex((card) => card.node.contains(document.activeElement));
  const hold = held >= 0 ? [cards[held].principle.id, cards[held].focused()] : null;
  cards = (body?.principles ?? []).map((principle) => principleCard(principle, desk));
  for (const card of cards) if (wasOpen.includes(card.principle.id)) card.open(true);
  list.replaceChildren(...cards.map((card) => card.node));
  if (hold) (cards.find((card) => card.principle.id === hold[0]) ?? cards[Math.min(held, cards.length - 1)])?.focusOn(hold[1]);
  description.value = body?.description ?? "";
  grow(description);
  showShots();
  place();
};

const place = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  cards.forEach((card, at) => {
    card.place(at, cards.length);
    card.node.hidden = !card.matches(words);
    found += !card.node.hidden;
  });
  const off = cards.filter((card) => !card.principle.enabled).length;
  tally.textContent = words.length ? `${found} of ${many(cards.length, "principle")}`
    : many(cards.length, "principle") + (off ? `, ${off} off` : "");
  const there = state?.exists ?? false;
  work.hidden = !body;
  empty.hidden = !(body && !cards.length);
  missing.hidden = !state || there;
  unfit.hidden = !(there && !body);
  nothingFound.hidden = !(words.length && !found && cards.length);
  if (body) seats.hidden = !cards.length;
};

const freshId = (stem) => {
  const taken = new Set(cards.map((card) => card.principle.id));
  for (let at = 0; ; at++) {
    const id = at ? `${stem}-${at + 1}` : stem;
    if (!taken.has(id)) return id;
  }
};
const insert = (principle, at, action) => {
  const card = principleCard(principle, desk);
  body.principles.splice(at, 0, principle);
  list.insertBefore(card.node, cards[at]?.node ?? null);
  cards.splice(at, 0, card);
  search.value = "";
  place();
  card.focus("title");
  card.node.scrollIntoView({ block: "nearest" });
  changed(action);
};
const add = () => insert({
  id: freshId(`principle-${cards.length + 1}`), title: "New principle", tags: [], weight: 1, enabled: true,
  critique_request: null, revision_request: null, comparison: null, keeps: [], breaks: [],
}, cards.length, "add a principle");

const desk = {
  changed: (action, typing) => { changed(action, typing); if (!typing) place(); },
  flush: () => { if (unsent !== null) flush(); },
  duplicate: (card) => {
    const copy = JSON.parse(JSON.stringify(card.principle));
    const called = copy.title;
    insert({ ...copy, id: freshId(`${copy.id}-copy`), title: `${called} (copy)` },
      cards.indexOf(card) + 1, `duplicate ${called}`);
  },
  remove: (card) => {
    const at = cards.indexOf(card), called = card.principle.title || card.principle.id;
    body.principles.splice(at, 1);
    cards.splice(at, 1);
    card.node.remove();
    place();
    (cards[at] ?? cards[at - 1])?.focus() ?? addButton.focus();
    if (!cards.length) addButton.focus();
    changed(`delete ${called}`);
    bar.say(`Deleted “${called}”.`, "Undo", () => walk("undo"));
  },
  // Past the next card that the search shows: a step that can't be seen would look like nothing.
  move: (card, by) => {
    const at = cards.indexOf(card);
    let to = at + by;
    while (cards[to]?.node.hidden) to += by;
    if (!cards[to]) return;
    const act = card.focused(), field = card.node.contains(document.activeElement) ? document.activeElement : null;
    body.principles.splice(to, 0, ...body.principles.splice(at, 1));
    cards.splice(to, 0, ...cards.splice(at, 1));
    list.insertBefore(card.node, by < 0 ? cards[to + 1].node : cards[to - 1].node.nextSibling);
    place();
    if (act) card.focusOn(act); else field?.focus();
    card.node.scrollIntoView({ block: "nearest" });
    changed(`move ${card.principle.title || card.principle.id}`);
    bar.speak(`Moved to place ${to + 1} of ${cards.length}`);
  },
  walk, save,
  toProblem: () => {
    const card = cards.find((one) => one.problems.length);
    if (!card) { general.scrollIntoView({ block: "center" }); return; }
    search.value = "";
    place();
    card.open(true);
    card.focus((card.problems.find((one) => one.path.length) ?? { path: ["title"] }).path.join("."));
  },
};

const showShots = () => {
  const kinds = Object.entries(body?.few_shot ?? {}).filter(([, list]) => Array.isArray(list) && list.length);
  shots.replaceChildren(
    make("summary", {}, "Few-shot examples: ", kinds.length
      ? kinds.map(([kind, list]) => `${list.length} of ${kind}`).join(", ") : "none"),
    make("p", { className: "cai-hint" }, "Worked examples that the model reads before its own turn (paper, appendix E). "
      + "They are edited as YAML: export this constitution, change the file, and import it again."),
    ...kinds.map(([kind, list]) => make("div", {}, make("b", {}, kind), make("ol", {}, ...list.map((example) =>
      make("li", {}, String(example.messages?.find?.((turn) => turn?.role === "user")?.content ?? "…")))))));
};

// ---- the page

const bar = draftBar(desk);
const search = make("input", { type: "search", placeholder: "Search principles", ariaLabel: "Search principles", oninput: () => place() });
const tally = make("span", { className: "cai-muted", role: "status" });
const general = make("p", { className: "cai-problem cai-general", hidden: true });
const description = make("textarea", { rows: 1, id: "constitution-description", placeholder: "What it is for", oninput: () => {
  body.description = description.value;
  grow(description);
  changed("edit the description", true);
}, onchange: () => desk.flush() });
const list = make("ol", { className: "cai-pcs", ariaLabel: "Principles" });
const addButton = make("button", { type: "button", className: "cai-small cai-add", onclick: add }, "+ Add a principle");
const shots = make("details", { className: "cai-shots" });
const seats = make("div", { className: "cai-pc-head", ariaHidden: "true" },
  ...["Principle", "Id", "Tags", "Serves", "Weight", "On", ""].map((text) => make("span", {}, text)));
const nothingFound = make("p", { className: "cai-muted", hidden: true }, "No principle matches. Clear the search to see all.");
const note = (title, ...rows) => make("div", { className: "cai-empty", hidden: true }, make("h3", {}, title), ...rows.map((text) => make("p", {}, text)));
const empty = note("No principles yet",
  "A principle tells the model what to look for. Its critique request asks what is wrong with an answer, its revision request asks for a better one, and its comparison question lets a judge choose between two.",
  "Add the first one below, or import a file above.");
const missing = note("There is no constitution of this name", "Choose one above, or start a new one under “New, import, export”.");
const unfit = note("This draft can't be shown as cards",
  "Something that is no constitution was kept under this name. Undo or discard it in the bar above: the saved versions are as they were.");
const work = make("div", { hidden: true },
  make("div", { className: "cai-field cai-description" }, make("label", { htmlFor: description.id }, "Description"), description),
  make("div", { className: "cai-search" }, search, make("kbd", { title: "goes to the search" }, "/"), tally,
    make("span", { className: "cai-muted cai-keys" }, make("kbd", {}, "Alt"), " ", make("kbd", {}, "↑"), make("kbd", {}, "↓"), " move · ",
      make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "Z"), " undo · ", make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "S"), " save")),
  seats, list, nothingFound, empty, addButton, shots);
element.replaceChildren(make("div", { className: "cai-editor" }, bar.node, general, missing, unfit, work, bar.toast));

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
  const key = event.key.toLowerCase(), command = event.ctrlKey || event.metaKey;
  const seen = element.offsetParent !== null;
  if (command && key === "s") {
    event.preventDefault();
    if (!seen) document.querySelector("#constitution-tabs [role=tab]")?.click();
    bar.save();
  } else if (!seen || typing) {
    return;
  } else if (command && (key === "z" || key === "y")) {
    event.preventDefault();
    walk(key === "y" || event.shiftKey ? "redo" : "undo");
  } else if (key === "/" && !command && !event.altKey) {
    event.preventDefault();
    search.focus();
  }
});

// Others on the page wait for this before they read the draft from the studio.
element.closest("#constitution-editor").flush = flush;

const look = () => {
  if (!props.value || props.value === announced) return;
  const wanted = JSON.parse(props.value);
  open(wanted.name, wanted.told);
};
watch("value", look);
look();
