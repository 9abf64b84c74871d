"""What a model name means, and what is said where it means nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline import bounded, bundled, models
from pipeline.errors import UserError

WEIGHTS = b"\x02\0\0\0\0\0\0\0{}"


def model(folder: Path, *weights: str, config: bool = True) -> Path:
    folder.mkdir(parents=True)
    if config:
        (folder / "config.json").write_text("{}")
    for name in weights:
        (folder / name).write_bytes(WEIGHTS)
    return folder


def adapter(folder: Path, base: object) -> Path:
    model(folder, "adapter_model.safetensors", config=False)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return folder


def test_a_folder(tmp_path: Path) -> None:
    found = models.resolve(str(model(tmp_path / "m", "model.safetensors")))
    assert (found.kind, found.folder, found.adapter) == ("folder", tmp_path / "m", None)
    (tmp_path / "m" / "model.safetensors").write_bytes(WEIGHTS + b" ")
    assert models.resolve(str(tmp_path / "m")).revision != found.revision


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"only pickle weights here \({name}\).* run any code"):
        models.resolve(str(model(tmp_path / "m", name)))


@pytest.mark.parametrize("shard", ["evil.bin", "../evil.safetensors", "sub/a.safetensors", 7])
def test_an_index_leads_to_no_pickle_and_nowhere_else(tmp_path: Path, shard: object) -> None:
    folder = model(tmp_path / "m", "decoy.safetensors", "evil.bin")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(UserError, match=r"index\.json names .*: no safetensors of this folder"):
        models.resolve(str(folder))
    (folder / "model.safetensors.index.json").write_text("[")
    with pytest.raises(UserError, match="no index of weights"):
        models.resolve(str(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "decoy.safetensors"}}')
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"w": "evil.bin"}}')  # never read
    assert models.resolve(str(folder))


def test_an_adapters_pickle_is_not_hidden_by_other_weights(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", "bundled")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    (folder / "optimizer.safetensors").write_bytes(WEIGHTS)
    with pytest.raises(UserError, match="only pickle weights"):
        models.resolve(str(folder))


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        models.resolve(str(model(tmp_path / "a", "model.safetensors", config=False)))
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        models.resolve(str(model(tmp_path / "b")))
    with pytest.raises(UserError, match="no such folder"):
        models.resolve(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="a file; name the folder"):
        models.resolve(str(tmp_path / "a" / "model.safetensors"))


@pytest.mark.parametrize(
    "name", ["", "  ", "https://x.example", "a b", "x" * 5000, "~nobody-here/x", "a\0b", ".."]
)
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(UserError):
        models.resolve(name)


def test_an_adapter_lies_on_its_base(tmp_path: Path) -> None:
    base = model(tmp_path / "base", "model.safetensors")
    found = models.resolve(str(adapter(tmp_path / "a", str(base))))
    assert (found.kind, found.folder, found.adapter) == ("adapter", base, tmp_path / "a")
    assert found.revision.startswith(models.resolve(str(base)).revision + "+")


def test_the_bundled_critic_is_an_adapter_on_the_bundled_model(bundled_folder: Path) -> None:
    found = models.resolve("bundled-critic")
    assert (found.folder, found.kind, found.skills) == (bundled_folder, "bundled", ("critique", "revision"))
    assert not models.resolve("bundled").skills
    assert sum(file.stat().st_size for file in bundled.TAUGHT[bundled.CRITIC][0].iterdir()) < 12_000_000


def test_who_learnt_a_critics_requests_is_known_by_its_card(tmp_path: Path) -> None:
    base = model(tmp_path / "base", "model.safetensors")
    critic = adapter(tmp_path / "critic", str(base))
    assert not models.resolve(str(critic)).skills
    (critic / "checkpoint.json").write_text(
        '{"lineage": {"sources": [{"written": "critic", "skills": ["choice"]}]}}'
    )
    assert models.resolve(str(critic)).skills == ("choice",)


def test_who_is_to_run_a_model_is_no_part_of_what_it_is(tmp_path: Path) -> None:
    folder = model(tmp_path / "base", "model.safetensors")
    found = models.resolve(f" torch: {folder}")
    assert found == replace(models.resolve(str(folder)), torch=True)
    with pytest.raises(UserError, match="no model named"):
        models.resolve("torch:")
    with pytest.raises(UserError, match="leave torch: out"):
        models.resolve("torch:http://127.0.0.1/v1#m")


@pytest.mark.parametrize("card", ["adapter_config.json", "checkpoint.json"])
def test_a_card_is_neither_endless_nor_bottomless(tmp_path: Path, card: str) -> None:
    folder = adapter(tmp_path / "a", str(model(tmp_path / "base", "model.safetensors")))
    (folder / card).write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        bounded.json_of(folder / card)
    with (folder / card).open("w") as file:
        file.truncate(bounded.MAX_JSON + 1)
    with pytest.raises(ValueError, match="which such a file never has"):
        bounded.json_of(folder / card)
    if card == "adapter_config.json":
        with pytest.raises(UserError, match="does not name its base"):
            models.resolve(str(folder))
    else:
        assert not models.resolve(str(folder)).skills


def test_adapters_of_adapters_and_circles_are_refused(tmp_path: Path) -> None:
    base = model(tmp_path / "base", "model.safetensors")
    adapter(tmp_path / "one", str(base))
    adapter(tmp_path / "two", str(tmp_path / "one"))
    adapter(tmp_path / "self", str(tmp_path / "self"))
    adapter(tmp_path / "egg", str(tmp_path / "hen"))
    adapter(tmp_path / "hen", str(tmp_path / "egg"))
    adapter(tmp_path / "run" / "checkpoint", str(tmp_path / "run"))
    (tmp_path / "run" / "config.yaml").touch()
    for name in ("two", "self", "egg", "run"):
        with pytest.raises(UserError, match="itself an adapter; merge"):
            models.resolve(str(tmp_path / name))


@pytest.mark.parametrize("base", [None, 3, "", "/nowhere"])
def test_an_adapter_without_a_base(tmp_path: Path, base: object) -> None:
    with pytest.raises(UserError, match="base"):
        models.resolve(str(adapter(tmp_path / "a", base)))


def test_a_run_is_its_checkpoint(tmp_path: Path) -> None:
    model(tmp_path / "run" / "checkpoint", "model.safetensors")
    (tmp_path / "run" / "config.yaml").touch()
    found = models.resolve(str(tmp_path / "run"))
    assert (found.kind, found.folder) == ("run", tmp_path / "run" / "checkpoint")


def test_an_unknown_hub_model_offline_says_what_to_do(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline", "models", "get", "nobody/nothing"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 2
    assert shown.stderr.startswith("cai: nobody/nothing: no folder of this name here")
    assert "Use `bundled`" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def hub(monkeypatch: pytest.MonkeyPatch, snapshot: Any, listed: Any = ()) -> None:
    """Let a hub answer: a folder or an error for the snapshot, names or an error for the list of files."""

    def answer(with_: Any) -> Any:
        def give(*args: Any, **options: Any) -> Any:
            if isinstance(with_, Exception):
                raise with_
            return with_

        return give

    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer(snapshot))
    monkeypatch.setattr(huggingface_hub, "list_repo_files", answer(listed))


def test_a_hub_model_of_pickles_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = str(model(tmp_path / "m"))  # as it is downloaded: without them
    hub(monkeypatch, snapshot, ["config.json", "pytorch_model.bin", "onnx/other.bin"])
    with pytest.raises(UserError, match=r"org/m: only pickle weights here \(pytorch_model.bin\)"):
        models.resolve("org/m")
    for nothing in (["config.json"], ConnectionError("offline"), OSError("any")):
        hub(monkeypatch, snapshot, nothing)
        with pytest.raises(UserError, match=r"no \*\.safetensors"):
            models.resolve("org/m")


def test_a_full_disk_is_not_taken_for_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(UserError, match="No space left"):
        models.resolve("org/m")
    for unreachable in (ConnectionError("refused"), TimeoutError(), httpx.ConnectError("no route")):
        hub(monkeypatch, unreachable)
        with pytest.raises(UserError, match="the hub can't be reached"):
            models.resolve("org/m")


def test_what_is_not_here_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, LocalEntryNotFoundError("not here"))
    adapter(tmp_path / "a", "org/base@v1")
    for name in ("org/base@v1", str(tmp_path / "a")):
        with pytest.raises(models.NotHereError, match="`cai models get org/base@v1`") as missing:
            models.resolve(name, download=False)
        assert missing.value.repository == "org/base"


@pytest.mark.parametrize("lacking", ["config.json", "two.safetensors", "weights"])
def test_of_a_part_the_rest_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    folder = model(tmp_path / "m", "one.safetensors", "two.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    hub(monkeypatch, str(folder))
    adapter(tmp_path / "a", "org/m")
    assert models.resolve("org/m", download=False).revision == "m"
    for path in [index, *folder.glob("*.safetensors")] if lacking == "weights" else [folder / lacking]:
        path.unlink()
    for name in ("org/m", str(tmp_path / "a")):
        with pytest.raises(models.NotHereError, match=r"only a part .* `cai models get org/m`") as missing:
            models.resolve(name, download=False)
        assert missing.value.repository == "org/m"


def test_another_file_than_the_bundled_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / bundled.GGUF).write_bytes(b"GGUF")
    monkeypatch.setattr(bundled, "_packaged", lambda: tmp_path / bundled.GGUF)
    with pytest.raises(UserError, match="not the file that was expected"):
        bundled.folder()
    assert not bundled.ready()


def test_without_its_package_the_bundled_model_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bundled, "_packaged", lambda: None)
    with pytest.raises(UserError, match="cai models get bundled"):
        models.resolve("bundled")


@pytest.mark.model
def test_a_killed_conversion_leaves_nothing_that_is_taken_for_a_model(
    bundled_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bundled._packaged() is None:
        pytest.skip("the bundled model's package is not installed, only its conversion")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "models", "show"], start_new_session=True, stdout=subprocess.PIPE
    )
    while not any(bundled.cache().glob("converting-*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not bundled.ready()
    [left] = bundled.cache().iterdir()
    bundled._sweep()
    assert left.is_dir()  # it may belong to a living process
    os.utime(left, (0, 0))
    bundled._sweep()
    assert not left.exists()
