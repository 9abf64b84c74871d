// Opens the pairs behind a figure: any button of the page that names one, and Escape, which closes.
const open = (what) => trigger("act", { open: what });
let from = null; // where the focus goes back to

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-open]");
  if (!button || !element.isConnected) return;
  if (button.dataset.open) from = button;
  open(button.dataset.open);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && element.querySelector(".cai-drawer")) open("");
});
watch("value", () => {
  const drawer = element.querySelector(".cai-drawer");
  if (drawer) drawer.focus();
  else if (from) {
    // Where another choice closed it, the focus is there already.
    if (from.isConnected && document.activeElement === document.body) from.focus();
    from = null;
  }
});
