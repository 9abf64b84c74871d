"""Tournaments started in the studio: what is refused, what it comes to, and a real one of tiny models."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from pipeline import prompts
from pipeline.configs import Evaluating
from pipeline.errors import UserError
from pipeline.evaluate import Tournament
from studio.components import run_controls, run_results, run_view
from studio.components.tournament_card import command_html, filled, goes_html, named, offers, start
from studio.context import Studio
from studio.jobs import tournaments
from studio.jobs.jobs import Jobs
from studio.pages.runs import SHELF
from studio.store import constitutions, matchups, runs
from studio.store.runs import ACTIVE, Event, NewRun, Run

HOSTILE = "<img src=x>"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Nothing is started by itself: a test looks after the runs round by round."""
    opened = Studio.open(tmp_path / "session", "test")
    opened.jobs.close()
    yield opened
    for run in runs.in_states(opened.store, ACTIVE):
        process = runs.process(opened.store, run.id)
        if process and process.holder.alive():
            os.kill(process.holder.pid, signal.SIGKILL)
    opened.close()


@pytest.fixture
def form(studio: Studio) -> dict[str, Any]:
    """The form as the page first shows it, with two models and a feedback model."""
    [version, *_] = constitutions.versions(studio.store, "harmless")
    asked = {"again": "", "models": ["bundled", "org/other"], "axis": "harmless", "most": 0, "file": None}
    judge = {
        "judge": "a feedback model",
        "pm": None,
        "feedback": "org/judge",
        "constitution": version.version,
    }
    return {**asdict(Evaluating()), **asked, **judge, "form": "", "name": ""}


