"""Where sessions lie, and names that would lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from pipeline.errors import UserError
from studio.store import sessions
from studio.store.database import Store


def test_cai_home_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    assert sessions.home() == tmp_path / "sessions"


def test_a_checkout_keeps_its_own_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAI_HOME", raising=False)
    assert sessions.home() == Path(__file__).resolve().parents[2] / "sessions"


@pytest.mark.parametrize("text", [None, "[project]\nname = 'other'\n", "not toml ["])
def test_an_installed_studio_uses_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    monkeypatch.delenv("CAI_HOME", raising=False)
    if text:
        (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(sessions, "__file__", str(tmp_path / "studio" / "store" / "sessions.py"))
    assert sessions.home() == platformdirs.user_data_path("cai-studio", appauthor=False) / "sessions"


@pytest.mark.parametrize("name", ["default", "red-team_2.1", "_", "a" * 64, "7", "concert", "com10"])
def test_good_names(tmp_path: Path, name: str) -> None:
    assert sessions.session_folder(tmp_path, name) == tmp_path / name


ESCAPES = ["", ".", "..", ".hidden", "../up", "a/b", "a\\b", "/etc", "C:", "~", "a\0", "a\n"]
UGLY = ["a b", "é", "a" * 65, "CON", "nul.txt", "Com1", "lpt9.x.y", "ends.", "-flag"]


@pytest.mark.parametrize("name", [*ESCAPES, *UGLY])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        sessions.session_folder(tmp_path, name)


def test_the_list_holds_what_was_opened(tmp_path: Path) -> None:
    assert sessions.list_sessions(tmp_path / "missing") == []
    for name in ("beta", "alpha"):
        Store.open(sessions.session_folder(tmp_path, name)).close()
    (tmp_path / "empty").mkdir()
    assert sessions.list_sessions(tmp_path) == ["alpha", "beta"]
