"""Triage: where AI and human disagree most; amend the principle, relabel, and see old beside new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any
from urllib.parse import urlencode

import gradio as gr
import numpy as np

from pipeline import agreement, intervals
from pipeline.configs import Labelling
from pipeline.errors import UserError
from pipeline.records import Constitution, Label, Pair
from studio.components import agreement_asked, agreement_data
from studio.components.agreement_data import Picture, furthest, held, under_every
from studio.components.agreement_pairs import LETTERS, SIDES, Held, asked, pair_link, triage_html
from studio.components.agreement_section import QUIET, Section
from studio.components.agreement_words import points, share
from studio.components.problem import told
from studio.context import Studio, author
from studio.escaping import escape, exact, isolated
from studio.jobs import batch
from studio.progress import plural
from studio.store import constitutions, labels, pairs, runs, sightings
from studio.store.labels import Labeller

SHOWN = 20
BOTH = {1.0: "both right", 0.5: "both undecided", 0.0: "both wrong"}
LEAD = f"""<p class="cai-muted">Of all judged pairs, random or not, the furthest apart first. Open one to see
the answers under each principle; amend the principle that went wrong; then relabel the pairs that it went
wrong on. Whoever is shown AI labels here and has not judged the pair judges it no longer blind.
{LETTERS}</p>"""


def triage_section(studio: Studio, chosen: Sequence[Any]) -> Section:
    """Put the section on the page."""
    gr.HTML(LEAD, padding=False)
    cards = gr.HTML(padding=False, elem_id="triage")
    with gr.Row(elem_classes="cai-line"):
        principle = gr.Dropdown(label="Principle that was amended", elem_id="triage-principle")
        start = gr.Button("Relabel its pairs", scale=0, min_width=170, variant="primary", elem_id="relabel")
    said = gr.HTML(padding=False, elem_id="relabel-said")

    def render(picture: Picture) -> list[Any]:
        rows = furthest(picture.every, 4 * SHOWN)
        some = held(studio.store, picture.every, picture.every_pairs, rows, picture.asked)
        once: dict[str, Held] = {}
        for one in some:  # judged by several, a pair comes once, where it is furthest apart
            once.setdefault(one.pair.id, one)
        shown = list(once.values())[:SHOWN]
        sightings.note(studio.store, picture.asked.viewer, [one.pair.id for one in shown])
        of = {one.pair.id: _labels(studio, one.pair.id, picture) for one in shown}
        known = {p.id: p for p in picture.constitution.principles} if picture.constitution else {}
        name = picture.constitution.name if picture.constitution else ""
        choices = _principle_choices(picture)
        return [
            triage_html(shown, of, known, name, picture.asked.axis),
            gr.update(choices=choices, value=choices[0][1] if choices else None),
            "",
        ]

    def relabel(id: str | None, request: gr.Request, *values: Any) -> str:
        with told() as mistake:
            found = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
            if found is None or not id:
                raise UserError("choose a principle that the AI went wrong under")
            return _relabel(studio, found, id, author(request))
        return mistake.html

    start.click(relabel, [principle, *chosen], said, **QUIET)
    return Section((cards, principle, said), render)


def wrong_under(picture: Picture, principle: str) -> list[str]:
    """The judged pairs on which the AI, under this principle alone, takes the other side."""
    alone = under_every(picture, principle)  # an exact tie takes none
    rows = np.flatnonzero((alone.choice != 0.5) & (alone.correct == 0)).tolist()
    return list(dict.fromkeys(picture.every_pairs[row] for row in rows))


def _principle_choices(picture: Picture) -> list[tuple[str, str]]:
    counts = {id: len(wrong_under(picture, id)) for id in picture.matrix.principles}
    order = sorted((id for id, n in counts.items() if n), key=lambda id: -counts[id])
    return [
        (f"{isolated(picture.title_of.get(id, id))} · wrong on {plural(counts[id], 'pair')}", id)
        for id in order
    ]


def _labels(studio: Studio, pair: str, picture: Picture) -> list[Label]:
    return labels.of_pair(studio.store, pair, picture.labeller)


def _relabel(studio: Studio, picture: Picture, principle: str, who: str) -> str:
    labeller, old = picture.labeller, picture.constitution
    if old is None:
        raise UserError("this session does not have the constitution of these labels: import it first")
    new = constitutions.latest(studio.store, old.name) or old
    if _wording(new, principle) == _wording(old, principle):
        link = "constitution?" + urlencode({"name": old.name, "principle": principle})
        return (
            '<div class="cai-error" role="alert">The newest version has this principle as it was when these '
            "labels were "
            f'made: they would come out the same. <a href="{exact(link)}">Amend it and save first.</a></div>'
        )
    found = [pairs.load(studio.store, id) for id in wrong_under(picture, principle)]
    again: list[Pair] = [stored.pair for stored in found if stored]
    name = f"{new.name} again × {len(again)}"
    why = f"wrong under {principle} of {old.name} {old.version[:8]}"
    id = batch.prepare_label(
        studio.store,
        studio.jobs.folder,
        again,
        new,
        replace(_labelling(studio, labeller), selection=why),
        picture.asked.axis,
        name,
        who,
    )
    studio.jobs.wake()
    return (
        f'<p class="cai-done" role="status">Relabelling {plural(len(again), "pair")} under '
        f"{escape(new.name)} "
        f'{new.version[:8]}: <a href="runs?run={exact(id)}">see the run</a>. When it has finished, reload '
        "this page: "
        "“Old and new” below compares them pair by pair. They were chosen because the AI was wrong on them: "
        'no figure and no gate counts them. For those, <a href="labels">label all pairs</a> under the new '
        "version.</p>"
    )


def _wording(constitution: Constitution, id: str) -> object:
    """What a judge reads of a principle; None where it is gone or off."""
    found = next((p for p in constitution.principles if p.id == id and p.enabled), None)
    return (found.comparison, found.keeps, found.breaks) if found else None


def _labelling(studio: Studio, labeller: Labeller) -> Labelling:
    """The options that the labels were made with, from their newest run; else the labeller's own."""
    for id in labels.runs_of(studio.store, labeller):
        run = runs.load(studio.store, id)
        if run is not None:
            names = {f.name for f in fields(Labelling)}
            return Labelling(**{name: value for name, value in run.config.items() if name in names})
    return Labelling(model=labeller.model, method=labeller.method)


