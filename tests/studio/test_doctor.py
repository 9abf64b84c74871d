"""`cai-studio doctor`: the health of sessions, which it leaves as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import doctor
from studio.__main__ import main
from studio.store import backups, runs
from studio.store.database import Store
from studio.store.lock import Holder
from studio.store.migrate import FILE, shipped

RUN = runs.NewRun(
    id="r1",
    stage="critique",
    name="a run",
    config={},
    constitution=None,
    constitution_name=None,
    total=3,
    author="ana",
)
Look = Callable[..., list[dict[str, str]]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "findings", lambda places: iter(()))
    return tmp_path / "sessions"


@pytest.fixture
def look(home: Path, capsys: pytest.CaptureFixture[str]) -> Look:
    """What is found of the session `a`, after checking that the exit status fits."""

    def find() -> list[dict[str, str]]:
        status = main(["doctor", "--session", "a", "--json"])
        found = [one for one in json.loads(capsys.readouterr().out) if one["name"] == "session a"]
        assert status == any(one["todo"] for one in found)
        return found

    return find


def test_a_session_that_is_well(home: Path, look: Look) -> None:
    store = Store.open(home / "a")
    backups.back_up(store)
    store.close()
    before = sorted((home / "a").rglob("*"))
    [found] = look()
    assert found["told"].endswith("last backup today, opens")
    assert sorted((home / "a").rglob("*")) == before


def test_what_a_restore_put_aside_is_no_backup(home: Path, look: Look) -> None:
    store = Store.open(home / "a")
    copy = backups.back_up(store)
    store.close()
    backups.restore_backup(home / "a", copy)
    copy.unlink()
    assert look()[0]["told"].endswith("no backup, opens")


def test_one_that_is_open_is_not_looked_into(home: Path, look: Look) -> None:
    store = Store.open(home / "a")
    [found] = look()
    assert "no backup, open in process" in found["told"]
    store.close()


def test_a_run_without_its_process_is_told_with_what_to_do(home: Path, look: Look) -> None:
    store = Store.open(home / "a")
    with store.tx() as tx:
        runs.add(tx, RUN, "running")
        runs.add_process(tx, RUN.id, Holder(2**30, 1.0), "")
    store.close()
    _, stranded = look()
    assert RUN.id in stranded["told"]
    assert "open the session" in stranded["todo"]


def test_a_broken_one_names_its_backup_and_stays_as_it_is(home: Path, look: Look) -> None:
    store = Store.open(home / "a")
    backup = backups.back_up(store)
    store.close()
    file = home / "a" / FILE
    file.write_bytes(b"x" * 5_000)
    [found] = look()
    assert "can't be read" in found["told"]
    assert str(backup) in found["todo"]
    assert "cai-studio sessions restore a" in found["todo"]
    assert file.read_bytes() == b"x" * 5_000


def test_one_of_an_older_studio_is_not_brought_up_to_date_by_looking(home: Path, look: Look) -> None:
    Store.open(home / "a", shipped()[:-1]).close()
    assert look()[0]["told"].endswith("opens, 1 changes of its tables to come")
    assert look()[0]["told"].endswith("opens, 1 changes of its tables to come")


def test_a_home_that_can_be_no_folder_is_a_fault(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home.parent / "file"
    file.touch()
    monkeypatch.setenv("CAI_HOME", str(file))
    assert main(["doctor"]) == 1
    assert f"{file} is no folder" in capsys.readouterr().out
