"""Two processes that train one model together, here both on the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.events import complete, metrics

pytestmark = pytest.mark.training

TOGETHER = ["torch.distributed.run", "--nproc_per_node", "2", "--standalone", "--module", "--"]
"""What `accelerate launch` does on GPUs; on a processor it starts one process only."""


def start(model: Path, data: Path, run: Path) -> subprocess.Popen[bytes]:
    words = ["sft", "--demos", data, "--model", model, "--run", run, "--steps", "80", "--batch", "4"]
    more = ["--save-every", "20", "--sample-every", "100"]
    line = [sys.executable, "-P", "-m", *TOGETHER, "pipeline", *map(str, words), *more]
    return subprocess.Popen(line, env={**os.environ, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"})


@pytest.mark.timeout(300)
def test_two_processes_write_one_run_stop_together_and_go_on(tiny_model: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "demos.jsonl", tmp_path / "run"
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"e e {i}"}]}
        for i in range(24)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    launcher = start(tiny_model, data, run)
    while not (run / "events.jsonl").is_file() or len(metrics(run / "events.jsonl")) < 3:
        assert launcher.poll() is None
        time.sleep(0.1)
    for process in psutil.Process(launcher.pid).children()[1:]:  # one is asked, and both stop
        process.terminate()
    launcher.wait()
    stopped = [step for step, _ in metrics(run / "events.jsonl")][-1]
    assert 2 <= stopped < 80
    assert not complete(run / "events.jsonl")
    assert start(tiny_model, data, run).wait() == 0
    assert [step for step, _ in metrics(run / "events.jsonl")] == list(range(81))
    assert (run / "checkpoint" / "adapter_model.safetensors").is_file()
    assert sorted(p.name for p in run.iterdir() if p.name.startswith("checkpoint")) == ["checkpoint"]
