// A conversation: its buttons, the keys of the message field, and staying at the end of a text that grows.
// The texts are escaped; the only buttons in here are ours, and each is inside the turn that it is about.
const here = () => element.querySelector("[data-conversation]")?.dataset.conversation ?? "";
const field = () => document.querySelector("#message textarea");
const type = (text) => {
  const box = field();
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
};
const editing = new Map(); // the messages whose forms are open: what each holds
const show = (turn, wanted) => {
  turn.querySelector(".cai-edit").hidden = !wanted;
  turn.querySelector(".cai-acts").hidden = wanted;
};
const open = (turn, wanted) => {
  const box = turn.querySelector(".cai-edit textarea");
  show(turn, wanted);
  if (wanted) editing.set(turn.dataset.turn, box.value); else editing.delete(turn.dataset.turn);
  if (wanted) box.focus(); else { box.value = box.defaultValue; turn.querySelector("[data-act=edit]").focus(); }
};
element.addEventListener("input", (event) => {
  if (event.target.matches(".cai-edit textarea")) editing.set(event.target.closest("[data-turn]").dataset.turn, event.target.value);
});
// Gradio shuts the forms with each picture, and leaves what was typed to whichever message has its place now.
const reopen = () => {
  const turns = [...element.querySelectorAll("[data-turn]")];
  for (const id of editing.keys()) if (!turns.some((turn) => turn.dataset.turn === id)) editing.delete(id);
  for (const turn of turns) {
    const box = turn.querySelector(".cai-edit textarea"), text = editing.get(turn.dataset.turn);
    if (!box) continue;
    if (box.value !== (text ?? box.defaultValue)) box.value = text ?? box.defaultValue;
    show(turn, text !== undefined);
    if (text !== undefined && [document.body, box].includes(document.activeElement)) box.focus();
  }
};
const chosen = (turn, name) => turn.querySelector(`select[name=${name}]`)?.value ?? "";
const resend = (turn) =>
  trigger("act", { action: "edit", conversation: here(), turn: turn.dataset.turn, text: turn.querySelector("textarea").value });

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("first" in button.dataset) { type(button.textContent); return; }
  const turn = button.closest("[data-turn]");
  if (!turn) return;
  const { act, send, to } = button.dataset, about = { conversation: here(), turn: to ?? turn.dataset.turn };
  if (act === "edit") open(turn, true);
  else if (act === "cancel") open(turn, false);
  else if (act === "resend") resend(turn);
  else if (act) trigger("act", { action: act, ...about });
  else if (send) trigger("send", { to: send, other: chosen(turn, "other"), axis: chosen(turn, "axis"), ...about });
});

// Enter sends, Shift+Enter is a new line; not while an input method composes. In front of Gradio's own keys.
const keys = (event) => {
  if (!element.isConnected) { document.removeEventListener("keydown", keys, true); return; }
  if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
  const inMessage = event.target === field(), turn = event.target.closest?.("#thread .cai-edit")?.closest("[data-turn]");
  if (event.key === "Enter" && (inMessage || turn) && event.target.matches("textarea")) {
    event.stopPropagation();
    if (event.shiftKey) return;
    event.preventDefault();
    if (turn) resend(turn); else document.querySelector("#send:not([disabled])")?.click();
  } else if (event.key === "Escape") {
    if (turn) open(turn, false); else document.querySelector("#stop:not([disabled])")?.click();
  }
};
document.addEventListener("keydown", keys, true);

// A text that grows is followed for as long as the reader is at its end.
let following = true;
addEventListener("scroll", () => {
  following = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
}, { passive: true });
const follow = () => { if (following) scrollTo(0, document.documentElement.scrollHeight); };
let shown = null;
watch("value", () => {
  if (shown !== here()) following = true;
  shown = here();
  reopen();
  follow();
});
new MutationObserver(follow).observe(document.querySelector("#reply"), { childList: true, subtree: true, characterData: true });
