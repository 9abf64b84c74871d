"""What a model name means.

`bundled`, one of its adapters in this package, a hub id (`org/name`), a local folder, a PEFT adapter folder,
or a run directory: each resolves to a folder of safetensors, or to a `UserError` that says what to do.
`http(s)://host/v1#model` is a model of a server (servers.py), which can be asked but has no weights here.
Nothing here loads a model; weights are never unpickled and repository code is never run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pipeline import bases, bounded, bundled, heads, servers
from pipeline.errors import UserError
from pipeline.servers import ServerModel

Kind = Literal["bundled", "folder", "adapter", "head", "run", "hub"]

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt"]
_GET = "`cai models get {}` downloads it"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w.-]+)?")


class NotHereError(UserError):
    """The hub's local cache lacks `repository`, which the model needs."""

    def __init__(self, message: str, repository: str) -> None:
        super().__init__(message)
        self.repository = repository


class NoSafetensorsError(UserError):
    """A folder without weights that may be loaded."""


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's weights are. `revision` identifies their content, `base` is what an adapter is on."""

    name: str
    kind: Kind
    folder: Path
    revision: str
    adapter: Path | None = None
    head: Path | None = None
    note: str = ""
    torch: bool = False
    base: str = ""

    @property
    def lasting(self) -> str:
        """A name that means this model wherever one stands: of a folder or a run, its whole path."""
        return self.name if self.kind in ("bundled", "hub") else os.path.abspath(Path(self.name).expanduser())

    @property
    def own(self) -> Path:
        """The folder that is this model's own: the adapter's or the head's, where it is one."""
        return self.adapter or self.head or self.folder

    @property
    def skills(self) -> tuple[str, ...]:
        """What of a critic's work it learnt without solved examples (`written.Skill`), as its card says."""
        try:
            sources = bounded.json_of(self.own / bases.CARD)["lineage"]["sources"]
            taught = [source["skills"] for source in sources if source.get("written") == "critic"]
            return tuple(sorted({str(skill) for skills in taught for skill in skills}))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return ()  # no card, or one that is not ours


TORCH = "torch:"
"""Before a model's name: torch runs it, also where another engine could. It is the same model."""


def bare(name: str) -> str:
    """A model's name without what is to run it."""
    return name.strip().removeprefix(TORCH).strip()


def scores(name: str) -> bool:
    """Whether a model only scores responses: it is a head, or a run that made one."""
    name = bare(name)
    try:
        folder = bundled.place(name)
        return any((place / heads.SHAPE).is_file() for place in (folder, folder / "checkpoint"))
    except (OSError, RuntimeError):  # a folder that may not be read, a `~user` that isn't there
        return False


def resolve(name: str, *, download: bool = True) -> ModelFiles | ServerModel:
    """Find the files behind a model name, or the server that it is a model of.

    With `download` false only what is on this machine counts, and what is wholly here: NotHereError is
    raised for the rest. Raises UserError with what to do.
    """
    if servers.is_server(bare(name)) and not servers.is_server(name):
        raise UserError(f"{name}: a server runs its models itself: leave {TORCH} out")
    return servers.read(name) if servers.is_server(name) else weights(name, download=download)


def weights(name: str, *, download: bool = True) -> ModelFiles:
    """Find the files behind a model name whose weights are needed here: to train, merge or copy them.

    Raises UserError as `resolve` does, and for a model of a server.
    """
    try:
        return replace(_resolve(bare(name), download), torch=name.strip().startswith(TORCH))
    except (OSError, RuntimeError) as error:  # a folder that may not be read, a `~user` that isn't there
        raise UserError(f"{name}: can't be used: {error}") from error


def _resolve(name: str, download: bool, adapted: bool = False) -> ModelFiles:
    """`adapted`: it is the base of an adapter, and so must be a whole model."""
    if not name:
        raise UserError("no model named: try `bundled`, a hub id such as `org/name`, or a folder")
    if name == "bundled":
        return ModelFiles(name, "bundled", bundled.folder(), f"gguf-{bundled.SHA256[:16]}", note=bundled.CARD)
    if name in bundled.TAUGHT:
        folder, card = bundled.TAUGHT[name]
        return replace(_weights(name, folder, download, adapted), kind="bundled", note=card)
    if servers.is_server(name):
        raise UserError(
            f"{servers.read(name).name}: a server's model, and its weights are needed here (to train, merge, "
            "export, or as a preference model): name a hub id, a folder, a run or `bundled`"
        )
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(name, path.resolve(), download, adapted)
    if path.exists():
        raise UserError(f"{name}: a file; name the folder that holds the model's config.json and safetensors")
    if name.startswith((".", "~", os.sep)):
        raise UserError(f"{name}: no such folder")
    return _hub(name, download, adapted)


def _folder(name: str, folder: Path, download: bool, adapted: bool) -> ModelFiles:
    if (folder / "checkpoint").is_dir() and (folder / "config.yaml").is_file():
        found = _weights(name, folder / "checkpoint", download, adapted)
        return replace(found, kind="run")
    return _weights(name, folder, download, adapted)


def _weights(name: str, folder: Path, download: bool, adapted: bool) -> ModelFiles:
    if (folder / "adapter_config.json").is_file():
        if adapted:
            raise UserError(f"{name}: the base of an adapter, and itself an adapter; merge this one first")
        return _adapter(name, folder, download)
    if (folder / heads.SHAPE).is_file():
        if adapted:
            raise UserError(f"{name}: scores answers, and so is no base of anything")
        return _head(name, folder, download)
    if not (folder / "config.json").is_file():
        raise UserError(f"{name}: no config.json or adapter_config.json in this folder, so it holds no model")
    _require_safetensors(name, folder, "*.safetensors")
    return ModelFiles(name, "folder", folder, fingerprint(folder))


