"""Where sessions lie on the disk, and what they may be called."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import platformdirs

from pipeline.errors import UserError
from studio.store.migrate import FILE

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# Windows keeps these for devices, with any suffix and in any case.
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)


def home() -> Path:
    """The folder of all sessions: `$CAI_HOME/sessions`, else the checkout's, else the user's data folder."""
    chosen = os.environ.get("CAI_HOME")
    if chosen:
        return Path(chosen).expanduser() / "sessions"
    checkout = Path(__file__).resolve().parents[2]
    if _is_checkout(checkout):
        return checkout / "sessions"
    return platformdirs.user_data_path("cai-studio", appauthor=False) / "sessions"


def session_folder(home: Path, name: str) -> Path:
    """The folder of one session, which need not exist. Raises UserError for a name that won't do."""
    if not NAME.fullmatch(name) or name.endswith("."):
        raise UserError(
            f"“{name}” can't be the name of a session: use up to 64 letters (a-z), digits, - _ and dots, "
            "with a letter, a digit or _ first and no dot last."
        )
    if RESERVED.fullmatch(name):
        raise UserError(f"“{name}” can't be the name of a session: Windows keeps it for a device.")
    return home / name


def list_sessions(home: Path) -> list[str]:
    """The names of the sessions in `home`, in alphabetical order."""
    return sorted(file.parent.name for file in home.glob(f"*/{FILE}"))


def _is_checkout(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return bool(project["project"]["name"] == "cai-studio")
    except (OSError, ValueError, KeyError, TypeError):
        return False
