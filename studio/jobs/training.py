"""What a training run learns from, put into its folder: chains, labels, human choices, demonstrations.

Everything but models is copied when the run is asked for: a chain rejected later, or a label run that is
deleted, changes nothing of a run that is resumed. How SL-CAI is trained is in section 3.2 of the paper, the
preference model and RL in section 4.1.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import bounded, prompts, written
from pipeline import pairs as pair_files
from pipeline.calibration import Calibration
from pipeline.critique import as_row
from pipeline.errors import InputError, UserError
from pipeline.prompt_rows import lines
from pipeline.records import Axis, Prompt, as_json
from pipeline.rundir import read_rows, write_atomically
from pipeline.training_configs import Direct, Preferring, Reinforcing, Supervised
from pipeline.written import PairSet
from studio.exports import Accepted, record
from studio.jobs import batch
from studio.jobs.stages import CALIBRATION, CONSTITUTION, PAIRS_FILE, RL, SFT, Stage
from studio.store import calibrations, held_judgments, pairs, reading, runs
from studio.store.chains import ChainFilter
from studio.store.database import Reader, Store
from studio.store.held_judgments import Whose
from studio.store.labels import Labeller
from studio.store.pairs import Judge, PairFilter
from studio.store.runs import NewRun, Run

CHAINS = "outputs/chains.jsonl"
LABELS = "outputs/labels.jsonl"
EVERY = "accepted"
"""Chosen in the place of a run: every chain that a person has accepted, live ones too."""


@dataclass(frozen=True)
class Lessons:
    """What SFT learns from: runs of chains (or EVERY), and files of demonstrations and helpful examples."""

    chains: Sequence[str] = ()
    accepted_only: bool = False
    demos: Path | None = None
    helpful: Path | None = None


@dataclass(frozen=True)
class Choices:
    """What a reward or DPO learns from: label runs, imported judgments, and uploaded files.

    Judgments are a name and an axis, files a path and an axis. `written` are sets of the project's own
    pairs, of which a judge learns the `reserved` ones. `measured` are imported judgments that nothing is
    learnt from: a PM is measured on them. `calibrated`: the labels' probabilities by the calibration that is
    kept for them.
    """

    labels: Sequence[str] = ()
    imports: Sequence[tuple[str, Axis]] = ()
    files: Sequence[tuple[Path, Axis]] = ()
    written: Sequence[PairSet] = ()
    reserved: bool = False
    measured: Sequence[tuple[str, Axis]] = ()
    calibrated: bool = False


def chain_rows(store: Reader, folder: Path, run: str, accepted_only: bool) -> list[dict[str, Any]]:
    """The chains of a run that may be learnt from, with what people think of them now."""
    if run == EVERY:
        kept = reading.accepted(store, ChainFilter())
        return [as_row(record(Accepted(chain, verdict))) for chain, verdict in kept]
    verdicts: dict[str, str] = dict(
        store.query("SELECT chain, verdict FROM current_verdicts WHERE verdict <> 'none'")
    )
    rows = [{**row, "verdict": verdicts.get(row["id"])} for row in read_rows(folder / run / CHAINS)]
    wanted = ("accepted",) if accepted_only else (None, "accepted")
    return [row for row in rows if row["verdict"] in wanted]


def prepare_sft(
    store: Store, folder: Path, lessons: Lessons, config: Supervised, chosen: Mapping[str, Any], who: str
) -> str:
    """Write the inputs of a run of SFT and put it in the queue; returns its id. Raises UserError.

    `chosen` is what the form held, for whoever wants the same again; its `name` is the run's.
    """
    ids: set[str] = set()
    taken: dict[str, list[dict[str, Any]]] = {}
    for run in sorted(lessons.chains, key=lambda run: run == EVERY):  # it adds what no run has brought
        rows = chain_rows(store, folder, run, lessons.accepted_only)
        taken[run] = [row for row in rows if row["id"] not in ids]
        ids |= {row["id"] for row in rows}
    files = {name: path for name, path in (("demos", lessons.demos), ("helpful", lessons.helpful)) if path}
    if not ids and not files:
        raise UserError("nothing to learn from: choose chains that are not rejected, or a file of examples")

    def write(inputs: Path) -> None:
        for run, rows in taken.items():
            if rows:
                _put_rows(inputs / "chains" / run / CHAINS, rows)
                for name in ("config.yaml", f"inputs/{CONSTITUTION}"):
                    _copy(folder / run / name, inputs / "chains" / run / name)
        for name, path in files.items():
            _copy(path, inputs / f"{name}{_suffix(path)}")

    many = len(ids) + sum(count_rows(path) for path in files.values())
    title = str(chosen.get("name") or "").strip() or f"SFT of {_short(config.model)} × {many:,}"
    return _enqueue(
        store, folder, SFT, title, config, config.steps_over(many), {"chosen": chosen}, who, write
    )


def prepare_choices(
    store: Store,
    folder: Path,
    stage: Stage[Any],
    choices: Choices,
    config: Preferring | Direct,
    gate: tuple[str, str],
    chosen: Mapping[str, Any],
    who: str,
) -> str:
    """The same for a preference model or DPO. Raises UserError.

    `gate` is how the audit's gate stands, and the reason for training anyway.
    """
    if not (choices.labels or choices.imports or choices.files or choices.written):
        raise UserError("nothing to learn from: choose labels, or comparisons that people made")

    if both := set(choices.measured) & set(choices.imports):
        names = " and ".join(name for name, _ in sorted(both))
        raise UserError(f"{names}: chosen to learn from and to measure on: choose other comparisons for one")

    calibration = _calibration(store, choices.labels) if choices.calibrated else None

    def write(inputs: Path) -> None:
        if calibration:
            inputs.mkdir(parents=True, exist_ok=True)
            write_atomically(inputs / CALIBRATION, json.dumps(as_json(calibration)) + "\n")
        for run in choices.labels:
            for name in ("config.yaml", f"inputs/{PAIRS_FILE}", f"inputs/{CONSTITUTION}", LABELS):
                _copy(folder / run / name, inputs / "labels" / run / name)
        for goal, imports in (("human", choices.imports), ("eval", choices.measured)):
            for place, (name, axis) in enumerate(imports, 1):
                _put_judgments(store, inputs / goal / axis / f"{place}-{_safe(name)}", name, axis)
        for path, axis in choices.files:
            _copy(path, _free(inputs / "human" / axis, _safe(path.name)))

    many = count_choices(store, folder, choices)
    what = "PM" if isinstance(config, Preferring) else "DPO"
    title = str(chosen.get("name") or "").strip() or f"{what} of {_short(config.model)} × {many:,}"
    more = {
        "written": list(choices.written),
        "reserved": choices.reserved and bool(choices.written),
        "gate": gate[0],
        "override_gate": gate[1],
        "chosen": chosen,
    }
    return _enqueue(
        store, folder, stage, title, config, config.steps_over(config.learnt(many)), more, who, write
    )


def prepare_rl(
    store: Store,
    folder: Path,
    asked: Sequence[Prompt],
    config: Reinforcing,
    models: tuple[str, str],
    chosen: Mapping[str, Any],
    who: str,
) -> str:
    """The same for RL; `models` are the runs of the preference model and of the judge (or empty)."""
    reward, judge = models
    if not reward:
        raise UserError("choose the preference model that rewards: train one first")
    if reward == judge:
        raise UserError("the judge is the reward itself, and would find nothing: choose another, or none")
    title = str(chosen.get("name") or "").strip() or f"RL of {_short(config.model)} × {len(asked):,}"
    paths = {"pm": str(folder / reward), "judge": str(folder / judge) if judge else ""}

    def write(inputs: Path) -> None:
        prompts.write(tuple(asked), inputs / batch.PROMPTS_FILE)

    return _enqueue(store, folder, RL, title, config, config.steps, {**paths, "chosen": chosen}, who, write)


def count_choices(store: Reader, folder: Path, choices: Choices) -> int:
    """How many judged pairs these are, as far as it can be told without reading whole files."""
    held = {(a.annotator, a.axis): a.pairs for a in held_judgments.annotators(store) if a.kind == "imported"}
    pairs_in = sum(count_rows(folder / run / "inputs" / PAIRS_FILE) for run in choices.labels)
    of_people = sum(held.get(of, 0) for of in choices.imports)
    of_people += sum(count_rows(path) for path, _ in choices.files)
    return pairs_in + of_people + count_written(choices)


def count_written(choices: Choices) -> int:
    """How many of the project's own pairs."""
    return sum(len(written.preferences(name, choices.reserved)) for name in choices.written)


