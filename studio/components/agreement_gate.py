"""The gate and the headline figure: may these labels train a reward, going by people's judgments?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipeline.gate import LOOKS, Gate, Look
from studio.components import agreement_asked, agreement_data, agreement_figures
from studio.components.agreement_asked import Judges
from studio.components.agreement_data import Picture, best_baseline
from studio.components.agreement_section import QUIET, Section
from studio.components.problem import told
from studio.context import Studio
from studio.escaping import escape
from studio.progress import plural
from studio.store import gates
from studio.store.database import Store

SIGNS = {"agrees": "✓", "opposed": "✕", "not shown yet": "…"}
EXPLAINED = f"""<details><summary>How the gate decides</summary>
<p>It reads people’s judgments of the random share, ties left out, in the order of time, and looks only when
there are {", ".join(map(str, LOOKS[:-1]))} and {LOOKS[-1]} of them: who looks after each one and stops at the
first good moment is misled far more often than 5% of the time. The four looks share the 5%.</p>
<p><b>Agrees</b>: the lower bound, clustered by prompt, is above the threshold. <b>Opposed</b>: the upper
bound is under 50%; turning such labels round is not offered, since nobody knows why they are wrong.
Else it is <b>not shown yet</b>. Training will read this gate, and warn loudly where it is not open.</p>
</details>"""


def gate_section(studio: Studio, chosen: Sequence[Any]) -> Section:
    """The top of the page: the gate beside the accuracy, and the threshold under them."""
    top = gr.HTML(padding=False, elem_id="agreement-top")
    with gr.Accordion("Gate settings", open=False), gr.Row(elem_classes="cai-line"):
        threshold = gr.Number(
            label="Threshold",
            info="the accuracy that the lower bound must exceed; kept for this session",
            step=0.01,
            elem_id="threshold",
            scale=0,
            min_width=380,
        )
        said = gr.HTML(padding=False, elem_id="threshold-said")
    shown = gr.State()

    def render(picture: Picture) -> list[Any]:
        now = gates.threshold(studio.store)
        return [top_html(studio, picture), now, now]

    def keep(value: float | None, before: float | None, *values: Any) -> list[Any]:
        with told() as mistake:
            keep_threshold(studio.store, value, before)
            before = value
        picture = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
        return [gr.skip() if picture is None else top_html(studio, picture), before, mistake.html]

    gr.on([threshold.submit, threshold.blur], keep, [threshold, shown, *chosen], [top, shown, said], **QUIET)
    return Section((top, threshold, shown), render)


def keep_threshold(store: Store, value: float | None, shown: float | None) -> None:
    """Keep the threshold in the field, where it is not the one that was `shown` there. Raises UserError.

    Whoever only comes by the field must not put back what another person has changed meanwhile.
    """
    if value != shown:
        gates.set_threshold(store, float(value) if value is not None else math.nan)


def top_html(studio: Studio, picture: Picture) -> str:
    """The gate and the headline, side by side."""
    c, judges = picture.random, picture.asked.judges
    headline = agreement_figures.headline_html(c, best_baseline(c), judges.whom, picture.picked)
    left = len(set(picture.matrix.pairs) - set(picture.pairs))
    return f'<div class="cai-top">{gate_html(gates.of(studio.store, c), judges, left)}{headline}</div>'


def gate_html(gate: Gate, judges: Judges, left: int | None = None) -> str:
    """The state by sign, colour and words, what it rests on, and the looks.

    `left` is how many labelled pairs have no judgment in the random share yet, where that is known.
    """
    kind = gate.state.replace(" ", "-")
    words = " ".join(escape(sentence) for sentence in gate.words())
    done = {look.n: look for look in gate.looks}
    looks = "".join(_look(n, done.get(n)) for n in LOOKS)
    return (
        f'<section class="cai-card cai-gate cai-gate-{kind}" data-gate="{gate.state}"><h2>The gate</h2>'
        f'<p class="cai-gate-state" role="status"><span aria-hidden="true">{SIGNS[gate.state]}</span> '
        f"{gate.state}</p><p>{words}</p>{_short(gate, left)}{_whose(judges)}"
        f'<ol class="cai-looks">{looks}</ol>{EXPLAINED}</section>'
    )


def _short(gate: Gate, left: int | None) -> str:
    """Where the next look takes more judgments than there are labelled pairs left: how to bring more."""
    if left is None or gate.needed is None or gate.needed <= left:
        return ""
    verb = "is" if left < 2 else "are"
    there = f"Only {plural(left, 'labelled pair')}" if left else "No labelled pair"
    return (
        f'<p class="cai-aside-note" id="gate-short">{there} {verb} left to judge for that. Sample or '
        'import more on the <a href="labels">Labels page</a> and have this labeller label them; or let a '
        "second person judge the same pairs, which counts as well.</p>"
    )


def _whose(judges: Judges) -> str:
    if judges == Judges():
        return ""
    return (
        '<p class="cai-aside-note">This is the gate as these judgments alone would have it. Training will '
        "read the one of all people together.</p>"
    )


def _look(n: int, look: Look | None) -> str:
    if look is None:
        return f'<li class="cai-ahead"><b>at {n}</b>not yet</li>'
    return (
        f"<li><b>at {n}</b>{look.value:.1%} <span class='cai-ci' title='bounds that each err with "
        f"{look.level:.2%}'>[{look.low:.1%}, {look.high:.1%}]</span></li>"
    )
