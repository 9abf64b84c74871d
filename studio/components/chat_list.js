// Rename and delete, each asked about first: Gradio has no dialog of its own.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const { conversation, name } = button.closest("li").dataset;
  if (button.dataset.do === "rename") {
    const wanted = prompt("The conversation's name; empty: its first words", name);
    if (wanted !== null) trigger("change_one", { action: "rename", conversation, name: wanted });
  } else if (confirm(`Delete “${name}”? It leaves the list, and its link opens nothing any more. Its words stay in the session’s file, its backups and exports. Chains and pairs that were made from it stay.`)) {
    trigger("change_one", { action: "delete", conversation });
  }
});