def count_rows(path: Path) -> int:
    """Rows of a JSONL file, gzipped or not; of another form 0, which its run will count."""
    if not path.name.endswith((".jsonl", ".jsonl.gz")) or not path.is_file():
        return 0
    try:
        with path.open("rb") as raw, bounded.unpacked(raw, path, path.suffix == ".gz") as file:
            return sum(1 for _ in lines(file))
    except (OSError, EOFError, zlib.error, InputError):  # broken, or too large: its run says so
        return 0


def labelled_by(run: Run) -> tuple[Labeller, Axis]:
    """Who made the labels of a run, and by what their pairs are judged."""
    axis: Axis = "helpful" if run.config.get("axis") == "helpful" else "harmless"
    return Labeller(str(run.config["model"]), run.config["method"], run.constitution or ""), axis


def _calibration(store: Reader, labelled: Sequence[str]) -> Calibration | None:
    """The calibration that is kept for these runs' labels. Raises UserError where it is not one."""
    found: list[tuple[str, Calibration]] = []  # not by name: two runs may have the same
    for run in filter(None, (runs.load(store, id) for id in labelled)):
        kept = calibrations.kept(store, *labelled_by(run))
        if kept is None:
            raise UserError(
                f"no calibration is kept for {run.name}: keep one on the Agreement page, or untick it"
            )
        found.append((run.name, kept))
    if len({json.dumps(as_json(kept)) for _, kept in found}) > 1:
        names = " and ".join(name for name, _ in found)
        raise UserError(f"{names} have calibrations of their own: train on one of them, or untick it")
    return found[0][1] if found else None


