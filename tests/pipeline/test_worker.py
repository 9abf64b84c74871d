"""The live model process: same text as here, and no harm done by its death."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from select import select
from typing import Any

import psutil
import pytest

from pipeline.engines import Context, EngineError, Request, Sampling, StoppedError
from pipeline.engines.remote import RemoteEngine, Worker
from pipeline.engines.rewarding import rewards
from pipeline.records import Message

LONG = 400


def say(text: str, max_tokens: int = 8, **sampling: Any) -> list[Request]:
    context = Context(messages=(Message("user", text),))
    return [Request(context, Sampling(max_tokens=max_tokens, **sampling))]


def much(times: int = 20) -> list[Request]:
    """Work for many seconds: one answer can be whole before a busy machine lets this process hear of it."""
    return say("Hi", LONG) * times


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One process for the tests that leave it alive; those that kill it cost the next a new one."""
    worker = Worker(tmp_path_factory.mktemp("worker") / "logs" / "inference.log")
    yield worker
    worker.stop()


@pytest.fixture
def remote(worker: Worker, tiny_model: Path) -> RemoteEngine:
    return RemoteEngine(worker, str(tiny_model))


def test_it_writes_and_scores_as_an_engine_here(remote: RemoteEngine, tiny_model: Path) -> None:
    from pipeline.engines.transformers import TransformersEngine

    local = TransformersEngine(str(tiny_model))
    assert remote.info == local.info
    heard: list[str] = []
    [there] = remote.generate(say("Hi", seed=3), lambda i, text: heard.append(text))
    [here] = local.generate(say("Hi", seed=3))
    assert (there.text, there.finish, there.tokens) == (here.text, here.finish, here.tokens)
    assert "".join(heard) == there.text
    contexts = [Context(prefill="a b"), Context(prefill="c")]
    assert remote.score(contexts, [" x", " y"]) == local.score(contexts, [" x", " y"])
    assert remote.choose(contexts, ["x", "y"]) == local.choose(contexts, ["x", "y"])


def test_what_a_critic_has_learnt_is_known_there(worker: Worker, bundled_folder: Path) -> None:
    assert RemoteEngine(worker, "bundled-critic").info.skills == ("critique", "revision")


