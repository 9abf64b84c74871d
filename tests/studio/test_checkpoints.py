"""Checkpoints in the studio: which there are, how they are told, drawn, exported and deleted."""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.errors import UserError
from pipeline.lineage import Lineage, Node
from studio.components import checkpoint_view, lineage_graph
from studio.components.checkpoint_view import Titles
from studio.components.lineage_graph import Shown
from studio.context import Studio
from studio.jobs import exporting
from studio.jobs.exporting import Exports
from studio.pages import checkpoints as page
from studio.store import checkpoints, runs
from studio.store.checkpoints import Checkpoint

BAD = "<img src=x onerror=alert(1)>"


def _seeding() -> ModuleType:
    path = Path(__file__).parents[1] / "browser" / "seeding_checkpoints.py"
    spec = importlib.util.spec_from_file_location("seeding_checkpoints", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


seeding = _seeding()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A session with a whole line of checkpoints."""
    seeding.fill(tmp_path / "session")
    opened = Studio.open(tmp_path / "session", "test")
    opened.jobs.close()
    yield opened
    opened.close()


def every(studio: Studio) -> dict[str, Checkpoint]:
    return {one.id: one for one in checkpoints.listed(studio.store, studio.jobs.folder)}


def test_results_and_snapshots_are_listed_with_the_names_of_their_runs(studio: Studio) -> None:
    named = {id: one.name for id, one in every(studio).items()}
    assert named[seeding.RL] == "RL-CAI, β 0.05"
    assert named[f"{seeding.RL}/step-40"] == "RL-CAI, β 0.05, step 40"
    assert len(named) == 6
    at = list(named)
    assert at.index(seeding.RL) < at.index(f"{seeding.RL}/step-40") < at.index(f"{seeding.RL}/step-20")


def test_a_card_is_read_again_once_its_file_has_changed_and_only_then(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> object:
        read.append(path)
        return small_json(path)

    small_json = checkpoints.small_json
    monkeypatch.setattr(checkpoints, "small_json", counted)
    every(studio)
    read.clear()
    every(studio)
    assert not read
    card = studio.jobs.folder / seeding.PM / "checkpoint" / "checkpoint.json"
    after = card.read_text().replace('"pm"', '"mp"')  # as long as before
    card.write_text(after)
    assert every(studio)[seeding.PM].card == json.loads(after)
    assert read == [card]
    assert json.loads(after)["method"] == "mp"


def test_a_card_that_could_not_be_read_once_is_tried_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = studio.jobs.folder / seeding.PM / "checkpoint" / "checkpoint.json"
    card.write_text(card.read_text() + " ")  # never read before
    with monkeypatch.context() as no:
        no.setattr(checkpoints, "small_json", lambda path: None)  # as where no descriptor is free
        assert checkpoints.card_in(card) == {}
    assert checkpoints.card_in(card)["method"] == "pm"


def test_links_torn_cards_and_hidden_folders_lead_nowhere(studio: Studio, tmp_path: Path) -> None:
    folder = studio.jobs.folder
    (folder / "link").symlink_to(folder / seeding.PM)
    shutil.copytree(folder / seeding.PM, folder / ".half.part")
    (folder / seeding.PM / "checkpoint" / "checkpoint.json").write_text("{torn")
    found = every(studio)
    assert len(found) == 6
    assert found[seeding.PM].card == {}
    shown = page._look(studio, [], seeding.PM)
    assert "can’t be read" in shown[1]
    assert "no checkpoint.json here" in shown[2]
    assert checkpoints.load(studio.store, folder, "../../etc") is None


def test_the_page_escapes_what_cards_and_people_say(studio: Studio) -> None:
    card = studio.jobs.folder / seeding.SL / "checkpoint" / "checkpoint.json"
    told = json.loads(card.read_text())
    told |= {"method": BAD, "base": BAD, "figures": {BAD: 1.0}}
    told["lineage"] |= {"gate": BAD, "override_gate": BAD, "pm": BAD, "seed": BAD}
    told["lineage"]["sources"].append({"human": BAD, "kinds": [BAD], "axis": BAD})
    card.write_text(json.dumps(told))
    for id in every(studio):
        shown = page._look(studio, [], id)
        html = "".join(part for part in shown[1:4] if isinstance(part, str))
        assert "<img" not in html
        assert "<b>SL" not in html
        assert "&lt;img" in html


def test_figures_have_their_interval_and_bases_their_runs_name(studio: Studio) -> None:
    table = page._look(studio, [], seeding.RL)[1]
    assert "heldout accuracy 0.6312 [0.5811, 0.6789], n = 402" in table
    assert "reward last 0.8700" in table
    assert "135M" in table
    found = every(studio)
    titles = Titles(studio.store, list(found.values()))
    assert titles.base(found[seeding.RL].card) == seeding.HOSTILE
    assert "harmless" in table


def test_nodes_lead_to_their_pages(studio: Studio) -> None:
    detail = page._look(studio, [], seeding.RL)[2]
    for href in (
        f"runs?run={seeding.CHAINS}",
        f"labels?run={seeding.LABELS}",
        f"checkpoints?checkpoint={seeding.PM}",
        "constitution?name=harmless&amp;version=",
    ):
        assert f'href="{href}' in detail


def test_nothing_is_drawn_anew_while_nothing_changes(studio: Studio) -> None:
    first = page._look(studio, [], seeding.RL)
    again = page._look(studio, first[0], seeding.RL)
    assert all(not isinstance(part, str) for part in again[1:])
    (studio.jobs.folder / seeding.RL / "snapshots" / "step-20" / "checkpoint.json").unlink()
    assert "step 20" not in page._look(studio, first[0], seeding.RL)[1]


def test_an_empty_session_teaches(tmp_path: Path) -> None:
    opened = Studio.open(tmp_path / "session", "test")
    try:
        shown = page._look(opened, [], "")
        assert shown[1] == checkpoint_view.EMPTY
        assert shown[2] == ""
    finally:
        opened.close()


def test_a_run_at_work_keeps_its_snapshots_and_others_may_be_deleted(studio: Studio) -> None:
    page._delete(studio, f"{seeding.RL}/step-20")
    assert f"{seeding.RL}/step-20" not in every(studio)
    with studio.store.tx() as tx:
        runs.set_state(tx, seeding.RL, "running", ["done"])
    with pytest.raises(UserError, match="at work"):
        page._delete(studio, f"{seeding.RL}/step-40")
    page._delete(studio, seeding.PM)
    assert seeding.PM not in every(studio)
    assert runs.load(studio.store, seeding.PM) is None
    with pytest.raises(UserError, match="gone"):
        page._delete(studio, seeding.PM)


def test_who_deletes_is_told_what_came_from_it(studio: Studio) -> None:
    found = every(studio)
    session = studio.store.folder
    after = checkpoints.descendants(found[seeding.SL], list(found.values()), session)
    assert after == ["RL-CAI, β 0.05"]
    assert "RL-CAI" in page._warning(found[seeding.SL], after)
    assert checkpoints.descendants(found[seeding.RL], list(found.values()), session) == []


def test_a_zip_holds_the_checkpoint_and_its_card(studio: Studio, tmp_path: Path) -> None:
    one = every(studio)[seeding.PM]
    out = exporting.zipped(one.source, tmp_path, one.name)
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
    assert out.name == "pm-of-bundled-1-600.zip"
    assert "pm-of-bundled-1-600/model.safetensors" in names
    assert "pm-of-bundled-1-600/README.md" in names
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("pm-of")] == [out.name]


def test_a_zip_that_finds_no_room_leaves_nothing(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    one = every(studio)[seeding.PM]
    with pytest.raises(UserError, match="No space left"):
        exporting.zipped(one.source, tmp_path / "zips", one.name)
    assert list((tmp_path / "zips").iterdir()) == []


def test_an_export_that_had_to_be_killed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "LEAVE", 0.1)
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    goal, half = tmp_path / "whole", tmp_path / ".whole.writing"
    half.mkdir()
    exports = Exports(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        exports._work = exporting._Work("one", goal, stubborn, tmp_path / "log", 0)
        exports.stop()
    assert not half.exists()
    assert exports.state is not None
    assert exports.state.problem == "Stopped; nothing was left behind."
    goal.mkdir()  # as if it had been complete in that moment
    assert exports.state.problem == ""


def wait(exports: Exports, seconds: float = 60) -> exporting.Export:
    end = time.monotonic() + seconds
    while (state := exports.state) is None or state.runs:
        assert time.monotonic() < end
        time.sleep(0.1)
    return state


def test_an_export_has_a_process_and_says_how_it_ended(studio: Studio) -> None:
    one = every(studio)[seeding.PM]
    goal = exporting.free_goal(studio.exports.folder, one.name)
    studio.exports.start(one.id, one.source, goal)
    assert "Writing" in page.export_html(studio.exports.state, one.id)
    with pytest.raises(UserError, match="another export"):
        studio.exports.start(one.id, one.source, goal)
    assert wait(studio.exports).problem == ""
    assert (goal / "README.md").is_file()
    assert "AutoModelForSequenceClassification" in page.export_html(studio.exports.state, one.id)
    assert page.export_html(studio.exports.state, "another") == ""
    assert exporting.free_goal(studio.exports.folder, one.name) != goal
    studio.exports.start(one.id, studio.jobs.folder / "none", goal.with_name("none"))
    assert "no checkpoint.json here" in wait(studio.exports).problem
    studio.exports.start(one.id, one.source, goal.with_name("stopped"))
    studio.exports.stop()
    assert not list(studio.exports.folder.glob(".*"))


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    assert exporting.free_goal(tmp_path, "../../etc/passwd").parent == tmp_path
    assert exporting.free_goal(tmp_path, "…").name == "checkpoint"


def test_a_graph_of_a_circle_and_of_many_nodes_is_drawn() -> None:
    nodes = [Node("0", "checkpoint", "goal"), *(Node(f"{n}", "file", f"f{n}") for n in range(1, 200))]
    edges = (("1", "0"), ("2", "1"), ("1", "2"), ("2", "0"), *((f"{n}", "2") for n in range(3, 200)))
    drawn = lineage_graph.graph_html(Lineage(tuple(nodes), edges), {})
    assert drawn.count('<g class="cai-node') == lineage_graph.MOST
    assert "160 more are in the table" in drawn
    table = lineage_graph.table_html(Lineage(tuple(nodes), edges), {"1": Shown("x", 'a"b')})
    assert table.count("<tr>") == 201
    assert 'href="a&quot;b"' in table
    assert "goal" in lineage_graph.graph_html(Lineage((nodes[0],), ()), {})


@pytest.mark.parametrize(
    ("count", "told"),
    [(134_515_008, "135M"), (7_241_732_096, "7.24B"), (512, "512"), (True, ""), (-1, ""), ("1", "")],
)
def test_parameters_in_short(count: object, told: str) -> None:
    assert checkpoint_view.parameters(count) == told
