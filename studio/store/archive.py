"""A session as one file to hand on: `NAME.cai.zip`. This module writes it; `unpacking` reads it.

    manifest.json          what this is, the migrations its tables had, rows, sizes and hashes
    tables/<table>.jsonl   a row a line; what JSON has no type for is DuckDB's text of it
    runs/<id>/...          the runs, without weights unless asked for, and without logs

Member names are relative, and neither the manifest nor a name says where the session lay. Logs stay
behind: they tell about the machine. What people and models wrote is in there as it is.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import duckdb
import psutil

from pipeline import bounded
from pipeline.bases import CARD
from pipeline.errors import UserError
from studio.store.backups import snapshot, sync
from studio.store.database import Store
from studio.store.sessions import RESERVED, plain_files

FORMAT = "cai-session"
VERSION = 1
MANIFEST = "manifest.json"
SUFFIX = ".cai.zip"
LEDGER = "migrations"  # in the manifest; the table itself is made anew by the import
WEIGHTS = ("checkpoint", "checkpoints", "snapshots")
"""The folders of a run that hold models: of these only the cards are small, and go along in any case."""
LOGS = frozenset({".log", ".lock", ".pid"})
CHUNK = 1 << 20
# What an import takes, and so what an export writes; there is no such limit on the whole.
FILES = 100_000
MANIFEST_LIMIT = 64 << 20  # bytes
LINE = 64 << 20  # bytes of a row
ROWS = 2000  # fetched at a time
PIDS = 2**31 - 1  # what a system takes for one
# JSON has these; of any other type the text goes in, which DuckDB reads back to the same value.
PLAIN = frozenset({"VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT"})


@dataclass(frozen=True)
class Applied:
    """A migration that the tables went through."""

    number: int
    name: str
    sha256: str


@dataclass(frozen=True)
class Member:
    """One file of the archive. `rows` only for a table."""

    name: str
    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself. `members` are all its files but this one."""

    session: str
    made: str
    studio: str
    migrations: tuple[Applied, ...]
    members: tuple[Member, ...]
    format: str = FORMAT
    version: int = VERSION


def export_session(store: Store, out: Path, checkpoints: bool = False) -> Path:
    """Write an open session to the zip file `out`, as it is at one moment; an older file is replaced.

    The zip gets its name when it is whole and on the disk. Raises UserError.
    """
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    copy = snapshot(store)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear(out)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            manifest = _fill(archive, copy, store.folder, checkpoints)
            text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False).encode()
            if len(text) > MANIFEST_LIMIT:
                raise UserError("Can't export this session: the list of its files is too long.")
            archive.writestr(MANIFEST, text)
        sync(part)
        os.replace(part, out)
        sync(out.parent)
    except OSError as error:
        raise UserError(f"Can't write {out}: {error.strerror or error}") from error
    finally:
        copy.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return out


def _clear(out: Path) -> None:
    """Remove what killed exports to this file have left."""
    for part in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        pid = bounded.number(part.name.split(".")[-2], PIDS)
        if pid and not psutil.pid_exists(pid):
            part.unlink(missing_ok=True)


def _fill(archive: zipfile.ZipFile, copy: Path, folder: Path, checkpoints: bool) -> Manifest:
    with duckdb.connect(str(copy), read_only=True) as con:
        applied = con.execute("SELECT number, name, sha256 FROM migrations ORDER BY number").fetchall()
        every = columns_of(con)
        _require_importable([name for name, _ in _run_files(folder, checkpoints)], len(every) + 1)
        tables = [_add_table(archive, con, table, columns) for table, columns in every.items()]
    # After the rows: a run that goes on has in its files at least what the rows say of it.
    files = _add_files(archive, folder, checkpoints)
    _require_importable(list(files), len(every) + 1)
    return Manifest(
        session=folder.name,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        studio=_studio_version(),
        migrations=tuple(Applied(*row) for row in applied),
        members=(*tables, *files.values()),
    )


