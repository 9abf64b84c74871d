"""What a run writes comes into the store exactly once, however it is cut, read and interrupted."""

from __future__ import annotations

import itertools
import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.configs import Answering, Drawing, Evaluating, Labelling
from pipeline.matchups import Annotator, Matchup
from pipeline.records import Chain, Judgment, Label, Message, Pair, Step, as_json
from studio.jobs import ingest as ingesting
from studio.jobs.ingest import EVENTS, ingest, outputs, whole_lines
from studio.store import matchups, runs
from studio.store.database import Store
from studio.store.matchups import MatchupFilter
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
    check_chains(store, run, count)


def check_chains(store: Store, run: NewRun, count: int) -> None:
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


def test_what_a_run_says_after_a_crash_that_cut_its_log_comes_after_what_was_lost(
    store: Store, tmp_path: Path
) -> None:
    run = a_run()
    path = tmp_path / EVENTS
    path.write_bytes(b"".join(map(event, range(1, 11))))
    ingest(store, run, tmp_path)
    cut = b"".join(map(event, range(1, 6)))
    path.write_bytes(cut)  # the machine went down before the rest was on its disk
    ingest(store, run, tmp_path)
    row = {"v": 1, "attempt": 2, "time": "2026-01-01T01:00:00+00:00"}
    later = [
        {**row, "seq": 6, "kind": "started", "done": 5},
        *(
            {**row, "seq": seq, "kind": "metric", "step": seq, "values": {"loss": seq}}
            for seq in range(7, 13)
        ),
        {**row, "seq": 13, "kind": "finished", "status": "done"},
    ]
    said = [json.dumps(one).encode() + b"\n" for one in later]
    for many in (3, 8):
        path.write_bytes(cut + b"".join(said[:many]))
        ingest(store, run, tmp_path)
        ingesting.take(store, run, EVENTS, 0, path.read_bytes())  # read twice, by whoever
    seqs = store.query("SELECT seq, kind FROM run_events WHERE run = ? ORDER BY seq", [run.id])
    assert seqs == list(enumerate(["progress"] * 10 + ["started", *["metric"] * 6, "finished"], 1))
    last = runs.last_event(store, run.id, after=10)
    assert last
    assert (last.kind, last.data) == ("finished", {"status": "done"})
    steps = store.query("SELECT step FROM metrics WHERE run = ? ORDER BY seq", [run.id])
    assert steps == [(step,) for step in range(7, 13)]


def test_what_is_no_row_is_passed_over(store: Store, tmp_path: Path) -> None:
    run = a_run()
    (tmp_path / "outputs").mkdir()
    (tmp_path / EVENTS).write_bytes(b"\xff\n[]\n{}\nnot json\n" + event(7))
    (tmp_path / CHAINS[1]).write_bytes(b'{"id": "x"}\n' + chain(f"{run.id}-0"))
    assert ingest(store, run, tmp_path)
    assert len(store.query("SELECT 1 FROM run_events WHERE run = ?", [run.id])) == 1
    assert len(store.query("SELECT 1 FROM chains WHERE run = ?", [run.id])) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": 2**64},
        {"seed": 10**400},
        {"branch_step": 2**31},
        {"steps": [{"kind": "response", "text": "a", "tokens": 2**63}]},
        {"steps": [{"kind": "response", "text": "a", "seed": -(2**64)}]},
    ],
)
def test_a_row_with_a_number_that_no_column_holds_keeps_no_other_out(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: dict[str, Any]
) -> None:
    run = a_run()
    good = [chain(f"{run.id}-{i}") for i in range(3)]
    row = {**json.loads(chain(f"{run.id}-bad")), **bad}
    (tmp_path / "outputs").mkdir()
    (tmp_path / CHAINS[1]).write_bytes(good[0] + json.dumps(row).encode() + b"\n" + good[1])
    assert ingest(store, run, tmp_path)
    assert not ingest(store, run, tmp_path)
    with (tmp_path / CHAINS[1]).open("ab") as file:
        file.write(good[2])
    ingest(store, run, tmp_path)
    check_chains(store, run, 3)
    [told] = [record.getMessage() for record in caplog.records if record.name == ingesting.log.name]
    assert told.startswith(f"run {run.id}: a row of outputs/chains.jsonl can't be kept: ")


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "progress", "done": "12"},
        {"kind": "progress", "done": 1, "part": {"noun": "answers", "done": "x", "total": 9}},
        {"kind": "metric", "step": 2**70, "values": {"loss": 1}},
        {"kind": "metric", "step": 1, "values": {"loss": float("nan")}},
        {"kind": "finished", "rows": True, "seq": 2**70},
        {"kind": "skipped", "prompt": ["p"]},
        {"kind": "summary", "labels_per_second": "fast"},
        {"kind": "summary", "ratings": [{"model": "a"}]},
        {"kind": "summary", "ratings": 7},
    ],
)
def test_an_event_that_is_none_is_passed_over(store: Store, tmp_path: Path, bad: dict[str, Any]) -> None:
    run, row = a_run(), {**json.loads(event(2)), **bad}
    (tmp_path / EVENTS).write_bytes(event(1) + json.dumps(row).encode() + b"\n" + event(3))
    ingest(store, run, tmp_path)
    assert store.query("SELECT seq FROM run_events WHERE run = ? ORDER BY seq", [run.id]) == [(1,), (3,)]
    assert runs.figures(store)[run.id].done == 3


