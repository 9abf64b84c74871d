"""Whether this machine and its installation are fit for the work, and what to do where they are not.

Asks the system and reads what is installed; imports no model library. What it says of sessions is the
studio's (`cai-studio doctor`).
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from pipeline import bundled, gpus

GIGA = 1e9
LEAST_MEMORY = 3 * GIGA
"""Bytes: Python with its libraries takes one, the bundled model and its critic about one each."""
LEAST_DISK = 5 * GIGA
"""Bytes: a few checkpoints of the bundled model, or one small hub model."""
PACKAGES = ("torch", "transformers", "openvino", "trl", "peft", "datasets", "gradio", "duckdb", "pyarrow")
"""Those whose version decides what works; all are required."""
GPU = ("name", "memory.total", "memory.free", "driver_version")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `todo` says what to do; empty where all is well."""

    name: str
    told: str
    todo: str = ""


def findings(places: Iterable[Path] = ()) -> Iterator[Finding]:
    """All that is known of the machine and the installation; `places` are written to, beside the usual."""
    yield from machine()
    yield from versions()
    yield device(gpus.asked(GPU))
    yield from disks([Path.cwd(), *places, Path(tempfile.gettempdir()), _hub()])
    yield from models()


def machine() -> Iterator[Finding]:
    """System, processor and memory."""
    yield Finding("system", platform.platform())
    cores, logical = psutil.cpu_count(logical=False), psutil.cpu_count() or 1
    yield Finding("processor", f"{logical} cores" + (f", {cores} of them real" if cores else ""))
    memory = psutil.virtual_memory()
    told = f"{memory.available / GIGA:.1f} of {memory.total / GIGA:.1f} GB free"
    low = memory.available < LEAST_MEMORY
    yield Finding("memory", told, "end other programs: a model and its critic need about 3 GB" if low else "")


def versions() -> Iterator[Finding]:
    """Python and the packages that matter, as they are installed."""
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    for name in PACKAGES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", "install the studio anew: pip install .")
    with suppress(PackageNotFoundError):  # it need not be
        yield Finding("vllm", version("vllm"))


def device(cards: list[list[str]]) -> Finding:
    """What models run on: the GPUs that nvidia-smi knows, if the installed torch can use them."""
    if not cards:
        return Finding("device", "the processor: nvidia-smi names no GPU")
    told = "; ".join(
        f"{name}, {free} of {total} MiB free, driver {driver}" for name, total, free, driver in cards
    )
    build = ""
    with suppress(PackageNotFoundError):
        build = version("torch")
    if build.endswith("+cpu"):
        what = "torch is a build without CUDA, so the GPU is not used; the README's “CPU or CUDA” says how"
        return Finding("device", told, what)
    return Finding("device", told)


def disks(places: Iterable[Path]) -> Iterator[Finding]:
    """Free space where something is written, each disk once."""
    seen: set[int] = set()
    for place in places:
        there = next((folder for folder in (place, *place.parents) if folder.is_dir()), None)
        if there is None or (disk := there.stat().st_dev) in seen:
            continue
        seen.add(disk)
        free = shutil.disk_usage(there).free
        told = f"{free / GIGA:.1f} GB free at {there}"
        if not os.access(there, os.W_OK):
            yield Finding("disk", told, f"{there} can't be written: change its owner, or work elsewhere")
        else:
            yield Finding("disk", told, "make room: a checkpoint may not fit" if free < LEAST_DISK else "")


def models() -> Iterator[Finding]:
    """The bundled model, and what the hub's cache holds."""
    if bundled.available():
        yield Finding("bundled model", "here" if bundled.ready() else "here, converted at its first use")
    else:
        yield Finding(
            "bundled model", "not on this machine", "fetch it: cai models get bundled (about 90 MB)"
        )
    found = sorted(_hub().glob("models--*"))
    size = sum(_size(blob) for folder in found for blob in (folder / "blobs").glob("*"))
    yield Finding("hub cache", f"{len(found)} models, {size / GIGA:.1f} GB, in {_hub()}")


def _hub() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link that leads nowhere
        return 0
