"""What a run has made so far: samples while it works, and links to where its rows are looked at.

Prompts and answers are escaped here, as everywhere.
"""

from __future__ import annotations

from urllib.parse import quote

from studio.components import revision_lines
from studio.components.tournament_results import tournament_html
from studio.components.training_results import trained_html
from studio.escaping import escape, exact
from studio.jobs.importing import RUNS
from studio.jobs.stages import CRITIQUE, EVALUATE, LABEL, PAIRS, RL, SCORE, TRAINING
from studio.progress import plural
from studio.store import chains, pairs, revision_scores, runs
from studio.store.chains import ChainFilter
from studio.store.database import Store
from studio.store.labels import Labeller
from studio.store.pairs import PairFilter
from studio.store.runs import Event, Figures, Run

SAMPLES = 4
RECENT = 40
LINKS = 12
CAPTIONS = {
    CRITIQUE.name: "Last step",
    PAIRS.name: "One response",
    LABEL.name: "Labelled under",
    RL.name: "One answer",
    EVALUATE.name: "Judged",
    SCORE.name: "Scored",
}


def results(store: Store, run: Run) -> str:
    """What the run has just written, and links to what it has made."""
    # Answers to fixed prompts are told side by side with those of the start.
    newest = [event for event in runs.samples(store, run.id, RECENT) if "fixed" not in event.data][:SAMPLES]
    shown = "".join(_sample(event, run) for event in newest)
    made = _made(store, run)
    if made and run.stage == EVALUATE.name:
        return made  # it shows whole matchups, and the samples are of these
    return (f"<h3>The newest</h3>{shown}" if shown else "") + made


def labeller_links(labeller: Labeller, axis: str) -> str:
    """To where a labeller's labels are looked at, after one's own judgment or with it."""
    query = f"labeller={quote(labeller.key, safe='')}&amp;axis={quote(axis, safe='')}"
    return (
        f'<a href="agreement?{query}">Agreement with people</a> <a href="audit?{query}">Judge its pairs</a>'
    )


def _made(store: Store, run: Run) -> str:
    if run.stage == CRITIQUE.name:
        return _chains(store, run)
    if run.stage == PAIRS.name:
        return _pairs(store, run)
    if run.stage == LABEL.name:
        return _labels(store, run)
    if run.stage == EVALUATE.name:
        return tournament_html(store, run)
    if run.stage == SCORE.name:
        return _scores(store, run)
    return trained_html(store, run) if run.stage in [stage.name for stage in TRAINING] else ""


def _chains(store: Store, run: Run) -> str:
    filter = ChainFilter(run=run.id)
    many = chains.count_chains(store, filter)
    here = f"run={quote(run.id)}"
    links = [
        (f"chains?chain={row.id}&{here}", row.prompt) for row in chains.list_chains(store, filter, LINKS, 0)
    ]
    more = (
        f"""<p class="cai-run-more"><a href="chains?{here}">All on the Chains page</a>\
<a href="reading?{here}">Read and judge them</a></p>"""
        if many
        else ""
    )
    again = runs.figures(store).get(run.id, Figures()).done - many
    note = ""
    if again > 0 and run.state == "done":
        note = (
            f'<p class="cai-muted">{plural(again, "chain")} of this run came out of an earlier one already: '
            "the same prompt, constitution, settings and seed make the same chain.</p>"
        )
    return _listed("chain", many, links, more + note)


def _pairs(store: Store, run: Run) -> str:
    filter = PairFilter(run=run.id)
    many = pairs.count(store, filter)
    links = [
        (f"audit?pair={quote(row.pair.id)}", " ".join(row.pair.messages[-1].content.split()))
        for row in pairs.listed(store, filter, LINKS, 0)
    ]
    note = ""
    if run.state == "done" and not many:
        note = (
            '<p class="cai-muted">It brought no new pair: they came out of an earlier run already, or the '
            "responses to each prompt were all the same.</p>"
        )
    return _listed("pair", many, links, note)


def _labels(store: Store, run: Run) -> str:
    """Its figures, once it has said them, and where its labels are compared with people's."""
    said = runs.last_event(store, run.id, "summary")
    cells = []
    if said:
        data = said.data
        cells = [
            (name, f"{data[key]:,.{digits}f}")
            for name, key, digits in (
                ("labels/s", "labels_per_second", 2),
                ("tokens computed", "computed", 0),
                ("tokens saved", "saved", 0),
                ("exact ties", "ties", 0),
            )
            if isinstance(data.get(key), int | float)
        ]
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cells)
    html = f'<dl class="cai-figures">{figures}</dl>' if figures else ""
    if not runs.figures(store).get(run.id, Figures()).done:
        return html
    axis = str(run.config.get("axis", "harmless"))
    labeller = Labeller(str(run.config["model"]), run.config["method"], run.constitution or "")
    return f'{html}<p class="cai-links">{labeller_links(labeller, axis)}</p>'


def _scores(store: Store, run: Run) -> str:
    """Its figures, as far as it has come."""
    rows = revision_scores.rows(store, run.id)
    if not rows:
        return ""
    drawn = revision_lines.means(revision_lines.picture(store, store.folder / RUNS, rows))
    head = "".join(f'<th scope="col">{title}</th>' for title in drawn.head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in drawn.rows)
    return (
        f'<h3>Scores</h3>{drawn.note}<div class="cai-wide"><table class="cai-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        '<p class="cai-links"><a href="elo?view=revisions">By number of revisions, on the Elo page</a></p>'
    )


def _listed(noun: str, many: int, links: list[tuple[str, str]], note: str) -> str:
    items = "".join(
        f'<li><a href="{exact(href)}"><span>{escape(text)}</span></a></li>' for href, text in links
    )
    newest = f", the newest {LINKS} here" if many > LINKS else ""
    title = f"<h3>{plural(many, noun)} of this run in the session{newest}</h3>" if many else ""
    return title + note + (f'<ol class="cai-list cai-run-chains">{items}</ol>' if many else "")


def _sample(event: Event, run: Run) -> str:
    # Of a label only its principle, and no link to its pair: whoever watches may judge it later, and blind.
    body = "principle" if run.stage == LABEL.name else "text"
    prompt, text = (" ".join(str(event.data.get(name, "")).split()) for name in ("prompt", body))
    chain = str(event.data.get("chain", ""))
    href = f"chains?chain={quote(chain)}" if chain else ""
    title = f'<a href="{href}">{escape(prompt)}</a>' if href else f"<b>{escape(prompt)}</b>"
    return (
        f'<div class="cai-step cai-model cai-sample">{title}'
        f'<div class="cai-label">{CAPTIONS.get(run.stage, "")}</div>'
        f'<div class="cai-text">{escape(text)}</div></div>'
    )
