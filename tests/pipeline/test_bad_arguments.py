"""Command lines that are not what they should be: done, or a mistake in words, and no output by halves.

A few hundred of all commands here, 10,000 under `make soak`. Models are found, and never loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import bundled, preference_model, recipe_command, train
from pipeline.__main__ import COMMANDS, main, parser
from pipeline.errors import UserError
from tests.pipeline import hostile
from tests.pipeline.test_bad_input import (
    CONFIGS,
    CONSTITUTIONS,
    EVENTS,
    JUDGMENTS,
    MATCHUPS,
    PAIRS,
    PAPERS,
    PROMPTS,
    QUESTIONS,
    RECIPES,
    counts,
)

NO_MODEL = "no model is loaded in this test"
FILES = {
    "prompts.jsonl": PROMPTS,
    "pairs.jsonl": PAIRS,
    "human.jsonl": JUDGMENTS,
    "matchups.jsonl": MATCHUPS,
    "questions.jsonl": QUESTIONS,
    "run/config.yaml": CONFIGS,
    "run/events.jsonl": EVENTS,
    "run/inputs/pairs.jsonl": PAIRS,
    "run/outputs/chains.jsonl": [{"id": "c", "steps": []}],
    "run/outputs/labels.jsonl": [{"pair_id": "p", "principle": "kind"}],
    "run/outputs/matchups.jsonl": MATCHUPS,
    "mine.yaml": [CONSTITUTIONS[0]],
    "run/inputs/constitution.yaml": [CONSTITUTIONS[1]],
    "paper.json": [PAPERS[0]],
    "recipe.yaml": RECIPES,
    "model/config.json": [{"architectures": ["LlamaForCausalLM"], "hidden_size": 8}],
    "model/model.safetensors": [{}],
    "model/checkpoint.json": [{"method": "sft", "lineage": {"sources": [{"chains": "run"}]}}],
    "calibration.json": [{"kind": "platt"}],
    "empty.jsonl": [],
}
NAMES = [
    *FILES,
    "run",
    "model",
    "run/outputs",
    "missing",
    "missing/at/all",
    ".",
    "",
    "nul\0",
    "n" * 300,
    "\ud800",
]
NEW = [
    "out/new.jsonl",
    "out/new.yaml",
    "out/new.json",
    "out/new.csv",
    "out/new.parquet",
    "out/a",
    "missing/b.jsonl",
]
WORDS = ["bundled", "harmless", "minimal", "red-team", "red-team:heldout:2", "red-team:x"]
WORDS += ["helpful=pairs.jsonl", "all", "true", "kind"]
SERVERS = [
    "http://127.0.0.1:1/v1#m",
    "http://u:p@h/v1#m",
    "http://[::1/v1#m",
    "https://h:99999/#m",
    "org/name",
    "a/b/c",
]
NUMBERS = ["0", "1", "-1", "2", "17", "1e9", "nan", "inf", "-inf", "1" * 5_000, "0x10", "1_0", "٣", "²", " 1"]
texts = st.sampled_from(NAMES + NEW + WORDS + SERVERS + NUMBERS) | st.sampled_from(
    [text for text in hostile.TEXTS if "\0" not in text]
)


def _leaves(
    made: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command of a parser with the words that name it."""
    below = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for name, child in action.choices.items():
            yield from _leaves(child, (*words, name))
    if not below:
        yield words, made


LEAVES = dict(_leaves(parser()))


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """The words after `cai`: a command, what it requires mostly, and some of its options."""
    words = draw(st.sampled_from(sorted(LEAVES)))
    said = list(words)
    for action in LEAVES[words]._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        wanted = action.required or not action.option_strings
        if draw(st.integers(0, 9)) < (9 if wanted else 3):
            said += action.option_strings[-1:]
            said += _values(draw, action)
    if draw(st.integers(0, 9)) == 0:
        said.insert(draw(st.integers(0, len(said))), draw(texts))
    return said


def _values(draw: st.DrawFn, action: Any) -> list[str]:
    if action.nargs == 0:
        return []
    many = draw(st.integers(0, 3)) if action.nargs in ("+", "*") else 1
    usual: Any = texts
    if action.choices:
        usual = st.sampled_from([str(choice) for choice in action.choices])
    elif action.type in (int, float):
        usual = st.sampled_from(NUMBERS)
    elif action.dest in ("output", "run", "to", "keep", "calibrate"):
        usual = st.sampled_from(NEW)
    return [draw(usual if draw(st.integers(0, 9)) else texts) for _ in range(many)]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_each_option_has_help(words: tuple[str, ...]) -> None:
    assert [action.dest for action in LEAVES[words]._actions if not action.help] == []


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_no_help_shows_what_argparse_wants_escaped(words: tuple[str, ...]) -> None:
    assert "%%" not in LEAVES[words].format_help()


@counts(60)
def test_any_command_line_is_done_or_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    _load_nothing(monkeypatch)
    tried = iter(range(count * 20))

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(lines())
    def hunt(words: list[str]) -> None:
        place = tmp_path / str(next(tried))
        _fill(place)
        monkeypatch.chdir(place)
        # As a terminal's are, which pytest's are not.
        out, err = (
            io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace")
        )
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(words)
            except SystemExit as error:
                status = error.code  # type: ignore[assignment]  # argparse's is a number
        assert status in (0, 1, 2, 130)
        assert status == 0 or err.tell()
        left = [path for path in place.rglob("*") if path.name.startswith(".")]
        assert not left
        if status == 2:
            assert not [path for path in (place / "out").glob("new.*") if path.is_file()]

    hunt()


def _load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise UserError(NO_MODEL)

    for command in COMMANDS:
        if hasattr(command, "loaded"):
            monkeypatch.setattr(command, "loaded", refuse)
    monkeypatch.setattr(bundled, "get", refuse)
    monkeypatch.setattr(recipe_command, "_run", lambda *_: 2)
    monkeypatch.setattr(preference_model, "PreferenceModel", refuse)
    monkeypatch.setattr("pipeline.replay_command.subprocess.run", refuse)
    # In place of the modules, which take half a minute to import TRL.
    for stage in ("sft", "preference", "dpo", "rl", "exporting"):
        fake = SimpleNamespace(train=refuse, export=refuse, apart=refuse)
        monkeypatch.setattr(train, stage, fake, raising=False)
    monkeypatch.setattr("pipeline.train.helpful.sample", refuse)


def _fill(place: Path) -> None:
    (place / "out").mkdir(parents=True)
    for name, rows in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    "words",
    [
        ["critique", "--constitution", "minimal", "--model", "bundled-feedback"],
        ["critique", "--constitution", "minimal", "--model", "bundled", "--critic", "bundled-feedback"],
        ["pairs", "--model", "bundled-feedback"],
        ["pairs", "--model", "bundled", "--model-b", "bundled-feedback"],
    ],
)
def test_a_model_that_writes_nothing_claims_no_folder(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--prompts", "red-team", "--run", str(tmp_path / "run")]) == 2
    assert "bundled-feedback: scores answers and writes none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf"])
def test_a_tolerance_that_is_none_is_refused_before_anything_is_repeated(
    tolerance: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(tmp_path), "--tolerance", tolerance]) == 2
    assert "tolerance: " in capsys.readouterr().err
