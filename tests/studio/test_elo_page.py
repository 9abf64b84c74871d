"""The Elo page's figures are those of pipeline.elo on the same matchups; who is who; what is shown of it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import elo
from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.matchups import Annotator, Matchup
from pipeline.records import as_json
from studio.components import (
    elo_asked,
    elo_behind,
    elo_courses,
    elo_data,
    elo_evasive,
    elo_frontier,
    elo_judges,
    elo_models,
    elo_wins,
)
from studio.components.elo_data import Picture
from studio.components.elo_empty import FILTERED, NOTHING, empty_html
from studio.components.elo_ratings import ratings_html, warnings_html
from studio.components.elo_section import below_html
from studio.context import Studio
from studio.store import matchups, runs
from studio.store.checkpoints import Checkpoint
from studio.store.matchups import Competitor
from studio.store.runs import NewRun

HOSTILE = "<img src=x onerror=alert(1)>"
RUN = "00000000-0000-7000-9000-0000000000aa"
MODELS = ("bundled", "sl", f"=rl{HOSTILE}")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio on a session of its own."""
    opened = Studio.open(tmp_path / "sessions" / "test", "test")
    yield opened
    opened.close()


def made(axis: Any, judge: str, kind: Any, seed: int, many: int = 40, **more: Any) -> list[Matchup]:
    """Matchups of three models, of which the later are the better."""
    random = np.random.default_rng(seed)
    found = []
    for n in range(many):
        for one, other in ((0, 1), (0, 2), (1, 2)):
            p = float(random.random() < 0.5 + 0.12 * (one - other))
            given = {"p_ab": p, "p_ba": p, "p_a": p, "kind": "red_team" if axis == "harmless" else "helpful"}
            given |= {"response_a": "I'm sorry, no." if one == 0 and n % 2 else "Yes.", "response_b": HOSTILE}
            id, who = (
                f"{judge}-{axis}-{n}-{one}{other}",
                Annotator("ann" if kind == "person" else judge, kind),
            )
            sides = (MODELS[one], MODELS[other])
            found.append(Matchup(id, f"p{n}", axis, *sides, judge, who, **{**given, **more}))
    return found


def add(studio: Studio, some: list[Matchup], run: str | None = None) -> None:
    with studio.store.tx() as tx:
        matchups.add(tx, some, run)


def drawn(studio: Studio, **query: str) -> Picture:
    return elo_data.picture(studio, elo_asked.read(query))


@pytest.fixture
def filled(studio: Studio) -> Studio:
    """Both axes by a preference model, and harmlessness by a person too."""
    add(studio, [*made("harmless", "pm", "model", 1), *made("helpful", "pm", "model", 2)], "r")
    add(studio, made("harmless", "arena", "person", 3))
    return studio


@pytest.mark.parametrize("rule", ["majority", "soft"])
def test_the_ratings_are_those_of_the_pipeline(filled: Studio, rule: elo.Rule) -> None:
    every = [item.matchup for item in matchups.listed(filled.store, matchups.MatchupFilter(), 999)]
    rated = drawn(filled, rule=rule).rated
    assert {one.group for one in rated} == set(elo.grouped(every))
    for one in rated:
        votes = elo.votes(list(reversed(elo.grouped(every)[one.group])), rule)
        theirs = {r.model: r for r in elo.rate(votes, "bundled", rule).ratings}
        for mine in one.table.ratings:
            assert mine == theirs[mine.model]


@pytest.mark.parametrize("rule", ["majority", "soft"])
def test_the_pages_numbers_are_those_of_cai_elo(
    filled: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: elo.Rule
) -> None:
    every = [item.matchup for item in matchups.listed(filled.store, matchups.MatchupFilter(), 999)]
    path = tmp_path / "matchups.jsonl"
    path.write_text("".join(json.dumps(as_json(one)) + "\n" for one in every), "utf-8")
    assert main(["elo", str(path), "--json", *(["--soft"] if rule == "soft" else [])]) == 0
    numbers = ("elo", "low", "high", "n", "prompts", "standing", "base")
    printed = {
        (row["axis"], row["judge"], row["model"]): [row[name] for name in numbers]
        for row in json.loads(capsys.readouterr().out)
    }
    shown = {
        (one.group.axis, one.group.judge, r.model): [*(getattr(r, n) for n in numbers[:-1]), one.table.base]
        for one in drawn(filled, rule=rule).rated
        for r in one.table.ratings
    }
    assert shown == printed


