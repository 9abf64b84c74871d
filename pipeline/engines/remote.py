"""Live inference from a process that must never die with a model (the studio, the database's writer).

`Worker` starts, watches, kills and restarts the process that holds the models; `RemoteEngine` is one
model in it, behind the same interface as an engine in this process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    EngineError,
    ModelInfo,
    OnText,
    Request,
    Score,
    ignore,
    never,
)
from pipeline.records import parse

GRACE = 20.0
"""Seconds that a cancelled job may take to end before its process is killed: one prefill, at worst."""

POLL = 0.02

Message = dict[str, Any]


class Worker:
    """The model process. Safe from several threads; jobs run one after another."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._process: subprocess.Popen[str] | None = None
        self._waiting: dict[int, queue.SimpleQueue[Message]] = {}

    def call(
        self,
        job: Message,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> Any:
        """Run a job and return its result. Raises EngineError with what the worker said, or how it died."""
        number, inbox = self._submit(job)
        asked: float | None = None
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    message = inbox.get(timeout=POLL)
                    if "text" in message:
                        on_text(message["index"], message["text"])
                    elif "done" in message:
                        return message["done"]
                    else:
                        raise EngineError(message["error"])
                if asked is None and cancelled():
                    asked = time.monotonic()
                    self._send({"op": "cancel", "id": number})
                if asked is not None and time.monotonic() - asked > GRACE:
                    self.stop()
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def memory(self) -> int:
        """Bytes that the models hold now; 0 when no process runs."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.pid else 0
        except psutil.Error:
            return 0

    def stop(self) -> None:
        """Kill the process: its models' memory is free when this returns. The next job starts another."""
        process = self._process
        if process and process.poll() is None:
            process.kill()
            process.wait()

    def _submit(self, job: Message) -> tuple[int, queue.SimpleQueue[Message]]:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            number = next(self._ids)
            inbox = self._waiting[number] = queue.SimpleQueue()
        self._send({**job, "id": number})
        return number, inbox

    def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:  # a file, never a pipe: an undrained pipe stalls the worker
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeline.engines.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in the terminal is the studio's to handle
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"},
            )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _send(self, message: Message) -> None:
        process = self._process
        # A process that has just died is reported by the thread that reads from it.
        with self._lock, contextlib.suppress(OSError, ValueError):
            if process and process.stdin:
                process.stdin.write(json.dumps(message) + "\n")
                process.stdin.flush()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            with contextlib.suppress(ValueError):  # a line cut by a kill
                message = json.loads(line)
                with self._lock:
                    inbox = self._waiting.get(message["id"])
                if inbox:
                    inbox.put(message)
        how = _death(process.wait())
        with self._lock:
            # Jobs sent to a newer process are not this one's to fail.
            if self._process is process:
                for inbox in self._waiting.values():
                    inbox.put({"error": how})
        if process.stdout:
            process.stdout.close()


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "the model process was killed (released, or out of memory). Continue starts it again; "
            "if it keeps dying, choose a smaller model"
        )
    how = f"signal {-code}" if code < 0 else f"status {code}"
    return f"the model process ended ({how}); the reason is at the end of its log. Continue starts it again"


class RemoteEngine:
    """One model in a worker, with the interface of an engine in this process."""

    def __init__(self, worker: Worker, name: str) -> None:
        """Raises UserError or EngineError when the model can't be loaded; may take seconds."""
        self._worker = worker
        self._name = name
        self._info = parse(ModelInfo, worker.call({"op": "load", "model": name}))

    @property
    def info(self) -> ModelInfo:
        return self._info

    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        job = {"op": "generate", "model": self._name, "requests": [asdict(r) for r in requests]}
        return [parse(Completion, c) for c in self._worker.call(job, on_text, cancelled)]

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        job = {"op": "score", "contexts": [asdict(c) for c in contexts], "continuations": list(continuations)}
        return [parse(Score, s) for s in self._worker.call({**job, "model": self._name})]

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        job = {"op": "choose", "contexts": [asdict(c) for c in contexts], "options": list(options)}
        chosen: list[list[float]] = self._worker.call({**job, "model": self._name})
        return chosen
