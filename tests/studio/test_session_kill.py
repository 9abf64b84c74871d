"""Kill -9 at random points of a session in which all goes on at once: no committed row is lost, none doubled.

Chains, judgments, backups, exports, and runs that draw, train and evaluate; and upgrades of an old session.
`make soak` kills 200 times; SOAK_SHARE=0.1 a tenth of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from studio.context import Studio
from studio.jobs import launcher
from studio.store import metrics, runs
from studio.store.database import Reader, Store
from tests.studio.session_target import PROMPTS, STEPS, go_on
from tests.studio.test_hands_kill import copies_hold, upgrade
from tests.studio.test_kill import Victim, gone

pytestmark = [pytest.mark.soak, pytest.mark.timeout(4 * 3600)]

TARGET = "tests.studio.session_target"
SHARE = float(os.environ.get("SOAK_SHARE", "1"))
KILLS, UPGRADES = round(160 * SHARE), round(40 * SHARE)
# What tells a table's rows apart. An answer that was broken off is written again by who goes on.
KEPT = {
    "chains": "SELECT id FROM chains",
    "steps": "SELECT chain, position FROM steps WHERE finish <> 'cancelled'",
    "judgments": "SELECT pair, annotator FROM judgments",
    "matchups": "SELECT run, id FROM matchups",
    "events": "SELECT run, seq FROM run_events",
    "processes": "SELECT run, pid, started FROM run_processes",
}
Kept = dict[str, set[tuple[object, ...]]]


def kept(store: Reader, before: Kept) -> Kept:
    """The rows of a session: those of before are there, and each is there once."""
    found: Kept = {}
    for table, query in KEPT.items():
        rows = store.query(query)
        found[table] = set(rows)
        assert len(rows) == len(found[table]), f"{table}: a row was written twice"
        assert before.get(table, set()) <= found[table], f"{table}: a row is lost"
    return found


def announced(found: Kept, said: list[list[str]]) -> None:
    """What was said to be committed is there."""
    for words in said:
        match words:
            case ["start", chain]:
                assert (chain,) in found["chains"]
            case ["step", chain, position]:
                assert (chain, int(position)) in found["steps"]
            case ["judged", pair]:
                assert (pair, "ana") in found["judgments"]


def struck(folder: Path, models: list[Path], draw: random.Random) -> tuple[list[list[str]], str]:
    """All that a session says until it is killed, and what was killed with it or before it."""
    victim, whom = Victim(folder, TARGET, *models), draw.choice(["studio", "studio", "model", "run"])
    victim.until_streaming()
    time.sleep(draw.uniform(0, 5))
    if whom == "model":
        os.kill(victim.worker, signal.SIGKILL)
    working = [found for run in (folder / "runs").glob("*") if (found := launcher.find(run))]
    if whom == "run" and working:
        os.kill(working[0].pid, signal.SIGKILL)
    time.sleep(draw.uniform(0, 2))
    assert victim.process.poll() is None, "the studio died with its model, or with a run"
    victim.kill()
    gone(victim.worker)
    return victim.said, whom if whom != "run" or working else "studio"


def test_two_hundred_kills_lose_and_double_nothing(
    tmp_path: Path, tiny_model: Path, other_model: Path, tiny_pm: Path
) -> None:
    folder, draw, before, killed = tmp_path / "session", random.Random(4), Kept(), Counter[str]()
    folder.mkdir()
    said = [{"role": "user", "content": "Say e"}, {"role": "assistant", "content": "e e e"}]
    (folder / "demos.jsonl").write_text((json.dumps({"messages": said}) + "\n") * 10)
    for _ in range(KILLS):
        words, whom = struck(folder, [tiny_model, other_model, tiny_pm], draw)
        killed[whom] += 1
        store = Store.open(folder)
        before = kept(store, before)
        store.close()
        announced(before, words)
        tell(f"{killed.total()}: {whom}; { ({table: len(rows) for table, rows in before.items()}) }")
    finish(folder, before)
    copies_hold(folder, {str(pair) for pair, _ in before["judgments"]})
    killed["upgrade"] += UPGRADES
    amid = upgrade(tmp_path / "upgrades", UPGRADES, seed=3)
    tell(
        f"killed {dict(killed)}, {amid} upgrades at work; { ({t: len(rows) for t, rows in before.items()}) }"
    )
    assert amid or not UPGRADES


def finish(folder: Path, before: Kept) -> None:
    """A studio brings all runs to their end, and each has made what it was to make, once."""
    studio = Studio.open(folder, "killed")
    try:
        deadline = time.monotonic() + 600
        while not go_on(studio):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        kept(studio.store, before)
        for run in runs.listed(studio.store):
            assert run.state == "done", f"{run.stage}: {run.state}, {run.detail}"
            match run.stage:
                case "critique":
                    assert count(studio, "chains", run.id) == PROMPTS
                case "evaluate":
                    assert count(studio, "matchups", run.id) == PROMPTS
                case "sft":
                    loss = metrics.curves(studio.store, [run.id])[run.id]["loss"]
                    assert list(loss.steps) == list(range(1, STEPS + 1))
        tell(f"runs: {dict(Counter(run.stage for run in runs.listed(studio.store)))}")
    finally:
        studio.close()


def count(studio: Studio, table: str, run: str) -> int:
    return len(studio.store.query(f"SELECT 1 FROM {table} WHERE run = ?", [run]))  # noqa: S608


def tell(what: str) -> None:
    print(what, flush=True)  # noqa: T201