def test_a_line_that_is_nested_too_deep_is_passed_over(store: Store, tmp_path: Path) -> None:
    run = a_run()
    (tmp_path / EVENTS).write_bytes(b"[" * 100_000 + b"\n" + event(3))
    ingest(store, run, tmp_path)
    assert runs.figures(store)[run.id].done == 3


def test_a_figure_that_no_float_holds_is_passed_over(store: Store, tmp_path: Path) -> None:
    run, row = a_run(), {**json.loads(event(1)), "kind": "metric", "step": 1, "values": {"loss": 10**400}}
    (tmp_path / EVENTS).write_text(json.dumps(row) + "\n")
    assert ingest(store, run, tmp_path)


def test_a_run_whose_times_are_none_took_no_time(store: Store, tmp_path: Path) -> None:
    run, row = a_run(), {**json.loads(event(1)), "time": "noon"}
    rows = [{**row, "seq": 1, "kind": "started"}, {**row, "seq": 2, "kind": "finished"}]
    (tmp_path / EVENTS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest(store, run, tmp_path)
    assert run.id not in runs.took(store)


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


def stage_run(stage: str) -> NewRun:
    config = Answering() if stage == "pairs" else Labelling()
    return replace(a_run(), stage=stage, config=as_json(config))


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(as_json(record)).encode() + b"\n" for record in records)


def a_pair(id: str) -> Pair:
    return Pair(id, f"prompt {id[:-1]}", (Message("user", "Hi"),), "yes", "no")


def a_label(pair: str, principle: str = "p", logit: float = 1.0) -> Label:
    return Label(pair, principle, "choice", "m", "c1", 0, logit, logit, 0.7, 0.7, 0.7)


