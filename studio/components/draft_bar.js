// The bar above the cards: what is being edited, how far it is from the saved version, and what can be
// done with it as a whole. Below the window's edge, what just happened.

function draftBar(desk) {
  const name = make("h2", { className: "cai-bar-name" });
  const facts = make("span", { className: "cai-muted" });
  const kept = make("span", { className: "cai-muted cai-kept", role: "status" });
  const button = (label, title, act, more = "") =>
    make("button", { type: "button", className: `cai-small ${more}`, title, onclick: act }, label);
  const undo = button("Undo", "Undo (Ctrl+Z, outside of text fields)", () => desk.walk("undo"));
  const redo = button("Redo", "Redo (Ctrl+Shift+Z)", () => desk.walk("redo"));
  const discard = button("Discard changes", "Go back to the saved version", () => {
    const what = state.saved ? `Discard ${many(state.changes, "change")} and go back to the saved version?`
      : "This constitution has no saved version. Discard it altogether?";
    if (window.confirm(`${what}\nUndo does not bring it back.`)) desk.walk("discard");
  });
  const save = button("Save version…", "Save version (Ctrl+S)", () => bar.save(), "cai-primary");
  const why = make("button", { type: "button", className: "cai-why", id: "why-not-save", onclick: () => desk.toProblem() });
  save.setAttribute("aria-describedby", why.id);

  const note = make("input", { id: "version-note", maxLength: 500, placeholder: "What changed, and why (you may leave it empty)" });
  const noteForm = make("form", { className: "cai-note", hidden: true, onsubmit: async (event) => {
    event.preventDefault();
    noteForm.hidden = true;
    if (await desk.save(note.value)) note.value = "";
    save.focus();
  }, onkeydown: (event) => {
    if (event.key !== "Escape" || event.isComposing || event.keyCode === 229) return;
    noteForm.hidden = true;
    save.focus();
  } },
  make("label", { htmlFor: note.id }, "Note"), note,
  make("button", { className: "cai-small cai-primary" }, "Save"),
  button("Cancel", "Cancel (Esc)", () => { noteForm.hidden = true; save.focus(); }));

  const said = make("span");
  const remedy = make("button", { type: "button", className: "cai-link" });
  const toast = make("div", { className: "cai-toast", hidden: true }, said, remedy);
  const spoken = make("div", { className: "cai-spoken", ariaLive: "polite" }); // for those who don't see the toast

  const mine = make("div", { className: "cai-aside", role: "status", hidden: true });
  let state = null;
  let cure = null;
  remedy.addEventListener("click", () => { const act = cure; bar.quiet(); act?.(); });

  const reason = () => {
    if (!state.fit) return "";
    if (state.problems.length) return `${many(state.problems.length, "problem")} to mend first`;
    return state.saved && !state.changes ? "nothing to save" : "";
  };

  const bar = {
    node: make("div", { className: "cai-draft-bar" },
      make("div", { className: "cai-draft-line" },
        make("div", { className: "cai-draft-what" }, name, facts, kept),
        make("div", { className: "cai-draft-do" }, undo, redo, discard, why, save)), noteForm, mine),
    toast: make("div", {}, toast, spoken),
    show(now) {
      if (state && state.name !== now.name) { // a note is about what it was typed for
        noteForm.hidden = true;
        note.value = "";
      }
      state = now;
      name.textContent = now.name;
      name.title = now.name;
      const saved = now.saved ? `saved version ${now.saved.version.slice(0, 8)}` : "no version saved yet";
      const changed = now.changes ? ` · ${many(now.changes, "change")} not saved` : "";
      facts.textContent = saved + changed;
      facts.title = now.saved ? [now.saved.note, `by ${now.saved.author}`].filter(Boolean).join(", ") : "";
      undo.disabled = !now.canUndo;
      redo.disabled = !now.canRedo;
      discard.disabled = now.seq === null;
      why.textContent = reason();
      why.disabled = !now.problems.length;
      // Not `disabled`: it stays reachable, so that the reason can be read.
      save.ariaDisabled = String(!now.fit || reason() !== "");
    },
    keeping(words) { kept.textContent = words; },
    save() {
      if (save.ariaDisabled === "true") { bar.say(reason() || "There is nothing to save."); return; }
      noteForm.hidden = false;
      note.focus();
    },
    say(words, label = "", act = null) {
      said.textContent = words;
      spoken.textContent = label ? `${words} ${label} is possible.` : words;
      remedy.textContent = label;
      remedy.hidden = !label;
      cure = act;
      toast.hidden = false;
      clearTimeout(bar.timer);
      // An offer stays until the next edit; mere words go by themselves.
      if (!label) bar.timer = setTimeout(() => { toast.hidden = true; }, 6000);
    },
    // What somebody's edit overtook. No other message and no keystroke takes this away.
    offer(count, use, dismiss) {
      mine.hidden = !count;
      if (!count) { mine.replaceChildren(); return; }
      mine.replaceChildren(
        `Another edit was faster: ${count > 1 ? `${count} states of what you wrote lie` : "what you wrote lies"} aside.`,
        button("Use mine instead", "Undo takes it off again", use),
        button("Dismiss", "Drop what lies aside", dismiss));
    },
    speak(words) { spoken.textContent = words; },
    quiet() { toast.hidden = true; cure = null; },
  };
  return bar;
}
