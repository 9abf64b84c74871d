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

from pipeline.background import give_way
from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    EngineError,
    Follow,
    ModelInfo,
    OnText,
    Request,
    Score,
    StoppedError,
    ignore,
    never,
)
from pipeline.engines.fetching import Doing, bring, silent
from pipeline.engines.flow import in_rounds
from pipeline.records import parse

GRACE = 30.0
"""Seconds that a cancelled job may take to end before its process is killed: one prefill, at worst."""

POLL = 0.02

Message = dict[str, Any]


class Worker:
    """The model process. Safe from several threads; jobs run one after another."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._lock = threading.Lock()
        self._life: _Life | None = None

    def call(
        self,
        job: Message,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> Any:
        """Run a job and return its result, or None where a cancel left it without one.

        Raises EngineError with what the worker said, or how it died.
        """
        while True:
            with contextlib.suppress(_NotBegunError):
                return _run(self._alive(), job, on_text, cancelled)

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        life = self._life
        return life.process.pid if life and life.runs else None

    @property
    def memory(self) -> int:
        """Bytes that the models hold now; 0 when no process runs."""
        pid = self.pid  # once: psutil takes None for this process
        try:
            return int(psutil.Process(pid).memory_info().rss) if pid else 0
        except psutil.Error:
            return 0

    @property
    def gpu_memory(self) -> int:
        """Bytes that it held on the GPU after its last job; 0 when no process runs."""
        life = self._life
        return life.gpu if life and life.runs else 0

    def stop(self) -> None:
        """Kill the process: its models' memory is free when this returns. The next job starts another."""
        if life := self._life:
            life.wanted = False
            life.end()

    def release(self) -> None:
        """The same, unless it is at work: whoever waits for it is not to be disturbed."""
        life = self._life
        if life and life.leave():
            life.end()

    def _alive(self) -> _Life:
        with self._lock:
            if self._life is None or not self._life.wanted or not self._life.runs:
                self._life = _Life(self.log)
            return self._life


class _NotBegunError(Exception):
    """The process died of another's job while this one waited, or was released just before."""


def _run(life: _Life, job: Message, on_text: OnText, cancelled: Cancelled) -> Any:
    number, inbox = life.submit(job)
    begun, asked = False, 0.0
    try:
        while True:
            with contextlib.suppress(queue.Empty):
                message = inbox.get(timeout=POLL)
                if "text" in message:
                    on_text(message["index"], message["text"])
                elif "begun" in message:
                    begun = True
                elif "done" in message:
                    return message["done"]
                elif "again" in message and not begun:
                    raise _NotBegunError
                else:
                    raise EngineError(message["error"])
            if not asked and cancelled():
                asked = time.monotonic()
                life.send({"op": "cancel", "id": number})
            # It waits behind another's job, which is not to be killed for it; or it loads a model, and
            # killing it would take away the other one too.
            if asked and (not begun or job["op"] == "load"):
                return None
            if asked and time.monotonic() - asked > GRACE:
                life.end()
                return None
    except BaseException:
        life.send({"op": "cancel", "id": number})  # nobody waits for it now
        raise
    finally:
        life.forget(number)


