"""The session's chains as a list of links: newest first, filtered, a page at a time."""

from __future__ import annotations

from urllib.parse import urlencode

from studio.components import chain_filters
from studio.components.chain_view import STATUS, verdict_chip
from studio.escaping import escape, exact
from studio.progress import plural
from studio.store import chains, runs
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
    if not total and wanted == ChainFilter():
        return EMPTY, False
    rows = chains.list_chains(store, wanted, shown, 0)
    count = plural(total, "chain") if total else "No chain matches"
    count += f", the newest {len(rows)} shown" if len(rows) < total else ""
    html = f'<p class="cai-muted cai-list-count">{count}{_narrowed(store, wanted, current)}</p>'
    filters = chain_filters.query(wanted)
    items = "".join(_item(row, row.id == current, filters) for row in rows)
    return html + (f'<ol class="cai-list">{items}</ol>' if rows else ""), len(rows) < total


def _narrowed(store: Store, wanted: ChainFilter, current: str) -> str:
    """By what run, as its filter may be folded away; and the way back to all."""
    if wanted == ChainFilter():
        return ""
    run = runs.load(store, wanted.run) if wanted.run else None
    of = f' of the run <a href="runs?run={exact(run.id)}">{escape(run.name)}</a>' if run else ""
    back = f"chains?{urlencode({'chain': current})}" if current else "chains"
    return f'{of} · <a href="{exact(back)}">Show all</a>'


def _item(row: ChainRow, current: bool, filters: dict[str, str]) -> str:
    here = ' aria-current="true"' if current else ""
    facts = [STATUS[row.status], plural(row.steps, "step"), f"{row.created:%b %d %H:%M}"]
    judged = f" {verdict_chip(row.verdict)}" if row.verdict != "none" else ""
    address = escape(f"chains?{urlencode({'chain': row.id, **filters})}")
    made = [row.model, row.constitution_name, *row.principles]
    return (
        f'<li><a href="{address}"{here}>'
        f'<span class="cai-list-prompt">{escape(row.prompt)}</span>'
        f'<span class="cai-muted">{" · ".join(facts)}{judged}</span>'
        f'<span class="cai-muted">{" · ".join(map(escape, made))}</span></a></li>'
    )
