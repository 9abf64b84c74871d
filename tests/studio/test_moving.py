"""From one session to another: the next opens, or the one of before does, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from studio.context import Studio, moved
from studio.moving import Move
from studio.store import sessions, settings
from studio.store.database import Store
from studio.summary import read_summary


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio.open(tmp_path / "alpha", "alpha")
    yield studio
    studio.close()


def after(studio: Studio) -> Studio:
    studio.close()
    opened = moved(studio)
    assert opened
    opened.close()
    return opened


def test_nobody_asked_nothing_follows(studio: Studio) -> None:
    studio.close()
    assert moved(studio) is None


def test_the_next_session_follows(studio: Studio) -> None:
    studio.mover.go(Move("beta", lambda: "done"))
    assert studio.mover.leave.wait(5)
    opened = after(studio)
    assert (opened.session, opened.mover.serial, opened.mover.news) == ("beta", 1, "done")
    assert not opened.mover.failed


def test_only_one_move_at_a_time(studio: Studio) -> None:
    studio.mover.go(Move("beta", str))
    with pytest.raises(UserError, match="about to open another"):
        studio.mover.go(Move("gamma", str))


def test_a_broken_one_is_told_and_the_one_of_before_is_back(studio: Studio, tmp_path: Path) -> None:
    settings.put(studio.store, "a", "1")
    (tmp_path / "beta").mkdir()
    (tmp_path / "beta" / "session.duckdb").write_bytes(b"broken")
    studio.mover.go(Move("beta", str))
    opened = after(studio)
    assert opened.session == "alpha"
    assert opened.mover.failed
    assert "Can't read" in opened.mover.news


def test_one_that_a_bug_can_t_open_is_told_too_and_left_free(studio: Studio, tmp_path: Path) -> None:
    beta = Store.open(tmp_path / "beta")
    with beta.tx() as tx:
        tx.query(
            "INSERT INTO constitution_versions (version, name, body, note, author) "
            "VALUES ('v', 'harmless', '{}', '', 'ann')"
        )
    beta.close()
    settings.put(studio.store, "a", "1")
    studio.mover.go(Move("beta", str))
    opened = after(studio)
    assert (opened.session, opened.mover.failed) == ("alpha", True)
    assert "“beta” can't be opened" in opened.mover.news
    Store.open(tmp_path / "beta").close()


def test_the_open_session_is_renamed_on_the_way(studio: Studio, tmp_path: Path) -> None:
    settings.put(studio.store, "a", "1")
    studio.mover.go(Move("beta", lambda: str(sessions.rename_session(tmp_path, "alpha", "beta"))))
    assert after(studio).session == "beta"
    assert sessions.list_sessions(tmp_path) == ["beta"]


def test_a_closed_session_leaves_its_counts_for_the_list(studio: Studio) -> None:
    assert read_summary(studio.folder) == ""
    studio.close()
    assert read_summary(studio.folder) == "3 versions, 0 chains"
    (studio.folder / "summary.json").write_text("[")
    assert read_summary(studio.folder) == ""
