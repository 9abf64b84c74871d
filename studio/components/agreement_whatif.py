"""What if the constitution were another: its principles toggled and weighted, on the stored labels alone.

The controls are one `gr.HTML`, whose event `act` carries the weight of each principle that was scored, 0 for
one that is off; what follows from them is computed from the stored rows (`studio.store.audit`), without a
model. A principle that no pair was scored under has no controls: nothing stored says what it would change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline import preferences
from pipeline.agreement import Figure
from pipeline.records import Axis, Pair
from studio.components.agreement_pairs import SIDES, asked, pair_link
from studio.components.agreement_words import points, share, sized
from studio.escaping import escape, exact
from studio.progress import plural

MOST = 3.0  # the slider's end, unless the constitution has a heavier principle
LISTED = 40


@dataclass(frozen=True)
class Weighed:
    """A principle of the labelled constitution: what it has now, how many pairs were scored under it."""

    id: str
    title: str
    weight: float
    enabled: bool
    pairs: int


@dataclass(frozen=True)
class Flip:
    """A pair whose label another weighting turns. `choices` as in `Compared`, one of each who judged it."""

    pair: Pair
    before: float
    after: float
    choices: Sequence[float]


@dataclass(frozen=True)
class Outcome:
    """What a weighting gives. Each row: a name, as saved, what-if, and the paired difference."""

    rows: Sequence[tuple[str, Figure, Figure, Figure]]
    scored: int  # labelled pairs that were scored under all the chosen principles
    labelled: int
    compared: int  # of the scored ones, those that have a label as saved too
    flips: Sequence[Flip]
    flipped: int
    ms: float


def whatif_panel() -> Any:
    """Put the controls on the page."""
    script = Path(__file__).with_name("agreement_whatif.js").read_text(encoding="utf-8")
    return gr.HTML(js_on_load=script, padding=False, elem_id="whatif")


def panel_html(principles: Sequence[Weighed], labelled: int, of: str = "") -> str:
    """A row for each principle: on or off, its weight, and on how many pairs it was asked.

    Those that were never asked are told apart from those that are off: they stay as they are. `of` is the
    comparison's address: of another, the controls begin as saved.
    """
    heaviest = max([MOST, *(principle.weight for principle in principles)])
    rows = "".join(
        _control(principle, heaviest, labelled) if principle.pairs else _unscored(principle)
        for principle in principles
    )
    unscored = sum(not principle.pairs for principle in principles)
    note = (
        f'<p class="cai-muted" id="whatif-unscored">{plural(unscored, "principle")} not scored: no label of '
        "this labeller is under them, so no figure here has them. A saved version keeps them as they are.</p>"
        if unscored
        else ""
    )
    return (
        f'<div class="cai-whatif" data-of="{exact(of)}"><div class="cai-whatif-head"><b>Principles</b>'
        '<button type="button" class="cai-small" data-all="on">All on</button>'
        '<button type="button" class="cai-small" data-all="off">All off</button>'
        '<button type="button" class="cai-small" data-all="saved">As saved</button></div>'
        f"<ul>{rows}</ul>{note}</div>"
    )


def coverage_html(principles: Sequence[Weighed], labelled: int) -> str:
    """Said before anything is tried, where most pairs were judged under one drawn principle only."""
    on = [principle.pairs for principle in principles if principle.enabled and principle.pairs]
    if not labelled or not on or min(on) >= 0.8 * labelled:
        return ""
    return (
        '<div class="cai-aside-note"><b>Few pairs can answer.</b> These labels were made with one or some '
        "principles "
        "drawn for each pair, and a weighting is only computed on pairs that were scored under all of its "
        "principles. Label the pairs once with <code>--principles all</code> (on the "
        '<a href="labels">Labels page</a>: Principles “all”, “Only what is not labelled yet” unticked) to '
        "try any of them.</div>"
    )


def outcome_html(outcome: Outcome | None, axis: Axis, who: str) -> str:
    """The figures of a weighting, its coverage, and the pairs whose label it turns."""
    if outcome is None:
        return '<p class="cai-muted">No principle is on: there is nothing to label with.</p>'
    share_of = f" ({outcome.scored / outcome.labelled:.0%})" if outcome.labelled else ""
    rows = "".join(_figures(*row) for row in outcome.rows)
    flips = "".join(_flip(flip, axis, who) for flip in outcome.flips)
    more = outcome.flipped - len(outcome.flips)
    rest = f'<p class="cai-muted">And {more:,} more.</p>' if more > 0 else ""
    return (
        '<table class="cai-table"><thead><tr><th>Accuracy</th><th>as saved</th><th>what if</th>'
        f"<th>difference, points</th><th>n</th></tr></thead><tbody>{rows}</tbody></table>"
        '<p class="cai-muted">Choosing on what you audit flatters. The halves are drawn by a hash of the '
        "prompt: choose "
        "by the first, believe the second. Random share only, ties left out.</p>"
        f'<p id="whatif-coverage"><b>{outcome.scored:,}</b> of {outcome.labelled:,} labelled pairs{share_of} '
        "were scored under all the chosen principles; only they count.</p>"
        f'<p id="whatif-flips"><b>{plural(outcome.flipped, "label")}</b> of {outcome.compared:,} flipped. '
        f'<span class="cai-muted">From stored labels in {outcome.ms:,.0f} ms, no model was asked.</span></p>'
        f'<ul class="cai-list cai-behind">{flips}</ul>{rest}'
    )


def _control(principle: Weighed, heaviest: float, labelled: int) -> str:
    id, title = exact(principle.id), escape(principle.title)
    checked = " checked" if principle.enabled and principle.weight > 0 else ""
    return (
        f'<li data-principle="{id}" data-weight="{principle.weight!r}"{" data-on" if checked else ""}>'
        '<label><input type="checkbox" class="cai-switch" '
        f'role="switch"{checked}> '
        f'<span class="cai-whatif-title" title="{title}">{title}</span></label>'
        f'<span class="cai-muted cai-whatif-n">{principle.pairs:,} of {labelled:,}</span>'
        f'<input type="range" min="0" max="{heaviest!r}" step="0.1" value="{principle.weight!r}" '
        'aria-label="Weight of '
        f'{title}"><output>{principle.weight:.4g}</output></li>'
    )


def _unscored(principle: Weighed) -> str:
    title = escape(principle.title)
    kept = f"stays on, weight {principle.weight:g}" if principle.enabled else "stays off"
    return (
        f'<li data-principle="{exact(principle.id)}" data-none><span class="cai-whatif-title" '
        f'title="{title}">{title}</span><span class="cai-muted cai-whatif-n">not scored · {kept}</span></li>'
    )


def _figures(name: str, saved: Figure, tried: Figure, difference: Figure) -> str:
    return (
        f"<tr><th>{escape(name)}</th><td>{share(saved)}</td><td>{share(tried)}</td><td>{points(difference)}</td>"
        f"<td>{sized(tried)}</td></tr>"
    )


def _flip(flip: Flip, axis: Axis, who: str) -> str:
    human = ""
    if flip.choices:
        said = ", ".join(SIDES[choice] for choice in flip.choices)
        human = f'<span class="cai-person"><span class="cai-who">{who}: {said}</span></span> '
    return (
        f'<li data-flip="{exact(flip.pair.id)}"><a href="{pair_link(flip.pair.id, axis)}">'
        f'<span class="cai-list-prompt">{asked(flip.pair)}</span><span class="cai-behind-said">{human}'
        f'<span class="cai-model"><span class="cai-who">AI: {flip.before:.1%} → {flip.after:.1%} for a, '
        f"now {preferences.side(flip.after)}</span></span></span></a></li>"
    )
