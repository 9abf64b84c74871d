"""`cai-studio sessions`: what the page Sessions does, without the page. Imports no Gradio."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pipeline import constitution
from pipeline.export_files import require_free
from pipeline.row_problems import first
from pipeline.terminal import shown
from studio.jobs import human
from studio.jobs.importing import import_run
from studio.progress import plural
from studio.store import archive, backups, constitutions, sessions, unpacking
from studio.store.database import Store


def parser() -> argparse.ArgumentParser:
    """The subcommands, with their help."""
    options = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="cai-studio sessions",
        description="Make, keep and hand on sessions. Nothing here works on one that a studio has open.",
    )
    actions = options.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(action: str, help_: str) -> argparse.ArgumentParser:
        return actions.add_parser(action, help=help_, description=help_, allow_abbrev=False)

    add("list", "all sessions: size, last use, and who has it open")
    add("create", "make an empty session").add_argument("name")
    rename = add("rename", "give a session another name")
    rename.add_argument("old")
    rename.add_argument("new")
    backup = add("backup", "copy a session into its own backups folder; the newest ten are kept")
    backup.add_argument("name")
    backup.add_argument("--list", action="store_true", help="show the copies there are instead")
    restore = add("restore", "put a backup in the session's place; what it replaces is kept beside it")
    restore.add_argument("name")
    restore.add_argument("backup", nargs="?", help="the file's name, as `backup NAME --list` shows it; "
                         "by default the newest")  # fmt: skip
    export = add("export", "write a session to one file to hand on")
    export.add_argument("name")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="by default NAME.cai.zip")
    export.add_argument("--force", action="store_true", help="replace FILE where it is there")
    export.add_argument("--checkpoints", action="store_true", help="with the weights of trained models")
    take = add("import", "make a new session of an exported file")
    take.add_argument("file", type=Path)
    take.add_argument("--name", help="by default the name it had")
    bring = add("import-run", "copy a headless run into a session, once however often it is tried")
    bring.add_argument("name")
    bring.add_argument("folder", type=Path, help="what `--run` named")
    judged = add("import-judgments", "take judgments of the session's pairs from a human.jsonl")
    judged.add_argument("name")
    judged.add_argument("file", type=Path, help="as the Agreement page exports it: each row says whose it "
                        "is, a person's, a data set's or a model's")  # fmt: skip
    return options


def run(argv: list[str]) -> int:
    """Do one action; returns the exit status. Raises UserError."""
    options = parser().parse_args(argv)
    home = sessions.home()
    match options.action:
        case "list":
            _list(home)
        case "create":
            _say(f"Created {sessions.create_session(home, options.name)}")
        case "rename":
            _say(f"Renamed to {sessions.rename_session(home, options.old, options.new)}")
        case "backup" if options.list:
            _list_backups(sessions.existing(home, options.name))
        case "backup":
            with _opened(home, options.name) as store:
                _say(f"Wrote {backups.back_up(store)}")
        case "restore":
            _restore(sessions.session_folder(home, options.name), options.backup)
        case "export":
            out = options.output or Path(f"{options.name}{archive.SUFFIX}")
            require_free(out, options.force)
            with _opened(home, options.name) as store:
                _say(f"Wrote {archive.export_session(store, out, options.checkpoints)}")
        case "import":
            _say(f"Made {unpacking.import_session(options.file, home, options.name)}")
        case "import-run":
            with _opened(home, options.name) as store:
                # First, as when a studio opens it: or what the run was drawn under would be in force.
                constitutions.seed_shipped(store, map(constitution.load, constitution.shipped().values()))
                _say(import_run(store, options.folder).told)
        case "import-judgments":
            with _opened(home, options.name) as store:
                _import_judgments(store, options.file)
    return 0


def _import_judgments(store: Store, file: Path) -> None:
    brought = human.import_judgments(store, file)
    for problem in first(brought.problems):
        _say(problem)
    _say(f"{plural(brought.judgments, 'judgment')} in {file}, {brought.new:,} of them new here.")


def _list(home: Path) -> None:
    names = sessions.list_sessions(home)
    if not names:
        _say(f"No sessions in {home} yet; cai-studio makes one.")
    for name in names:
        info = sessions.describe(home, name)
        by = f"open in process {info.pid}" if info.pid else ""
        _say(f"{name:<24} {backups.size_text(info.size):>10}  {_when(info.used)}  {by}".rstrip())


def _list_backups(folder: Path) -> None:
    copies = backups.list_backups(folder)
    if not copies:
        _say("No backups yet.")
    for copy in copies:
        _say(f"{copy.file.name:<58} {backups.size_text(copy.size):>10}  {_when(copy.made)}  {copy.why}")


def _restore(folder: Path, name: str | None) -> None:
    backup = backups.find_backup(folder, name)
    aside = backups.restore_backup(folder, backup)
    _say(f"Restored {backup.name}; what it replaced is {aside}")


@contextmanager
def _opened(home: Path, name: str) -> Iterator[Store]:
    store = Store.open(sessions.existing(home, name))
    try:
        yield store
    finally:
        store.close()


def _when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _say(text: str) -> None:
    sys.stdout.write(shown(text) + "\n")