def trained(studio: Studio, id: str, name: str, stage: str, lineage: dict[str, Any], **files: str) -> str:
    """A finished run of training with a card, and files in its folder; returns the folder."""
    with studio.store.tx() as tx:
        config = {"stage": stage, "model": "bundled", "seed": 0}
        run = NewRun(
            id=id,
            stage=stage,
            name=name,
            config=config,
            constitution=None,
            constitution_name=None,
            total=1,
            author="ann",
        )
        runs.add(tx, run, "done")
    folder = studio.jobs.of(id)
    texts = {
        "checkpoint/checkpoint.json": json.dumps({"method": stage, "base": "bundled", "lineage": lineage}),
        "checkpoint/config.json": json.dumps({"of": id}),
        "checkpoint/model.safetensors": "",
        "config.yaml": f"stage: {stage}\n",
        **{path.replace("__", "/"): text for path, text in files.items()},
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return str(folder)


def heldout(axis: str = "red_team") -> list[str]:
    return [p.messages[-1].content for p in prompts.starter(axis) if p.split == "heldout"]  # type: ignore[arg-type]


def test_what_it_comes_to_is_said_before_it_starts(studio: Studio, form: dict[str, Any]) -> None:
    html = goes_html(studio, {**form, "most": 20, "samples": 2, "principles": "4"})
    for part in ("2 models</b>, base bundled", "20 prompts", "80 answers", "40 matchups", "160 labels"):
        assert part in html
    assert f"{2 * len(heldout('helpful'))} answers" in goes_html(studio, {**form, "axis": "helpful"})
    assert "30 matchups" in goes_html(studio, {**form, "budget": 30})
    assert "red-team:heldout:20" in command_html(studio, {**form, "most": 20})


def test_people_can_be_the_judge(studio: Studio, form: dict[str, Any]) -> None:
    by_people = {**form, "judge": "people", "most": 3, "models": ["bundled", "bundled-other/x"]}
    assert "3 votes by people" in goes_html(studio, by_people)
    assert "--judge people" in command_html(studio, by_people)
    run = runs.load(studio.store, start(studio, by_people, "ann"))
    assert run
    assert (run.config["judge"], run.constitution) == ("people", None)


def test_what_is_missing_is_said(studio: Studio, form: dict[str, Any]) -> None:
    for changes, said in (
        ({"models": ["bundled"]}, "hoose two models or more"),
        ({"models": ["bundled", "/no/such"]}, "/no/such: no such folder"),
        ({"models": ["bundled", "bundled"]}, "each once"),
        ({"judge": "a preference model"}, "choose a preference model: train one first"),
        ({"constitution": None}, "choose a constitution"),
        ({"samples": 2, "temperature": 0}, "makes all answers of a model alike"),
        ({"most": -1}, "must be 0 for all"),
    ):
        assert said in goes_html(studio, {**form, **changes})
        with pytest.raises(UserError, match=said):
            start(studio, {**form, **changes}, "ann")
    assert runs.listed(studio.store) == []


def test_prompts_that_a_model_was_trained_on_are_refused_by_its_name(
    studio: Studio, form: dict[str, Any]
) -> None:
    asked = heldout()[0]
    lines = json.dumps({"prompt": asked}) + "\n"
    folder = trained(studio, "r1", f"RL {HOSTILE}", "rl", {}, inputs__prompts_jsonl=lines)
    Path(folder, "inputs/prompts_jsonl").rename(Path(folder, "inputs/prompts.jsonl"))
    html = goes_html(studio, {**form, "models": ["bundled", folder]})
    assert "models were trained on prompts that they are to be measured on" in html
    assert "RL &lt;img src=x&gt; · rl" in html
    assert folder not in html
    assert HOSTILE not in html
    with pytest.raises(UserError, match="RL <img src=x> · rl: "):
        start(studio, {**form, "models": ["bundled", folder]}, "ann")
    assert "trained on prompts" not in goes_html(
        studio, {**form, "models": ["bundled", folder], "most": 0, "axis": "helpful"}
    )


def test_a_judge_that_shares_pairs_with_the_reward_is_refused(studio: Studio, form: dict[str, Any]) -> None:
    for id, pairs in (("pm", '["1", "2"]'), ("judge", '["2"]'), ("apart", '["3"]')):
        trained(studio, id, f"the {id}", "pm", {})
        (studio.jobs.of(id) / "checkpoint" / "trained_on.json").write_text(pairs)
    rl = trained(studio, "r1", "RL", "rl", {"pm": str(studio.jobs.of("pm"))})
    by_pm = {**form, "models": ["bundled", rl], "judge": "a preference model"}
    assert "shares 1 training pairs with" in goes_html(studio, {**by_pm, "pm": "judge"})
    assert "is what rewarded RL" in goes_html(studio, {**by_pm, "pm": "pm"})
    html = goes_html(studio, {**by_pm, "pm": "apart"})
    assert "cai-error" not in html
    assert "450 scores by the judge" in html
    assert [value for _, value in offers(studio)["pm"]] == ["apart", "judge", "pm"]
    assert str(studio.jobs.folder) not in html


def test_an_uploaded_file_is_read_with_its_bad_rows(
    studio: Studio, form: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "Why?"}\nnot json\n')
    html = goes_html(studio, {**form, "file": str(file)})
    for part in ("1 prompt</b> found", "mine.jsonl:2", "2 answers", "1 matchup"):
        assert part in html
    assert str(tmp_path) not in html


def test_the_form_of_an_earlier_run_is_filled_again(
    studio: Studio, form: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Why?\nHow?\n")
    for given in (form, {**form, "file": str(file)}):
        run = runs.load(studio.store, start(studio, {**given, "budget": 7, "name": "mine"}, "ann"))
        assert run
        again = {**form, **filled(run)}
        assert (again["budget"], again["models"], again["name"]) == (7, form["models"], "")
        assert goes_html(studio, again).count("2 prompts") == bool(given["file"])


def until(jobs: Jobs, done: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        jobs.look()
        time.sleep(0.05)


def ended(studio: Studio, jobs: Jobs, id: str) -> Run:
    def over() -> bool:
        run = runs.load(studio.store, id)
        return run is not None and run.state not in ("waiting", *ACTIVE)

    until(jobs, over)
    run = runs.load(studio.store, id)
    assert run
    return run


def asked(studio: Studio, models: list[Path], judge: Path, many: int) -> str:
    some = tuple(prompts.from_text(f"Question {i}?") for i in range(many))
    play = Tournament(tuple(map(str, models)), some, "harmless", str(judge), Evaluating(max_tokens=4))
    return tournaments.prepare(studio.store, studio.jobs.folder, play, None, {}, "", "ann")


@pytest.mark.timeout(400)  # three processes of tiny models, on a machine that is busy
def test_a_tournament_is_stopped_and_resumed_and_computes_nothing_twice(
    studio: Studio, tiny_model: Path, other_model: Path, tiny_pm: Path
) -> None:
    jobs = Jobs(studio.store, studio.jobs.folder)
    id = asked(studio, [tiny_model, other_model], tiny_pm, 48)
    answers = jobs.of(id) / "outputs" / "answers.jsonl.part"
    until(jobs, lambda: answers.is_file() and answers.stat().st_size > 0)
    jobs.stop(id)
    run = ended(studio, jobs, id)
    assert run.state == "stopped"
    kept = answers.read_text().splitlines()
    assert f"answers</dt><dd>{len(kept)} of 96" in run_view.detail(studio.store, run, jobs.of(id))
    jobs.resume(id)
    run = ended(studio, jobs, id)
    assert (run.state, run.detail) == ("done", "")
    whole = (jobs.of(id) / "outputs" / "answers.jsonl").read_text().splitlines()
    assert len(whole) == 96
    assert set(kept) <= set(whole)
    html = run_view.detail(studio.store, run, jobs.of(id))
    assert "48 of 48" in html
    assert "models" in html
    assert "method" not in html
    assert matchups.count(studio.store) == 48
    results = run_results.results(studio.store, run)
    for part in ("Elo [95% interval]", "0, the base", "60.0% [50.0%, 70.0%] of 100 held-out labels"):
        assert part in results
    assert "better with" in results
    assert tournaments.took(studio.store, run) is None  # two attempts: their sum says nothing of a third


def test_names_stand_for_folders(studio: Studio) -> None:
    folder = trained(studio, "r1", "SL", "sft", {})
    assert named(studio, f"{folder}: gone") == "SL · SL-CAI (sft): gone"


def test_one_that_can_t_be_shown_says_so_and_can_be_deleted(studio: Studio) -> None:
    """As one whose rows came in before they were looked at, or by another studio."""
    trained(studio, "t1", "odd", "evaluate", {})
    with studio.store.tx() as tx:
        runs.add_events(tx, "t1", [Event(1, 1, "summary", "t", {"ratings": [{"model": HOSTILE}]})])
        tx.query("""UPDATE runs SET config = '{"models": 7}'""")
    _, run, results, *rest = run_controls._look(studio, SHELF, [], "t1")
    assert "odd" in run
    assert "can't be shown: KeyError" in unescape(results)
    assert rest[-2]["interactive"]  # Delete
    assert studio.jobs.delete("t1")
