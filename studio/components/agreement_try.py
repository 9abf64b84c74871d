"""The what-if section: the controls, what they give, and a new constitution version made of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from pipeline.errors import UserError
from pipeline.records import Constitution, Principle
from studio.components import agreement_asked, agreement_data, agreement_whatif
from studio.components.agreement_data import Picture
from studio.components.agreement_reweigh import reweigh, weighed
from studio.components.agreement_section import QUIET, Section
from studio.components.problem import told
from studio.context import Studio, author
from studio.escaping import escape
from studio.progress import plural
from studio.store import constitutions

LEAD = """<p class="cai-muted">Switch principles off or weigh them: labels and agreement follow at once, from
the stored answers of each principle, without asking a model again.</p>"""

# As they stand in the browser: an answer to the last change may still be on its way.
WEIGHTS = "(_, ...rest) => [JSON.stringify(document.querySelector('#whatif').weights()), ...rest]"


def whatif_section(studio: Studio, chosen: Sequence[Any]) -> Section:
    """Put the section on the page. `chosen` are the controls of what is compared."""
    gr.HTML(LEAD, padding=False)
    coverage = gr.HTML(padding=False, elem_id="whatif-cover")
    weights = gr.Textbox(visible=False)
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(min_width=440):
            panel = agreement_whatif.whatif_panel()
            with gr.Row(elem_classes="cai-line"):
                note = gr.Textbox(label="Note of the new version", placeholder="why", elem_id="whatif-note")
                save = gr.Button("Save as a new version", scale=0, min_width=190, elem_id="whatif-save")
            said = gr.HTML(padding=False, elem_id="whatif-said")
        with gr.Column(min_width=440):
            outcome = gr.HTML(padding=False, elem_id="outcome")

    def render(picture: Picture) -> list[Any]:
        principles = weighed(picture)
        on = {p.id: p.weight for p in principles if p.enabled and p.weight > 0 and p.pairs}
        labelled = len(picture.matrix.pairs)
        return [
            agreement_whatif.coverage_html(principles, labelled),
            agreement_whatif.panel_html(principles, labelled, urlencode(picture.asked.query)),
            _outcome(studio, picture, on),
            "",
        ]

    def act(event: gr.EventData, *values: Any) -> list[Any]:
        given = str(event._data.get("weights") or "{}")
        picture = _picture(studio, chosen, values)
        return [gr.skip() if picture is None else _outcome(studio, picture, _read(given)), ""]

    def keep(given: str, note: str, request: gr.Request, *values: Any) -> str:
        with told() as mistake:
            picture = _picture(studio, chosen, values)
            if picture is None:
                raise UserError("there are no AI labels to compare with")
            return _save(studio, picture, _read(given), note, author(request))
        return mistake.html

    panel.act(act, list(chosen), [outcome, said], trigger_mode="always_last", **QUIET)
    save.click(keep, [weights, note, *chosen], said, js=WEIGHTS, **QUIET)
    return Section((coverage, panel, outcome, said), render)


def _picture(studio: Studio, chosen: Sequence[Any], values: Sequence[Any]) -> Picture | None:
    asked = agreement_asked.of_controls(studio.store, values)
    return agreement_data.picture(studio.store, asked)


def _outcome(studio: Studio, picture: Picture, weights: Mapping[str, float]) -> str:
    asked = picture.asked
    found = reweigh(studio.store, picture, weights)
    return agreement_whatif.outcome_html(found, asked.axis, asked.judges.noun)


def _read(given: str) -> dict[str, float]:
    """The weights that the browser sent, 0 for what is off; what is no weight is left out."""
    sent = json.loads(given)
    pairs = sent.items() if isinstance(sent, dict) else ()
    numbers = {str(id): float(w) for id, w in pairs if isinstance(w, int | float)}
    return {id: weight for id, weight in numbers.items() if math.isfinite(weight) and weight >= 0}


def _save(studio: Studio, picture: Picture, weights: Mapping[str, float], note: str, who: str) -> str:
    """Save the weights over the newest version of the labelled constitution's name.

    A principle without a weight was not on the panel: not scored then, however it stands by now. It stays
    as it is, since nobody decided anything about it.
    """
    labelled = picture.constitution
    if labelled is None:
        raise UserError("this session does not have the constitution of these labels: import it first")
    now = constitutions.standing(studio.store, labelled.name)
    base = now.latest or labelled
    changed = reweighted(base, weights)
    kept = sum(p.id not in weights for p in changed.principles if p.comparison)
    what = note.strip() or "weights chosen on the Agreement page"
    over = now.saved.version if now.saved else None
    saved = constitutions.save_version(studio.store, changed, what, who, expected=None, over=over)
    newer = (
        ""
        if base.version == labelled.version
        else (" The wordings are those of the newest version, which is not the labelled one.")
    )
    where = escape("constitution?" + urlencode({"name": saved.name}))
    link = f'<a href="{where}">{escape(saved.name)} {saved.version[:8]}</a>'
    return (
        f'<p class="cai-done" role="status">Saved as {link}.{newer}{_kept(kept)} Human judgments carry over '
        "to it; its AI "
        "labels "
        'are made anew on the <a href="labels">Labels page</a>.</p>'
    )


def _kept(unscored: int) -> str:
    return f" {plural(unscored, 'principle')} not scored: kept as before." if unscored else ""


def reweighted(base: Constitution, weights: Mapping[str, float]) -> Constitution:
    """The constitution with these weights: 0 switches a principle off, one without a weight stays as it is.

    Raises UserError where no weight is over 0.
    """
    if not any(weights.get(principle.id, 0) > 0 for principle in base.principles):
        raise UserError("at least one principle must be on")
    return replace(base, principles=tuple(_reweighted(p, weights.get(p.id)) for p in base.principles))


def _reweighted(principle: Principle, weight: float | None) -> Principle:
    now = principle.weight if principle.enabled else 0.0
    if weight is None or weight == now:
        return principle
    return replace(principle, enabled=True, weight=weight) if weight else replace(principle, enabled=False)
