"""Make a session from a `.cai.zip`. The file may come from anybody: nothing in it is believed.

First the names and sizes, then each file is unpacked while it is counted and hashed, then the rows go
into tables that this studio's own migrations make. All of it happens in a folder aside, which gets the
session's name at the end: a kill or a refusal leaves no half session.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import psutil
from pydantic import TypeAdapter, ValidationError

from pipeline import bounded
from pipeline.errors import UserError
from studio.store import foreign_rows, migrate
from studio.store.archive import (
    CHUNK,
    FILES,
    FORMAT,
    LINE,
    MANIFEST,
    MANIFEST_LIMIT,
    PIDS,
    VERSION,
    Manifest,
    Member,
    columns_of,
    safe_part,
)
from studio.store.backups import sync
from studio.store.opening import CONFIG
from studio.store.sessions import free, make_way

ASIDE = ".import-"
BATCH = 5000  # rows


def import_session(archive: Path, home: Path, name: str | None = None, limit: int | None = None) -> Path:
    """Make a new session of an archive; returns its folder.

    `name` is the archive's own where None; `limit` is on the bytes once unpacked, besides what the disk has
    room for. Raises UserError for an archive that is damaged, hostile or from a newer studio, and for a name
    that is taken.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            manifest = _read_manifest(source)
            goal = free(home, name or manifest.session)
            room = _room(home)
            _require_sound(source, manifest, room if limit is None else min(limit, room))
            home.mkdir(parents=True, exist_ok=True)
            _sweep(home)
            aside = home / f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}"
            aside.mkdir()
            try:
                _build(source, manifest, aside)
                make_way(free(home, goal.name))
                os.rename(aside, goal)
                sync(home)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{archive.name} is damaged, or no archive of a session: {error}") from error
    except OSError as error:
        raise UserError(f"Can't import {archive.name}: {error.strerror or error}") from error
    return goal


def _read_manifest(source: zipfile.ZipFile) -> Manifest:
    try:
        info = source.getinfo(MANIFEST)
    except KeyError:
        raise UserError("This zip is no archive of a session: it has no manifest.json.") from None
    with source.open(info) as file:
        text = file.read(MANIFEST_LIMIT + 1)
    if len(text) > MANIFEST_LIMIT:
        raise UserError("This archive is damaged: its manifest is too large.")
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise UserError("This zip is no archive of a session: its manifest is of something else.")
        if isinstance(data.get("version"), int) and data["version"] > VERSION:
            raise UserError(_newer(f"form {data['version']} of the archive"))
        return TypeAdapter(Manifest).validate_python(data)
    except (ValueError, RecursionError, ValidationError) as error:
        raise UserError(f"This archive is damaged: its manifest can't be read ({_first(error)}).") from error


def _require_sound(source: zipfile.ZipFile, manifest: Manifest, limit: int) -> None:
    """Before anything is unpacked: the names, the kinds and the sizes that are said."""
    infos = source.infolist()
    if len(infos) > FILES:
        raise UserError(f"This archive holds {len(infos):,} files; more than {FILES:,} are not taken.")
    said = {member.name: member for member in manifest.members}
    found = {info.filename for info in infos}
    if len(found) != len(infos) or len(said) != len(manifest.members):
        raise UserError("This archive is damaged: a name occurs twice in it.")
    if strange := found ^ {MANIFEST, *said}:
        raise UserError(f"This archive is damaged: its manifest and its files differ in {_show(strange)}.")
    if len({name.lower() for name in found}) != len(found):
        raise UserError("This archive is refused: some names differ in capital letters only.")
    for info in infos:
        _require_plain(info)
        if info.filename in said and info.file_size != said[info.filename].bytes:
            raise UserError(f"This archive is damaged: {_show([info.filename])} is not as large as it says.")
    total = sum(info.file_size for info in infos)
    if total > limit:
        raise UserError(f"Unpacked, this archive would take {total / 1e6:,.0f} MB; {limit / 1e6:,.0f} fit.")
    _known(manifest)