def test_a_base_is_0_where_it_has_votes(filled: Studio) -> None:
    assert {one.table.base for one in drawn(filled).rated} == {"bundled"}
    assert {one.table.base for one in drawn(filled, base="sl").rated} == {"sl"}


def test_kinds_of_judges_are_filtered_and_never_pooled(filled: Studio) -> None:
    assert [elo_asked.who(one.group) for one in drawn(filled, axis="harmless").rated] == ["pm", "person"]
    assert [one.judge for one in drawn(filled, who="person").rated] == ["arena"]
    assert drawn(filled, who="ai").rated == []
    assert drawn(filled, since="2999-01-01").rated == []
    assert [one.group.axis for one in drawn(filled, kind="helpful").rated] == ["helpful"]
    with pytest.raises(UserError, match="2026-01-31"):
        drawn(filled, since="yesterday")


def test_the_frontier_has_both_axes_and_whiskers(filled: Studio) -> None:
    picture = drawn(filled)
    frontier = elo_frontier.frontier(picture)
    assert frontier.figure is not None
    assert picture.harmless
    assert picture.helpful
    points = {
        what: (x, y)
        for trace in frontier.figure.data
        for what, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }
    for name in MODELS:
        x, y = points[f"model:{picture.harmless.key}:{name}"]
        up, across = picture.harmless.rating(name), picture.helpful.rating(name)
        assert up
        assert across
        assert (x, y) == (across.elo, up.elo)
    assert all(len(trace.error_y.array) == len(trace.y) for trace in frontier.figure.data)
    assert elo_frontier.frontier(drawn(filled, axis="harmless")).figure is None


def test_a_win_rate_is_a_mean_of_votes(filled: Studio) -> None:
    picture = drawn(filled)
    assert picture.harmless
    cells = elo_wins.cells_of(picture.harmless.votes)
    some = [m for m in made("harmless", "pm", "model", 1) if {m.model_a, m.model_b} == {"bundled", "sl"}]
    assert cells["bundled", "sl"].value == pytest.approx(np.mean([m.p_a for m in some]))
    assert cells["sl", "bundled"].value == pytest.approx(1 - cells["bundled", "sl"].value)
    assert cells["sl", "bundled"].n == 40


def test_how_alike_judges_rank_is_kendalls_tau(filled: Studio) -> None:
    [pair] = elo_judges.alike(drawn(filled, axis="harmless").of_axis("harmless"))
    signs = []
    for rated in (pair.one, pair.other):
        found = np.array([r.elo for name in MODELS if (r := rated.rating(name))])
        signs.append(np.sign(np.round(found[[0, 0, 1]] - found[[1, 2, 2]], 6)))
    ranked = [np.abs(sign).sum() for sign in signs]
    assert (pair.models, pair.human) == (3, True)
    # Kendall 1945: concordant less discordant pairs, by what of them is not tied.
    assert pair.tau == pytest.approx((signs[0] @ signs[1]) / np.sqrt(ranked[0] * ranked[1]))
    assert elo_judges.judges(drawn(filled, who="pm")).figure is None


def test_a_judge_that_tells_no_models_apart_ranks_none(studio: Studio) -> None:
    add(studio, made("harmless", "pm", "model", 1))
    add(studio, [replace(one, p_ab=1.0, p_ba=0.0, p_a=0.5) for one in made("harmless", "other", "model", 1)])
    picture = drawn(studio)
    [pair] = elo_judges.alike(picture.of_axis("harmless"))
    assert (pair.models, pair.tau, pair.p) == (3, None, None)
    [row] = elo_judges.judges(picture).rows
    assert "all tied" in row[3]


def test_evasive_is_the_share_of_refusals_on_helpful_prompts(filled: Studio) -> None:
    evasive = drawn(filled).evasive
    assert evasive["bundled"].value == 0.5
    assert (evasive["sl"].value, evasive["sl"].clusters) == (0.0, 40)
    assert elo_evasive.evasive(drawn(filled)).figure is not None


