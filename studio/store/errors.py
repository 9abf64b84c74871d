"""What can be wrong with a session as a whole, each with what to do about it."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError


class SessionBusy(UserError):
    """Another process (or another part of this one) has the session open.

    `pid` is None where neither the lock file nor DuckDB could tell it.
    """

    def __init__(self, session: str, pid: int | None, holder: str) -> None:
        super().__init__(
            f"The session “{session}” is already open in {holder}. "
            "Use that one, or stop it first, or open a session of another name."
        )
        self.session = session
        self.pid = pid


class SessionReadOnly(UserError):
    """The session is the example: it is there to be looked at."""

    def __init__(self) -> None:
        super().__init__(
            "This is the example, which is read-only: "
            "open a session of your own under Sessions, and do it there."
        )


class SessionBroken(UserError):
    """The session's file can't be read. It is left as it was found.

    `backup` is the newest copy that the studio made by itself, if there is one.
    """

    def __init__(self, file: Path, what: str, backup: Path | None) -> None:
        log = (
            f"The log of its last rows is what is damaged. Move only {file.name}.wal out of the folder, and "
            "the session opens without them. "
            if "WAL file" in what and file.exists()
            else ""
        )
        help_ = log + (
            f"The newest backup is {backup}. To go back to it, move {file.name} and {file.name}.wal "
            f"(if there is one) out of the folder, then copy the backup there as {file.name}."
            if backup
            else f"There is no backup. Move {file.name} out of the folder to start an empty session."
        )
        super().__init__(f"Can't read {file}: {what}\nThe file was left as it is. {help_}")
        self.file = file
        self.backup = backup


class SessionUnwritable(UserError):
    """What was to be kept could not be: a full disk, mostly. What was kept before is there."""

    def __init__(self, folder: Path, what: str) -> None:
        why = what.splitlines()[-1].removeprefix("Original error: ").strip('"')
        full = "No space left" in what or "Could not write" in what
        room = f"free some room on the disk of {folder}, and " if full else ""
        super().__init__(
            f"The session can't be written now, and what was not said to be kept is not: {room}do it again. "
            f"({why})"
        )


class SessionNewer(UserError):
    """The session was last opened by a newer studio, whose tables this one doesn't know."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(
            f"{file} was written by a newer version of CAI Studio ({what}). "
            "Upgrade this one (pip install --upgrade cai-studio), or open another session."
        )


class MigrationFailed(UserError):
    """A session could not be brought up to date; it stays as it was before the failing change."""
