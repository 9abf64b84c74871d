"""Judged pairs as files for others: TRL's preferences, ICAI's annotated pairs, or a row a pair.

`judged` brings pairs, AI labels (section 4.1) and people's judgments together; `trl`, `icai`, `icai_rows`
and `flat` make plain rows of that, and `export_files.py` writes them. Headless: `cai preferences`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline import over_principles
from pipeline.records import Axis, Constitution, Judgment, Label, Message, Pair, as_json, content_id
from pipeline.templates import ROLES

Row = dict[str, Any]
By = Literal["ai", "human", "both"]
"""Who chooses: the feedback model, people, or people where they did and else the model."""

Votes = Mapping[str, Judgment]
"""The last word of each annotator on a pair."""

P_AND_MARGIN = (
    "p is the probability that chosen is the better one: the AI’s, a mean by weight over the principles and "
    "both orders; or, where people choose, the share of them who did. margin is the AI’s mean log-odds of "
    "chosen, 0 where it is undecided; it is left out where any row is people’s."
)
"""For whoever exports: TRL's readers take a margin without asking of what."""
CALIBRATED = "Calibrated: p is what the kept calibration makes of that, and margin the log-odds of p."

SIDES = {"a": 1.0, "b": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Judged:
    """A pair with all that is held of it.

    `p` is the AI's P(response a is better) and `logit` its mean log-odds, both weighted means over the
    principles; None where it has no label. `human` is the mean of people's choices: 1 for a, 0 for b, a tie
    0.5. `principles` and `votes` are what they were made of: P(a) by principle, and choices by annotator.
    `blind` is whether every one of the votes was made without the AI's label in sight; None without votes.
    """

    pair: Pair
    p: float | None = None
    logit: float | None = None
    human: float | None = None
    principles: Mapping[str, float] = field(default_factory=dict)
    votes: Mapping[str, float] = field(default_factory=dict)
    blind: bool | None = None

    def by(self, who: By) -> tuple[float, Literal["ai", "human"]] | None:
        """P(a is better) and who says so; None where nobody of these does."""
        if who != "ai" and self.human is not None:
            return self.human, "human"
        return (self.p, "ai") if who != "human" and self.p is not None else None


def weights_of(constitution: Constitution) -> dict[str, float]:
    """What each enabled principle counts in a mean over principles."""
    return {principle.id: principle.weight for principle in constitution.principles if principle.enabled}


def judged(
    pairs: Iterable[Pair],
    labels: Iterable[Label] = (),
    weights: Mapping[str, float] | None = None,
    judgments: Iterable[Judgment] = (),
    axis: Axis = "harmless",
) -> list[Judged]:
    """Each pair with its labels and judgments, in the order of the pairs.

    `labels` are one judge's; with `weights`, principles that it does not name, or gives 0, do not count.
    Only what people chose on this axis counts, here or imported: each one's last word, skips left out.
    """
    by_pair: dict[str, dict[str, Label]] = {}
    for label in labels:
        by_pair.setdefault(label.pair_id, {})[label.principle] = label
    votes = _votes(judgments, axis)
    return [_joined(pair, by_pair.get(pair.id, {}), weights, votes.get(pair.id, {})) for pair in pairs]


def _joined(
    pair: Pair, labels: Mapping[str, Label], weights: Mapping[str, float] | None, votes: Votes
) -> Judged:
    counted = {name: one for name, one in labels.items() if weights is None or weights.get(name, 0.0) > 0}
    over = over_principles.mean(counted.values(), weights or {}, 1.0)
    chosen = {name: SIDES[vote.choice] for name, vote in votes.items()}
    return Judged(
        pair,
        over.p_a if over else None,
        over.logit if over else None,
        math.fsum(chosen.values()) / len(chosen) if chosen else None,
        {name: label.p_a for name, label in counted.items()},
        chosen,
        all(vote.blind for vote in votes.values()) if votes else None,
    )


def _votes(judgments: Iterable[Judgment], axis: Axis) -> dict[str, dict[str, Judgment]]:
    last: dict[str, dict[str, Judgment]] = {}
    for judgment in judgments:
        # A model's judgment is never a person's.
        if judgment.axis != axis or judgment.annotator_kind == "model":
            continue
        of_pair = last.setdefault(judgment.pair_id, {})
        of_pair.pop(judgment.annotator, None)
        if judgment.choice in SIDES:
            of_pair[judgment.annotator] = judgment
    return last


def trl(items: Iterable[Judged], by: By = "ai") -> list[Row]:
    """TRL's preference rows, as lists of messages: `prompt`, `chosen`, `rejected`.

    `p` >= 0.5 is the probability that chosen is better. `margin`, the mean logit gap in favour of chosen,
    is there where every row is the AI's: people give none, and TRL takes no gaps in it. Ties are left out.
    """
    rows: list[Row] = []
    for item in items:
        said = item.by(by)
        if said is None or said[0] == 0.5:
            continue
        p, origin = said
        texts = (item.pair.response_a, item.pair.response_b)
        chosen, rejected = texts if p > 0.5 else reversed(texts)
        logit = item.logit if origin == "ai" else None
        rows.append(
            {
                "prompt": [as_json(message) for message in item.pair.messages],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "p": max(p, 1 - p),
                "margin": logit if logit is None or p > 0.5 else -logit,
                "origin": origin,
                "pair_id": item.pair.id,
                "prompt_id": item.pair.prompt_id,
            }
        )
    if any(row["margin"] is None for row in rows):
        for row in rows:
            del row["margin"]
    return rows


def flat(items: Iterable[Judged]) -> list[Row]:
    """A row a pair, of plain values: what is shown, who wrote it, and what AI and people hold of it."""
    return [
        {
            "pair_id": item.pair.id,
            "prompt_id": item.pair.prompt_id,
            "group": item.pair.group,
            "kind": item.pair.kind,
            "prompt": as_text(item.pair.messages),
            "response_a": item.pair.response_a,
            "response_b": item.pair.response_b,
            "model_a": item.pair.source_a.name,
            "model_b": item.pair.source_b.name,
            "source_a": json.dumps(as_json(item.pair.source_a)),
            "source_b": json.dumps(as_json(item.pair.source_b)),
            "p_a": item.p,
            "logit_a": item.logit,
            "ai": None if item.p is None else side(item.p),
            "human": None if item.human is None else side(item.human),
            "human_a": item.human,
            "annotators": len(item.votes),
            "blind": item.blind,
            "principles": ", ".join(f"{name} {p:.4f}" for name, p in item.principles.items()),
        }
        for item in items
    ]


def icai_rows(items: Iterable[Judged], by: By = "ai") -> list[Row]:
    """The data set that ICAI's `icai-exp` takes: `text_a`, `text_b`, `preferred_text`. Ties are left out."""
    return [
        {
            "prompt": as_text(item.pair.messages),
            "text_a": item.pair.response_a,
            "text_b": item.pair.response_b,
            "preferred_text": f"text_{side(said[0])}",
            "model_a": item.pair.source_a.name,
            "model_b": item.pair.source_b.name,
        }
        for item in items
        if (said := item.by(by)) and said[0] != 0.5
    ]


def icai(items: Sequence[Judged], constitution: Constitution | None, model: str, name: str, time: str) -> Row:
    """ICAI's annotated pairs, version 2.0: one object of `metadata`, `annotators` and `comparisons`.

    Annotators are each principle, the AI's mean over them (`model`) and each person. `time` is ISO 8601.
    See github.com/rdnfn/icai, src/inverse_cai/data/annotated_pairs_format.py.
    """
    texts = {p.id: p.comparison or p.title for p in constitution.principles} if constitution else {}
    annotators: dict[str, Row] = {}

    def annotator(name: str, kind: str, description: str) -> str:
        id = content_id([kind, name, description])[:8]
        annotators[id] = {"name": name, "description": description, "type": kind}
        return id

    comparisons: list[Row] = []
    for item in items:
        said = {annotator(vote, "human", f"people's choices by {vote}"): p for vote, p in item.votes.items()}
        if item.p is not None:
            said[annotator(model, "unknown", f"AI feedback by {model}, over all principles")] = item.p
        for principle, p in item.principles.items():
            said[annotator(principle, "principle", texts.get(principle, principle))] = p
        comparisons.append(_comparison(item.pair, said))
    # The first person, else the AI: what comparisons are read by where nothing else is asked for.
    default = next((id for id, row in annotators.items() if row["type"] == "human"), None)
    return {
        "metadata": {
            "version": "2.0",
            "description": "AI feedback and human judgments, exported by CAI Studio",
            "created_at": time,
            "dataset_name": name,
            "default_annotator": default or next(iter(annotators), None),
            "available_metadata_keys_per_comparison": ["pair_id", "prompt_id", "kind"],
        },
        "annotators": annotators,
        "comparisons": comparisons,
    }


def _comparison(pair: Pair, said: Mapping[str, float]) -> Row:
    return {
        "id": pair.id,
        "prompt": as_text(pair.messages),
        "response_a": {"text": pair.response_a, "model": pair.source_a.name},
        "response_b": {"text": pair.response_b, "model": pair.source_b.name},
        "annotations": {
            id: {"pref": None, "no_pref_reason": "tie"} if p == 0.5 else {"pref": side(p)}
            for id, p in said.items()
        },
        "metadata": {"pair_id": pair.id, "prompt_id": pair.prompt_id, "kind": pair.kind},
    }


def side(p: float) -> Literal["a", "b", "tie"]:
    """The side that a probability of a speaks for."""
    return "tie" if p == 0.5 else "a" if p > 0.5 else "b"


def as_text(messages: Sequence[Message]) -> str:
    """A conversation as one text: a single question as it is, else a transcript of labelled turns."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{ROLES[message.role]}: {message.content}" for message in messages)