def test_a_prompt_that_was_met_twice_counts_once_in_evasiveness(studio: Studio) -> None:
    """Half of 20 prompts are refused; and these again, in another tournament."""
    add(studio, made("helpful", "pm", "model", 2, many=20), "r")
    refused = [one for one in made("helpful", "other", "model", 2, many=20) if int(one.prompt_id[1:]) % 2]
    add(studio, refused, "s")
    share = drawn(studio).evasive["bundled"]
    assert (share.value, share.n, share.clusters) == (0.5, 20, 20)


def test_tables_and_exports_are_escaped_and_safe_for_spreadsheets(filled: Studio) -> None:
    picture = drawn(filled)
    for draw in (elo_frontier.frontier, elo_evasive.evasive, elo_wins.of_axis("harmless")):
        html = below_html("x", "X", draw(picture))
        assert "<img" not in html
        text = unescape(html.split('data-csv="')[1].split('"')[0])
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["model"] for row in rows} == {"bundled", "sl", f"'=rl{HOSTILE}"}
    figure = elo_frontier.frontier(picture).figure
    assert figure is not None
    assert not [trace for trace in figure.data if "<img" in f"{trace.name}{trace.hovertext}"]
    assert "<img" not in ratings_html(filled, picture)


def test_a_point_opens_its_matchups_escaped(filled: Studio) -> None:
    picture = drawn(filled)
    assert picture.harmless
    html = elo_behind.behind_html(filled, picture.asked, f"model:{picture.harmless.key}:sl")
    assert "80 matchups, the newest 40 of them" in html
    assert "<img" not in html
    assert "p(a) = " in html
    assert re.search(r"\d\d:\d\d UTC", html)
    html = elo_behind.behind_html(filled, picture.asked, f"against:{picture.harmless.key}:sl\nbundled")
    assert "40 matchups." in html
    for nonsense in ("", "model:nope:sl", f"model:{picture.harmless.key}:nobody", "model", "x:y:z"):
        assert elo_behind.behind_html(filled, picture.asked, nonsense) == ""


def test_a_day_without_a_next_one_is_told() -> None:
    with pytest.raises(UserError, match="is no day"):
        _ = elo_asked.read({"until": "9999-12-31"}).filter


def test_the_drawer_of_a_judge_without_a_constitution_has_no_matchups_under_one(studio: Studio) -> None:
    add(studio, made("harmless", "judge", "model", 1, many=4))
    under = [replace(one, id=f"{one.id}-c") for one in made("harmless", "judge", "model", 1, many=4)]
    add(studio, [replace(one, constitution="c" * 16) for one in under])
    picture = drawn(studio)
    for rated in picture.rated:
        html = elo_behind.behind_html(studio, picture.asked, f"model:{rated.key}:sl")
        assert "8 matchups." in html


def test_warnings_are_shown(studio: Studio) -> None:
    add(studio, made("harmless", "pm", "model", 1, many=3), "r")
    assert "has no wins and losses both: choose another base" in warnings_html(drawn(studio))


def test_nothing_yet_teaches(studio: Studio) -> None:
    assert drawn(studio).rated == []
    assert empty_html(elo_asked.read({}), 0, 0) == NOTHING
    assert empty_html(elo_asked.read({}), 0, 5) == FILTERED


def card(studio: Studio, place: str, run: str = RUN, **card: Any) -> str:
    folder = studio.jobs.folder / run / place
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text(json.dumps(card))
    return str(folder.parent if place == "checkpoint" else folder)


def test_an_rl_run_is_a_line_from_the_model_it_began_from(studio: Studio) -> None:
    final = card(studio, "checkpoint", method="rloo", base="bundled", step=40, parameters=1_000, trained=10)
    half = card(studio, "snapshots/step-20", method="rloo", base="bundled", step=20, parameters=1_000)
    to = dict(zip(MODELS, ("bundled", half, final), strict=True))
    for seed, axis in enumerate(("harmless", "helpful")):
        some = made(axis, "pm", "model", seed)
        renamed = [Matchup(**{**vars(m), "model_a": to[m.model_a], "model_b": to[m.model_b]}) for m in some]
        add(studio, renamed, "r")
    picture = drawn(studio)
    figure = elo_courses.steps(picture).figure
    assert figure is not None
    assert [list(trace.x) for trace in figure.data] == [[0, 20, 40], [0, 20, 40]]
    figure = elo_courses.sizes(picture).figure
    assert figure is not None
    assert {x for trace in figure.data for x in trace.x} == {1_000}  # snapshots are no models of their own
    assert len(figure.data) == 4