def _adapter(name: str, folder: Path, download: bool) -> ModelFiles:
    # By its exact name: beside any other file PEFT would go on to unpickle adapter_model.bin.
    _require_safetensors(name, folder, "adapter_model.safetensors")
    below = _base(name, folder / "adapter_config.json", download)
    revision = f"{below.revision}+{fingerprint(folder)}"
    return ModelFiles(name, "adapter", below.folder, revision, folder, base=below.lasting)


def _head(name: str, folder: Path, download: bool) -> ModelFiles:
    _require_safetensors(name, folder, heads.WEIGHTS)
    below = _base(name, folder / heads.SHAPE, download)
    revision = f"{below.revision}+{fingerprint(folder)}"
    return ModelFiles(name, "head", below.folder, revision, head=folder, base=below.lasting)


def _base(name: str, config: Path, download: bool) -> ModelFiles:
    """What an adapter or a head stands on, by its config and, where there is one, its card."""
    try:
        base = bases.read(config)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    try:
        return bases.find(base, config, lambda place: _resolve(place, download, adapted=True))
    except NotHereError as error:
        raise NotHereError(f"{name}: its base is missing: {error}", error.repository) from error
    except UserError as error:
        raise UserError(f"{name}: its base can't be used: {error}") from error


def _require_safetensors(name: str, folder: Path, pattern: str) -> None:
    if any(folder.glob(pattern)):
        for index in folder.glob("*.safetensors.index.json"):
            _refuse_strange_shards(name, index)
        return
    _refuse_pickles(name, [path.name for path in folder.iterdir()])
    raise NoSafetensorsError(f"{name}: no {pattern} weights in this model's folder")


def _refuse_strange_shards(name: str, index: Path) -> None:
    """An index says where each weight is: transformers would follow it to a pickle, or out of the folder."""
    try:
        files = set(bounded.json_of(index)["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{name}: {index.name} is no index of weights") from error
    for file in files:
        if not isinstance(file, str) or file != os.path.basename(file) or not file.endswith(".safetensors"):
            raise UserError(f"{name}: {index.name} names {str(file)[:80]!r}: no safetensors of this folder")


def _refuse_pickles(name: str, files: Iterable[str]) -> None:
    pickles = sorted(file for file in files if any(fnmatch(file, pattern) for pattern in PICKLES))
    if pickles:
        raise UserError(
            f"{name}: only pickle weights here ({', '.join(pickles[:3])}), and loading a pickle can run any "
            "code, so it is refused. Convert it to safetensors, or choose a model that has them."
        )


def _hub(name: str, download: bool, adapted: bool) -> ModelFiles:
    from httpx import HTTPError
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # Not every OSError: a full disk must say so.
    unreachable = (HfHubHTTPError, HTTPError, ConnectionError, TimeoutError, ValueError)
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{name}: neither a folder nor a hub id (`org/name`, or `org/name@revision`)")
    repository, _, revision = name.partition("@")
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=HUB_FILES,
            ignore_patterns=["*/*"],
            local_files_only=not download,
        )
    except RepositoryNotFoundError as error:
        message = f"{name}: no folder of this name here, and the hub has no such model (or it needs HF_TOKEN)"
        raise UserError(message) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{name}: the hub has {repository}, but no revision {revision} of it") from error
    except (LocalEntryNotFoundError, *unreachable) as error:
        if not download:
            raise NotHereError(f"{name}: not on this machine yet: {_GET.format(name)}", repository) from error
        raise UserError(
            f"{name}: no folder of this name here, not in the hub's local cache, and the hub can't be "
            "reached. Use `bundled`, name a local folder, or try again with a network (HF_HUB_OFFLINE unset)."
        ) from error
    if not download and _partial(Path(folder)):
        raise NotHereError(f"{name}: only a part is on this machine: {_GET.format(name)}", repository)
    try:
        found = _weights(name, Path(folder), download, adapted)
    except NoSafetensorsError:
        if download:  # pickles are never fetched, so only the hub knows of them
            with suppress(*unreachable, OSError):
                listed = list_repo_files(repository, revision=revision or None)
                _refuse_pickles(name, [file for file in listed if "/" not in file])
        raise
    below, adapter, _ = found.revision.rpartition("+")  # of an adapter, what it stands on counts too
    return replace(found, kind="hub", revision=f"{below}{adapter}{Path(folder).name}")


def _partial(folder: Path) -> bool:
    """Whether the hub's cache lacks a model's config or some of its weights."""
    weights = {path.name for path in folder.glob("*.safetensors") if path.is_file()}
    named: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):  # is refused later
            named |= set(bounded.json_of(index)["weight_map"].values())
    configs = ("config.json", "adapter_config.json", heads.SHAPE)
    return not weights or not named <= weights or not any((folder / one).is_file() for one in configs)


def downloaded(repository: str) -> int:
    """Bytes of a hub model that are in the local cache, whole files or not."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    blobs = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "blobs"
    size = 0
    for path in blobs.glob("*"):
        with suppress(OSError):  # renamed meanwhile: it was complete
            size += path.stat().st_size
    return size


def fingerprint(folder: Path) -> str:
    """Identity of a folder's weights: names, sizes and both ends of each file.

    Not a hash of every byte: that would take a minute on a large model, at each load.
    """
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*config.json")]):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:16]
