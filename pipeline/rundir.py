"""A run's directory: config.yaml, inputs/, events.jsonl, outputs/. It is the whole contract of a run.

The config is written when its inputs are there, and never changed; outputs grow in `*.part` and are
renamed when whole.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.bases import same_revision
from pipeline.errors import InputError, UserError
from pipeline.events import cut_torn_tail
from pipeline.plain_yaml import MAX_BYTES, MAX_NUMBER, NUMBERS


class RunDir:
    """One run's directory, new or resumed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leader = folder  # whose run it is, where several processes work on one (`train/ranks.py`)
        self.inputs = folder / "inputs"
        self.outputs = folder / "outputs"
        self.events = folder / "events.jsonl"

    @classmethod
    def open(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        inputs: Mapping[str, Path],
        may_change: Collection[str] = (),
    ) -> RunDir:
        """Start a run, or go on with one of the same config, but for what `may_change`, and inputs.

        Raises UserError where the folder holds something else.
        """
        run = cls(folder)
        # What was asked for by path is compared by content: that is what the run depends on.
        record = {**config, "inputs": sorted(inputs)}
        if (folder / "config.yaml").exists():
            run._require_same(record, inputs, may_change)
            return run
        try:
            if folder.exists() and not run._unborn():
                raise UserError(f"{folder}: not empty and not a run; choose another --run folder")
            run.inputs.mkdir(parents=True, exist_ok=True)
            run.outputs.mkdir(exist_ok=True)
            for name, source in inputs.items():
                # Whoever starts a run in the background may have put its inputs where they belong.
                if source.absolute() != (run.inputs / name).absolute():
                    (run.inputs / name).parent.mkdir(exist_ok=True)
                    shutil.copyfile(source, run.inputs / name)
            write_atomically(folder / "config.yaml", yaml.safe_dump(record, sort_keys=False))
        except OSError as error:
            raise UserError(f"{folder}: can't make a run here: {error}") from error
        return run

    def _unborn(self) -> bool:
        # Empty, or what a kill left of a run whose config was not yet written. Whoever starts a run in the
        # background has already opened its worker.log.
        ours = {"inputs", "outputs", "worker.log"}
        strange = [
            p for p in self.folder.iterdir() if p.name not in ours and not p.name.startswith(".config.")
        ]
        return not strange and not (self.outputs.is_dir() and any(self.outputs.iterdir()))

    def _require_same(
        self, record: Mapping[str, Any], inputs: Mapping[str, Path], may_change: Collection[str]
    ) -> None:
        try:
            old = load_yaml(self.folder / "config.yaml")
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder}/config.yaml can't be read: {error}") from error
        if not isinstance(old, dict):
            raise UserError(f"{self.folder}/config.yaml is not the config of a run")
        changed = [
            f"{k}: {old.get(k)!r} there, {record.get(k)!r} now"
            for k in {**record, **old}  # what was said then and is not now is another run too
            if k not in may_change
            and not same_revision(self._from_here(old.get(k)), self._from_here(record.get(k)))
        ]
        for name, source in inputs.items():
            kept = self.inputs / name
            if not kept.is_file() or not filecmp.cmp(kept, source, shallow=False):
                changed.append(f"inputs/{name} differs from {source}")
        if changed:
            raise UserError(
                f"{self.folder}: holds another run; choose another --run folder, or repeat it as it was:\n  "
                + "\n  ".join(changed)
            )

    def _from_here(self, said: Any) -> Any:
        """What a config says, with the run's own inputs named from its folder on: that may have moved."""
        if isinstance(said, dict):
            return {name: self._from_here(value) for name, value in said.items()}
        if isinstance(said, list):
            return [self._from_here(value) for value in said]
        if not isinstance(said, str):
            return said
        own = f"/{self.folder.absolute().name}/inputs/"
        return said[said.rfind(own) + 1 :] if own in said else said

    def part(self, name: str) -> Path:
        """The growing form of an output, without any torn last line."""
        path = self.outputs / f"{name}.part"
        cut_torn_tail(path)
        return path

    def finish(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Write an output whole, in its final order, and drop its growing form."""
        path = self.outputs / name
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
        self.part(name).unlink(missing_ok=True)
        return path


def read_config(folder: Path) -> dict[str, Any]:
    """What a run's config.yaml says; empty where there is none that can be read."""
    try:
        config = load_yaml(folder / "config.yaml")
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def load_yaml(path: Path) -> Any:
    """What a YAML file of ours says. Raises OSError, and ValueError for all that YAML can't be."""
    try:
        return _Loader(_small(path).decode("utf-8")).get_single_data()
    except (yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # The latter ones are PyYAML's for `!!timestamp x` and the like.
        raise ValueError(str(error) or "nested too deeply") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's, which counts 1:1:1… by 60 in quadratic time."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        said = super().construct_scalar(node)
        if node.tag in NUMBERS and len(said) > MAX_NUMBER:
            raise yaml.YAMLError(f"a number of more than {MAX_NUMBER} characters")
        return said


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 1_000_000} MB, which no config is")
    return raw


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file that we wrote; none if it isn't there.

    Raises InputError with the line of one that something else has been at.
    """
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The same, each with the number of its line; blank ones count."""
    # Not by `splitlines`, for which a lone \r ends a line too.
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else [], 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            what = "not as it was written: take this line out, or begin anew in another folder"
            raise InputError([f"{path}:{number}: {what}"])
        yield number, row


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write beside the goal and rename: a reader sees the old file or the new one, never a half.

    Raises OSError, also where the goal is a device or a pipe: the file would take its place.
    """
    if os.path.exists(path) and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EEXIST, "it is there already, and no file", str(path))
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
