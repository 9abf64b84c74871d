"""“RL-CAI”: the policy against a preference model (paper section 4.1). Headless: `cai rl`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.training_configs import Reinforcing
from studio.components import training_knobs
from studio.components.prompt_source import SOURCES, asked, prompt_source
from studio.components.training_card import Card, Values, card_of, chosen
from studio.components.training_sources import apart, model_options, pm_options, reward_html
from studio.context import Studio
from studio.jobs import training
from studio.jobs.stages import RL

ABOUT = """<p class="cai-muted">The policy answers prompts, the preference model scores the answers, and the
policy moves towards what scores well; the KL penalty ties it to where it began (section 4.1). The watch on
the right says whether the reward is earned honestly: refusals, length, repeated text, and a judge that
rewards nothing.</p>"""


def rl_card(studio: Studio) -> Card:
    """Put the card on a page."""
    gr.HTML(ABOUT, padding=False)
    pm = gr.Dropdown([], label="Reward", info="a trained preference model", elem_id="rl-pm")
    judge = gr.Dropdown(
        [("none", "")],
        value="",
        label="Judge",
        info="another one, trained on other pairs: it watches, and rewards nothing",
        elem_id="rl-judge",
    )
    goes = gr.HTML(padding=False, elem_id="rl-goes")
    with gr.Accordion("Prompts", open=True):
        source = prompt_source(studio)
    sources = {"pm": pm, "judge": judge, **source}

    def offers() -> dict[str, Any]:
        models = pm_options(studio)
        return {"pm": models, "judge": [("none", ""), *models], "model": model_options(studio)}

    def begin(values: Values, who: str) -> str:
        config: Reinforcing = training_knobs.read(Reinforcing, values)
        reward, watching = str(values["pm"] or ""), str(values["judge"] or "")
        if reward and watching and reward != watching:
            apart(studio, reward, watching)
        found = asked(studio, *(values[name] for name in SOURCES)).prompts
        return training.prepare_rl(
            studio.store, studio.jobs.folder, found, config, (reward, watching), chosen(values), who
        )

    def goes_in(values: Values) -> tuple[str, int]:
        return reward_html(studio, str(values["pm"] or ""), str(values["judge"] or "")), 0

    def words(values: Values) -> list[str]:
        watching = ["--judge", "JUDGE"] if values["judge"] else []
        return ["--pm", "PM", *watching, "--prompts", str(values["shipped"] or "PROMPTS.jsonl")]

    return card_of(
        RL,
        sources,
        goes,
        button="Train RL-CAI",
        offers=offers,
        begin=begin,
        goes_in=goes_in,
        words=words,
    )
