"""The labellers of a session: each model, by the method and the constitution that it judged with."""

from __future__ import annotations

from html import escape

from studio.components.run_results import labeller_links
from studio.store import labels
from studio.store.database import Store


def labeller_list(store: Store) -> str:
    """A row for each, with links to how well it agrees and to its pairs; empty while there is none."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(row.labeller.model)} · {escape(row.labeller.method)}</th>"
        f"<td>{escape(row.constitution_name)} <code>{escape(row.labeller.constitution[:8])}</code></td>"
        f"<td>{row.pairs:,}</td><td>{row.rows:,}</td><td>{labeller_links(row.labeller)}</td></tr>"
        for row in labels.labellers(store)
    )
    if not rows:
        return ""
    head = "".join(
        f"<th scope='col'>{name}</th>" for name in ("Labeller", "Constitution", "Pairs", "Labels", "")
    )
    return (
        '<section aria-label="Labellers"><h2 class="cai-heading">Labellers so far</h2>'
        f'<table class="cai-labellers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>'
    )
