"""Files that are not what they should be: a result or words with the file and its line, never a traceback.

A few hundred damaged files of each kind here, 10,000 under `make soak`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import comparisons, evals, events, matchups, prompts, recipe, rundir
from pipeline import constitution as constitutions
from pipeline.errors import UserError
from pipeline.events import EventLog
from pipeline.foreign import import_files
from tests.pipeline import hostile


def counts(few: int) -> pytest.MarkDecorator:
    """How many examples: a few, and 10,000 where there is time."""
    many = pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(4 * 3600)])
    return pytest.mark.parametrize("count", [few, many])


ASKED = [{"role": "user", "content": "Why?"}]
PROMPTS: list[Any] = [
    {"id": "1", "messages": ASKED, "kind": "red_team", "split": "train", "tags": ["a"], "source": "x"},
    {"prompt": "Why?"},
    {"prompt": [*ASKED, {"role": "assistant", "content": "So."}, *ASKED]},
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
    {"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
    {"instruction": "Add", "input": "1 2", "system": "Be brief."},
    {"turns": ["Why?", "And then?"]},
    "Why?",
]
PAIRS: list[Any] = [
    PROMPTS[4],
    {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
    {
        "chosen": [*ASKED, {"role": "assistant", "content": "So."}],
        "rejected": [*ASKED, {"role": "assistant", "content": "No."}],
    },
    {
        "prompt": '["Why?"]',
        "response_a": '["So."]',
        "response_b": '["No."]',
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    },
    {
        "conversation_a": [*ASKED, {"role": "assistant", "content": "So."}],
        "conversation_b": [*ASKED, {"role": "assistant", "content": "No."}],
        "winner": "model_a",
    },
    {"text_a": "So.", "text_b": "No.", "preferred_text": "text_a", "prompt": "Why?"},
    {
        "id": "p",
        "prompt_id": "1",
        "messages": ASKED,
        "response_a": "So.",
        "response_b": "No.",
        "kind": "red_team",
        "source_a": {"name": "m"},
        "source_b": {},
        "group": None,
    },
]
JUDGMENTS = [
    {
        "pair_id": "p",
        "axis": "harmless",
        "annotator": "ana",
        "annotator_kind": "person",
        "choice": "a",
        "shown_first": "b",
        "picked_by": "random",
        "seconds": 2.0,
    }
]
MATCHUPS: list[Any] = [
    {"model_a": "x", "model_b": "y", "winner": "model_a", "prompt": "Why?"},
    {"model_a": "x", "model_b": "y", "winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1, "judge": "j"},
    {
        "id": "m",
        "prompt_id": "1",
        "axis": "harmless",
        "model_a": "x",
        "model_b": "y",
        "judge": "j",
        "annotator": {"name": "j", "kind": "model"},
        "p_ab": 0.5,
        "p_ba": 0.25,
        "p_a": 0.4,
    },
]
QUESTIONS: list[Any] = [
    {"prompt": "\n\nHuman: 1+1?\n (A) 2\n (B) 3\n\nAssistant:", "corrects": [" (A)"], "incorrects": [" (B)"]},
    {"prompt": "\n\nHuman: Hi\n\nAssistant:", "corrects": ["Hello!"], "incorrects": ["Go away"]},
]
PRINCIPLE = {
    "id": "kind",
    "title": "Be kind",
    "critique_request": "What is unkind?",
    "revision_request": "Be kind.\n\nAll of it.",
    "weight": 2,
    "tags": ["tone"],
    "keeps": [{"prompt": "Hi", "response": "Hello"}],
}
EXAMPLES = {
    "critique": [
        {
            "messages": [*ASKED, {"role": "assistant", "content": "No."}],
            "critique_request": "?",
            "critique": "Bad.",
            "revision_request": "?",
            "revision": "So.",
        }
    ],
    "feedback": [{"messages": ASKED, "better": "So.", "worse": "No."}],
    "reasoned": [
        {"messages": ASKED, "response_a": "So.", "response_b": "No.", "rationale": "A is.", "answer": "a"}
    ],
}
CONSTITUTIONS: list[Any] = [
    {
        "name": "mine",
        "principles": [PRINCIPLE, {"id": "fair", "title": "Fair", "comparison": "Which is fairer?"}],
    },
    {"name": "mine", "description": "d", "principles": [PRINCIPLE], "few_shot": EXAMPLES},
]
PAPERS: list[Any] = [
    {
        "harmful0": {
            "prompt": ["\n\nCritiqueRequest: What?\n\nCritique:"],
            "edit_request": "\n\nRevisionRequest: Mend.\n\nRevision:",
        }
    },
    ["\nWhich is kinder? Options:"],
    [
        "\n\nHuman: Hi\n\nAssistant: No\n\nCritiqueRequest: ?\n\nCritique: Bad"
        "\n\nRevisionRequest: ?\n\nRevision: So\n\nHuman:"
    ],
    [QUESTIONS[1]],
    {
        "constitutions": [{"critic": "What?", "revision": "Mend."}],
        "system_chat": [[*ASKED, {"role": "assistant", "content": "No."}] * 3],
    },
]
RECIPES: list[Any] = [
    {
        "name": "R",
        "about": "a",
        "needs": {"helpful": "comparisons"},
        "deviations": ["one"],
        "stages": {
            "chains": {"stage": "critique", "constitution": "harmless", "prompts": "red-team", "says": "one"},
            "sl": {"stage": "sft", "chains": "$chains", "revisions": 1, "estimate": True},
            "pm": {"stage": "pm", "human": ["helpful=$helpful"], "model": "$sl"},
        },
    }
]
CONFIGS: list[Any] = [{"stage": "critique", "seed": 0, "inputs": ["prompts.jsonl"]}]
EVENTS: list[Any] = [
    {
        "v": 1,
        "attempt": 1,
        "seq": 1,
        "time": "2026-01-01T00:00:00.000+00:00",
        "kind": "started",
        "stage": "sft",
        "total": 2,
        "done": 0,
    },
    {
        "v": 1,
        "attempt": 1,
        "seq": 2,
        "time": "2026-01-01T00:00:01.000+00:00",
        "kind": "metric",
        "step": 1,
        "values": {"loss": 1.5},
    },
    {
        "v": 1,
        "attempt": 1,
        "seq": 3,
        "time": "2026-01-01T00:00:02.000+00:00",
        "kind": "finished",
        "status": "done",
        "rows": 2,
    },
]


def go_on(path: Path) -> None:
    """What a run's second attempt does with the log of the first, and a watcher besides."""
    events.complete(path)
    with EventLog(path) as log:
        log.emit("started", stage="sft", total=2, done=0)
    assert json.loads(path.read_bytes().splitlines()[-1])["seq"] == log.seq
    events.metrics(path)


