"""“SL-CAI”: fine-tuning on revisions (paper section 3.2), or on demonstrations. Headless: `cai sft`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.training_configs import Supervised
from studio.components import training_knobs
from studio.components.training_card import Card, Values, card_of, chosen, leave_out, uploaded
from studio.components.training_sources import chain_options, chains_html, model_options
from studio.context import Studio
from studio.jobs import training
from studio.jobs.stages import SFT
from studio.jobs.training import Lessons

ABOUT = """<p class="cai-muted">The model learns to answer at once as it answered after critique and revision
(section 3.2). Chains that a person has rejected are left out, always.</p>"""


def sft_card(studio: Studio) -> Card:
    """Put the card on a page."""
    gr.HTML(ABOUT, padding=False)
    again = gr.Textbox(visible=False)
    chains = gr.Dropdown(
        [], multiselect=True, label="Chains", info="finished runs of this session", elem_id="sft-chains"
    )
    accepted = gr.Checkbox(
        label="Only what a person has accepted", info="on the Read page", elem_id="sft-accepted"
    )
    with gr.Accordion("Examples from files", open=False), gr.Row():
        helpful = gr.File(label="Helpful prompts or answers beside them", height=120, elem_id="sft-helpful")
        demos = gr.File(label="Demonstrations (RLHF's first step)", height=120, elem_id="sft-demos")
    uploads = {"again": again, "helpful": helpful, "demos": demos}
    leave_out("sft", uploads, lambda values: _reused(studio, values))
    goes = gr.HTML(padding=False, elem_id="sft-goes")
    sources = {"again": again, "chains": chains, "accepted": accepted, "helpful": helpful, "demos": demos}

    def offers() -> dict[str, Any]:
        return {"chains": chain_options(studio), "model": model_options(studio)}

    def begin(values: Values, who: str) -> str:
        config: Supervised = training_knobs.read(Supervised, values)
        return training.prepare_sft(
            studio.store, studio.jobs.folder, _lessons(studio, values), config, chosen(values), who
        )

    def goes_in(values: Values) -> tuple[str, int]:
        lessons = _lessons(studio, values)
        files = [path for path in (lessons.helpful, lessons.demos) if path]
        return chains_html(studio, lessons.chains, lessons.accepted_only, files)

    def words(values: Values) -> list[str]:
        lessons = _lessons(studio, values)
        found = ["--chains", *(["CHAINS"] * len(lessons.chains))] if lessons.chains else []
        found += ["--demos", lessons.demos.name] if lessons.demos else []
        return found + (["--helpful", lessons.helpful.name] if lessons.helpful else [])

    return card_of(
        SFT,
        sources,
        goes,
        button="Train SL-CAI",
        offers=offers,
        begin=begin,
        goes_in=goes_in,
        words=words,
    )


def _lessons(studio: Studio, values: Values) -> Lessons:
    return Lessons(
        tuple(values["chains"] or ()),
        bool(values["accepted"]),
        uploaded(studio, values, "demos", "demos.*"),
        uploaded(studio, values, "helpful", "helpful.*"),
    )


def _reused(studio: Studio, values: Values) -> list[str]:
    """The names of the files that are the repeated run's."""
    files = {name: uploaded(studio, values, name, f"{name}.*") for name in ("helpful", "demos")}
    return [path.name for name, path in files.items() if path and not values[name]]
