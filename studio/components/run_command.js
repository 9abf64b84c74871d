// Who unfolds the command wants it unfolded: a run at work is shown anew every few seconds, and comes folded.
let open = false;
const command = () => element.querySelector("details.cai-command");
element.addEventListener("click", (event) => {
  if (command() && event.target.closest("summary")?.parentElement === command()) open = !command().open;
});
watch("value", () => { if (command()) command().open = open; });
