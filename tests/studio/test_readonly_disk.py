"""A disk that may not be written, as a mount: each command says so, and nothing of what is there is hurt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

TRYING = """
import json, subprocess, sys
from pathlib import Path
from pipeline.errors import UserError
from studio.store import settings
from studio.store.database import Store

place = Path(sys.argv[1])
store = Store.open(place / "sessions" / "mine")
settings.put(store, "kept", "yes")
store.close()
(place / "asked.txt").write_text("How do locks work?")
question = {"prompt": "Human: 1 + 1?\\n\\nAssistant:", "corrects": [" 2"], "incorrects": [" 3"]}
(place / "questions.jsonl").write_text(json.dumps(question))
subprocess.run(["mount", "-o", "remount,ro", place], check=True)
for name in ("mine", "new"):
    try:
        Store.open(place / "sessions" / name)
    except UserError as error:
        print(error)
for words in (
    ["studio", "--no-browser", "--session", "mine"],
    ["studio", "sessions", "backup", "mine"],
    ["pipeline", "prompts", "import", place / "asked.txt", "-o", place / "asked.jsonl"],
    ["pipeline", "evals", "--file", place / "questions.jsonl", "--run", place / "run"],
):
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode, words
    print(done.stderr.strip())
subprocess.run(["mount", "-o", "remount,rw", place], check=True)
assert settings.get(Store.open(place / "sessions" / "mine"), "kept") == "yes"
"""


def test_a_disk_that_may_not_be_written_is_told(
    on_a_small_disk: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    said = on_a_small_disk(TRYING).splitlines()
    assert len(said) == 6, said
    for line in said:
        assert "Read-only file system" in line, line
        assert str(tmp_path) in line
