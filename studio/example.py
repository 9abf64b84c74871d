"""The example: a session that comes with the studio and is only looked at.

`sessions/example` has the archive of a recorded tour, and a card that says how it was made. It is unpacked
beside the other sessions and marked there: so it opens like any other, and what would write is refused where
all writes go, in the store. In a checkout its folder is the one that has the archive and the card.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from pipeline.errors import UserError
from studio.store.backups import held
from studio.store.database import READ_ONLY
from studio.store.migrate import FILE
from studio.store.unpacking import ASIDE, import_session

NAME = "example"
ARCHIVE, CARD = "example.cai.zip", "README.md"
# In a wheel (see pyproject.toml), and in a checkout.
HERE = (Path(__file__).parent / "recorded", Path(__file__).parents[1] / "sessions" / NAME)
"""Where the archive and its card may lie."""


def unpack(home: Path) -> Path:
    """Have the example among the sessions in `home`; returns its folder.

    It is unpacked anew where the studio came with another one since. Raises UserError, also where somebody
    has made a session of that name themselves, and SessionBusy where the old one is open.
    """
    folder = home / NAME
    mark, archive = folder / READ_ONLY, _recorded(ARCHIVE)
    if own(folder):
        raise UserError(
            f"“{NAME}” is a session of your own: rename it under Sessions, then open the example."
        )
    if archive is None:
        raise UserError(
            "This copy of CAI Studio came without the example: install it anew, or take the tour."
        )
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if (folder / FILE).exists() and mark.read_text("utf-8") == digest:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder), tempfile.TemporaryDirectory(prefix=f"{ASIDE}{os.getpid()}-", dir=home) as aside:
            made = import_session(archive, Path(aside), NAME)
            mark.write_text("", "utf-8")  # not whole: a kill from here on, and the next one begins anew
            for old in (FILE, f"{FILE}.wal", "runs", "backups"):
                _remove(folder / old)
            for new in sorted(made.iterdir(), key=lambda path: path.name == FILE):
                os.replace(new, folder / new.name)
            mark.write_text(digest, "utf-8")
    except OSError as error:
        raise UserError(f"Can't unpack the example in {folder}: {error.strerror or error}") from error
    return folder


def own(folder: Path) -> bool:
    """Whether the session in the example's folder is somebody's own, and so not read-only."""
    return (folder / FILE).exists() and not (folder / READ_ONLY).exists()


def card() -> str:
    """How the example was made, as Markdown; empty where that is not known."""
    path = _recorded(CARD)
    return path.read_text("utf-8") if path else ""


def _recorded(name: str) -> Path | None:
    return next((folder / name for folder in HERE if (folder / name).is_file()), None)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