def _require_plain(info: zipfile.ZipInfo) -> None:
    name = info.filename
    path = PurePosixPath(name)
    table = len(path.parts) == 2 and path.parts[0] == "tables" and path.suffix == ".jsonl"
    run = len(path.parts) >= 3 and path.parts[0] == "runs"
    if (
        not (name == MANIFEST or table or run)
        or path.as_posix() != name
        or not all(map(safe_part, path.parts))
    ):
        raise UserError(f"This archive is refused: {_show([name])} is no name of a session's file.")
    if not stat.S_ISREG(info.external_attr >> 16) and stat.S_IFMT(info.external_attr >> 16):
        raise UserError(f"This archive is refused: {_show([name])} is a link or no plain file.")
    if info.flag_bits & 1:
        raise UserError("This archive is refused: it is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"This archive is refused: {_show([name])} is compressed in an unusual way.")


def _known(manifest: Manifest) -> list[migrate.Migration]:
    """The migrations that make the archive's tables. Raises UserError for one that is not ours."""
    shipped = {migration.number: migration for migration in migrate.shipped()}
    for applied in manifest.migrations:
        mine = shipped.get(applied.number)
        if mine is None:
            raise UserError(_newer(f"its tables have change {applied.number:03}"))
        if mine.sha256 != applied.sha256:
            raise UserError(
                f"This archive's tables are not this studio's: change {applied.number:03} differs."
            )
    numbers = [applied.number for applied in manifest.migrations]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        raise UserError("This archive is damaged: its list of migrations has gaps.")
    return [shipped[number] for number in numbers]


def _build(source: zipfile.ZipFile, manifest: Manifest, aside: Path) -> None:
    """The session's folder, whole: the runs at their place, the rows in the tables."""
    for member in manifest.members:
        _unpack(source, member, aside / member.name)
    con = duckdb.connect(str(aside / migrate.FILE), config=CONFIG)
    try:
        migrate.apply(con, _known(manifest), None)
        con.execute("BEGIN")
        tables = columns_of(con)
        said = {PurePosixPath(m.name).stem: m for m in manifest.members if m.name.startswith("tables/")}
        if tables.keys() != said.keys():
            raise UserError(
                f"This archive is damaged: tables differ in {_show(tables.keys() ^ said.keys())}."
            )
        for table, columns in tables.items():
            _load(con, table, columns, aside / said[table].name, said[table].rows)
        _move_sequences(con)
        if "runs" in tables:
            foreign_rows.settle(con)
        con.execute("COMMIT")
        con.execute("CHECKPOINT")
    except (duckdb.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"This archive is damaged: {_first(error)}") from error
    finally:
        con.close()
    shutil.rmtree(aside / "tables")
    sync(aside / migrate.FILE)
    sync(aside)


def _unpack(source: zipfile.ZipFile, member: Member, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open(member.name) as file, goal.open("xb") as out:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > member.bytes:  # what was said of its size is not so
                raise UserError(f"This archive is damaged: {_show([member.name])} is larger than it says.")
            digest.update(chunk)
            out.write(chunk)
    if size != member.bytes or digest.hexdigest() != member.sha256:
        raise UserError(f"This archive is damaged: {_show([member.name])} is not what was exported.")


def _load(con: Any, table: str, columns: dict[str, str], file: Path, said: int | None) -> None:
    count = 0
    with con.appender(table) as rows:
        for lines, batch in _batches(file, table, list(columns)):
            rows.append_rows(batch)
            count += lines
    if count != said:
        raise UserError(f"This archive is damaged: {table} has {count:,} rows, not {said}.")


def _batches(file: Path, table: str, columns: list[str]) -> Iterator[tuple[int, list[list[Any]]]]:
    """How many lines, and the rows of them that are taken over."""
    batch: list[list[Any]] = []
    size = count = 0
    with file.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(LINE + 1), b""), 1):
            if len(line) > LINE:
                raise UserError(f"This archive is refused: {file.name} line {number} is too long.")
            row = json.loads(line)
            if not isinstance(row, dict) or list(row) != columns:
                raise UserError(f"This archive is damaged: {file.name} line {number} is no row of it.")
            try:
                if foreign_rows.wanted(table, row):
                    batch.append([row[column] for column in columns])
            except UserError as error:
                raise UserError(f"This archive is refused: {file.name} line {number}: {error}.") from error
            size += len(line)
            count += 1
            if count == BATCH or size > LINE:
                yield count, batch
                batch, size, count = [], 0, 0
    yield count, batch


def _move_sequences(con: Any) -> None:
    """New rows come after the ones that were read."""
    used = con.execute(
        "SELECT table_name, column_name, regexp_extract(column_default, '^nextval\\(''(.+)''\\)$', 1) "
        "FROM duckdb_columns() WHERE NOT internal AND starts_with(column_default, 'nextval')"
    ).fetchall()
    for table, column, sequence in used:
        ((last, alike),) = con.execute(
            f'SELECT max("{column}"), count(*) <> count(DISTINCT "{column}") FROM "{table}"'  # noqa: S608 - ours
        ).fetchall()
        if alike:  # of two rows of a number nobody could say which is the newer one
            raise UserError(f"This archive is damaged: {table}: a number occurs twice.")
        if last is not None and last > 0:
            con.execute("SELECT setval(?, ?)", [sequence, last]).fetchall()


def _sweep(home: Path) -> None:
    """Remove what killed imports left."""
    for folder in home.glob(f"{ASIDE}*"):
        pid = bounded.number(folder.name.removeprefix(ASIDE).partition("-")[0], PIDS)
        if not (pid and psutil.pid_exists(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _room(home: Path) -> int:
    """Bytes that may be unpacked: the rows stand twice on the disk for a while."""
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    return shutil.disk_usage(there).free // 2


def _newer(what: str) -> str:
    return (
        f"This archive was made by a newer version of CAI Studio ({what}). "
        "Upgrade this one (pip install --upgrade cai-studio)."
    )


def _first(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]


def _show(names: Any) -> str:
    """Some names, safe to print."""
    some = sorted(map(str, names))
    return ", ".join(repr(name[:80]) for name in some[:3]) + (
        f" and {len(some) - 3} more" if some[3:] else ""
    )
