"""Kill -9 while people judge, back up, export and upgrade: what was said to be kept is there, once."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from studio.store import archive, backups, migrate, settings
from studio.store.database import Store
from studio.store.unpacking import import_session

TARGET = Path(__file__).with_name("hands_target.py")
OPENING = (
    "import sys; from pathlib import Path; from studio.store.database import Store; print('go', flush=True); "
)
OPENING += "Store.open(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
OLD = 4  # the migrations that a session of an older studio has


def killed(folder: Path, after: float) -> list[list[str]]:
    """All that a target said which is killed `after` seconds of work."""
    with subprocess.Popen([sys.executable, TARGET, folder], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == "ready\n"
        time.sleep(after)
        victim.kill()
        return [line.split() for line in victim.stdout if line.endswith("\n")]


def survive(folder: Path, rounds: int, seed: int) -> tuple[int, int]:
    """Kill and reopen; returns how many judgments and copies were announced, all of them found, once."""
    draw = random.Random(seed)
    judged: set[str] = set()
    copies = 0
    for _ in range(rounds):
        said = killed(folder, draw.uniform(0, 1.5))
        judged |= {words[1] for words in said if words[0] == "judged"}
        copies += sum(words[0] != "judged" for words in said)
        store = Store.open(folder)
        rows = [pair for (pair,) in store.query("SELECT pair FROM judgments")]
        store.close()
        assert judged <= set(rows)
        assert len(rows) == len(set(rows))
        for words in said[-3:]:
            if words[0] == "backed":
                assert words[1] in [copy.file.name for copy in backups.list_backups(folder)]
        if (folder / "out.cai.zip").exists():  # whole, whenever it was last replaced
            assert zipfile.ZipFile(folder / "out.cai.zip").testzip() is None
    copies_hold(folder, judged)
    return len(judged), copies


def copies_hold(folder: Path, judged: set[str]) -> None:
    """The newest backup and an export open, and hold the judgments up to theirs."""
    store = Store.open(folder)
    copy = backups.back_up(store)
    archive.export_session(store, folder / "last.cai.zip")
    store.close()
    restored = folder.with_name("restored")
    restored.mkdir()
    shutil.copy(copy, restored / migrate.FILE)
    for other in (restored, import_session(folder / "last.cai.zip", folder.with_name("home"), "again")):
        store = Store.open(other)
        assert judged <= {pair for (pair,) in store.query("SELECT pair FROM judgments")}
        store.close()


def upgrade(folder: Path, rounds: int, seed: int) -> int:
    """Kill a studio that brings an old session up to date; returns how often it was still at work."""
    draw = random.Random(seed)
    old = folder / "old"
    store = Store.open(old, migrate.shipped()[:OLD])
    settings.put(store, "kept", "yes")
    store.close()
    amid = 0
    for n in range(rounds):
        one = folder / f"s{n}"
        shutil.copytree(old, one)
        words = [sys.executable, "-c", OPENING, one]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as victim:
            assert victim.stdout
            assert victim.stdout.readline() == "go\n"
            time.sleep(draw.uniform(0, 0.5))
            victim.kill()
            amid += victim.stdout.read() != "open\n"
        store = Store.open(one)
        assert settings.get(store, "kept") == "yes"
        [(applied, most)] = store.query("SELECT count(*), max(number) FROM migrations")
        store.close()
        assert applied == most == len(migrate.shipped())
        shutil.rmtree(one)
    return amid


def test_no_judgment_is_lost_or_doubled(tmp_path: Path) -> None:
    judged, _ = survive(tmp_path / "s", rounds=2, seed=1)
    assert judged


def test_an_upgrade_that_was_killed_is_done_over(tmp_path: Path) -> None:
    upgrade(tmp_path, rounds=2, seed=1)
