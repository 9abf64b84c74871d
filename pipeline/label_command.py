"""`cai label`: what a feedback model holds of each pair of a file, in a run directory.

A stopped or killed run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from pipeline import comparisons, feedback
from pipeline import constitution as constitutions
from pipeline.configs import Labelling, add_arguments, from_arguments
from pipeline.engines import Engine
from pipeline.engines.opening import loaded
from pipeline.engines.spending import Purse
from pipeline.growing import EXCERPT, Row, Work, grow, say
from pipeline.judging import Tally
from pipeline.records import Axis, Constitution, Label, Method, Pair, Principle, as_json
from pipeline.rundir import RunDir
from pipeline.stage_inputs import revisions

LABELS = "labels.jsonl"


def register(subparsers: Any) -> None:
    """Add `label` to the command line."""
    parser = subparsers.add_parser(
        "label",
        help="have a feedback model judge pairs of responses",
        description="For each pair: the probability that response a is better, under principles drawn "
        "from the constitution, in both orders. Human choices in the file are kept beside the labels. "
        "The same command again goes on with a stopped run.",
    )
    parser.add_argument(
        "--pairs",
        required=True,
        type=Path,
        help="a run of `cai pairs`, or a file of pairs: ours, hh-rlhf, TRL, ShareGPT, arena or ICAI",
    )
    parser.add_argument("--constitution", required=True, help="a YAML file, or the name of a shipped one")
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="the run's directory")
    parser.add_argument(
        "--axis",
        choices=get_args(Axis),
        default="harmless",
        help="what people chose by, where the file has human choices (default harmless)",
    )
    add_arguments(parser, Labelling)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    labelling = from_arguments(Labelling, args)
    source = constitutions.find(args.constitution)
    constitution = constitutions.load(source)
    feedback.judges(constitution, labelling)  # fails here, before a model is loaded
    found = comparisons.read(args.pairs, args.axis)
    for line in found.report():
        say(line)
    config = {
        "stage": "label",
        "constitution": constitution.version,
        "axis": args.axis,
        **_settings(labelling),
        **revisions(model=labelling.model),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunDir.open(args.run, config, {"constitution.yaml": source, **_inputs(found, Path(scratch))})
    keys = [
        f"{pair.id}:{principle.id}"
        for pair in found.pairs
        for principle in feedback.drawn(pair, constitution, labelling)
    ]

    def label(work: Work) -> None:
        _label(work, found.pairs, constitution, labelling)

    return grow(folder, "label", "labels", LABELS, _key, keys, label)


def _settings(labelling: Labelling) -> dict[str, Any]:
    """The settings, without an empty `selection`: a run from before there was one can still go on."""
    return {name: value for name, value in as_json(labelling).items() if name != "selection" or value}


def _inputs(found: comparisons.PairFile, scratch: Path) -> dict[str, Path]:
    """The pairs in our own form, and the human choices where there are any: what the run depends on."""
    files: dict[str, Sequence[Any]] = {"pairs.jsonl": found.pairs}
    if found.judgments:
        files["human.jsonl"] = found.judgments
    for name, records in files.items():
        text = "".join(json.dumps(as_json(record)) + "\n" for record in records)
        (scratch / name).write_text(text, encoding="utf-8")
    return {name: scratch / name for name in files}


def _key(row: Row) -> str:
    return f"{row['pair_id']}:{row['principle']}"


def _label(work: Work, pairs: Sequence[Pair], constitution: Constitution, labelling: Labelling) -> None:
    engine = _load(labelling, work.purse)
    of = {pair.id: pair for pair in pairs}

    def lacks(pair: Pair, principle: Principle) -> bool:
        return work.lacks(f"{pair.id}:{principle.id}")

    def keep(label: Label) -> None:
        work.keep(as_json(label), 0, lambda: _sample(label, of[label.pair_id]))

    tally = feedback.label_pairs(
        pairs,
        constitution,
        labelling,
        engine,
        keep,
        lambda pair, reason: work.skip(pair.id, reason, "pair"),
        work.meter.text,
        work.stop.is_set,
        lacks=lacks,
        on_tokens=work.meter.computed,
    )
    _summarise(work, tally, labelling.settled)


def _load(labelling: Labelling, purse: Purse) -> Engine:
    return loaded(labelling.model, purse)


def _sample(label: Label, pair: Pair) -> Mapping[str, object]:
    """What is shown of a finished label while the others are made.

    Neither the pair nor what the label says: whoever watches may judge the pair later, and blind.
    """
    return {"prompt": pair.messages[-1].content[:EXCERPT], "principle": label.principle}


def _summarise(work: Work, tally: Tally, method: Method) -> None:
    """What this attempt did, and the exact ties of the whole run."""
    ties = _ties(work.output.rows.values())
    rate = round(tally.labels_per_second, 3)
    work.log.emit("summary", **{**asdict(tally), "ties": ties, "labels_per_second": rate})
    say(
        f"{tally.labels} labels in {tally.seconds:.0f} s: {rate:.2f} labels/s; "
        f"{tally.computed:,} tokens computed, {tally.saved:,} saved by shared prefixes; "
        f"{ties} of {len(work.output.rows)} labels are exact ties"
    )
    if k := tally.samples:
        # Each of two responses has odds of its own where they are judged one by one.
        odds, digits = ((k + 1) ** 2, 4) if method == "pointwise" else (k + 1, 2)
        say(
            f"the server gives no probabilities: each is estimated from {k} sampled answers, and so lies "
            f"between {1 / (odds + 1):.{digits}f} and {odds / (odds + 1):.{digits}f}"
        )


def _ties(rows: Iterable[Row]) -> int:
    return sum(row["p_a"] == 0.5 for row in rows)
