"""OpenVINO writes what torch would, keeps no block too many, and calls nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
if torch.cuda.is_available():
    pytest.skip("OpenVINO is for processors, and here is a GPU", allow_module_level=True)

from pipeline.engines import Context, Request, Sampling, graph  # noqa: E402
from pipeline.engines.opening import open_engine  # noqa: E402
from pipeline.engines.paged import BLOCK, Blocks, PagedModel, keys  # noqa: E402
from pipeline.engines.transformers import TransformersEngine  # noqa: E402
from pipeline.prompts import starter  # noqa: E402
from pipeline.records import Message  # noqa: E402


def ask(text: str, tokens: int = 8, seed: int = 0, temperature: float = 0.0) -> Request:
    return Request(Context((Message("user", text),)), Sampling(tokens, temperature, 0.95, seed=seed))


def test_a_block_is_known_by_all_that_leads_to_its_end() -> None:
    one, other = [1] * 2 * BLOCK, [2] * BLOCK + [1] * BLOCK
    assert len(list(keys(one))) == 2
    assert not set(keys(one)) & set(keys(other))
    assert list(keys(one + [3] * BLOCK))[:2] == list(keys([*one, 9]))


def test_blocks_are_known_until_others_need_them_and_never_taken_from_who_uses_them() -> None:
    blocks = Blocks()
    blocks.add(2)
    first, second = blocks.new(), blocks.new()
    assert first is not None
    assert second is not None
    blocks.know(b"1", first)
    blocks.know(b"2", second)
    assert blocks.new() is None
    blocks.leave([first])
    assert blocks.take(b"1") == first
    blocks.leave([first, second])
    assert blocks.new() == second  # the end of the text that was left, not its beginning
    assert (blocks.knows(b"1"), blocks.knows(b"2")) == (True, False)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_texts_are_those_of_torch(tiny_engine: Any, torch_engine: Any, temperature: float) -> None:
    requests = [ask("word " * (i * 7 % 50) + str(i), seed=i, temperature=temperature) for i in range(12)]
    one, other = (engine.generate(requests) for engine in (tiny_engine, torch_engine))
    assert [done.text for done in one] == [done.text for done in other]
    assert (tiny_engine.info.engine, torch_engine.info.engine) == ("openvino", "transformers")


@pytest.mark.model
def test_fifty_real_prompts_read_as_in_torch(bundled_engine: Any, bundled_torch_engine: Any) -> None:
    requests = [ask(prompt.messages[-1].content, 12) for prompt in starter("red_team")[:50]]
    assert bundled_engine.info.engine == "openvino"
    pairs = zip(bundled_engine.generate(requests), bundled_torch_engine.generate(requests), strict=True)
    # Where two tokens are as likely, rounding decides: in bf16, where that is fast, of many texts.
    fine = bundled_torch_engine.model.dtype == torch.float32
    assert sum(one.text == other.text for one, other in pairs) >= (49 if fine else 20)
    assert bundled_engine.paged.off(bundled_torch_engine.model) < (2e-3 if fine else 1)


CONTEXTS = [Context(prefill="word " * n + "end") for n in (3, 60, 60, 80)]
CONTINUATIONS = [" (A)", " (A)", " (B)", " and they all lived happily ever after"]


def test_likelihoods_are_those_of_torch(tiny_engine: Any, torch_engine: Any) -> None:
    contexts, continuations = CONTEXTS * 2, CONTINUATIONS + CONTINUATIONS[::-1]
    one, other = (engine.score(contexts, continuations) for engine in (tiny_engine, torch_engine))
    assert [s.logprob for s in one] == pytest.approx([s.logprob for s in other], abs=1e-4)
    assert [s.tokens for s in one] == [s.tokens for s in other]
    assert all(s.computed + s.saved == t.computed + t.saved for s, t in zip(one, other, strict=True))


def test_what_was_computed_for_one_likelihood_is_saved_for_others(tiny_engine: Any) -> None:
    head = Context(prefill="Once upon a time " * 40)
    first, second = tiny_engine.score([head, head], ["A", "B"])
    assert first.computed > 100
    assert second.computed == 0
    [again] = tiny_engine.score([head], [" no"])
    assert again.computed <= BLOCK + 3
    assert again.computed + again.saved == first.computed + first.saved


@pytest.mark.model
def test_choices_of_the_bundled_model_are_those_of_torch(
    bundled_engine: Any, bundled_torch_engine: Any
) -> None:
    contexts = [Context(prompt.messages) for prompt in starter("red_team")[:50]]
    one, other = (
        torch.tensor(engine.choose(contexts, ["Yes", "No", "I can't help with that."]))
        for engine in (bundled_engine, bundled_torch_engine)
    )
    assert float((one - other).abs().max()) < 1e-4


def test_many_positions_wait_for_room(tiny_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny_engine.score(CONTEXTS, CONTINUATIONS)
    monkeypatch.setattr("pipeline.engines.transformers.SCORED_AT_ONCE", 1)
    found = tiny_engine.score(CONTEXTS, CONTINUATIONS)
    assert [s.logprob for s in found] == pytest.approx([s.logprob for s in expected], abs=1e-4)


def test_much_to_score_is_scored_in_fp32_though_the_model_is_in_bf16(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(str(tiny_model), dtype=torch.bfloat16)
    by_torch = engine.score(CONTEXTS, CONTINUATIONS)
    assert engine.exact is None
    monkeypatch.setattr("pipeline.engines.transformers.WORTH_COMPILING", 1)
    found = engine.score(CONTEXTS, CONTINUATIONS)
    assert engine.exact
    assert [s.logprob for s in found] == pytest.approx([s.logprob for s in by_torch], abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_speaks_merged(lora: Path, tiny_model: Path, dtype: Any) -> None:
    merged = TransformersEngine(str(lora), dtype=dtype)
    by_torch = TransformersEngine(str(lora), dtype=torch.float32, openvino=False)
    plain = TransformersEngine(str(tiny_model))
    texts = [engine.generate([ask("Hello")])[0].text for engine in (merged, by_torch, plain)]
    assert texts[0] == texts[1] != texts[2]
    assert merged.info.engine == "openvino"


def test_a_batch_that_nobody_went_on_with_leaves_its_blocks(tiny_engine: Any) -> None:
    def interrupted(index: int, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_engine.generate([ask("word " * 100)], interrupted)
    tiny_engine.generate([ask("a")])
    assert not any(tiny_engine.paged.blocks.users)


def test_likelihoods_that_failed_leave_their_blocks(
    tiny_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sum(map(bool, tiny_engine.paged.blocks.users))
    with monkeypatch.context() as patch:
        patch.setattr(PagedModel, "_know", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tiny_engine.score([Context(prefill="words " * 100)], ["A"])
    assert sum(map(bool, tiny_engine.paged.blocks.users)) == before


def test_torch_runs_what_it_is_asked_to(tiny_model: Path) -> None:
    ran_by = [open_engine(name).info.engine for name in (str(tiny_model), f"torch:{tiny_model}")]
    assert ran_by == ["openvino", "transformers"]


def test_where_openvino_says_otherwise_torch_writes(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PagedModel, "off", lambda *_: 0.5)
    engine = TransformersEngine(str(tiny_model), dtype=torch.float32)
    assert engine.generate([ask("Hello")])[0].tokens > 0
    assert engine.info.engine == "transformers"
    assert "logits are not those of torch, by 0.5" in caplog.text


def test_it_is_for_llamas_and_for_machines_with_the_memory(
    torch_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graph.fits(torch_engine.model)
    with monkeypatch.context() as patch:
        patch.setattr(torch_engine.model.config, "model_type", "gpt2")
        assert not graph.fits(torch_engine.model)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    assert not graph.fits(torch_engine.model)


def test_a_signal_is_heard_after_models_have_come_and_gone(tiny_model: Path) -> None:
    code = f"""
import gc, signal, sys
from pipeline.engines import Context, Request, Sampling
from pipeline.engines.transformers import TransformersEngine
engines = [TransformersEngine({str(tiny_model)!r}) for _ in range(2)]
for engine in engines:
    engine.generate([Request(Context(prefill="a"), Sampling(2))])
while engines:
    del engine
    engine = engines.pop(0)
del engine
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_it_reports_to_nobody(tiny_model: Path) -> None:
    code = f"""
import socket, sys
def refuse(*_, **__): raise SystemExit("a connection")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pipeline.engines import Context, Request, Sampling
from pipeline.engines.transformers import TransformersEngine
engine = TransformersEngine({str(tiny_model)!r})
print(engine.generate([Request(Context(prefill="a"), Sampling(2))])[0].tokens, engine.info.engine)
print([name for name, module in sys.modules.items() if "openvino_telemetry" in name and module])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-2:] == ["2 openvino", "[]"], done.stderr
