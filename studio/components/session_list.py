"""The sessions as a table: which is open, how large, when last used, what they hold."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from studio.context import Studio
from studio.escaping import escape
from studio.progress import progress
from studio.store import sessions
from studio.store.backups import size_text
from studio.store.database import READ_ONLY
from studio.store.sessions import SessionInfo
from studio.summary import counts, read_summary

UNCOUNTED = '<span class="cai-muted">not counted yet</span>'
HEAD = "<tr><th>Session</th><th>Holds</th><th>Size</th><th>Last change</th></tr>"


def session_list(studio: Studio, chosen: str) -> str:
    """The table as HTML, the chosen session marked."""
    home = studio.folder.parent
    rows = "".join(_row(studio, home, name, chosen) for name in sessions.list_sessions(home))
    table = f"<thead>{HEAD}</thead><tbody>{rows}</tbody>"
    return f'<table class="cai-sessions" aria-label="Sessions">{table}</table>'


def heading(studio: Studio, chosen: str) -> str:
    """The name of the chosen session, and its state in words."""
    info = sessions.describe(studio.folder.parent, chosen)
    return f'<h2 class="cai-title cai-session-name">{escape(chosen)} {_state(studio, info)}</h2>'


def _row(studio: Studio, home: Path, name: str, chosen: str) -> str:
    info = sessions.describe(home, name)
    here = ' aria-current="true"' if name == chosen else ""
    held = counts(progress(studio.store)) if name == studio.session else read_summary(home / name)
    return (
        f'<tr{here}><th scope="row"><a href="sessions?name={quote(name)}">{escape(name)}</a> '
        f"{_state(studio, info)}</th><td>{escape(held) or UNCOUNTED}</td>"
        f'<td class="cai-figure">{size_text(info.size)}</td>'
        f'<td class="cai-figure">{info.used.astimezone():%Y-%m-%d %H:%M}</td></tr>'
    )


def _state(studio: Studio, info: SessionInfo) -> str:
    marks = ["read-only"] if (studio.folder.parent / info.name / READ_ONLY).exists() else []
    if info.name == studio.session:
        marks.append("open here")
    elif info.pid:
        marks.append(f"open in process {info.pid}")
    return " ".join(f'<span class="cai-status">{mark}</span>' for mark in marks)
