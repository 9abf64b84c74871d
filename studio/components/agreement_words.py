"""Figures as words: a share with its 95% interval and its n, and a button that opens the pairs behind it."""

from __future__ import annotations

import math

from pipeline.agreement import Figure
from studio.escaping import escape, exact

SMALL = 30  # judgments; under that many an interval says little, and the table says so


def share(figure: Figure) -> str:
    """`62.5%` and its interval, muted; a dash where the figure is not defined."""
    if math.isnan(figure.value):
        return '<span class="cai-muted" title="not defined on these pairs">–</span>'
    return f"<b>{figure.value:.1%}</b> {_between(figure, '.1%')}"


def number(figure: Figure, sign: bool = False) -> str:
    """`0.12` and its interval, for what is no share; with a sign for differences."""
    if math.isnan(figure.value):
        return '<span class="cai-muted" title="not defined on these pairs">–</span>'
    form = "+.3f" if sign else ".3f"
    return f"<b>{_minus(format(figure.value, form))}</b> {_between(figure, form)}"


def points(figure: Figure) -> str:
    """A difference of two shares, in percentage points."""
    if math.isnan(figure.value):
        return '<span class="cai-muted">–</span>'
    inside = f"{figure.low * 100:+.1f}, {figure.high * 100:+.1f}"
    return f'<b>{_minus(f"{figure.value * 100:+.1f}")}</b> <span class="cai-ci">[{_minus(inside)}]</span>'


def sized(figure: Figure) -> str:
    """The n of a figure: judgments and, where several are of one prompt, prompts; small ones marked."""
    prompts = f" / {figure.clusters:,}" if figure.clusters != figure.n else ""
    small = ' <span class="cai-small-n" title="too few to lean on">few</span>' if figure.n < SMALL else ""
    return f'<span class="cai-n">{figure.n:,}{prompts}{small}</span>'


def opens(what: str, words: str, title: str = "the pairs behind it") -> str:
    """A button, named `what`, that opens pairs; `words` is HTML already."""
    return (
        f'<button type="button" class="cai-open" data-open="{exact(what)}" title="{escape(title)}">'
        f"{words}</button>"
    )


def _between(figure: Figure, form: str) -> str:
    inside = f"{format(figure.low, form)}, {format(figure.high, form)}"
    return f'<span class="cai-ci">[{_minus(inside)}]</span>'


def _minus(text: str) -> str:
    return text.replace("-", "−")
