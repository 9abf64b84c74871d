// Who unfolds the line about the last pair wants it unfolded for the next ones too.
let open = false;
const last = () => element.querySelector("details.cai-last");
element.addEventListener("click", (event) => {
  if (event.target.closest("summary")?.parentElement === last()) open = !last().open;
});
element.addEventListener("cai-more", () => { if (last()) open = last().open = !last().open; });
watch("value", () => { if (last()) last().open = open; });