def columns_of(con: Any) -> dict[str, dict[str, str]]:
    """The session's tables in alphabetical order: column name → type."""
    rows = con.execute(
        "SELECT c.table_name, c.column_name, c.data_type FROM duckdb_columns() c "
        "JOIN duckdb_tables() t USING (database_name, schema_name, table_oid) "
        "WHERE NOT c.internal AND c.table_name <> ? ORDER BY c.table_name, c.column_index",
        [LEDGER],
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    return tables


def _add_table(archive: zipfile.ZipFile, con: Any, table: str, columns: dict[str, str]) -> Member:
    wanted = ", ".join(
        f'"{name}"' if kind in PLAIN else f'CAST("{name}" AS VARCHAR)' for name, kind in columns.items()
    )
    order = "ORDER BY seq" if "seq" in columns else ""
    con.execute(f'SELECT {wanted} FROM "{table}" {order}')  # noqa: S608 - names of our own tables
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        while rows := con.fetchmany(ROWS):
            count += len(rows)
            some = [_line(dict(zip(columns, row, strict=True))).encode() for row in rows]
            if max(map(len, some)) > LINE:
                raise UserError(f"Can't export {table}: a row of it takes more than {LINE >> 20} MB.")
            yield b"".join(some)

    member = _add(archive, f"tables/{table}.jsonl", lines())
    return Member(member.name, member.bytes, member.sha256, count)


def _line(row: dict[str, Any]) -> str:
    # JSON has no NaN: as text, which DuckDB takes for the number that it is.
    plain = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"


def _add(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes]) -> Member:
    digest, size = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as out:
        for chunk in chunks:
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return Member(name, size, digest.hexdigest())


def _add_files(archive: zipfile.ZipFile, folder: Path, checkpoints: bool) -> dict[str, Member]:
    """Pack the files of runs, by their names; also those of a run that ends meanwhile, under their last ones.

    Weights come once, and last: they take long, and a training makes new ones as long as it goes on.
    """
    packed: dict[str, Member] = {}
    while True:
        before = len(packed)
        for name, file in _run_files(folder, checkpoints and not packed):
            # One that goes meanwhile has got another name, and is found under that.
            with suppress(FileNotFoundError):
                if name not in packed:
                    with file.open("rb") as source:
                        packed[name] = _add(archive, name, iter(lambda: source.read(CHUNK), b""))
        if len(packed) == before:
            return packed


def _run_files(folder: Path, checkpoints: bool) -> list[tuple[str, Path]]:
    """The files of the runs that go into the archive, with their names in it: weights last."""
    found = []
    for path, _ in plain_files(folder / "runs"):
        file = Path(path)
        inside = file.relative_to(folder)
        if len(inside.parts) < 3:  # beside the runs, and of none
            continue
        card = file.name == CARD and WEIGHTS[1] not in inside.parts
        weights = not card and any(part in WEIGHTS for part in inside.parts[:-1])
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and file.suffix not in LOGS and (checkpoints or not weights):
            found.append((weights, inside.as_posix(), file))
    return [(name, file) for _, name, file in sorted(found)]


def _require_importable(names: Sequence[str], besides: int) -> None:
    """Raise UserError for files of runs that an import would refuse, with so many files of other kinds."""
    seen: set[str] = set()
    for name in names:
        if not all(map(safe_part, name.split("/"))):
            raise UserError(f"Can't export {name}: not every system takes that name; rename it.")
        if name.lower() in seen:
            raise UserError(
                f"Can't export {name}: its name differs from another's in capital letters only; rename it."
            )
        seen.add(name.lower())
    if len(seen) + besides > FILES:
        raise UserError(f"Can't export more than {FILES:,} files; this session's runs have {len(seen):,}.")


def safe_part(part: str) -> bool:
    """Whether a part of a path means the same on every system, and nothing but itself."""
    bad = not part or any(sign in part for sign in '\\/:*?"<>|') or not part.isprintable()
    return not (bad or part.startswith(".") or part.endswith((".", " ")) or RESERVED.fullmatch(part))


def _studio_version() -> str:
    try:
        return version("cai-studio")
    except PackageNotFoundError:
        return "unknown"
