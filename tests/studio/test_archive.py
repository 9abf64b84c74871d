"""A session as one file: what comes out is what went in, and a hostile file does nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from pipeline.errors import UserError
from studio.context import Studio
from studio.store import archive, chains, settings, unpacking
from studio.store.archive import export_session
from studio.store.database import Store
from studio.store.sessions import list_sessions, session_folder
from studio.store.unpacking import import_session

NASTY = [
    "a\0b",
    "😀 \u202e",
    "half \ud83d",
    "'; DROP TABLE chains; --",
    "\r\n\u2028\t",
    "<script>",
    "",
    "null",
]


def test_what_a_killed_export_left_goes_with_the_next_and_a_running_one_s_stays(
    store: Store, tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, running, other = (
        tmp_path / name
        for name in (f".a.cai.zip.{gone.pid}.part", f".a.cai.zip.{os.getppid()}.part", ".a.cai.zip.x.part")
    )
    for file in (left, running, other):
        file.touch()
    export_session(store, tmp_path / "a.cai.zip")
    assert not left.exists()
    assert running.exists()
    assert other.exists()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The open session `alpha`, with constitutions, a chain and nasty texts in it."""
    studio = Studio.open(session_folder(home, "alpha"), "alpha")
    for text in NASTY:
        settings.put(studio.store, text, text)
    with studio.store.tx() as tx:
        tx.query(
            "INSERT INTO chains (id, prompt_id, messages, prompt_text, constitution, constitution_name, "
            "model, critic, seed, revisions, temperature, top_p, max_tokens, form, author) "
            "VALUES ('c1', 'p', '[]', ?, 'h', 'n', 'm', 'm', 7, 1, 0.1, 'nan', 9, '', 'me')",
            [NASTY[0]],
        )
    chains.add_event(studio.store, "c1", "finished")
    yield studio.store
    studio.close()


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    return export_session(store, tmp_path / "alpha.cai.zip")


def rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as text."""
    tables = [name for (name,) in store.query("SELECT table_name FROM duckdb_tables()")]
    tables.remove("migrations")
    return {name: store.query(f"SELECT COLUMNS(*)::VARCHAR FROM {name} ORDER BY ALL") for name in tables}  # noqa: S608


Files = dict[str, bytes]


def changed(exported: Path, change: Callable[[dict[str, Any], Files], None]) -> Path:
    """The archive after `change` had its manifest and files in hand; hashes and sizes are made to fit."""
    with zipfile.ZipFile(exported) as source:
        files = {name: source.read(name) for name in source.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(manifest, files)
    for member in manifest["members"]:
        if (body := files.get(member["name"])) is not None:
            member |= {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    with zipfile.ZipFile(exported, "w", zipfile.ZIP_DEFLATED) as out:
        for name, body in files.items():
            out.writestr(name, body)
        out.writestr("manifest.json", json.dumps(manifest))
    return exported


def refused(file: Path, home: Path, match: str, **more: Any) -> None:
    """The import fails in so many words, and leaves nothing at all."""
    before = sorted(path.name for path in home.iterdir())
    with pytest.raises(UserError, match=match):
        import_session(file, home, "beta", **more)
    assert sorted(path.name for path in home.iterdir()) == before


def add_file(name: str, body: bytes = b"x") -> Callable[[dict[str, Any], Files], None]:
    def change(manifest: dict[str, Any], files: Files) -> None:
        files[name] = body
        manifest["members"].append({"name": name, "bytes": 0, "sha256": ""})

    return change


def test_a_round_trip_keeps_every_row(store: Store, exported: Path, home: Path) -> None:
    copy = Store.open(import_session(exported, home, "beta"))
    assert rows(copy) == rows(store)
    assert len(rows(store)["settings"]) == len(NASTY)
    settings.put(copy, "next", "1")  # goes on counting after the rows that came
    seqs = [seq for (seq,) in copy.query("SELECT seq FROM settings ORDER BY seq")]
    assert seqs == list(range(1, len(NASTY) + 2))
    copy.close()


@given(text=st.text())
@rules(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_through_a_line(text: str) -> None:
    line = archive._line({"text": text, "number": float("inf")})
    assert line.count("\n") == 1
    assert json.loads(line) == {"text": text, "number": "inf"}


def test_the_runs_come_along_without_weights_logs_and_links(store: Store, tmp_path: Path, home: Path) -> None:
    run = store.folder / "runs" / "r1"
    for name in ("config.yaml", "outputs/chains.jsonl", "checkpoint/w.bin", "worker.log", ".config.1"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    (run / "outputs" / "link").symlink_to("/etc/passwd")
    export_session(store, tmp_path / "light.zip")
    export_session(store, tmp_path / "heavy.zip", checkpoints=True)
    light = import_session(tmp_path / "light.zip", home, "light") / "runs" / "r1"
    heavy = import_session(tmp_path / "heavy.zip", home, "heavy") / "runs" / "r1"
    found = {path.relative_to(light).as_posix() for path in light.rglob("*") if path.is_file()}
    assert found == {"config.yaml", "outputs/chains.jsonl"}
    assert (heavy / "checkpoint" / "w.bin").read_text() == "checkpoint/w.bin"


def test_a_run_that_ends_while_the_weights_are_packed_has_its_outputs_in_the_archive(
    store: Store, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store.folder / "runs" / "a", store.folder / "runs" / "b"
    for folder in (first / "checkpoint", first / "outputs", second / "outputs", second / "snapshots" / "1"):
        folder.mkdir(parents=True)
    (first / "checkpoint" / "w.bin").write_text("w")
    (first / "outputs" / "chains.jsonl").write_text("whole")
    (second / "outputs" / "pairs.jsonl.part").write_text("rows")
    (second / "snapshots" / "1" / "w.bin").write_text("w")
    add, packed = archive._add, []

    def meanwhile(zip: zipfile.ZipFile, name: str, chunks: Any) -> archive.Member:
        """The second run ends while the first file is packed; old snapshots go, and a new one comes."""
        if name == "runs/a/outputs/chains.jsonl":
            (second / "outputs" / "pairs.jsonl.part").rename(second / "outputs" / "pairs.jsonl")
            (second / "events.jsonl").write_text("ended")
            (second / "snapshots" / "1").rename(second / "snapshots" / "2")
        packed.append(name)
        return add(zip, name, chunks)

    monkeypatch.setattr(archive, "_add", meanwhile)
    with zipfile.ZipFile(export_session(store, tmp_path / "a.zip", checkpoints=True)) as made:
        assert made.read("runs/b/outputs/pairs.jsonl") == b"rows"
        assert made.read("runs/b/events.jsonl") == b"ended"
    # What is small first, as it is what changes. No new weights: a training makes them for ever.
    assert [name.removeprefix("runs/") for name in packed if name.startswith("runs/")] == [
        *("a/outputs/chains.jsonl", "a/checkpoint/w.bin", "b/events.jsonl", "b/outputs/pairs.jsonl")
    ]
    import_session(tmp_path / "a.zip", home, "copy")


def test_a_folder_that_a_link_leads_to_stays_where_it_is(store: Store, tmp_path: Path) -> None:
    run, outside = store.folder / "runs" / "r1", tmp_path / "outside"
    for folder in (run, outside):
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("a")
    (run / "inner").symlink_to(outside)
    (run.parent / "r2").symlink_to(outside)
    with zipfile.ZipFile(export_session(store, tmp_path / "a.zip")) as made:
        assert [name for name in made.namelist() if name.startswith("runs/")] == ["runs/r1/config.yaml"]


def test_what_is_no_run_s_stays_behind(store: Store, tmp_path: Path, home: Path) -> None:
    run = store.folder / "runs" / "r1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("a")
    (run.parent / "notes.txt").write_text("mine")
    copy = import_session(export_session(store, tmp_path / "a.zip"), home, "copy")
    assert [path.name for path in (copy / "runs").iterdir()] == ["r1"]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("Notes.txt", "notes.txt"), "notes.txt: its name differs from another's in capital letters only"),
        (("a:b",), "not every system takes that name"),
        (("1", "2", "3"), r"more than \d+ files"),
    ],
)
def test_what_could_not_be_imported_is_not_exported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], why: str
) -> None:
    [(tables,)] = store.query("SELECT count(*) FROM duckdb_tables()")
    monkeypatch.setattr(archive, "FILES", tables + 2)
    run = store.folder / "runs" / "r1"
    run.mkdir(parents=True)
    for name in names:
        (run / name).write_text("a")
    with pytest.raises(UserError, match=why):
        export_session(store, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*a.zip*"))


def test_a_row_too_long_to_be_imported_is_not_exported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LINE", 200)
    with pytest.raises(UserError, match="Can't export chains: a row of it takes more than"):
        export_session(store, tmp_path / "a.zip")


def test_without_a_limit_an_archive_may_take_what_the_disk_has(
    exported: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(exported, add_file("runs/r/zeros", bytes(5_000_000)))
    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "_room", lambda _: 1_000_000)
        refused(exported, home, "would take 5 MB; 1 fit")
    monkeypatch.setattr(unpacking, "_room", lambda _: 1 << 50)
    assert import_session(exported, home, "beta").is_dir()


def test_the_cards_of_trained_models_come_along_without_the_weights(
    store: Store, tmp_path: Path, home: Path
) -> None:
    run = store.folder / "runs" / "r1"
    for name in ("checkpoint", "snapshots/step-5", "checkpoints/step-20"):
        (run / name).mkdir(parents=True)
        (run / name / "checkpoint.json").write_text("{}")
        (run / name / "adapter_model.safetensors").write_text("weights")
    export_session(store, tmp_path / "light.zip")
    light = import_session(tmp_path / "light.zip", home, "light") / "runs" / "r1"
    found = {path.relative_to(light).as_posix() for path in light.rglob("*") if path.is_file()}
    assert found == {"checkpoint/checkpoint.json", "snapshots/step-5/checkpoint.json"}


def test_the_archive_says_nothing_of_where_it_was_made(exported: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported) as source:
        assert all(not name.startswith(("/", ".")) for name in source.namelist())
        assert str(tmp_path) not in source.read("manifest.json").decode()


def test_without_a_name_it_takes_its_own_and_a_taken_name_is_refused(exported: Path, tmp_path: Path) -> None:
    assert import_session(exported, tmp_path / "other").name == "alpha"
    with pytest.raises(UserError, match="“alpha” is taken"):
        import_session(exported, tmp_path / "other")
    with pytest.raises(UserError, match="can't be the name"):
        import_session(exported, tmp_path / "other", "../up")


@pytest.mark.parametrize(
    "name",
    ["../up", "/etc/x", "runs/../../x", "runs/r/..", "runs\\r\\x", "C:/x", "runs/r/.hidden", "runs/r/nul.txt",
     "other/x", "runs/r/a\nb", "runs//r/x", "tables/a/b.jsonl", "session.duckdb", "runs/r/x:y"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(exported: Path, home: Path, name: str) -> None:
    refused(changed(exported, add_file(name)), home, "refused|damaged")


def test_a_link_is_refused(exported: Path, home: Path) -> None:
    changed(exported, add_file("runs/r/plain"))
    info = zipfile.ZipInfo("runs/r/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(exported) as source:
        files = {name: source.read(name) for name in source.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    body = b"/etc/passwd"
    digest = hashlib.sha256(body).hexdigest()
    manifest["members"].append({"name": info.filename, "bytes": len(body), "sha256": digest})
    with zipfile.ZipFile(exported, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
        out.writestr(info, body)
        out.writestr("manifest.json", json.dumps(manifest))
    refused(exported, home, "is a link")


def test_more_than_the_limit_is_refused_before_it_is_unpacked(exported: Path, home: Path) -> None:
    changed(exported, add_file("runs/r/zeros", bytes(5_000_000)))
    assert exported.stat().st_size < 100_000
    refused(exported, home, "would take", limit=1_000_000)


def test_a_size_that_is_a_lie_is_refused(exported: Path, home: Path) -> None:
    """A bomb that says it is small: in the zip's own directory and in the manifest."""
    changed(exported, add_file("runs/r/zeros", bytes(5_000_000)))
    data = exported.read_bytes()
    data = data.replace((5_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    exported.write_bytes(data)
    refused(exported, home, "damaged", limit=1_000_000)


def test_another_hash_is_refused(exported: Path, home: Path) -> None:
    with zipfile.ZipFile(exported) as source:
        files = {name: source.read(name) for name in source.namelist()}
    files["tables/settings.jsonl"] = files["tables/settings.jsonl"].replace(b"DROP", b"DRAP")
    with zipfile.ZipFile(exported, "w") as out:
        for name, body in files.items():
            out.writestr(name, body)
    refused(exported, home, "is not what was exported")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_torn_file_is_refused(exported: Path, home: Path, share: float) -> None:
    data = exported.read_bytes()
    exported.write_bytes(data[: int(len(data) * share)])
    refused(exported, home, "damaged")


@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
@rules(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_turned_byte_is_refused_or_harmless(exported: Path, home: Path, at: float, byte: int) -> None:
    data = bytearray(exported.read_bytes())
    data[int(at * len(data))] ^= byte
    bent = exported.with_name("bent.zip")
    bent.write_bytes(bytes(data))
    name = f"bent{len(list_sessions(home))}"
    try:
        import_session(bent, home, name)
    except UserError:
        assert name not in [path.name for path in home.iterdir()]
    assert not list(home.glob(".import*"))


def newer_form(manifest: dict[str, Any], files: Files) -> None:
    manifest["version"] = 2
    manifest["what"] = "nobody knows yet"


def newer_tables(manifest: dict[str, Any], files: Files) -> None:
    manifest["migrations"].append({"number": 999, "name": "later", "sha256": "0"})


def other_tables(manifest: dict[str, Any], files: Files) -> None:
    manifest["migrations"][0]["sha256"] = "0"


def no_tables(manifest: dict[str, Any], files: Files) -> None:
    manifest["migrations"] = []


def something_else(manifest: dict[str, Any], files: Files) -> None:
    manifest["format"] = "cats"


def hostile_name(manifest: dict[str, Any], files: Files) -> None:
    manifest["session"] = 5


def lost_row(manifest: dict[str, Any], files: Files) -> None:
    files["tables/settings.jsonl"] = files["tables/settings.jsonl"].split(b"\n", 1)[1]


def bad_row(manifest: dict[str, Any], files: Files) -> None:
    files["tables/settings.jsonl"] = b'{"seq": 1}\n'


def bad_kind(manifest: dict[str, Any], files: Files) -> None:
    files["tables/chain_events.jsonl"] = files["tables/chain_events.jsonl"].replace(b"finished", b"flying")


def wrong_types(manifest: dict[str, Any], files: Files) -> None:
    row = {"seq": 10**30, "key": {"a": [1]}, "value": [], "time": True}
    files["tables/settings.jsonl"] = json.dumps(row).encode() + b"\n"
    for member in manifest["members"]:
        member["rows"] = 1 if "settings" in member["name"] else member["rows"]


def deep(manifest: dict[str, Any], files: Files) -> None:
    files["tables/settings.jsonl"] = b"[" * 100_000


def strange_table(manifest: dict[str, Any], files: Files) -> None:
    add_file("tables/cats.jsonl", b"")(manifest, files)


def unlisted(manifest: dict[str, Any], files: Files) -> None:
    files["runs/r/more"] = b"x"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (newer_form, "newer version of CAI Studio .*form 2"),
        (newer_tables, "newer version of CAI Studio .*change 999"),
        (other_tables, "change 001 differs"),
        (no_tables, "damaged"),
        (something_else, "of something else"),
        (hostile_name, "damaged"),
        (lost_row, "rows, not"),
        (bad_row, "line 1 is no row"),
        (bad_kind, "damaged"),
        (wrong_types, "damaged"),
        (deep, "damaged"),
        (strange_table, "tables differ in 'cats'"),
        (unlisted, "differ in 'runs/r/more'"),
    ],
)
def test_what_does_not_fit_is_refused(
    exported: Path, home: Path, change: Callable[[dict[str, Any], Files], None], match: str
) -> None:
    refused(changed(exported, change), home, match)


def test_a_line_without_end_is_refused(exported: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "LINE", 20)
    refused(exported, home, "line 1 is too long")


def test_what_is_no_archive_is_refused(tmp_path: Path, home: Path, store: Store) -> None:
    (tmp_path / "x.zip").write_bytes(b"cats")
    refused(tmp_path / "x.zip", home, "damaged, or no archive")
    refused(tmp_path / "missing.zip", home, "No such file")
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    (tmp_path / "y.zip").write_bytes(empty.getvalue())
    refused(tmp_path / "y.zip", home, r"no manifest\.json")


def test_an_import_sweeps_what_a_killed_one_left(exported: Path, home: Path) -> None:
    (home / ".import-999999999-ab").mkdir()
    (home / f".import-{'9' * 30}-ab").mkdir()
    (home / f".import-{os.getpid()}-ab").mkdir()  # of another thread, at work
    import_session(exported, home, "beta")
    assert [path.name for path in home.glob(".import*")] == [f".import-{os.getpid()}-ab"]
    assert unpacking.ASIDE == ".import-"
