"""The process that holds models for live inference: jobs in on stdin, results out on stdout.

Started by `remote.Worker`. One JSON object a line each way; one job at a time; `cancel` is heard
while a job runs. It ends when stdin closes, so a killed studio leaves no model behind.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline import models
from pipeline.engines import Cancelled, Context, Engine, EngineError, Request, StoppedError, never
from pipeline.engines.freeing import free, gpu_memory
from pipeline.engines.opening import open_engine
from pipeline.engines.spending import Purse
from pipeline.errors import UserError
from pipeline.records import Message, parse
from pipeline.row_problems import reason
from pipeline.servers import ServerModel
from pipeline.terminal import shown_in_line

if TYPE_CHECKING:
    from pipeline.preference_model import PreferenceModel

KEPT = 3
"""Models held at once: a policy and a critic; or in the chat two to compare, and a preference model."""

WORDS = (".jinja", ".json", ".model", ".txt")
"""Endings of the files that say how a model is spoken to."""
NO_ROOM = "out of memory: choose a smaller model, or release others"

Send = Callable[[dict[str, Any]], None]


class Models:
    """The loaded models, the least recently used one dropped first.

    Each is known by what it does, its name and the revision of its files: a folder may be trained anew under
    its name.
    """

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str, str], Any] = {}
        self._words: dict[tuple[str, str, str], object] = {}
        self._purse: Purse | None = None

    def load(self, name: str, cancelled: Cancelled = never) -> Engine:
        """The model whose files the name means now. Raises StoppedError after a cancel."""
        # No download: the jobs behind this one would wait for it (see fetching.py).
        return self._engine(name, models.resolve(name, download=False), cancelled)

    def get(self, name: str, revision: str, cancelled: Cancelled = never) -> Engine:
        """The model that was loaded then; what a text is recorded with must be what wrote it."""
        key = ("writes", name, revision)
        if key in self._loaded:
            engine: Engine = self._kept(key, lambda: None)
            return engine
        files = models.resolve(name, download=False)
        if files.revision != revision:
            raise EngineError(
                f"the files of {name} changed since it was loaded. Continue or Retry loads them anew"
            )
        return self._engine(name, files, cancelled)

    def preference_model(self, name: str) -> PreferenceModel:
        """The preference model whose files the name means now."""
        from pipeline.preference_model import PreferenceModel

        files = models.weights(name, download=False)
        key = ("scores", name, files.revision)
        self._drop_reworded(key, files)
        pm: PreferenceModel = self._kept(key, lambda: PreferenceModel(name, files=files))
        return pm

    def _engine(self, name: str, files: models.ModelFiles | ServerModel, cancelled: Cancelled) -> Engine:
        # One limit for all, as long as this process lives.
        purse = self._purse = self._purse or Purse.from_environment()
        key = ("writes", name, files.revision)
        if not isinstance(files, ServerModel):
            self._drop_reworded(key, files)

        def load() -> Engine:
            beside = list(self._loaded.values())
            return open_engine(name, purse, files=files, beside=beside, cancelled=cancelled)

        engine: Engine = self._kept(key, load)
        return engine

    def _drop_reworded(self, key: tuple[str, str, str], files: models.ModelFiles) -> None:
        """Drop a model whose template or tokenizer is another now. Neither is a part of its revision."""
        words = {
            (path, (stat := path.stat()).st_size, stat.st_mtime_ns)
            for folder in (files.folder, files.own)
            for path in folder.iterdir()
            if path.suffix in WORDS and path.is_file()
        }
        if self._words.get(key, words) != words:
            self._loaded.pop(key, None)
        self._words[key] = words

    def _kept(self, key: tuple[str, str, str], load: Callable[[], Any]) -> Any:
        model = self._loaded.pop(key, None)
        if model is None:
            while len(self._loaded) >= KEPT:
                del self._loaded[next(iter(self._loaded))]
            free()
            model = load()
        self._loaded[key] = model
        return model


class Cancels:
    """The jobs that are no longer wanted."""

    def __init__(self) -> None:
        self._ids: set[int] = set()

    def add(self, job: int) -> None:
        self._ids.add(job)

    def wants(self, job: int) -> Callable[[], bool]:
        return lambda: job in self._ids


def perform(job: dict[str, Any], loaded: Models, cancels: Cancels, send: Send) -> Any:
    """Do one job; its result is what goes back as `done`."""
    send({"id": job["id"], "begun": True})
    cancelled = cancels.wants(job["id"])
    if cancelled():
        return None  # while it waited: not even its model is loaded
    if job["op"] == "load":
        return asdict(loaded.load(job["model"], cancelled).info)
    if job["op"] == "reward":
        asked = [(parse(tuple[Message, ...], messages), answer) for messages, answer in job["answers"]]
        pm = loaded.preference_model(job["model"])
        return {"revision": pm.files.revision, "scores": pm.score(asked)}
    engine = loaded.get(job["model"], job["revision"], cancelled)
    if job["op"] == "generate":
        requests = [parse(Request, r) for r in job["requests"]]

        def on_text(index: int, text: str) -> None:
            send({"id": job["id"], "index": index, "text": text})

        return [asdict(c) for c in engine.generate(requests, on_text, cancelled)]
    contexts = [parse(Context, c) for c in job["contexts"]]
    if job["op"] == "score":
        return [asdict(s) for s in engine.score(contexts, job["continuations"])]
    if job["op"] == "choose":
        return engine.choose(contexts, job["options"])
    raise UserError(f"a worker knows no {job['op']!r}")


def listen(lines: IO[str], jobs: queue.Queue[dict[str, Any]], cancels: Cancels) -> None:
    """Take jobs from stdin until it closes, then end the process at once, mid-token if need be."""
    for line in lines:
        try:
            job = json.loads(line)
        except ValueError:
            break  # a studio that was killed while it wrote
        if job["op"] == "cancel":
            cancels.add(job["id"])
        else:
            jobs.put(job)
    os._exit(0)


def main() -> None:
    """Serve jobs for ever."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for a result
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            out.flush()

    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    cancels = Cancels()
    threading.Thread(target=listen, args=(sys.stdin, jobs, cancels), daemon=True).start()
    loaded = Models()
    while True:
        job = jobs.get()
        try:
            answer = {"done": perform(job, loaded, cancels, send)}
        except StoppedError:
            answer = {"done": None}
        except UserError as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": NO_ROOM}
        except RuntimeError as error:  # torch's own: out of GPU memory, a failed allocation, a bad kernel
            traceback.print_exc()  # into the log
            answer = {"error": NO_ROOM if "out of memory" in str(error) else f"the model failed: {error}"}
        except ValidationError as error:
            answer = {"error": f"a model can't be asked this: {reason(error)}"}
        except Exception as error:  # noqa: BLE001 - a bug is this job's: the loaded models are not to go
            traceback.print_exc()
            what = shown_in_line(f"{type(error).__name__}: {error}")
            answer = {"error": f"the model process failed ({what}): the reason is at the end of its log"}
        send({"id": job["id"], **answer, "gpu": gpu_memory()})


if __name__ == "__main__":
    main()