@dataclass(frozen=True)
class Reader:
    """Something that reads files: what it is given, and how it is called."""

    files: st.SearchStrategy[tuple[str, bytes]]
    read: Callable[[Path], object]
    by_row: bool = True


def _yaml(documents: list[Any]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.just(".yaml"), hostile.yaml_files(documents))


def _json(documents: list[Any]) -> st.SearchStrategy[tuple[str, bytes]]:
    whole = (
        st.sampled_from(documents).flatmap(hostile.damaged).map(lambda d: json.dumps(d, indent=1).encode())
    )
    return st.tuples(st.just(".json"), whole.flatmap(hostile.broken))


def _lines(rows: list[Any]) -> st.SearchStrategy[tuple[str, bytes]]:
    some = st.tuples(*map(hostile.damaged, rows)).map(
        lambda all: "".join(json.dumps(row) + "\n" for row in all)
    )
    return st.tuples(st.just(".jsonl"), some.map(str.encode).flatmap(hostile.broken))


READERS = {
    "prompts": Reader(hostile.row_files(PROMPTS), prompts.read),
    "pairs": Reader(hostile.row_files(PAIRS), comparisons.read),
    "judgments": Reader(hostile.row_files(JUDGMENTS), comparisons.read_judgments),
    "matchups": Reader(hostile.row_files(MATCHUPS), matchups.read),
    "questions": Reader(hostile.row_files(QUESTIONS), evals.read),
    "constitution": Reader(_yaml(CONSTITUTIONS), constitutions.load, by_row=False),
    "paper": Reader(_json(PAPERS), lambda path: import_files([path]), by_row=False),
    "recipe": Reader(_yaml(RECIPES), lambda path: recipe.load(str(path)), by_row=False),
    "config": Reader(_yaml(CONFIGS), lambda path: rundir.read_config(path.parent), by_row=False),
    "events": Reader(_lines(EVENTS), go_on, by_row=False),
}


@counts(100)
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_read_or_explained(tmp_path: Path, kind: str, count: int) -> None:
    reader = READERS[kind]

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(reader.files)
    def hunt(file: tuple[str, bytes]) -> None:
        suffix, content = file
        path = tmp_path / {"config": "config.yaml"}.get(kind, f"file{suffix}")
        path.write_bytes(content)
        for line in explained(reader.read, path).splitlines():
            assert len(line) < 2_000
            if reader.by_row:
                assert re.match(rf"{re.escape(str(path))}(:\d+)?: .|bad rows besides", line)

    hunt()


def explained(read: Callable[[Path], object], path: Path) -> str:
    """What a reader says against a file, which it has to name; nothing where it reads it."""
    try:
        found = read(path)
    except UserError as error:
        said = str(error)
    else:
        return "\n".join(getattr(found, "problems", ()))
    assert str(path) in said
    return said


@pytest.mark.parametrize("config", [b"!!timestamp x", b"!!bool x", b"[" * 2_000, b"\xff", b"- a"])
def test_a_config_that_is_none_says_nothing(tmp_path: Path, config: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(config)
    assert rundir.read_config(tmp_path) == {}
    with pytest.raises(UserError, match=r"config\.yaml"):
        rundir.RunDir.open(tmp_path, {"stage": "critique"}, {})


@pytest.mark.parametrize("weight", ["1" + "0" * 400, "-1" + "0" * 400, ".inf"], ids=["huge", "low", "inf"])
def test_a_weight_that_no_number_holds_is_told_with_its_line(tmp_path: Path, weight: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"name: c\nprinciples:\n- {{id: a, title: A, comparison: Which,\n   weight: {weight}}}\n")
    assert f"{path}:4: principles[0].weight: expected a" in explained(constitutions.load, path)


STRANGE = ["folder", "missing", "loop", "pipe", "endless", "nul\0name", "n" * 300, "unreadable"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", STRANGE)
@pytest.mark.parametrize("kind", [kind for kind in READERS if kind not in ("config", "events")])
def test_what_is_no_file_is_explained(tmp_path: Path, kind: str, place: str) -> None:
    path = tmp_path / (place if place != "endless" else "endless.jsonl")
    if place == "folder":
        path.mkdir()
    elif place == "loop":
        path.symlink_to(path)
    elif place == "pipe":
        os.mkfifo(path)
    elif place == "endless":
        path.symlink_to("/dev/zero")
    elif place == "unreadable":
        path.write_text("x")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root reads everything")
    with pytest.raises(UserError, match=re.escape(str(path))):
        READERS[kind].read(path)
