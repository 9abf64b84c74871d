"""The overview: the loop with its counts, the tour's stages as they come, and its outcome as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import bundled
from pipeline.errors import UserError
from pipeline.matchups import Annotator, Matchup
from studio.components.loop_view import STATIONS, loop_html, where
from studio.components.tour_view import tour_html
from studio.context import Studio
from studio.jobs import recipes
from studio.pages import overview
from studio.progress import Progress, progress
from studio.store import matchups, runs
from studio.store.runs import ACTIVE, Event, State

BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setattr(bundled, "available", lambda: True)
    opened = Studio.open(tmp_path / "session", "test")
    opened.jobs.close()  # nothing is started: what is prepared stays in the queue
    yield opened
    opened.close()


@pytest.fixture
def stages(studio: Studio) -> list[str]:
    """The runs of a quick tour that was started."""
    overview.start_tour(studio, "tour-quick", "ann")
    tour = overview.newest(studio)
    return [run.id for run in tour.runs] if tour else []


def put(studio: Studio, id: str, state: State, detail: str = "") -> None:
    with studio.store.tx() as tx:
        assert runs.set_state(tx, id, state, ("waiting", *ACTIVE), detail)


def shown(studio: Studio) -> str:
    tour = overview.newest(studio)
    assert tour
    return tour_html(studio.store, tour, studio.jobs.folder)


def said(studio: Studio, id: str, kind: str, **data: Any) -> None:
    with studio.store.tx() as tx:
        runs.add_events(tx, id, [Event(1, 1, kind, "2026-01-01T00:00:00Z", data)])


def test_the_loop_shows_what_there_is_and_marks_what_comes_next() -> None:
    html = loop_html(Progress(versions=3, chains=1204, finished=1200))
    assert html.count("<li") == len(STATIONS) == html.count("<a ")
    assert '<span class="cai-number">1,204</span> <span>chains, 1,200 finished</span>' in html
    assert html.count("cai-there") == 2
    assert html.count('aria-current="step"') == 1
    assert 'href="constitution" aria-current="step"' in html


def test_where_one_is_names_what_is_there_and_what_is_not() -> None:
    told = where(Progress(versions=3, chains=2, pairs=1))
    assert told.startswith("This session holds: Constitution, Chains, Pairs. Nothing yet: Read, SL-CAI,")
    whole = Progress(3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    assert where(whole) == "Each station of the loop holds something."


def test_a_tour_is_counted_by_method_and_matchup(studio: Studio, stages: list[str]) -> None:
    for id in stages:
        put(studio, id, "done")
    one = Matchup("m", "p", "harmless", "bundled", "sl", "pm", Annotator("pm", "model"), 1.0, 1.0, 1.0)
    with studio.store.tx() as tx:
        matchups.add(tx, [one], stages[8])
    now = progress(studio.store)
    assert (now.sft, now.pm, now.rl, now.dpo, now.rated, now.matchups, now.trained) == (1, 3, 1, 0, 2, 1, 5)


def test_a_tour_shows_each_stage_with_its_word(studio: Studio, stages: list[str]) -> None:
    put(studio, stages[0], "running")
    said(studio, stages[0], "progress", done=2, total=6, tokens_per_second=9.0, eta_s=40.0)
    html = shown(studio)
    assert html.count('<li class="cai-stage') == 10
    assert "Running: Critique and revision" in html
    assert "0 of 10 stages are whole" in html
    assert "2 of 6 chains · 9 tokens/s · 40 s to go" in html
    assert "criticises each answer under a principle" in html
    assert f'href="chains?run={stages[0]}"' in html
    assert html.count('aria-current="step"') == 1


def test_a_stage_that_failed_says_why_and_what_to_do(studio: Studio, stages: list[str]) -> None:
    put(studio, stages[0], "done")
    put(studio, stages[1], "failed", f"out of memory {BAD}")
    html = shown(studio)
    assert "out of memory &lt;img" in html
    assert BAD not in html
    assert f'href="runs?run={stages[1]}"' in html
    assert "press <b>Resume</b>" in html
    overview.resume_tour(studio)
    assert "Waiting: SL-CAI" in shown(studio)


def test_a_stage_that_was_begun_once_says_how_long_it_took(studio: Studio, stages: list[str]) -> None:
    at = "2026-01-01T00:0{}:00.000+00:00".format
    once = [Event(1, 1, "started", at(0), {}), Event(2, 1, "finished", at(1), {"status": "done"})]
    twice = [*once, Event(3, 2, "started", at(2), {}), Event(4, 2, "finished", at(3), {"status": "done"})]
    with studio.store.tx() as tx:
        for id, events in zip(stages, (once, twice, once[:1]), strict=False):
            runs.add_events(tx, id, events)
            runs.set_state(tx, id, "done", ("waiting",))
    assert runs.took(studio.store) == {stages[0]: 60.0}
    assert shown(studio).count("took 60 s") == 1


def test_one_tour_at_a_time_and_stop_ends_the_one_there_is(studio: Studio, stages: list[str]) -> None:
    with pytest.raises(UserError, match="stop it before"):
        overview.start_tour(studio, "tour", "ann")
    overview.stop_tour(studio)
    assert "It is stopped" in shown(studio)
    overview.start_tour(studio, "tour", "ann")
    tour = overview.newest(studio)
    assert tour
    assert (tour.recipe, tour.at_work) == ("tour", True)


def test_of_two_tabs_at_once_one_starts_a_tour(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    build = recipes.parser

    def meanwhile() -> Any:
        monkeypatch.setattr(recipes, "parser", build)
        overview.start_tour(studio, "tour", "ben")
        return build()

    monkeypatch.setattr(recipes, "parser", meanwhile)
    with pytest.raises(UserError, match="stop it before"):
        overview.start_tour(studio, "tour-quick", "ann")
    assert [tour.recipe for tour in recipes.queued(studio.store)] == ["tour"]


def test_what_has_not_changed_is_not_sent_again(studio: Studio, stages: list[str]) -> None:
    first = overview._look(studio, [])
    assert isinstance(first[2], str)
    assert [button["interactive"] for button in first[4:]] == [False, True, False]
    assert all(
        isinstance(one, dict) and one.keys() == {"__type__"} for one in overview._look(studio, first[0])
    )
    overview.stop_tour(studio)
    _, loop, tour, _, *buttons = overview._look(studio, first[0])
    assert isinstance(loop, dict)
    assert "It is stopped" in tour
    assert [button["interactive"] for button in buttons] == [True, False, True]


def test_without_the_model_a_tour_says_where_to_get_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "available", lambda: False)
    with pytest.raises(UserError, match="Chains page has a button"):
        overview.start_tour(studio, "tour-quick", "ann")
    assert overview.newest(studio) is None
    with pytest.raises(UserError, match="no such tour"):
        overview.start_tour(studio, "critic", "ann")


def test_the_outcome_is_told_as_it_is(studio: Studio, stages: list[str]) -> None:
    row: dict[str, Any] = {"model": "bundled", "elo": 0.0, "low": 0.0, "high": 0.0, "n": 9, "base": "bundled"}
    sl, rl = (str(studio.jobs.of(stages[at])) for at in (1, 7))
    rows = [
        {**row, "judge_heldout": {"value": 0.61, "n": 40}},
        {**row, "model": sl, "elo": 112.4, "low": -20.2, "high": None},
        {**row, "model": f"{rl}/snapshots/step-1", "elo": -90.0, "low": -140.0, "high": -30.0},
        {**row, "model": rl, "elo": None, "standing": "above"},
        {**row, "model": "elsewhere", "elo": None, "standing": "apart"},
        {**row, "model": BAD, "elo": 1.0, "low": -1.0, "high": 2.0, "of": "core"},
    ]
    out = studio.jobs.of(stages[8]) / "outputs"
    out.mkdir(parents=True)
    (out / "ratings.json").write_text(json.dumps(rows))
    html = shown(studio)
    assert "agrees with 61% of 40 pairs kept aside" in html
    assert "SL-CAI</th><td>+112</td><td>[-20, ∞]</td><td>9</td><td>no difference shown</td>" in html
    assert "RL-CAI at step 1</th><td>-90</td><td>[-140, -30]</td><td>9</td><td>a difference</td>" in html
    assert "RL-CAI</th><td>above any number</td>" in html
    assert "elsewhere</th><td>not compared</td>" in html
    assert "img" not in html