def test_a_preference_model_scores_there_as_here_beside_the_models_that_write(
    worker: Worker, remote: RemoteEngine, tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from pipeline.preference_model import PreferenceModel

    folder = tmp_path / "pm"
    AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    asked = [((Message("user", "Hi"),), "Hello."), ((Message("user", "Hi"),), "Go away.")]
    local = PreferenceModel(str(folder))
    there = rewards(worker, str(folder), asked)
    assert there.revision == local.files.revision
    assert list(there.scores) == pytest.approx(local.score(asked), abs=1e-4)
    assert there.scores[0] != there.scores[1]
    assert remote.generate(say("Hi"))[0].text  # it is still there
    with pytest.raises(EngineError, match="is no preference model"):
        rewards(worker, str(tiny_model), asked)


def test_a_mistake_is_told_and_the_process_lives_on(worker: Worker, remote: RemoteEngine) -> None:
    pid = worker.pid
    with pytest.raises(EngineError, match="/nowhere: no such folder"):
        RemoteEngine(worker, "/nowhere")
    with pytest.raises(EngineError, match="an empty prompt"):
        remote.generate([Request(Context(), Sampling())])
    assert remote.generate(say("Hi"))[0].text
    assert worker.pid == pid is not None


def retrain(folder: Path) -> None:
    """Other weights in the same folder, put there at once."""
    from safetensors.torch import load_file, save_file

    weights = {name: tensor.flip(0) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "new", {"format": "pt"})
    os.replace(folder / "new", folder / "model.safetensors")


def test_a_folder_that_was_trained_anew_is_loaded_anew(
    worker: Worker, tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "m")
    before = RemoteEngine(worker, str(folder))
    [old] = before.generate(say("Hi", temperature=0.0))
    retrain(folder)
    after = RemoteEngine(worker, str(folder))
    assert before.info.revision != after.info.revision
    [new] = after.generate(say("Hi", temperature=0.0))
    assert new.text != old.text
    # Who began with the old weights goes on with them while they are held, and is told when they are not.
    assert before.generate(say("Hi", temperature=0.0))[0].text == old.text
    worker.stop()
    with pytest.raises(EngineError, match="changed since it was loaded"):
        before.generate(say("Hi"))
    assert after.generate(say("Hi", temperature=0.0))[0].text == new.text


def test_a_folder_whose_template_changed_is_loaded_anew(
    worker: Worker, tiny_model: Path, tmp_path: Path
) -> None:
    from pipeline.engines.transformers import TransformersEngine

    folder = shutil.copytree(tiny_model, tmp_path / "m")
    before = RemoteEngine(worker, str(folder))
    [old] = before.generate(say("Hi", temperature=0.0))
    template = folder / "chat_template.jinja"
    template.write_text("Speak! " + template.read_text())
    after = RemoteEngine(worker, str(folder))
    assert before.info.revision == after.info.revision  # which is of the weights
    [new] = after.generate(say("Hi", temperature=0.0))
    [here] = TransformersEngine(str(folder)).generate(say("Hi", temperature=0.0))
    assert new.text == here.text != old.text


def test_a_model_that_is_dropped_is_gone_before_the_next_comes(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.engines import transformers
    from pipeline.engines.worker import KEPT, Models

    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = []

    class Circular:
        def __init__(self, name: str, **_: Any) -> None:
            self.me = self
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr(transformers, "TransformersEngine", Circular)
    models = Models()
    for i in range(4):
        models.load(str(shutil.copytree(tiny_model, tmp_path / str(i))))
    assert max(most) == KEPT


def test_a_cancel_ends_within_a_second_with_what_there_is(remote: RemoteEngine) -> None:
    heard: list[str] = []
    asked: list[float] = []

    def cancelled() -> bool:
        if len(heard) >= 3 and not asked:
            asked.append(time.monotonic())
        return bool(asked)

    first, *_ = remote.generate(much(), lambda i, text: i or heard.append(text), cancelled)
    assert first.finish == "cancelled"
    assert first.text.startswith("".join(heard[:3]))
    assert time.monotonic() - asked[0] < 1


def test_a_load_that_is_cancelled_ends_at_once_and_harms_nothing(
    worker: Worker, remote: RemoteEngine, tiny_model: Path, tmp_path: Path
) -> None:
    pid = worker.pid
    with pytest.raises(StoppedError, match="stopped while loading"):
        RemoteEngine(worker, str(shutil.copytree(tiny_model, tmp_path / "m")), lambda: True)
    assert remote.generate(say("Hi", 1))[0].tokens == 1
    assert worker.pid == pid


def test_a_server_that_says_nothing_holds_up_nobody_once_it_is_not_wanted(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1#m"
        with pytest.raises(StoppedError, match="stopped while loading"):
            RemoteEngine(worker, url, lambda: bool(select([silent], [], [], 0)[0]))  # once it is asked
        began = time.monotonic()
        with pytest.raises(EngineError, match="/nowhere: no such folder"):
            RemoteEngine(worker, "/nowhere", lambda: time.monotonic() - began > 10)


def test_a_queued_job_is_cancelled_without_harm_to_the_one_that_runs(remote: RemoteEngine) -> None:
    began, done = threading.Event(), []
    first = threading.Thread(
        target=lambda: done.extend(remote.generate(much(5), lambda i, text: began.set()))
    )
    first.start()
    assert began.wait(20)
    [second] = remote.generate(say("Hi", LONG), cancelled=lambda: True)
    assert (second.text, second.finish) == ("", "cancelled")
    assert first.is_alive()
    first.join()
    assert {completion.finish for completion in done} <= {"length", "stop"}


def test_two_threads_each_get_their_own_text(remote: RemoteEngine) -> None:
    alone = [remote.generate(say(str(i), seed=i))[0].text for i in range(4)]
    together: dict[int, tuple[str, str]] = {}

    def write(i: int) -> None:
        heard: list[str] = []
        [done] = remote.generate(say(str(i), seed=i), lambda _, text: heard.append(text))
        together[i] = (done.text, "".join(heard))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == {i: (text, text) for i, text in enumerate(alone)}


def test_a_listener_that_fails_cancels_its_job(remote: RemoteEngine) -> None:
    def fail(index: int, text: str) -> None:
        raise ValueError("the page is gone")

    with pytest.raises(ValueError, match="the page is gone"):
        remote.generate(much(), fail)
    began = time.monotonic()
    assert remote.generate(say("Hi", 1))[0].tokens == 1
    assert time.monotonic() - began < 1


def test_a_kill_in_mid_stream_is_told_and_the_next_call_has_a_new_process(
    worker: Worker, remote: RemoteEngine
) -> None:
    pid = worker.pid
    assert pid is not None
    with pytest.raises(EngineError, match="was killed"):
        remote.generate(much(), lambda i, text: psutil.Process(pid).kill())
    assert remote.generate(say("Hi"))[0].text
    assert worker.pid not in (None, pid)


def test_a_release_disturbs_nobody_and_frees_what_has_nothing_to_do(
    worker: Worker, remote: RemoteEngine
) -> None:
    began, enough, done = threading.Event(), threading.Event(), []
    writing = threading.Thread(
        target=lambda: done.extend(remote.generate(much(), lambda i, text: began.set(), enough.is_set))
    )
    writing.start()
    assert began.wait(20)
    worker.release()
    enough.set()
    writing.join(20)
    assert done[0].finish == "cancelled"
    worker.release()
    assert worker.pid is None


def test_a_job_that_comes_with_a_release_is_done_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tmp_path / "log")
    alive, lives = worker._alive, list[Any]()

    def before_a_release() -> Any:
        lives.append(alive())
        if len(lives) == 1:
            worker.release()
        return lives[-1]

    monkeypatch.setattr(worker, "_alive", before_a_release)
    with pytest.raises(EngineError, match="/nowhere: no such folder"):
        RemoteEngine(worker, "/nowhere")
    assert [life.runs for life in lives] == [False, True]
    worker.stop()


def test_stop_frees_at_once_and_ends_what_runs_and_waits(worker: Worker, remote: RemoteEngine) -> None:
    assert worker.memory > 100e6
    began, ends = threading.Event(), []

    def write() -> None:
        try:
            remote.generate(much(), lambda i, text: began.set())
        except EngineError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert began.wait(20)
    pid = worker.pid
    worker.stop()
    assert (worker.pid, worker.memory) == (None, 0)
    # A new process at once must not keep the old one's jobs from hearing of its end.
    worker._alive()
    for thread in threads:
        thread.join(5)
    assert len(ends) == 3
    assert pid is not None
    assert not psutil.pid_exists(pid)
    worker.stop()
    worker.stop()


@pytest.mark.parametrize("last", [b"", b'{"op": "gener'])
def test_it_ends_with_its_studio(tmp_path: Path, last: bytes) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.engines.worker"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(last)
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_process_that_can_not_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="can't be started"):
        RemoteEngine(Worker(tmp_path / "file" / "log"), "bundled")


@pytest.mark.parametrize(
    "failure",
    ["RuntimeError('MPS backend out of memory')", "OutOfMemoryError('CUDA out of memory. Tried 2 GiB')"],
)
def test_a_gpu_without_room_says_what_helps(failure: str) -> None:
    code = f"""
from torch import OutOfMemoryError
from pipeline.engines import worker
def perform(*_): raise {failure}
worker.perform = perform
worker.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"id": 1, "op": "load"}\n')
    process.stdin.flush()
    assert b"out of memory: choose a smaller model, or release others" in process.stdout.readline()
    process.communicate()
    assert process.returncode == 0


def test_a_bug_is_told_of_its_job_alone_and_the_log_has_the_reason(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "log")
    with pytest.raises(EngineError, match=r"failed \(KeyError: 'model'\).*end of its log"):
        worker.call({"op": "load"})
    pid = worker.pid
    assert "Traceback" in (tmp_path / "log").read_text()
    with pytest.raises(EngineError, match="no such folder"):
        RemoteEngine(worker, "/nowhere")
    assert worker.pid == pid is not None
    worker.stop()


def test_a_text_that_no_request_holds_is_told_and_the_process_lives_on(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "log")
    asked = asdict(say("x" * 1_000_001)[0].context.messages[0])
    with pytest.raises(EngineError, match=r"can't be asked this: .*content: String .* at most 1000000"):
        worker.call({"op": "reward", "model": "any", "answers": [[[asked], "so"]]})
    assert worker.pid is not None
    worker.stop()


def test_a_job_that_does_not_heed_its_cancel_is_killed_and_its_text_kept(
    worker: Worker, remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engines.remote.GRACE", 0.2)
    heard: list[str] = []

    def freeze(index: int, text: str) -> None:
        heard.append(text)
        psutil.Process(worker.pid).suspend()

    [done] = remote.generate(say("Hi", LONG), freeze, lambda: bool(heard))
    assert (done.text, done.finish) == ("".join(heard), "cancelled")
    assert worker.pid is None


def test_who_waits_behind_a_job_that_is_killed_is_served_by_the_next_process(
    worker: Worker, remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engines.remote.GRACE", 0.2)
    [alone] = remote.generate(say("Ho", seed=5))
    frozen, stopped, done = threading.Event(), threading.Event(), []
    pid = worker.pid

    def freeze(index: int, text: str) -> None:
        psutil.Process(pid).suspend()
        frozen.set()

    first = threading.Thread(target=lambda: remote.generate(say("Hi", LONG), freeze, stopped.is_set))
    first.start()
    assert frozen.wait(20)
    second = threading.Thread(target=lambda: done.extend(remote.generate(say("Ho", seed=5))))
    second.start()
    time.sleep(0.1)  # until it is in the queue
    stopped.set()
    first.join(10)
    second.join(120)
    assert [completion.text for completion in done] == [alone.text]
    assert worker.pid not in (None, pid)
