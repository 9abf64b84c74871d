"""The figures of agreement as tables: each with its n and interval, and each opens the pairs behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import agreement, bias
from pipeline.agreement import Bin, Compared, Figure
from pipeline.baselines import Baseline
from studio.components.agreement_words import number, opens, points, share, sized
from studio.escaping import escape
from studio.progress import plural

NO_ORDER = "Each response was judged alone: none stands first, and no order can sway it."
SIDES = ("a", "tie", "b")  # the order of a confusion table's rows and columns


@dataclass(frozen=True)
class PrincipleRow:
    """What the labels under one principle alone get."""

    id: str
    title: str
    accuracy: Figure
    letter: Figure


@dataclass(frozen=True)
class LabellerLine:
    """One labeller of the session beside the others, on the judgments that it has labels for.

    `short` is its name in the chart, without the path of its model.
    """

    name: str
    short: str
    accuracy: Figure
    kappa: Figure
    ece: Figure
    letter: Figure
    current: bool


def headline_html(c: Compared, best: Baseline | None, who: str, others: int) -> str:
    """The accuracy, large, and what stands beside it."""
    accuracy = agreement.accuracy(c)
    against = ""
    if best is not None:
        against = (
            f"<dt>against “{escape(best.name)}”</dt><dd>{points(best.difference)} points "
            f'<span class="cai-muted">(it gets {best.accuracy.value:.1%})</span></dd>'
        )
    left_out = f"{plural(c.human_ties, 'tie')} left out"
    if others:
        left_out += f", {others:,} picked for a reason or not blind left out"
    facts = (
        f"<div>{_fact('Cohen’s kappa', number(agreement.kappa(c)))}</div><div>{against}</div>"
        f"<div>{_fact('expected calibration error', number(agreement.ece(c)))}</div>"
        f"<div>{_fact('Brier score', number(agreement.brier(c)))}</div>"
    )
    stands = f"{plural(accuracy.n, 'judgment')} of {plural(accuracy.clusters, 'prompt')}"
    value = f"{accuracy.value:.1%}" if accuracy.n else "–"
    return (
        f'<section class="cai-card"><h2>Agreement with {escape(who)}</h2><p class="cai-headline">'
        f'<span class="cai-number">{value}</span>{_interval(accuracy)}{opens("decided", stands)}</p>'
        f'<p class="cai-muted">Random share only; {left_out}. Intervals are 95%, clustered by prompt.</p>'
        f'<dl class="cai-facts-grid">{facts}</dl></section>'
    )


def table_html(c: Compared, baselines: Sequence[Baseline]) -> str:
    """The AI and the rules that any labeller should beat, with the paired differences."""
    ai = agreement.accuracy(c)
    rows = [f"<tr><th>{opens('wrong', 'The AI')}</th><td>{share(ai)}</td><td></td><td>{sized(ai)}</td></tr>"]
    rows += [
        f"<tr><th>{escape(rule.name)}</th><td>{share(rule.accuracy)}</td><td>{points(rule.difference)}</td>"
        f"<td>{sized(rule.accuracy)}</td></tr>"
        for rule in baselines
    ]
    return _table(("Accuracy of", "", "AI’s lead, points", "n"), rows)


def confusion_html(c: Compared, who: str) -> str:
    """Counts of sides, without human ties and with them."""
    ties = agreement.with_ties(c)
    return (
        '<div class="cai-two"><div><h3 class="cai-section">Confusion <span class="cai-muted">human ties left '
        f"out</span></h3>{_counts(agreement.confusion(c).tolist(), ('a', 'b'), 'cell', who)}</div>"
        '<div><h3 class="cai-section">With ties <span class="cai-muted">AI tie: its two orders '
        "disagree</span>"
        f"</h3>{_counts(ties.table.tolist(), SIDES, 'tied', who)}"
        f'<p class="cai-muted">Accuracy {share(ties.accuracy)}, kappa {number(ties.kappa)}, '
        f"n {sized(ties.accuracy)}.</p></div></div>"
    )


def bins_html(bins: Sequence[Bin]) -> str:
    """The reliability diagram in numbers."""
    rows = [
        f"<tr><th>{opens(f'bin:{at}', f'{bin.low:.1f}–{bin.high:.1f}')}</th><td>{bin.mean_p:.3f}</td>"
        f"<td>{share(bin.chosen)}</td><td>{sized(bin.chosen)}</td></tr>"
        for at, bin in enumerate(bins)
        if bin.chosen.n
    ]
    return _table(("AI says P(a)", "mean", "chosen a", "n"), rows)


def bias_html(c: Compared, who: str) -> str:
    """Does the AI follow where a response stands, or how long it is, rather than what it says?"""
    length, position = bias.length_bias(c), _position(c)
    lines = (
        *position,
        ("exact", "Exact ties, P = 0.5", share(bias.exact_ties(c)), bias.exact_ties(c), "0%"),
        ("longer", "AI prefers the longer", share(length.ai), length.ai, "as below"),
        ("", f"The {who} prefers the longer", share(length.human), length.human, ""),
        ("", "Difference, points", points(length.difference), length.difference, "0"),
        ("", "P gained by a doubling of length", number(length.slope, True), length.slope, "0"),
    )
    rows = [
        f"<tr><th>{opens(what, name) if what else name}</th><td>{value}</td><td>{sized(figure)}</td>"
        f'<td class="cai-muted">{unbiased}</td></tr>'
        for what, name, value, figure, unbiased in lines
    ]
    said = "" if position else f'<p class="cai-muted">{NO_ORDER}</p>'
    return _table(("Bias", "", "n", "without bias"), rows) + said


def _position(c: Compared) -> tuple[tuple[str, str, str, Figure, str], ...]:
    """What the order of the responses does; nothing where each was judged alone, and there is no order."""
    if c.alone:
        return ()
    lead = bias.position_bias(c)
    return (
        ("letter", "Option shown first, (A), wins", share(bias.letter_share(c)), bias.letter_share(c), "50%"),
        ("", "Mean lead of the option shown first", number(lead, True), lead, "0"),
        ("orders", "Winner changes with the order", share(bias.order_flips(c)), bias.order_flips(c), "0%"),
    )


def principles_html(rows: Sequence[PrincipleRow]) -> str:
    """Each principle alone: which articles agree with the humans, as far as their n can tell."""
    lines = [
        f"<tr><th>{opens(f'principle:{row.id}', f'§ {escape(row.title)}')}</th><td>{share(row.accuracy)}</td>"
        f"<td>{sized(row.accuracy)}</td><td>{share(row.letter)}</td></tr>"
        for row in rows
    ]
    return _table(("Principle", "accuracy alone", "n", "(A) wins"), lines)


def labellers_html(lines: Sequence[LabellerLine]) -> str:
    """All labellers side by side, on the same axis and judgments."""
    rows = [
        f"<tr{' aria-current=true' if line.current else ''}><th>{escape(line.name)}</th>"
        f"<td>{share(line.accuracy)}</td><td>{sized(line.accuracy)}</td><td>{number(line.kappa)}</td>"
        f"<td>{number(line.ece)}</td><td>{share(line.letter)}</td></tr>"
        for line in lines
    ]
    head = ("Labeller", "accuracy", "n", "kappa", "ECE", "(A) wins")
    return _table(head, rows) + (
        '<p class="cai-muted">Each on the random share that it has labels for: where the n differ, so may '
        "the pairs.</p>"
    )


def alpha_html(alpha: Figure, alike: Figure, annotators: Sequence[str]) -> str:
    """What people agree on among themselves: no labeller can be asked for more."""
    if len(annotators) < 2:
        return (
            '<p class="cai-muted">Krippendorff’s alpha needs two annotators on the same pairs. Each '
            "annotator’s "
            "queue begins with the same random pairs: ask somebody to judge under another name.</p>"
        )
    names = ", ".join(map(escape, annotators))
    return (
        f"<p>Krippendorff’s alpha {number(alpha)} over {plural(alpha.n, 'pair')} that two or more judged; "
        "they chose "
        f'alike {share(alike)}, ties included. <span class="cai-muted">{names}</span></p>'
    )


def _fact(name: str, value: str) -> str:
    return f"<dt>{name}</dt><dd>{value}</dd>"


def _interval(figure: Figure) -> str:
    if not figure.n:  # ties alone
        return ""
    return f'<span class="cai-ci">[{figure.low:.1%}, {figure.high:.1%}]</span>'


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f"<th>{name}</th>" for name in head)
    return f'<table class="cai-table"><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _counts(table: Sequence[Sequence[int]], humans: Sequence[str], kind: str, who: str) -> str:
    rows = [
        f"<tr><th>{escape(who)} "
        f"{human}</th>{''.join(_cell(kind, human, ai, n) for ai, n in zip(SIDES, counts, strict=True))}</tr>"
        for human, counts in zip(humans, table, strict=True)
    ]
    table_ = _table(("", *(f"AI {side}" for side in SIDES)), rows)
    return table_.replace("cai-table", "cai-table cai-confusion", 1)


def _cell(kind: str, human: str, ai: str, n: int) -> str:
    right = ' class="cai-right"' if human == ai else ""
    return f"<td{right}>{opens(f'{kind}:{human}:{ai}', f'{n:,}') if n else '0'}</td>"
