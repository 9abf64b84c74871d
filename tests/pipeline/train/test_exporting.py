"""Checkpoints exported: what is written, what is refused, and that plain transformers loads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import models
from pipeline.__main__ import main
from pipeline.train import figures, model_card

HOSTILE = "[x](http://evil.example) <img src=x> | ![](//e) `a` www.evil.example a@b.example"


@pytest.fixture
def adapted(tiny_model: Path, tmp_path: Path) -> Path:
    """A finished run whose checkpoint is an adapter with weights that change what is said."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    shape = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    folder = tmp_path / "runs" / "sl" / "checkpoint"
    get_peft_model(model, shape).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    (folder / "training_args.bin").write_bytes(b"a pickle")
    written(folder, base=str(tiny_model), base_revision=models.fingerprint(tiny_model))
    (folder.parent / "config.yaml").write_text("stage: sft\n")
    return folder.parent


def written(folder: Path, **more: Any) -> None:
    heldout = {"accuracy": {"value": 0.625, "low": 0.5, "high": 0.75, "n": 400}, "loss": 0.61}
    labels = {"labels": "/gone/labels", "constitution": "0123456789abcdef", "constitution_name": HOSTILE}
    card = {
        "method": "sft",
        "base": "bundled",
        "base_revision": "r1",
        "parameters": 135_000_000,
        "step": 40,
        "figures": {"heldout": heldout, "loss_last": 1.5},
        "lineage": {"sources": [labels, {"human": "/home/me/h.jsonl", "count": 9}], "seed": 7},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint.json").write_text(json.dumps({**card, **more}))


def whole(folder: Path) -> Path:
    """A checkpoint that is whole, for what looks at files alone."""
    written(folder)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


def test_a_merged_export_is_loaded_by_plain_transformers_and_says_what_the_adapter_does(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = json.loads((adapted / "checkpoint" / "checkpoint.json").read_text())["base"]
    to = tmp_path / "whole"
    assert main(["export", str(adapted), "--to", str(to), "--merged"]) == 0
    assert capsys.readouterr().out.strip() == str(to)
    model, report = AutoModelForCausalLM.from_pretrained(to, output_loading_info=True)
    assert not any(report.values())
    tokenizer = AutoTokenizer.from_pretrained(to)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    ids = tokenizer(asked, return_tensors="pt").input_ids
    plain = AutoModelForCausalLM.from_pretrained(base)
    with torch.inference_mode():
        alone = plain(ids).logits
        adapter = PeftModel.from_pretrained(plain, adapted / "checkpoint")(ids).logits
        assert torch.allclose(model(ids).logits, adapter, atol=1e-3)
        assert not torch.allclose(adapter, alone, atol=1e-1)
    assert json.loads((to / "checkpoint.json").read_text())["merged"] is True
    assert "AutoModelForCausalLM" in (to / "README.md").read_text()
    assert not list(to.parent.glob(".whole*"))
    # The export is a checkpoint like another: it can be named, and exported again.
    assert main(["lineage", str(to)]) == 0
    assert main(["export", str(to), "--to", str(tmp_path / "again"), "--merged"]) == 0


def test_an_adapter_is_exported_as_it_is_and_no_pickle_with_it(adapted: Path, tmp_path: Path) -> None:
    to = tmp_path / "adapter"
    assert main(["export", str(adapted), "--to", str(to)]) == 0
    names = {path.name for path in to.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "chat_template.jinja"} <= names
    assert {"tokenizer.json", "checkpoint.json", "README.md"} <= names
    assert "training_args.bin" not in names
    weights = (adapted / "checkpoint" / "adapter_model.safetensors").read_bytes()
    assert (to / "adapter_model.safetensors").read_bytes() == weights
    assert "it needs its base" in (to / "README.md").read_text()


def test_the_model_card_says_how_it_was_made_and_nothing_in_it_is_markup(tmp_path: Path) -> None:
    to = tmp_path / "out"
    assert main(["export", str(whole(tmp_path / "pm")), "--to", str(to)]) == 0
    card = (to / "README.md").read_text()
    for said in (
        "sft",
        "bundled",
        "| step | 40 |",
        "135,000,000",
        r"0.6250 \[0.5000, 0.7500\], n = 400",
        "seed",
    ):
        assert said in card
    assert "01234567" in card
    assert "h.jsonl" in card
    assert "/home/me" not in card
    live = re.sub(r"\\.", "", card)  # what a backslash is in front of is text
    for markup in ("[x]", "<img", "![", "http:", "`a`", "www.evil", "a@b"):
        assert markup not in live


def test_a_folder_that_holds_something_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, to = whole(tmp_path / "pm"), tmp_path / "out"
    to.mkdir()
    (to / "mine.txt").write_text("mine")
    assert main(["export", str(source), "--to", str(to)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in to.iterdir()] == ["mine.txt"]
    assert main(["export", str(source), "--to", str(source / "out")]) == 2
    assert main(["export", str(source), "--to", str(to / "mine.txt")]) == 2
    assert "mine.txt: is a file; choose" in capsys.readouterr().err
    (to / "mine.txt").unlink()
    assert main(["export", str(source), "--to", str(to)]) == 0  # an empty one is taken


@pytest.mark.parametrize("missing", ["checkpoint.json", "model.safetensors"])
def test_what_is_no_checkpoint_leaves_no_folder(
    tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = whole(tmp_path / "pm")
    (source / missing).unlink()
    assert main(["export", str(source), "--to", str(tmp_path / "out")]) == 2
    assert str(source) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pm"]


def test_a_push_needs_a_token_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    words = ["export", str(whole(tmp_path / "pm")), "--to", str(tmp_path / "out"), "--push"]
    assert main([*words, "me/model"]) == 2
    assert "set HF_TOKEN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "no-repository"]) == 2


class Hub:
    """One that is given no upload."""

    private = True

    def __init__(self, token: str) -> None:
        self.token = token

    def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
        assert (name, private, exist_ok) == ("me/model", True, True)

    def model_info(self, name: str) -> Any:
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **given: Any) -> None:
        raise ValueError(f"401 for {self.token}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)


def test_what_is_pushed_holds_no_path_of_this_machine(hub: None, tmp_path: Path) -> None:
    source = whole(tmp_path / "home" / "pm")
    labels = {"labels": "/home/me/labels", "models": ["bundled", "/home/me/sl"], "model": "torch:/home/me/x"}
    written(source, base="/home/me/runs/full", lineage={"sources": [labels], "pm": "/home/me/runs/pm"})
    for name, config in (
        ("adapter_config.json", {"base_model_name_or_path": "/home/me/runs/full", "r": 8}),
        ("tokenizer_config.json", {"name_or_path": "/home/me/model", "chat_template": "/home", "eos": "~"}),
        ("config.json", {"_name_or_path": "/home/me/model"}),
    ):
        (source / name).write_text(json.dumps(config))
    to = tmp_path / "out"
    main(["export", str(source), "--to", str(to), "--push", "me/model"])
    for path in to.iterdir():
        assert "/home/me" not in path.read_text().replace("\\", "")
    assert json.loads((to / "adapter_config.json").read_text()) == {"base_model_name_or_path": "full", "r": 8}
    tokenizer = {"name_or_path": "model", "chat_template": "/home", "eos": "~"}
    assert json.loads((to / "tokenizer_config.json").read_text()) == tokenizer
    assert "| base | full |" in (to / "README.md").read_text()


def test_nothing_is_pushed_to_a_repository_that_is_public(
    hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Hub, "private", False)
    words = ["export", str(whole(tmp_path / "pm")), "--to", str(tmp_path / "out"), "--push", "me/model"]
    assert main(words) == 2
    assert "is public on the hub" in capsys.readouterr().err


def test_a_push_tells_the_hub_no_path_and_nobody_the_token(
    hub: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "out"
    assert main(["export", str(whole(tmp_path / "pm")), "--to", str(to), "--push", "me/model"]) == 2
    said = capsys.readouterr()
    assert "not uploaded" in said.err
    assert "hf_secret" not in said.err + said.out
    assert "/home/me" not in (to / "checkpoint.json").read_text()
    assert "/gone" not in (to / "checkpoint.json").read_text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"loss_last": 1.5, "pairs": 1200}, [("loss last", "1.5000"), ("pairs", "1,200")]),
        ({"h": {"ece": {"value": None, "n": 0}}}, [("h ece", "not known, n = 0")]),
        ({"a": "text", "b": [1], "c": True, "d": float("nan")}, []),
        ([], []),
    ],
)
def test_figures_in_words(given: object, told: list[tuple[str, str]]) -> None:
    assert figures.told(given) == told


def test_a_card_that_is_nearly_empty_makes_a_readme(tmp_path: Path) -> None:
    from pipeline.lineage import Lineage, Node

    card: Mapping[str, Any] = {"lineage": 3}
    shown = model_card.text(card, Lineage((Node("x", "checkpoint", "x"),), ()), "x", adapter=False)
    assert shown.startswith("---\nlibrary_name: transformers")