def _enqueue(
    store: Store,
    folder: Path,
    stage: Stage[Any],
    name: str,
    config: Any,
    total: int,
    more: Mapping[str, Any],
    who: str,
    write: Callable[[Path], None],
) -> str:
    run = NewRun(
        id=runs.new_id(store),
        stage=stage.name,
        name=name,
        config={**as_json(config), **more, "gpus": ",".join(more["chosen"].get("gpus") or [])},
        constitution=None,
        constitution_name=None,
        total=total,
        author=who,
    )
    return batch.put_in_queue(store, folder, run, write)


def _put_judgments(store: Store, target: Path, annotator: str, axis: Axis) -> None:
    """The pairs that a file brought, with its people's choices, as a run's directory holds them."""
    kept = held_judgments.current(store, axis, Whose("imported", annotator))
    judged = pairs.select(store, PairFilter(judged_by=Judge(annotator, "imported", axis)))
    (target / "inputs").mkdir(parents=True)
    pair_files.write(judged, target / "inputs" / PAIRS_FILE)
    _put_rows(target / "inputs" / "human.jsonl", [as_json(judgment) for judgment in kept])


def _put_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _free(folder: Path, name: str) -> Path:
    """A place for a file of this name: with a number before it where another file has it."""
    names = itertools.chain([name], (f"{n}-{name}" for n in itertools.count(2)))
    return next(folder / one for one in names if not (folder / one).exists())


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix])


def _safe(name: str) -> str:
    """A file's name without anything that a path could mean."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[-80:] or "file"


def _short(model: str) -> str:
    return Path(model).name[:24]
