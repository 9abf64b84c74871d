// One principle as a card: a line to scan, and below it, when open, its fields.
// Whatever a principle says is set as text or as a field's value, never as markup.

// An element with properties, listeners (`onclick`) and attributes; strings among the children are text.
const make = (tag, given = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
};

const many = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// Not every browser grows a text field by style alone.
const grow = (area) => {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
};

const TEXTS = [
  ["critique_request", "Critique request", "Asks the model what is wrong with its answer. Goes with a revision request."],
  ["revision_request", "Revision request", "Asks the model to rewrite the answer, given that critique."],
  ["comparison", "Comparison question", "Asks a judge which of two responses is better. Empty: not used for feedback."],
];
const EXAMPLES = [
  ["keeps", "Examples that keep it", "kept"],
  ["breaks", "Examples that break it", "broken"],
];

let cardsMade = 0; // makes the ids that tie labels to their fields

// `desk` is what a card needs of the list it lies in: changed, flush, move, duplicate, remove.
function principleCard(principle, desk) {
  const serial = `principle-${++cardsMade}`;
  const fields = new Map(); // a field's path, such as `keeps.0.prompt`: its control and its problem
  const card = { principle, problems: [] };

  // The line

  const chevron = make("span", { className: "cai-pc-chevron", ariaHidden: "true" }, "▸");
  const number = make("span", { className: "cai-pc-number" });
  const title = make("span", { className: "cai-pc-title" });
  const warning = make("span", { className: "cai-pc-warning" });
  const toggle = make("button", { type: "button", className: "cai-pc-toggle", onclick: () => card.open(body.hidden) },
    chevron, number, title, warning);
  const id = make("code", { className: "cai-pc-id" });
  const tags = make("span", { className: "cai-pc-tags" });
  const holds = make("span", { className: "cai-pc-holds" });
  const weight = make("span", { className: "cai-pc-weight" });
  const enabled = make("input", { type: "checkbox", role: "switch", className: "cai-switch", onchange: () => {
    principle.enabled = enabled.checked;
    desk.changed(`${enabled.checked ? "enable" : "disable"} ${name()}`);
    paint();
  } });
  const action = (sign, words, keys, act) => make("button", {
    type: "button", className: "cai-pc-act", title: keys ? `${words} (${keys})` : words, onclick: act }, sign);
  const acts = {
    up: action("↑", "Move up", "Alt+↑", () => desk.move(card, -1)),
    down: action("↓", "Move down", "Alt+↓", () => desk.move(card, 1)),
    duplicate: action("⧉", "Duplicate", "", () => desk.duplicate(card)),
    remove: action("✕", "Delete", "", () => desk.remove(card)),
  };
  const line = make("div", { className: "cai-pc-line" }, toggle, id, tags, holds, weight, enabled,
    make("span", { className: "cai-pc-acts" }, ...Object.values(acts)));
  const trouble = make("p", { className: "cai-problem", hidden: true });
  const body = make("div", { className: "cai-pc-body", id: `${serial}-body`, hidden: true });
  toggle.setAttribute("aria-controls", body.id);
  card.node = make("li", { className: "cai-pc", onkeydown: (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!event.altKey || !by) return;
    event.preventDefault();
    desk.move(card, by);
  } }, line, trouble, body);

  const name = () => principle.title.trim() || principle.id || "untitled";

  // The line says what the fields hold.
  const paint = () => {
    const called = `“${name()}”`;
    title.textContent = principle.title.trim() || "Untitled";
    id.textContent = principle.id;
    id.title = principle.id;
    tags.replaceChildren(...principle.tags.map((tag) => make("span", { className: "cai-chip" }, tag)));
    tags.title = principle.tags.join(", ");
    const examples = principle.keeps.length + principle.breaks.length;
    holds.textContent = [
      principle.critique_request && "critique",
      principle.comparison && "comparison",
      examples && many(examples, "example"),
    ].filter(Boolean).join(" · ");
    weight.textContent = `× ${principle.weight}`;
    weight.title = `drawn with weight ${principle.weight}`;
    enabled.checked = principle.enabled;
    enabled.ariaLabel = `Enabled: ${called}`;
    enabled.title = principle.enabled ? "On: it can be drawn" : "Off: it is never drawn";
    card.node.classList.toggle("cai-pc-off", !principle.enabled);
    for (const [key, words] of [["up", "Move up"], ["down", "Move down"], ["duplicate", "Duplicate"], ["remove", "Delete"]]) {
      acts[key].ariaLabel = `${words}: ${called}`;
    }
  };

  // The fields, made when they are first needed

  const field = (path, label, hint, control, extra = "") => {
    const key = path.join(".");
    control.id = `${serial}-${key}`;
    const problem = make("p", { className: "cai-problem", id: `${control.id}-problem`, hidden: true });
    control.setAttribute("aria-describedby", problem.id);
    fields.set(key, { control, problem });
    control.addEventListener("change", () => desk.flush());
    return make("div", { className: `cai-field ${extra}` },
      make("label", { htmlFor: control.id }, label), control, problem,
      hint ? make("p", { className: "cai-hint" }, hint) : null);
  };
  const input = (value, keep, what, given = {}) => {
    const control = make(given.rows ? "textarea" : "input", { ...given, value, oninput: () => {
      keep(control.value);
      if (given.rows) grow(control);
      paint();
      desk.changed(`edit the ${what} of ${name()}`, true);
    } });
    return control;
  };
  const number_or_text = (text) => (text.trim() && Number.isFinite(Number(text)) ? Number(text) : text.trim());

  const examples = (kind, label, word) => {
    const list = make("ol", { className: "cai-examples" });
    const lay = () => {
      for (const key of [...fields.keys()]) if (key.startsWith(`${kind}.`)) fields.delete(key);
      list.replaceChildren(...principle[kind].map((example, at) => make("li", {},
        field([kind, at, "prompt"], "Prompt", "",
          input(example.prompt, (text) => { example.prompt = text; }, "examples", { rows: 1 })),
        field([kind, at, "response"], "Response", "",
          input(example.response, (text) => { example.response = text; }, "examples", { rows: 1 })),
        make("button", { type: "button", className: "cai-pc-act", title: "Remove this example",
          ariaLabel: `Remove example ${at + 1} of the principle ${word}`, onclick: () => {
            principle[kind].splice(at, 1);
            lay();
            add.focus();
            desk.changed(`remove an example of ${name()}`);
            paint();
          } }, "✕"))));
    };
    const add = make("button", { type: "button", className: "cai-small", onclick: () => {
      principle[kind].push({ prompt: "", response: "" });
      lay();
      desk.changed(`add an example to ${name()}`);
      paint();
      list.lastChild.querySelector("textarea").focus();
    } }, "+ Add an example");
    lay();
    return make("fieldset", { className: "cai-pc-examples" }, make("legend", {}, label), list, add);
  };

  const fill = () => {
    body.append(
      make("div", { className: "cai-pc-row" },
        field(["title"], "Title", "", input(principle.title, (text) => { principle.title = text; }, "title"), "cai-wide"),
        field(["id"], "Id", "chains and labels name the principle by it",
          input(principle.id, (text) => { principle.id = text.trim(); }, "id", { spellcheck: false })),
        field(["tags"], "Tags", "between commas", input(principle.tags.join(", "), (text) => {
          principle.tags = text.split(",").map((tag) => tag.trim()).filter(Boolean);
        }, "tags")),
        field(["weight"], "Weight", "its share in the draw", input(String(principle.weight), (text) => {
          principle.weight = number_or_text(text);
        }, "weight", { inputMode: "decimal" }), "cai-narrow")),
      make("div", { className: "cai-pc-texts" }, ...TEXTS.map(([key, label, hint]) =>
        field([key], label, hint, input(principle[key] ?? "", (text) => {
          principle[key] = text.trim() ? text : null; // an empty field is a field left out
        }, label.toLowerCase(), { rows: 2 })))),
      make("div", { className: "cai-pc-pair" }, ...EXAMPLES.map((one) => examples(...one))),
    );
    body.querySelectorAll("textarea").forEach(grow);
  };

  // What the list does with a card

  card.isOpen = () => !body.hidden;
  card.open = (open) => {
    if (open && !body.firstChild) { fill(); card.show(card.problems); }
    body.hidden = !open;
    if (open) body.querySelectorAll("textarea").forEach(grow);
    chevron.textContent = open ? "▾" : "▸";
    toggle.ariaExpanded = String(open);
  };
  card.place = (at, count) => {
    number.textContent = `${at + 1}`;
    acts.up.disabled = at === 0;
    acts.down.disabled = at === count - 1;
  };
  card.show = (problems) => {
    card.problems = problems;
    const own = [];
    for (const { control, problem } of fields.values()) {
      problem.hidden = true;
      control.removeAttribute("aria-invalid");
    }
    for (const { path, what } of problems) {
      const found = fields.get(path.join("."));
      if (!found) { own.push(path.length ? `${path.join(" ").replaceAll("_", " ")} ${what}` : what); continue; }
      found.problem.textContent = what;
      found.problem.hidden = false;
      found.control.ariaInvalid = "true";
    }
    trouble.textContent = own.join(". ");
    trouble.hidden = !own.length;
    warning.textContent = problems.length ? many(problems.length, "problem") : "";
  };
  card.focus = (path = "") => {
    if (path !== "") card.open(true);
    const target = fields.get(path)?.control ?? toggle;
    target.focus();
    if (path === "title") target.select();
  };
  card.focusOn = (act) => (acts[act] && !acts[act].disabled ? acts[act] : toggle).focus();
  card.focused = () => Object.keys(acts).find((key) => acts[key] === document.activeElement);
  card.matches = (words) => {
    const text = [principle.title, principle.id, ...principle.tags, ...TEXTS.map(([key]) => principle[key])];
    const all = text.join("\n").toLowerCase();
    return words.every((word) => all.includes(word));
  };

  card.open(false);
  paint();
  return card;
}
