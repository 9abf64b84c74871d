"""A checkpoint as a folder for others: the adapter as it is, or the whole model, with what it came from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from pipeline import bounded, heads, lineage, models
from pipeline.bases import CARD
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.train import model_card
from pipeline.train.loading import adapter_shape
from pipeline.train.saving import read_card

TAKEN = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""What a model's folder may hold, by the end of the name. No pickle is passed on."""
PATHS = ("_path", "_file")
"""Ends of the names in a config whose values may be paths."""


Tell = Callable[[str], None]


def export(checkpoint: Path, to: Path, merged: bool, portable: bool = False, tell: Tell = say) -> None:
    """Write a checkpoint into a new folder; `merged` as a whole model that needs no base.

    A preference model, and what full tuning made, is whole already. `portable`: without this machine's
    paths; `tell` hears what is being done. Raises UserError; the folder appears when it is complete.
    """
    source = checkpoint / "checkpoint" if (checkpoint / "checkpoint").is_dir() else checkpoint
    found = lineage.of(checkpoint)
    card = read_card(source)
    if not card:
        raise UserError(f"{checkpoint}: has not finished, and so there is no checkpoint to export yet")
    _require_free(to, source)
    adapter = (source / "adapter_config.json").is_file()
    if merged and (source / heads.SHAPE).is_file():
        raise UserError(
            f"{checkpoint}: a head, which stands on its base and can't be merged: export it as it is"
        )
    with _appearing(to) as folder:
        if adapter and merged:
            _merge(str(checkpoint), folder, tell)
        else:
            _copy(source, folder, tell)
        if portable:
            card = _names(card)
            _shorten_configs(folder)
        kept = {**card, "merged": True} if adapter and merged else card
        (folder / CARD).write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
        readme = model_card.text(card, found, to.name, adapter and not merged)
        (folder / "README.md").write_text(readme, "utf-8")


def unfinished(to: Path) -> Path:
    """Where an export is written until it is complete: what one that was killed leaves."""
    return to.with_name(f".{to.name}.writing")


def _require_free(to: Path, source: Path) -> None:
    try:
        if to.exists() and not to.is_dir():
            raise UserError(f"{to}: is a file; choose a new or empty folder to export to")
        if to.exists() and any(to.iterdir()):
            raise UserError(f"{to}: is not empty; choose another folder to export to")
        if to.resolve().is_relative_to(source.resolve()):
            raise UserError(f"{to}: lies in the checkpoint itself; choose a folder elsewhere")
    except OSError as error:
        raise UserError(f"{to}: can't be used: {error.strerror}") from error


@contextmanager
def _appearing(goal: Path) -> Iterator[Path]:
    """A folder to fill, which has its name only when the block is done, and is gone if it fails."""
    aside = unfinished(goal)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        os.replace(aside, goal)  # takes an empty folder's place, and no other's
    except OSError as error:
        raise UserError(f"{goal}: can't be written: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{goal}: not written, as a file of the checkpoint is broken: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _copy(source: Path, to: Path, tell: Tell) -> None:
    files = [p for p in sorted(source.iterdir()) if p.suffix in TAKEN and p.is_file() and not p.is_symlink()]
    if not any(path.suffix == ".safetensors" for path in files):
        raise UserError(f"{source}: holds no safetensors weights, and so nothing to export")
    for path in files:
        tell(f"copying {path.name} ({path.stat().st_size / 1e6:,.1f} MB)")
        shutil.copyfile(path, to / path.name)


def _merge(name: str, to: Path, tell: Tell) -> None:
    """The base with the adapter's matrices added, in fp32: rounded to bf16, much of what they add is lost."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    from pipeline.engines.transformers import LOCAL, tokenizer_folder

    disable_progress_bar()
    files = models.weights(name)
    try:
        tell("loading the base")
        model = AutoModelForCausalLM.from_pretrained(
            files.folder, dtype=torch.float32, use_safetensors=True, **LOCAL
        )
        shape = adapter_shape(files)
        tell("adding the adapter")
        model = PeftModel.from_pretrained(model, files.adapter, config=shape, local_files_only=True)
        whole: Any = model.merge_and_unload()
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(files), **LOCAL)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{name} could not be merged: {error or type(error).__name__}") from error
    tell("writing the whole model")
    whole.save_pretrained(to)
    tokenizer.save_pretrained(to)


def _shorten_configs(folder: Path) -> None:
    """Without the paths of this machine, which libraries write into their configs beside hub ids."""
    for path in folder.glob("*config.json"):
        config = bounded.json_of(path)
        if isinstance(config, dict):
            kept = {key: _names(value) if key.endswith(PATHS) else value for key, value in config.items()}
            if kept != config:
                path.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


def _names(value: Any) -> Any:
    """Plain data with the paths of this machine shortened to their last name."""
    if isinstance(value, Mapping):
        return {key: _names(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_names(item) for item in value]
    if not isinstance(value, str) or not models.bare(value).startswith(("/", "~")):
        return value
    return PurePath(models.bare(value)).name
