"""The session's chains as a list of links: newest first, filtered, a page at a time."""

from __future__ import annotations

from html import escape

from studio.components.chain_view import STATUS, verdict_chip
from studio.progress import plural
from studio.store import chains
from studio.store.chains import ChainFilter, ChainRow
from studio.store.database import Store

PAGE = 30

EMPTY = """<div class="cai-empty"><h2>No chains yet</h2><ol>
<li>Type a prompt that a careless model might answer badly, or pick one.</li>
<li>Choose a constitution: its principles are what the critiques look for.</li>
<li>Press <b>Run</b>, and watch the answer, its critique and its revision appear.</li>
</ol></div>"""


def chain_list(store: Store, wanted: ChainFilter, shown: int, current: str) -> tuple[str, bool]:
    """The first `shown` chains that match, as HTML with `current` marked, and whether there are more."""
    total = chains.count_chains(store, wanted)
    if not total:
        return ('<p class="cai-muted">No chain matches.</p>' if wanted != ChainFilter() else EMPTY), False
    rows = chains.list_chains(store, wanted, shown, 0)
    count = plural(total, "chain") + (f", the newest {len(rows)} shown" if len(rows) < total else "")
    items = "".join(_item(row, row.id == current) for row in rows)
    html = f'<p class="cai-muted cai-list-count">{count}</p><ol class="cai-list">{items}</ol>'
    return html, len(rows) < total


def _item(row: ChainRow, current: bool) -> str:
    here = ' aria-current="true"' if current else ""
    facts = [STATUS[row.status], plural(row.steps, "step"), f"{row.created:%b %d %H:%M}"]
    judged = f" {verdict_chip(row.verdict)}" if row.verdict != "none" else ""
    made = [row.model, row.constitution_name, *row.principles]
    return (
        f'<li><a href="chains?chain={escape(row.id)}"{here}>'
        f'<span class="cai-list-prompt">{escape(row.prompt)}</span>'
        f'<span class="cai-muted">{" · ".join(facts)}{judged}</span>'
        f'<span class="cai-muted">{escape(" · ".join(made))}</span></a></li>'
    )