def test_two_rl_runs_of_one_name_are_two_lines(studio: Studio) -> None:
    to = {"bundled": "bundled"}
    for model, run in zip(MODELS[1:], (RUN, RUN.replace("aa", "bb")), strict=True):
        new = NewRun(
            id=run,
            stage="rl",
            name='RL "second" try',
            config={},
            constitution=None,
            constitution_name=None,
            total=1,
            author="ann",
        )
        with studio.store.tx() as tx:
            runs.add(tx, new, "done")
        to[model] = card(studio, "checkpoint", run, method="rloo", base="bundled", step=9, parameters=9)
    for seed, axis in enumerate(("harmless", "helpful")):
        some = made(axis, "pm", "model", seed)
        add(studio, [replace(m, model_a=to[m.model_a], model_b=to[m.model_b]) for m in some], "r")
    figure = elo_courses.steps(drawn(studio)).figure
    assert figure is not None
    told = [(trace.name, trace.line.color) for trace in figure.data]
    assert [name for name, _ in told[:2]] == [
        'RL "second" try · RL (RLOO)',
        'RL "second" try · RL (RLOO) (2)',
    ]
    assert told[:2] == told[2:]  # a run is itself in each panel
    assert len(set(told)) == 2


def test_one_model_under_two_names_is_one_and_other_weights_are_another() -> None:
    some = [
        Competitor(1, "r", "runs/rl", "abc"),
        Competitor(2, None, "/home/me/rl", "abc"),
        Competitor(3, "s", "runs/rl", "xyz"),
        Competitor(4, "s", "org/model", None),
        Competitor(5, "r", "org/model", "m1"),
    ]
    known = elo_models.known(some, [])
    assert known[1] == known[2]
    assert known[1].name == "rl (abc)" or known[1].name == "runs/rl (abc)"
    assert known[3].name.endswith("(xyz)")
    assert known[4] == known[5]


@pytest.mark.parametrize("measured_on", ["heldout", "others.jsonl"])
def test_a_preference_judges_accuracy_and_data_stand_beside_its_ratings(
    studio: Studio, measured_on: str
) -> None:
    accuracy = {"value": 0.63, "low": 0.58, "high": 0.68, "n": 402}
    sources = [{"human": "judge-train.jsonl", "count": 800}]
    pm = card(
        studio,
        "checkpoint",
        method="pm",
        figures={"pairs": 800, measured_on: {"accuracy": accuracy}},
        lineage={"sources": sources},
    )
    add(studio, made("harmless", pm, "model", 1), "r")
    html = ratings_html(studio, drawn(studio))
    assert "Held-out accuracy 0.6300 [0.5800, 0.6800], n = 402." in html
    assert "Trained on human judge-train.jsonl, 800." in html
    add(studio, made("helpful", "elsewhere", "model", 1), "r")
    assert "Its held-out accuracy is not known." in ratings_html(studio, drawn(studio))
    # The session has not the judge itself: its run wrote down what was known of it.
    outputs = studio.jobs.of("r") / "outputs"
    outputs.mkdir(parents=True)
    known = {"judge": "elsewhere", "judge_heldout": {**accuracy, "value": 0.6}, "judge_trained_on": sources}
    (outputs / "ratings.json").write_text(json.dumps([known]))
    html = ratings_html(studio, drawn(studio))
    assert "Held-out accuracy 0.6000" in html
    assert html.count("Trained on human judge-train.jsonl, 800.") == 2


def test_a_model_that_began_from_a_hub_adapter_is_known_by_its_commit_of_before(tmp_path: Path) -> None:
    lora, ours = f"{'b' * 40}+{'a' * 40}", tmp_path / "rl" / "checkpoint"
    card = {"method": "rloo", "base": "org/base", "base_revision": "a" * 40}
    some = [Competitor(1, "r", "org/lora", lora), Competitor(2, "r", "runs/rl", "x")]
    known = elo_models.known(some, [Checkpoint("rl", "rl", "rl", ours, card, datetime.now(UTC))])
    assert known[2].start == known[1].name