def put(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        where, _, rest = name.partition("_")
        path = folder / where / rest.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_a_run_of_pairs_brings_its_pairs_and_is_counted_by_its_prompts(store: Store, tmp_path: Path) -> None:
    run = stage_run("pairs")
    some = [a_pair(f"{run.id}{n}") for n in range(3)]
    put(tmp_path, outputs_pairs_jsonl_part=lines(*some[:2]))
    ingest(store, run, tmp_path)
    put(tmp_path, outputs_pairs_jsonl=lines(*some))
    assert ingest(store, run, tmp_path)
    assert not ingest(store, run, tmp_path)
    assert store.query("SELECT count(*) FROM pairs WHERE run = ?", [run.id]) == [(3,)]
    assert runs.kept(store)[run.id] == 1


def test_a_run_of_labels_brings_its_pairs_and_human_choices_first(store: Store, tmp_path: Path) -> None:
    run = stage_run("label")
    one, two = f"{run.id}x", f"{run.id}y"
    human = [
        Judgment(one, "harmless", "f.jsonl", "imported", "b", picked_by="imported"),
        Judgment(two, "harmless", "ann", "person", "a"),
        Judgment("nowhere", "harmless", "ann", "person", "a"),
    ]
    bad = b'{"pair_id": "x"}\n' + lines(a_label(one, "nan", float("nan")))
    put(
        tmp_path,
        inputs_pairs_jsonl=lines(a_pair(one), a_pair(two)),
        inputs_human_jsonl=lines(*human),
        outputs_labels_jsonl_part=lines(a_label(one), a_label(two)) + bad,
    )
    ingest(store, run, tmp_path)
    put(tmp_path, outputs_labels_jsonl=lines(a_label(one), a_label(two), a_label(two, "q")))
    ingest(store, run, tmp_path)
    for file in ("inputs/pairs.jsonl", "inputs/human.jsonl", "outputs/labels.jsonl"):
        ingesting.take(store, run, file, 0, (tmp_path / file).read_bytes())  # read twice, by whoever
    found = store.query("SELECT pair, principle FROM labels WHERE run = ? ORDER BY seq", [run.id])
    assert found == [(one, "p"), (two, "p"), (two, "q")]
    kinds = store.query(
        "SELECT annotator, annotator_kind, brought FROM judgments WHERE run = ? ORDER BY seq", [run.id]
    )
    assert kinds == [("f.jsonl", "imported", True), ("ann", "person", True)]
    assert runs.kept(store)[run.id] == 3


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_labels_come_once_however_the_file_is_cut_and_the_studio_dies(
    store: Store, data: st.DataObject
) -> None:
    run = stage_run("label")
    whole = lines(*(a_label(f"{run.id}{n // 2}", f"p{n % 2}") for n in range(6)))
    cuts = sorted({int(share * len(whole)) for share in data.draw(st.lists(st.floats(0, 1), max_size=5))})
    with tempfile.TemporaryDirectory() as name:
        for end in (*cuts, len(whole)):
            put(Path(name), outputs_labels_jsonl_part=whole[:end])
            try:
                ingest(dying(store, data.draw(st.integers(0, 3))), run, Path(name))
            except Died:
                continue
        put(Path(name), outputs_labels_jsonl=whole)
        ingest(store, run, Path(name))
    found = store.query("SELECT pair, principle FROM labels WHERE run = ? ORDER BY seq", [run.id])
    assert found == [(f"{run.id}{n // 2}", f"p{n % 2}") for n in range(6)]


def test_a_run_of_a_stage_that_is_not_known_tells_its_events_alone(store: Store, tmp_path: Path) -> None:
    run = replace(a_run(), stage="later")
    (tmp_path / EVENTS).write_bytes(event(1))
    put(tmp_path, outputs_chains_jsonl=chain(f"{run.id}-0"))
    assert ingest(store, run, tmp_path)
    assert run.id not in runs.kept(store)


def test_a_tournament_brings_its_prompts_its_weights_and_its_matchups(store: Store, tmp_path: Path) -> None:
    run = replace(a_run(), stage="evaluate", config=as_json(Evaluating()))
    said = {"text": "No.", "source": {"name": "rl", "revision": "abc"}}
    answers = {"model": "rl", "id": "p", "kind": "red_team", "responses": [said]}
    asked = [{"role": "user", "content": "How?"}]
    made = [
        Matchup(str(n), "p", "harmless", "rl", "base", "pm", Annotator("pm", "model"), 0.9, 0.9, 0.9)
        for n in range(3)
    ]
    put(
        tmp_path,
        outputs_answers_jsonl=json.dumps({**answers, "messages": asked}).encode() + b'\n{"model": 1}\n',
        outputs_matchups_jsonl_part=lines(*made[:2]),
    )
    ingest(store, run, tmp_path)
    put(tmp_path, outputs_matchups_jsonl=lines(*made))
    assert ingest(store, run, tmp_path)
    assert not ingest(store, run, tmp_path)
    found = matchups.listed(store, MatchupFilter(run=run.id), 9)
    assert [one.matchup.id for one in found] == ["2", "1", "0"]
    assert found[0].messages == (Message("user", "How?"),)
    there = [one for one in matchups.competitors(store) if one.run == run.id]
    assert [(one.name, one.revision) for one in there] == [("rl", "abc"), ("base", None)]
    assert runs.kept(store)[run.id] == 3
