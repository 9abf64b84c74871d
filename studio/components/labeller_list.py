"""The labellers of a session: each model, by the method and the constitution that it judged with; and the
comparisons that were imported, which no run made and no list of runs has."""

from __future__ import annotations

from urllib.parse import urlencode

from studio.components.agreement_asked import Judges
from studio.components.run_results import labeller_links
from studio.escaping import escape, exact
from studio.store import held_judgments, labels
from studio.store.database import Store


def labeller_list(store: Store) -> str:
    """A row for each, with links to how well it agrees and to its pairs; empty while there is none."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(row.labeller.model)} · {escape(row.labeller.method)}</th>"
        f"<td>{escape(row.constitution_name)} <code>{escape(row.labeller.constitution[:8])}</code></td>"
        f"<td>{row.pairs:,}</td><td>{row.rows:,}</td><td>{labeller_links(row.labeller, row.axis)}</td></tr>"
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


def imports_list(store: Store) -> str:
    """A row for each file of comparisons, by question; empty while there is none."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(one.annotator)}</th><td>{one.axis}</td><td>{one.pairs:,}</td>"
        f"<td>{_compared(one.annotator, one.axis)}</td></tr>"
        for one in held_judgments.annotators(store)
        if one.kind == "imported"
    )
    if not rows:
        return ""
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("File", "Axis", "Pairs with a choice", ""))
    return (
        '<section aria-label="Imported comparisons"><h2 class="cai-heading">Imported comparisons</h2>'
        f'<table class="cai-labellers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>'
    )


def _compared(name: str, axis: str) -> str:
    query = urlencode({"axis": axis, "annotator": Judges("imported", name).key})
    return f'<a href="agreement?{exact(query)}">AI against these choices</a>'
