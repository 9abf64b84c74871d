"""The README.md of an exported checkpoint: method, base, steps, figures and lineage.

Names and reasons in it were written by others, or by a model: they are escaped, so that none of them
becomes a link, a picture or HTML where the card is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from pipeline.heads import AVERAGED
from pipeline.lineage import Lineage, Node, outline
from pipeline.models import HUB_ID
from pipeline.train import figures

METHODS = {
    "sft": "supervised fine-tuning (TRL's SFTTrainer), loss on the answers alone",
    "pm": "a preference model, with soft targets",
    "feedback": "a feedback model: a head on the model's states, which a principle's question comes before",
    "rloo": "reinforcement learning against a preference model (TRL's RLOO)",
    "grpo": "reinforcement learning against a preference model (TRL's GRPO)",
    "dpo": "direct preference optimisation (TRL's DPO)",
}
KINDS = {
    "chains": "critiques and revisions",
    "labels": "AI labels",
    "pm": "preference model",
    "written": "written data",
}
DEEPEST = 12
"""Levels of the lineage that are written out."""

_PATH = re.compile(r"(^|, )(torch: *)?[/~]")
"""A path of this machine, as a whole fact or one of a list."""
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|~&!$@:])")


def text(card: Mapping[str, Any], lineage: Lineage, title: str, adapter: bool) -> str:
    """The model card. `adapter`: the weights are an adapter's, which needs its base."""
    return "\n".join(
        [
            *_front(card, adapter),
            f"# {escaped(title)}",
            "",
            *_facts(card, adapter),
            "",
            *_use(card, adapter),
            *_figures(card),
            "## What it came from",
            "",
            *(_line(depth, node, again) for depth, node, again in outline(lineage) if depth < DEEPEST),
            "",
            "Made with CAI Studio, after Bai et al. (2022), “Constitutional AI: Harmlessness from AI "
            "Feedback”, arXiv 2212.08073. `checkpoint.json` says the same for machines.",
            "",
        ]
    )


def escaped(value: object) -> str:
    """Text for one line of Markdown, in which nothing is markup and no address becomes a link."""
    said = _ACTIVE.sub(r"\\\1", " ".join(str(value).split()))
    return said.replace("www.", "www\\.")


def _front(card: Mapping[str, Any], adapter: bool) -> list[str]:
    """The hub's front matter. It takes hub ids alone as a base."""
    base = str(card.get("base", ""))
    facts: dict[str, Any] = {"library_name": "peft" if adapter else "transformers"}
    if HUB_ID.fullmatch(base) and "/" in base and len(str(card.get("base_revision"))) >= 40:
        facts["base_model"] = base.partition("@")[0]
    facts["tags"] = ["constitutional-ai"]
    facts["pipeline_tag"] = "text-classification" if card.get("method") == "pm" else "text-generation"
    return ["---", yaml.safe_dump(facts, sort_keys=False).strip(), "---", ""]


def _facts(card: Mapping[str, Any], adapter: bool) -> list[str]:
    method = str(card.get("method", ""))
    said = card.get("lineage")
    lineage: dict[str, Any] = said if isinstance(said, dict) else {}
    rows = [
        ("method", f"{method}: {METHODS[method]}" if method in METHODS else method),
        ("base", card.get("base")),
        ("base revision", card.get("base_revision")),
        ("step", figures.number(card.get("step"))),
        ("parameters", figures.number(card.get("parameters"))),
        ("weights", weights(card, adapter)),
        ("seed", lineage.get("seed")),
        ("gate", lineage.get("gate")),
        ("gate overridden", lineage.get("override_gate")),
    ]
    told = [f"| {name} | {escaped(value)} |" for name, value in rows if value not in (None, "")]
    return ["| | |", "| --- | --- |", *told]


def weights(card: Mapping[str, Any], adapter: bool) -> str:
    """What a checkpoint's folder holds of its model."""
    if adapter:
        return "an adapter (PEFT)"
    if not card.get(AVERAGED):
        return "whole"
    return "a head" if card.get("method") == "feedback" else "the lower half of the base's layers, and a head"


def _use(card: Mapping[str, Any], adapter: bool) -> list[str]:
    if adapter:
        base = escaped(card.get("base"))
        return [f"An adapter: it needs its base, {base}. `cai export --merged` writes it whole.", ""]
    if card.get("method") == "feedback":
        base = escaped(card.get("base"))
        return [
            f"A head on the states of {base}: `cai label --method pointwise --model` takes this folder.",
            "",
        ]
    kind = "SequenceClassification" if card.get("method") == "pm" else "CausalLM"
    return [
        "```python",
        f"from transformers import AutoModelFor{kind}, AutoTokenizer",
        "",
        f'model = AutoModelFor{kind}.from_pretrained(".")',
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        *(_MEAN if card.get(AVERAGED) else []),
        "```",
        "",
    ]


_MEAN = [
    "",
    "# Its head scores the mean of the last states over an answer; `logits` are the last one's, and not it.",
    "tokens = tokenizer(text + tokenizer.eos_token, return_tensors='pt')",
    "states = model.base_model(**tokens).last_hidden_state[0, begin_of_answer:]",
    "score = model.score(states.mean(0))",
]


def _figures(card: Mapping[str, Any]) -> list[str]:
    rows = figures.told(card.get("figures"))
    if not rows:
        return []
    told = [f"| {escaped(name)} | {escaped(value)} |" for name, value in rows]
    return ["## Figures", "", "| figure | value [95% interval] |", "| --- | --- |", *told, ""]


def _line(depth: int, node: Node, again: bool) -> str:
    # Of a path its name: where it lay is this machine's business.
    title = PurePath(node.title).name if node.kind == "file" or _PATH.match(node.title) else node.title
    notes = [f"{name} {value}" for name, value in node.facts if not _PATH.search(value)]
    notes += ["not found"] if node.missing else []
    told = escaped(", ".join(["as above"] if again else notes))
    item = f"{'  ' * depth}- {KINDS.get(node.kind, node.kind)} **{escaped(title)}**"
    return f"{item} ({told})" if told else item
