"""Multiple-choice questions in the studio: stored once, drawn as the pipeline has them, put to a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline import evals
from pipeline.__main__ import parser
from pipeline.configs import Measuring
from pipeline.errors import UserError
from pipeline.evals import Answer
from pipeline.records import as_json
from studio.components.question_figures import accuracy, calibration, measured, sides
from studio.context import Studio
from studio.jobs import measuring, stages
from studio.jobs.ingest import ingest
from studio.store import eval_answers, runs
from studio.store.runs import NewRun

pytestmark = pytest.mark.usefixtures("idle")

HOSTILE = "<img src=x onerror=alert(1)>"


def answers(right: float, many: int = 40) -> list[Answer]:
    """A model that is as sure as it is often right."""
    of = Answer("", "letters", "", 0.0, 0.0, 0.0, "tiny", "weights-1", "chat")
    return [
        replace(
            of,
            id=f"{n}",
            prompt_id=f"p{n // 2}",
            right=float(n < right * many),
            p=0.8 if n < right * many else 0.3,
        )
        for n in range(many)
    ]


def a_run(
    studio: Studio,
    id: str,
    some: list[Answer],
    model: str = "bundled",
    state: runs.State = "done",
    total: int = 0,
) -> NewRun:
    made = NewRun(
        id=id,
        stage="evals",
        name=f"run {id}",
        config={"model": model, "file": "hhh.jsonl"},
        constitution=None,
        constitution_name=None,
        total=total or len(some),
        author="ann",
    )
    folder = studio.jobs.of(id)
    (folder / "outputs").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"stage": "evals", "model": model}))
    (folder / "outputs" / "answers.jsonl").write_text(
        "".join(json.dumps(as_json(one)) + "\n" for one in some)
    )
    with studio.store.tx() as tx:
        runs.add(tx, made, state)
    ingest(studio.store, made, folder)
    return made


def test_answers_come_in_once_and_go_with_their_run(studio: Studio) -> None:
    run = a_run(studio, "one", answers(0.5))
    ingest(studio.store, run, studio.jobs.of("one"))
    with studio.store.tx() as tx:
        eval_answers.add(tx, answers(0.5), "one")
    assert eval_answers.by_run(studio.store) == {"one": answers(0.5)}
    assert runs.kept(studio.store)["one"] == 40
    studio.jobs.delete("one")
    assert eval_answers.by_run(studio.store) == {}
    with studio.store.tx() as tx:  # as one that is imported again
        runs.set_state(tx, "one", "done", ["deleted"])
    assert eval_answers.by_run(studio.store) == {"one": answers(0.5)}


def test_the_accuracy_is_what_the_command_prints_with_names_as_text(studio: Studio) -> None:
    a_run(studio, "one", answers(0.5), HOSTILE)
    a_run(studio, "two", answers(0.75), HOSTILE)
    drawn = accuracy(measured(studio.store, studio.jobs.folder))
    report = evals.report(answers(0.75))
    assert [row["right"] for row in drawn.data] == [0.5, 0.75]
    assert drawn.data[1]["right_low"] == report.accuracy.low
    assert HOSTILE not in str(drawn.figure.to_json()) + str(drawn.rows)
    assert len({trace.x[0] for trace in drawn.figure.data}) == 2  # one name, two runs


def test_a_run_that_did_not_get_through_its_questions_is_not_drawn_as_one_that_did(studio: Studio) -> None:
    a_run(studio, "whole", answers(0.5), "whole")
    a_run(studio, "part", answers(1.0, 16), "part", state="failed", total=438)
    every = measured(studio.store, studio.jobs.folder)
    drawn = accuracy(every)
    assert [row["model"] for row in drawn.data] == ["part, first 16 of 438", "whole"]
    assert [trace.x[0] for trace in drawn.figure.data] == ["part, first 16 of 438", "whole"]  # type: ignore[union-attr]
    assert calibration(every).data[0]["model"] == "part, first 16 of 438"


def test_a_model_that_is_right_as_often_as_it_says_lies_on_the_line(studio: Studio) -> None:
    random = np.random.default_rng(0)
    p = random.uniform(0, 1, 20_000)
    some = [
        Answer(f"{n}", "letters", f"p{n}", float(x > 0.5), 0.0, float(x), "tiny", "w", "chat")
        for n, x in enumerate(np.where(random.uniform(size=len(p)) < p, p, 1 - p))
    ]
    compared = sides(some)
    assert 0.45 < compared.choice.mean() < 0.55  # a side, and not always the right one
    a_run(studio, "one", some[:2000])
    drawn = calibration(measured(studio.store, studio.jobs.folder))
    for row in drawn.data:
        assert row["right_low"] - 0.05 <= row["mean"] <= row["right_high"] + 0.05


def test_models_that_are_not_drawn_are_told_and_are_in_the_table_and_the_csv(studio: Studio) -> None:
    for number in range(8):
        a_run(studio, f"{number}", answers(0.5), f"model-{number}")
    drawn = calibration(measured(studio.store, studio.jobs.folder))
    assert len(drawn.figure.data) == 1 + 6  # and the line of the sure
    assert "2 more are not drawn" in drawn.note
    assert len({row["model"] for row in drawn.data}) == len({row[0] for row in drawn.rows}) == 8


@pytest.mark.parametrize("called", ["hhh.jsonl", "hhh"])
def test_questions_are_put_by_a_command_that_cai_understands(
    studio: Studio, tmp_path: Path, called: str
) -> None:
    file = tmp_path / called
    row = {"prompt": "Human: Which?\n (A) one\n (B) two", "corrects": [" (B)"], "incorrects": [" (A)"]}
    file.write_text(json.dumps(row) + "\n")
    id = measuring.prepare(studio.store, studio.jobs.folder, file, Measuring("bundled"), "bundled", "", "ann")
    run = runs.load(studio.store, id)
    assert run
    assert (run.name, run.total) == ("hhh · bundled", 1)
    words = stages.words(run, studio.jobs.of(id))
    assert parser().parse_args(words).file == studio.jobs.of(id) / "inputs" / "questions.jsonl"


def test_a_hub_model_is_downloaded_by_the_run_and_not_while_it_is_asked_for(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(*_: object, local_files_only: bool, **__: object) -> str:
        assert local_files_only
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    file = tmp_path / "hhh.jsonl"
    row = {"prompt": "Human: Which?\n (A) one\n (B) two", "corrects": [" (B)"], "incorrects": [" (A)"]}
    file.write_text(json.dumps(row) + "\n")
    asked = Measuring("org/large")
    id = measuring.prepare(studio.store, studio.jobs.folder, file, asked, "org/large", "", "ann")
    assert runs.load(studio.store, id)


def test_a_file_without_questions_is_refused(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="no evaluations in this file"):
        measuring.prepare(
            studio.store, studio.jobs.folder, tmp_path / "none.jsonl", Measuring(), "bundled", "", "ann"
        )
    assert runs.listed(studio.store) == []
