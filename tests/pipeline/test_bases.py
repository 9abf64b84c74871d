"""What an adapter is put on: the very weights that it was trained on, wherever one stands."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from pipeline import heads, models
from pipeline.bases import same_revision
from pipeline.errors import UserError
from pipeline.rundir import RunDir
from pipeline.train import saving

COMMIT = "c" * 40


def whole(folder: Path, weights: bytes = b"one") -> Path:
    """A run of full tuning."""
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "config.yaml").touch()
    (folder / "checkpoint" / "config.json").write_text("{}")
    (folder / "checkpoint" / "model.safetensors").write_bytes(weights)
    return folder


def adapter(folder: Path, base: str, revision: str | None, start: str | None = None) -> Path:
    """A run of LoRA; `start` is what it went on from, where that is not its base."""
    inner = folder / "checkpoint"
    inner.mkdir(parents=True)
    (folder / "config.yaml").touch()
    (inner / "adapter_model.safetensors").write_bytes(b"matrices")
    (inner / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    if revision is not None:
        card = {"base": start or base, "base_revision": revision}
        (inner / "checkpoint.json").write_text(json.dumps(card))
    return folder


def revision(folder: Path) -> str:
    return models.weights(str(folder)).revision


def inside(place: Path) -> Path:
    place.parent.mkdir(parents=True)
    return place


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*args: object, **options: object) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)


def test_a_base_of_the_same_path_in_another_project_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = whole(tmp_path / "one" / "runs" / "full")
    lora = adapter(tmp_path / "one" / "runs" / "lora", "runs/full", revision(full))
    whole(tmp_path / "two" / "runs" / "full", b"two")
    monkeypatch.chdir(tmp_path / "two")
    found = models.weights(str(lora))
    assert (found.folder, found.base) == (full / "checkpoint", str(full))


@pytest.mark.parametrize("start", [None, "runs/before"])
def test_other_weights_than_it_was_trained_on_are_refused(tmp_path: Path, start: str | None) -> None:
    full = whole(tmp_path / "full")
    known = revision(full) + ("+0123456789abcdef" if start else "")
    lora = adapter(tmp_path / "lora", str(full), known, start)
    assert models.weights(str(lora)).folder == full / "checkpoint"
    (full / "checkpoint" / "model.safetensors").write_bytes(b"another")
    with pytest.raises(UserError, match=r"full: is another model than the one that this was trained on"):
        models.weights(str(lora))


def test_a_head_is_put_on_no_other_weights_either(tmp_path: Path) -> None:
    full, head = whole(tmp_path / "full"), tmp_path / "head"
    head.mkdir()
    (head / heads.WEIGHTS).write_bytes(b"head")
    (head / heads.SHAPE).write_text(json.dumps({heads.BASE: str(full)}))
    (head / "checkpoint.json").write_text(json.dumps({"base": str(full), "base_revision": "f" * 16}))
    with pytest.raises(UserError, match="another model"):
        models.weights(str(head))


def test_runs_that_moved_together_are_found_beside(tmp_path: Path) -> None:
    full = whole(tmp_path / "old" / "full")
    adapter(tmp_path / "old" / "lora", str(full), revision(full))
    (tmp_path / "old").rename(tmp_path / "new")
    assert models.weights(str(tmp_path / "new" / "lora")).folder == tmp_path / "new" / "full" / "checkpoint"


@pytest.mark.parametrize("base", ["full/checkpoint", "rl/snapshots/step-8"])
def test_a_part_of_a_run_is_found_beside_too(tmp_path: Path, base: str) -> None:
    part = tmp_path / "old" / base
    (whole(tmp_path / "made") / "checkpoint").rename(inside(part))
    adapter(tmp_path / "old" / "lora", str(part), None)
    (tmp_path / "old").rename(tmp_path / "new")
    assert models.weights(str(tmp_path / "new" / "lora")).folder == tmp_path / "new" / base


def test_a_base_is_found_in_a_project_that_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    base = (whole(tmp_path / "made") / "checkpoint").rename(inside(old / "models" / "foo"))
    adapter(old / "runs" / "lora", str(base), models.fingerprint(base))
    adapter(tmp_path / "far", str(base), models.fingerprint(base))
    adapter(old / "runs" / "unknown", str(base), None)
    old.rename(new)
    assert models.weights(str(new / "runs" / "lora")).folder == new / "models" / "foo"
    with pytest.raises(UserError, match="no such folder"):  # which one it was on is not known
        models.weights(str(new / "runs" / "unknown"))
    monkeypatch.chdir(new)
    assert models.weights(str(tmp_path / "far")).folder == new / "models" / "foo"


def test_the_hub_is_not_asked_for_a_run(
    no_hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, tmp_path / "elsewhere")
    lora = adapter(tmp_path / "lora", "runs/full", "f" * 16)
    with pytest.raises(UserError, match=r"runs/full: no such folder: put it there or beside its run"):
        models.weights(str(lora), download=False)


@pytest.mark.parametrize("card", [None, "not read"])
def test_an_old_card_without_a_revision_takes_what_is_there(tmp_path: Path, card: str | None) -> None:
    lora = adapter(tmp_path / "lora", str(whole(tmp_path / "full")), None)
    if card:
        (lora / "checkpoint" / "checkpoint.json").write_text(card)
    assert models.weights(str(lora)).folder == tmp_path / "full" / "checkpoint"


def test_a_base_of_the_hub_is_had_at_the_commit_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = whole(tmp_path / "cache") / "checkpoint"
    snapshot = snapshot.rename(tmp_path / COMMIT)
    asked = []

    def download(repository: str, **options: object) -> str:
        asked.append((repository, options["revision"]))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = models.weights(str(adapter(tmp_path / "lora", "org/base@main", COMMIT)))
    assert (asked, found.base) == ([("org/base", COMMIT)], "org/base@main")
    # A hub's adapter has the base's revision in front too, and one that was trained from it stays usable.
    models.weights(str(adapter(tmp_path / "more", "org/base", f"{COMMIT}+{'d' * 40}", "org/lora")))
    whole(tmp_path / "local")
    models.weights(str(adapter(tmp_path / "old", str(tmp_path / "local"), COMMIT, "org/lora")))


def test_a_hub_adapters_revision_has_its_bases_in_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = whole(tmp_path / "full")
    snapshot = (adapter(tmp_path / "lora", str(full), None) / "checkpoint").rename(tmp_path / COMMIT)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **options: str(snapshot))
    assert models.weights("org/lora").revision == f"{revision(full)}+{COMMIT}"


def test_a_hub_adapter_is_the_same_by_its_commit_of_before() -> None:
    now = f"{'a' * 40}+{COMMIT}"
    assert same_revision(COMMIT, now)
    assert same_revision([now, "x"], [COMMIT, "x"])
    assert not same_revision("a" * 40, now)  # its base alone
    assert not same_revision("f" * 16, f"{COMMIT}+{'f' * 16}")
    assert not same_revision(f"{'b' * 40}+{COMMIT}", now)


def test_a_run_on_a_hub_adapter_of_before_goes_on(tmp_path: Path) -> None:
    RunDir.open(tmp_path / "run", {"model_revision": COMMIT}, {})
    RunDir.open(tmp_path / "run", {"model_revision": f"{'a' * 40}+{COMMIT}"}, {})
    with pytest.raises(UserError, match="model_revision"):
        RunDir.open(tmp_path / "run", {"model_revision": f"{COMMIT}+{'a' * 40}"}, {})


def test_a_base_is_written_down_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = whole(tmp_path / "runs" / "full")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    start = SimpleNamespace(files=models.weights("runs/full"))
    saving.name_base(tmp_path, start)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "adapter_config.json").read_text()) == {
        "base_model_name_or_path": str(full)
    }
    going_on = adapter(tmp_path / "runs" / "lora", "runs/full", revision(full))
    assert models.weights(str(going_on)).base == str(full)
    assert models.weights("runs/lora").lasting == str(going_on)
