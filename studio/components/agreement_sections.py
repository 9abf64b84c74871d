"""The sections of the Agreement page that only show: the headline, the figures, the labellers beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from pipeline import agreement, annotators, baselines, bias
from pipeline.agreement import UNCHOSEN, Figure
from studio.components import agreement_figures as figures
from studio.components import charts, elo_models
from studio.components.agreement_asked import Asked, Judges, called
from studio.components.agreement_data import BINS, Picture, compared, under
from studio.components.agreement_figures import LabellerLine, PrincipleRow
from studio.components.agreement_section import Section
from studio.context import Studio
from studio.store import gates, held_judgments, pairs
from studio.store.database import Store
from studio.store.held_judgments import Whose
from studio.store.labels import labellers


def figures_section(studio: Studio) -> Section:
    """Accuracy beside the trivial rules, confusion, reliability, bias, and each principle alone."""
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(min_width=480):
            heading("Accuracy", "beside rules that need no model")
            table = gr.HTML(padding=False, elem_id="accuracies")
            confusion = gr.HTML(padding=False, elem_id="confusion")
            biases = gr.HTML(padding=False, elem_id="biases")
        with gr.Column(min_width=480):
            heading("Reliability", "of what the AI says, how often is it so?")
            plot = gr.Plot(show_label=False, elem_id="reliability", elem_classes="cai-plot")
            bins = gr.HTML(padding=False, elem_id="bins")
    heading("Each principle alone", "on the random share that it was asked about")
    principles = gr.HTML(padding=False, elem_id="principles")

    def render(picture: Picture) -> list[Any]:
        c, who = picture.random, picture.asked.judges.noun
        diagram = agreement.reliability(c, BINS)
        return [
            figures.table_html(c, baselines.baselines(c)),
            figures.confusion_html(c, who),
            figures.bias_html(c, who),
            charts.reliability(diagram, who=who),
            figures.bins_html(diagram),
            figures.principles_html(principle_rows(picture)),
        ]

    return Section((table, confusion, biases, plot, bins, principles), render)


def principle_rows(picture: Picture) -> list[PrincipleRow]:
    """The principles that were asked about judged pairs, the best first."""
    rows = []
    for id in picture.matrix.principles:
        alone = under(picture, id).labelled()
        if len(alone):
            title = picture.title_of.get(id, id)
            rows.append(PrincipleRow(id, title, agreement.accuracy(alone), bias.letter_share(alone)))
    return sorted(rows, key=lambda row: (-np.nan_to_num(row.accuracy.value), row.title))


def labellers_section(studio: Studio) -> Section:
    """All labellers by method and model, and people among themselves."""
    plot = gr.Plot(show_label=False, elem_id="labellers-plot", elem_classes="cai-plot")
    table = gr.HTML(padding=False, elem_id="labellers")
    heading("People among themselves", "what an AI can at most be asked for")
    alpha = gr.HTML(padding=False, elem_id="alpha")

    def render(picture: Picture) -> list[Any]:
        lines = labeller_lines(studio.store, picture.asked)
        chart = charts.intervals(
            [(line.short, line.accuracy) for line in lines], gates.threshold(studio.store)
        )
        among, alike, names = among_people(studio.store, picture.asked)
        return [chart, figures.labellers_html(lines), figures.alpha_html(among, alike, names)]

    return Section((plot, table, alpha), render)


def labeller_lines(store: Store, asked: Asked) -> list[LabellerLine]:
    """Every labeller of the session against the same judges, the most accurate first."""
    lines = []
    for row in labellers(store):
        c, _ = compared(store, Asked(asked.axis, row.labeller, asked.judges))
        if not len(c.decided()):
            continue
        found = agreement.accuracy(c), agreement.kappa(c), agreement.ece(c), bias.letter_share(c)
        name, short = called(store, row), called(store, row, elo_models.called(row.labeller.model))
        lines.append(LabellerLine(name, short, *found, current=row.labeller == asked.labeller))
    return sorted(lines, key=lambda line: -line.accuracy.value)


def among_people(store: Store, asked: Asked) -> tuple[Figure, Figure, list[str]]:
    """Krippendorff's alpha of the annotators of the kind that is looked at, and how often they are alike.

    Of the random share, as all figures: pairs that were picked because the AI is unsure are hard for people.
    And of labelled pairs, as all figures and `cai agreement`.
    """
    _, labelled = compared(store, replace(asked, judges=Judges(asked.judges.kind)))
    there = set(labelled)
    choices = {"a": 1.0, "tie": 0.5, "b": 0.0}
    rows = [
        row
        for row in held_judgments.current(store, asked.axis, Whose(asked.judges.kind), blind=True)
        if row.choice in choices and row.picked_by in UNCHOSEN and row.pair_id in there
    ]
    names = sorted({row.annotator for row in rows})
    units = list(dict.fromkeys(row.pair_id for row in rows))
    who, which = {name: at for at, name in enumerate(names)}, {unit: at for at, unit in enumerate(units)}
    ratings = np.full((len(names), len(units)), np.nan)
    for row in rows:
        ratings[who[row.annotator], which[row.pair_id]] = choices[row.choice]
    numbers: dict[str, int] = {}
    prompts = pairs.prompts_of(store, units)
    cluster = np.array([numbers.setdefault(prompt, len(numbers)) for prompt in prompts], dtype=np.int64)
    return annotators.alpha(ratings, cluster), annotators.pairwise(ratings, cluster), names


def heading(title: str, aside: str) -> None:
    """A heading within the page."""
    gr.HTML(f'<h3 class="cai-section">{title} <span class="cai-muted">{aside}</span></h3>', padding=False)