def versions_section(studio: Studio, chosen: Sequence[Any]) -> Section:
    """Two labellers on the same pairs: an amended constitution beside the one before, or any other."""
    other = gr.Dropdown(label="Compare with", elem_id="versions-other")
    table = gr.HTML(padding=False, elem_id="versions")

    def render(picture: Picture) -> list[Any]:
        choices = [
            choice
            for choice in agreement_asked.labeller_choices(studio.store)
            if choice[1] != picture.labeller.key
        ]
        value = choices[0][1] if choices else None
        return [gr.update(choices=choices, value=value), versions_html(studio, picture, value)]

    def look(key: str | None, *values: Any) -> str:
        found = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
        return "" if found is None else versions_html(studio, found, key)

    other.input(look, [other, *chosen], table, **QUIET)
    return Section((other, table), render)


def versions_html(studio: Studio, picture: Picture, key: str | None) -> str:
    """The random share that both have labelled: accuracies, the paired difference, each pair's two labels."""
    if not key:
        return (
            '<p class="cai-muted">Only one labeller has labelled these pairs so far. After an amended '
            "constitution was "
            "used to relabel some, they stand here side by side.</p>"
        )
    this, that, ids = agreement_data.beside(studio.store, picture, Labeller.of(key))
    if not ids:
        return '<p class="cai-muted">No judged pair of the random share was labelled by both.</p>'
    difference = intervals.mean(that.correct - this.correct, this.cluster, -1.0, 1.0)
    order = np.argsort(-np.abs(that.p_a - this.p_a), kind="stable")[:40].tolist()
    sightings.note(studio.store, picture.asked.viewer, [ids[at] for at in order])
    lines = "".join(_line(studio, picture, ids[at], this, that, at) for at in order)
    return (
        f"<p>On {plural(len(ids), 'judgment')} of random pairs that both have labelled: this one "
        f"{share(agreement.accuracy(this))}, the other {share(agreement.accuracy(that))}, the other’s lead "
        f'{points(difference)} points. <span class="cai-muted">Relabelled pairs were chosen because the AI '
        "was wrong "
        "on them: some of them turn by chance alone.</span></p>"
        '<table class="cai-table"><thead><tr><th>Pair</th>'
        f"<th>{picture.asked.judges.noun}</th><th>this one</th><th>the "
        "other</th><th></th></tr></thead><tbody>"
        f"{lines}</tbody></table>"
    )


def _line(
    studio: Studio, picture: Picture, id: str, this: agreement.Compared, that: agreement.Compared, at: int
) -> str:
    stored = pairs.load(studio.store, id)
    if stored is None:
        return ""
    one, two = float(this.correct[at]), float(that.correct[at])
    turned = "this one right" if one > two else "the other right" if two > one else BOTH[one]
    return (
        f'<tr><th><a href="{pair_link(id, picture.asked.axis)}">{asked(stored.pair, 90)}</a></th>'
        f"<td>{SIDES[float(this.choice[at])]}</td><td>{this.p_a[at]:.1%}</td><td>{that.p_a[at]:.1%}</td>"
        f"<td>{turned}</td></tr>"
    )