class _Life:
    """One life of the process: the jobs that it has begun end with it, whatever is started after it."""

    def __init__(self, log: Path) -> None:
        self._ids = itertools.count(1)
        self._inboxes: dict[int, queue.SimpleQueue[Message]] = {}
        self._death: Message = {}
        self._busy = False  # once it began a job
        self.wanted = True  # until a person releases it
        self.gpu = 0
        # Two locks: a write that waits for a full pipe must not keep results from their inboxes.
        self._lock, self._writing = threading.Lock(), threading.Lock()
        try:
            self.process = _start(log)
        except OSError as error:
            raise EngineError(f"the model process can't be started: {error}") from error
        threading.Thread(target=self._read, name="worker results", daemon=True).start()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def leave(self) -> bool:
        """Take no more jobs, where there are none; False where there are."""
        with self._lock:
            self.wanted = self.wanted and bool(self._inboxes)
            return not self.wanted

    def submit(self, job: Message) -> tuple[int, queue.SimpleQueue[Message]]:
        number, inbox = next(self._ids), queue.SimpleQueue[Message]()
        with self._lock:
            if not self.wanted:
                raise _NotBegunError
            if self._death:  # since it was last looked at
                inbox.put(self._death)
            self._inboxes[number] = inbox
        self.send({**job, "id": number})
        return number, inbox

    def send(self, message: Message) -> None:
        # A process that has just died is reported by the thread that reads from it.
        with self._writing, contextlib.suppress(OSError, ValueError):
            if self.process.stdin:
                self.process.stdin.write(json.dumps(message) + "\n")
                self.process.stdin.flush()

    def forget(self, number: int) -> None:
        with self._lock:
            self._inboxes.pop(number, None)

    def end(self) -> None:
        self.process.kill()  # does nothing to a process that has ended
        self.process.wait()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with contextlib.suppress(ValueError):  # a line cut by a kill
                message = json.loads(line)
                self._busy = self._busy or "begun" in message
                self.gpu = message.get("gpu", self.gpu)
                with self._lock:
                    inbox = self._inboxes.get(message["id"])
                if inbox:
                    inbox.put(message)
        death: Message = {"error": _how(self.process.wait())}
        if self.wanted and self._busy:  # a process that can't even begin one would not do so again
            death["again"] = True
        with self._lock:
            self._death = death
            for inbox in self._inboxes.values():
                inbox.put(death)
        for pipe in (self.process.stdout, self.process.stdin):
            with contextlib.suppress(OSError):  # what was not read any more
                if pipe:
                    pipe.close()


def _start(log: Path) -> subprocess.Popen[str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:  # a file, never a pipe: an undrained pipe stalls the worker
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in the terminal is the studio's to handle
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"},
        )
    give_way(process.pid)
    return process


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "the model process was killed (released, or out of memory). Continue or Retry starts it again; "
            "if it keeps dying, choose a smaller model"
        )
    how = f"signal {-code}" if code < 0 else f"status {code}"
    return (
        f"the model process ended ({how}); the reason is at the end of its log. "
        "Continue or Retry starts it again"
    )


class RemoteEngine:
    """One model in a worker, with the interface of an engine in this process."""

    def __init__(
        self, worker: Worker, name: str, cancelled: Cancelled = never, doing: Doing = silent
    ) -> None:
        """Load the model, fetching it first where it isn't here; `doing` hears which, and how far.

        May take seconds, and minutes to download. Raises UserError or EngineError when the model can't be
        loaded, StoppedError after a cancel.
        """
        self._worker = worker
        bring(name, worker.log, cancelled, doing)
        doing(f"loading {name}")
        info = worker.call({"op": "load", "model": name}, cancelled=cancelled)
        if info is None:
            raise StoppedError(f"stopped while loading {name}")
        self._info = parse(ModelInfo, info)
        self._model = {"model": name, "revision": self._info.revision}

    @property
    def info(self) -> ModelInfo:
        return self._info

    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        job = {"op": "generate", "requests": [asdict(r) for r in requests]}
        streamed = [""] * len(requests)

        def keep(index: int, text: str) -> None:
            streamed[index] += text
            on_text(index, text)

        done = self._worker.call(job | self._model, keep, cancelled)
        if done is None:
            return [Completion(text, "cancelled", 0, 0.0) for text in streamed]
        return [parse(Completion, c) for c in done]

    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        in_rounds(self.generate, requests, follow, on_text, cancelled)

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        job = {"op": "score", "contexts": [asdict(c) for c in contexts], "continuations": list(continuations)}
        return [parse(Score, s) for s in self._worker.call(job | self._model)]

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        job = {"op": "choose", "contexts": [asdict(c) for c in contexts], "options": list(options)}
        chosen: list[list[float]] = self._worker.call(job | self._model)
        return chosen
