"""The engine on vLLM says what torch says. `make vllm` installs its build for processors and runs these."""

from __future__ import annotations

import json
import shutil
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pipeline import models
from pipeline.engines import Completion, Context, EngineError, Request, Sampling, TooLong
from pipeline.engines.opening import InTurn, open_engine
from pipeline.engines.spending import Purse
from pipeline.engines.transformers import TransformersEngine
from pipeline.engines.vllm import VllmEngine
from pipeline.prompts import starter
from pipeline.records import Message
from tests.vllm_models import for_vllm

pytest.importorskip("vllm", reason="vLLM is not installed (`make vllm`)")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def _by_vllm() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAI_VLLM", "1")
        yield


@pytest.fixture(scope="module")
def small(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return for_vllm(tiny_model, tmp_path_factory.mktemp("vllm") / "small", 0)


@pytest.fixture(scope="module")
def another(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return for_vllm(tiny_model, tmp_path_factory.mktemp("vllm") / "another", 1)


@pytest.fixture(scope="module")
def adapter(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    folder = tmp_path_factory.mktemp("vllm") / "adapter"
    get_peft_model(AutoModelForCausalLM.from_pretrained(small), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def by_torch(small: Path) -> TransformersEngine:
    return TransformersEngine(str(small), openvino=False, dtype=torch.float32)


@pytest.fixture(scope="module")
def engine(small: Path) -> Any:
    return VllmEngine(str(small), models.weights(str(small)), dtype=torch.float32)


def ask(text: str, max_tokens: int = 24, **sampling: Any) -> Request:
    return Request(Context(prefill=text), Sampling(max_tokens=max_tokens, **sampling))


def test_greedy_text_is_that_of_torch(engine: Any, by_torch: TransformersEngine) -> None:
    requests = [ask(f"{text} and", temperature=0.0) for text in ("A fox", "Two", "The sea is")]
    assert [c.text for c in engine.generate(requests)] == [c.text for c in by_torch.generate(requests)]
    known, here = by_torch.info, engine.info
    assert (here.revision, here.parameters, here.form) == (known.revision, known.parameters, known.form)


def test_scores_and_choices_are_those_of_torch(engine: Any, by_torch: TransformersEngine) -> None:
    contexts = [
        Context(prefill="The answer is:"),
        Context(prefill="The answer is: one of"),
        Context(prefill="So"),
    ]
    for texts in (
        [" A", " B", " A"],
        [" yes it is", " no", " a long continuation of many more words than four"],
    ):
        ours, theirs = engine.score(contexts, texts), by_torch.score(contexts, texts)
        assert [s.logprob for s in ours] == pytest.approx([s.logprob for s in theirs], abs=1e-3)
        assert [s.tokens for s in ours] == [s.tokens for s in theirs]
    [ours, *_], [theirs, *_] = (e.choose(contexts, [" A", " B"]) for e in (engine, by_torch))
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_long_beginning_is_computed_once(engine: Any) -> None:
    shared = "word " * 400
    scores = engine.score([Context(prefill=shared + end) for end in ("x", "y", "z")], [" A"] * 3)
    assert sum(s.computed for s in scores) < 1.5 * len(shared.split())
    assert sum(s.saved for s in scores) > len(shared.split())


def test_a_seed_gives_the_same_text_in_any_company(engine: Any) -> None:
    [alone] = engine.generate([ask("Once", seed=7)])
    company = engine.generate([ask("Once", seed=3), ask("Once", seed=7), ask("Twice", seed=7)])
    assert company[1].text == alone.text
    assert company[0].text != alone.text


def test_a_stop_string_ends_a_text_and_what_is_shown_is_what_comes_back(engine: Any) -> None:
    [whole] = engine.generate([ask("Once", 40, temperature=0.0)])
    stop = whole.text[len(whole.text) // 2 :][:4]
    heard: list[str] = []
    [cut] = engine.generate(
        [ask("Once", 40, temperature=0.0, stop=(stop,))], lambda i, text: heard.append(text)
    )
    assert cut.finish == "stop"
    assert cut.text == whole.text[: whole.text.index(stop)] == "".join(heard)
    assert not engine.base.llm.has_unfinished_requests()


def test_a_cancel_ends_at_the_next_token_and_a_listener_that_fails_leaves_nothing(engine: Any) -> None:
    heard: list[str] = []
    done = engine.generate(
        [ask("Once", 300), ask("Twice", 300)], lambda i, t: heard.append(t), lambda: bool(heard)
    )
    assert [c.finish for c in done] == ["cancelled", "cancelled"]
    assert max(c.tokens for c in done) <= 4  # half of a character is not shown

    def fail(index: int, text: str) -> None:
        raise ValueError("the page is gone")

    with pytest.raises(ValueError, match="gone"):
        engine.generate([ask("Once", 300)], fail)
    assert not engine.base.llm.has_unfinished_requests()


def test_answers_lead_to_the_next_requests(engine: Any) -> None:
    said: dict[int, list[str]] = {0: [], 1: [], 2: []}

    def follow(index: int, ended: Completion | TooLong) -> Request | None:
        said[index].append(ended.text if isinstance(ended, Completion) else "too long")
        return ask(f"{said[index][0]} so", 4) if len(said[index]) == 1 else None

    engine.flow([ask("Once", 4), ask("word " * 600, 4), ask("Twice", 4)], follow)
    assert [len(texts) for texts in said.values()] == [2, 2, 2]
    assert said[1][0] == "too long"


def test_what_is_too_long_or_empty_is_told(engine: Any) -> None:
    with pytest.raises(TooLong, match="holds 512"):
        engine.generate([ask("Hi"), ask("word " * 600)])
    with pytest.raises(EngineError, match="no tokens"):
        engine.score([Context(prefill="a")], [""])


def test_an_adapter_is_served_by_the_base_that_is_open(engine: Any, adapter: Path) -> None:
    adapted = VllmEngine(str(adapter), models.weights(str(adapter)), [engine], torch.float32)
    assert adapted.base is engine.base
    requests = [ask("A fox and", temperature=0.0), ask("The sea", temperature=0.0)]
    merged = TransformersEngine(str(adapter), openvino=False, dtype=torch.float32).generate(requests)
    assert [c.text for c in adapted.generate(requests)] == [c.text for c in merged]
    assert [c.text for c in engine.generate(requests)] != [c.text for c in merged]
    assert adapted.info.parameters > engine.info.parameters


def test_models_in_turn_share_a_base_and_another_has_its_own(
    small: Path, adapter: Path, another: Path
) -> None:
    turn = InTurn(Purse())
    first, second, third = (turn.load(str(folder)) for folder in (small, adapter, another))
    assert second.base is first.base  # type: ignore[attr-defined]
    assert third.base is not first.base  # type: ignore[attr-defined]
    texts = [e.generate([ask("A fox", temperature=0.0)])[0].text for e in (first, second, third)]
    assert len(set(texts)) == 3


def test_what_vllm_can_not_run_torch_runs_and_the_log_says_why(
    tiny_model: Path, tiny_pm: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_engine(str(tiny_model)).info.engine != "vllm"  # its heads are too small for the kernels
    assert "torch runs it, as vLLM can't" in caplog.text
    with pytest.raises(EngineError, match="no \\(or half a\\) language model"):
        open_engine(str(tiny_pm))


def test_an_adapter_whose_layers_differ_is_left_to_torch(adapter: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter, tmp_path / "patterned")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"alpha_pattern": {"q_proj": 16}}))
    assert open_engine(str(folder)).info.engine != "vllm"


def test_a_base_that_was_trained_anew_in_its_folder_is_loaded_anew(small: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small, tmp_path / "m")
    old = open_engine(str(folder))
    assert open_engine(str(folder), beside=[old]).base is old.base  # type: ignore[attr-defined]
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor.flip(0) for name, tensor in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    new = open_engine(str(folder), beside=[old])
    assert new.base is not old.base  # type: ignore[attr-defined]
    assert new.info.revision != old.info.revision


def test_a_step_that_fails_is_told_and_its_beginnings_are_computed_again(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [ask("A fresh beginning of some length " * 40, 8, temperature=0.0)]
    core = engine.base.llm.engine_core.engine_core.model_executor
    with monkeypatch.context() as patch:
        patch.setattr(core, "execute_model", lambda *a, **k: 1 / 0)
        with pytest.raises(EngineError, match="vLLM failed"):
            engine.generate(asked)
    [after] = engine.generate(asked)
    [alone] = VllmEngine(engine.info.name, models.weights(engine.info.name), dtype=torch.float32).generate(
        asked
    )
    assert after.text == alone.text


def test_more_options_than_vllm_gives_by_itself(engine: Any) -> None:
    [likely] = engine.choose([Context(prefill="It is")], [f" {letter}" for letter in string.ascii_letters])
    assert sum(likely) == pytest.approx(1)
    assert len(set(likely)) == 52


def test_torch_or_the_environment_leave_it_out(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_engine(f"torch:{tiny_model}").info.engine == "transformers"
    monkeypatch.setenv("CAI_VLLM", "0")
    assert open_engine(str(tiny_model)).info.engine != "vllm"


@pytest.mark.model
def test_fifty_real_prompts_get_the_text_and_the_choices_of_torch(bundled_folder: Path) -> None:
    ours = VllmEngine("bundled", models.weights("bundled"), dtype=torch.float32)
    theirs = TransformersEngine("bundled", openvino=False, dtype=torch.float32)
    asked = [Context(messages=(Message("user", p.messages[-1].content),)) for p in starter("red_team")[:50]]
    requests = [Request(c, Sampling(max_tokens=16, temperature=0.0)) for c in asked]
    pairs = list(zip(ours.generate(requests), theirs.generate(requests), strict=True))
    assert sum(a.text == b.text for a, b in pairs) >= 48
    ours_chosen, theirs_chosen = (e.choose(asked, [" I", " The"]) for e in (ours, theirs))
    off = [abs(a[0] - b[0]) for a, b in zip(ours_chosen, theirs_chosen, strict=True)]
    assert max(off) < 1e-3


LOADS = """
import gc, sys, psutil
from pipeline.engines.opening import open_engine
for _ in range(3):
    assert open_engine(sys.argv[1]).info.engine == "vllm"
    gc.collect()
    print(psutil.Process().memory_info().rss)
"""


def test_a_model_that_is_dropped_gives_its_memory_back(small: Path) -> None:
    # A process of its own: the log that pytest keeps holds what was logged, and so models.
    ran = subprocess.run(
        [sys.executable, "-c", LOADS, str(small)], capture_output=True, text=True, check=True
    )
    *_, before, after = map(int, ran.stdout.split())
    assert after - before < 500e6  # its keys and values alone have 1 GB


def test_the_bundled_critic_stands_on_the_bundled_model(bundled_folder: Path) -> None:
    policy = open_engine("bundled")
    critic = open_engine("bundled-critic", beside=[policy])
    assert critic.base is policy.base  # type: ignore[attr-defined]
    assert critic.info.skills == ("critique", "revision")
    assert models.weights("bundled-critic").folder == models.weights("bundled").folder
