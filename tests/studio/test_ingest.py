"""What a run writes comes into the store exactly once, however it is cut, read and interrupted."""

from __future__ import annotations

import itertools
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.configs import Drawing
from pipeline.records import Chain, Message, Step, as_json
from studio.jobs import ingest as ingesting
from studio.jobs.ingest import EVENTS, ingest, outputs, whole_lines
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import NewRun

CHAINS = outputs("critique")
NUMBERS = itertools.count()


def a_run() -> NewRun:
    return NewRun(
        id=f"run-{next(NUMBERS):06}",
        stage="critique",
        name="a",
        config=as_json(Drawing(revisions=0)),
        constitution="c1",
        constitution_name="test",
        total=9,
        author="ann",
    )


def event(seq: int) -> bytes:
    row = {
        "v": 1,
        "attempt": 1,
        "seq": seq,
        "time": "2026-01-01T00:00:00+00:00",
        "kind": "progress",
        "done": seq,
    }
    return json.dumps(row).encode() + b"\n"


def chain(id: str, text: str = "é\u2028\n") -> bytes:
    steps = (
        Step("response", text),
        Step("critique", "bad", principle="p"),
        Step("revision", "good", principle="p"),
    )
    made = Chain(id, "p1", (Message("user", "Hi"),), "c1", "m", "m", 0, steps)
    return json.dumps(as_json(made), ensure_ascii=False).encode() + b"\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = Store.open(tmp_path_factory.mktemp("session"))
    yield opened
    opened.close()


class Died(BaseException):
    """The studio, at the worst moment."""


def dying(store: Store, moment: int) -> Any:
    """A store whose process dies in the middle of a transaction, or right after its commit."""

    class Mortal:
        query = staticmethod(store.query)

        def tx(self) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def begun() -> Any:
                with store.tx() as tx:
                    yield tx
                    if moment == 0:
                        raise Died
                if moment == 1:
                    raise Died

            return begun()

    return Mortal()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), count=st.integers(1, 6))
def test_any_split_of_the_bytes_any_death_and_any_repeat_gives_each_row_once(
    store: Store, data: st.DataObject, count: int
) -> None:
    run = a_run()
    events = b"".join(event(seq) for seq in range(1, count + 1))
    written = b"".join(chain(f"{run.id}-{i}") for i in range(count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "outputs").mkdir()
        for file, whole in ((EVENTS, events), (CHAINS[0], written)):
            path = folder / file
            # As shares of the whole: its length is not the same each time, as times and ids are in it.
            cuts = sorted(
                {int(share * len(whole)) for share in data.draw(st.lists(st.floats(0, 1), max_size=8))}
            )
            for begin, end in pairwise([0, *cuts, len(whole)]):
                with path.open("ab") as out:
                    out.write(whole[begin:end])
                moment = data.draw(st.integers(0, 3))
                try:
                    ingest(dying(store, moment), run, folder)
                except Died:
                    continue
                if data.draw(st.booleans()):
                    assert not ingest(store, run, folder)  # nothing is new
        ingest(store, run, folder)
        if data.draw(st.booleans()):
            ingesting.take(store, run, CHAINS[0], 0, written)  # read twice, by whoever
            ingesting.take(store, run, EVENTS, 0, events)
        # The run ends: the same rows under the other name.
        (folder / CHAINS[0]).rename(folder / CHAINS[1])
        ingest(store, run, folder)
        check(store, run, count)


def check(store: Store, run: NewRun, count: int) -> None:
    seqs = store.query("SELECT seq FROM run_events WHERE run = ? ORDER BY seq", [run.id])
    assert [seq for (seq,) in seqs] == list(range(1, count + 1))
    ids = [id for (id,) in store.query("SELECT id FROM chains WHERE run = ? ORDER BY seq", [run.id])]
    assert ids == [f"{run.id}-{i}" for i in range(count)]
    steps = store.query(
        "SELECT s.chain, s.position, s.text FROM steps s JOIN chains c ON c.id = s.chain WHERE c.run = ?",
        [run.id],
    )
    assert len(steps) == len(set(steps)) == 3 * count
    assert {text for _, position, text in steps if position == 0} == {"é\u2028\n"}


def test_a_torn_line_waits_and_a_cut_one_is_read_when_it_is_written_again(
    store: Store, tmp_path: Path
) -> None:
    run = a_run()
    path = tmp_path / EVENTS
    path.write_bytes(event(1) + event(2)[:20])
    ingest(store, run, tmp_path)
    assert runs.offset(store, run.id, EVENTS) == len(event(1))
    path.write_bytes(event(1) + event(2))  # the resumed run has cut the torn tail, and goes on
    ingest(store, run, tmp_path)
    assert [e for (e,) in store.query("SELECT seq FROM run_events WHERE run = ?", [run.id])] == [1, 2]


def test_a_file_that_has_shrunk_is_read_anew_and_nothing_doubles(store: Store, tmp_path: Path) -> None:
    run = a_run()
    path = tmp_path / EVENTS
    path.write_bytes(event(1) + event(2))
    ingest(store, run, tmp_path)
    path.write_bytes(event(1))
    ingest(store, run, tmp_path)
    path.write_bytes(event(1) + event(2) + event(3))
    ingest(store, run, tmp_path)
    assert [e for (e,) in store.query("SELECT seq FROM run_events WHERE run = ?", [run.id])] == [1, 2, 3]


def test_what_is_no_row_is_passed_over(store: Store, tmp_path: Path) -> None:
    run = a_run()
    (tmp_path / "outputs").mkdir()
    (tmp_path / EVENTS).write_bytes(b"\xff\n[]\n{}\nnot json\n" + event(7))
    (tmp_path / CHAINS[1]).write_bytes(b'{"id": "x"}\n' + chain(f"{run.id}-0"))
    assert ingest(store, run, tmp_path)
    assert len(store.query("SELECT 1 FROM run_events WHERE run = ?", [run.id])) == 1
    assert len(store.query("SELECT 1 FROM chains WHERE run = ?", [run.id])) == 1


def test_a_line_longer_than_a_chunk_comes_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * 100 + b"\nbb\ncc")
    assert whole_lines(path, 0, chunk=16).startswith(b"a" * 100 + b"\n")
    assert whole_lines(path, 101, chunk=3) == b"bb\n"
    assert whole_lines(path, 104, chunk=16) == b""
    assert whole_lines(tmp_path / "none", 0) == b""


def test_a_chain_that_is_there_is_not_taken_over_by_a_later_run(store: Store, tmp_path: Path) -> None:
    first, second = a_run(), a_run()
    for run in (first, second):
        folder = tmp_path / run.id
        (folder / "outputs").mkdir(parents=True)
        (folder / CHAINS[1]).write_bytes(chain("shared-chain"))
        ingest(store, run, folder)
    assert store.query("SELECT run FROM chains WHERE id = 'shared-chain'") == [(first.id,)]
