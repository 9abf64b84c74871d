"""`cai sft`, `cai pm`, `cai rl` and `cai dpo`: training from runs and files, in a run directory.

A stopped or killed run goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pipeline import constitution as constitutions
from pipeline import estimating, prompts, templates, train_options, written
from pipeline.configs import add_arguments, from_arguments
from pipeline.engines import Context
from pipeline.errors import UserError
from pipeline.events import FIELDS
from pipeline.growing import say
from pipeline.records import Axis, Prompt, as_json, content_id
from pipeline.rundir import RunDir, read_config
from pipeline.stage_inputs import read_prompts, revisions
from pipeline.train import ranks
from pipeline.train.examples import Preference, beginning_others
from pipeline.training_configs import Direct, Preferring, Reinforcing, Supervised, Training

MAY_CHANGE = ("at_once", "checkpointing", "report_to", "save_every", "sample_every", "gate", "override_gate")
"""Settings that a run may go on with otherwise: they change how it is computed, and not what is learnt."""
T = TypeVar("T", bound=Training)


@dataclass(frozen=True)
class _Command:
    name: str
    help: str
    config: type
    run: Callable[[argparse.Namespace], int]
    options: Callable[[argparse.ArgumentParser], None]


def register(subparsers: Any) -> None:
    """Add the training stages to the command line."""
    revise = "fine-tune on revisions or demonstrations (SL-CAI)"
    prefer = "train a preference model on AI and human labels"
    for stage in (
        _Command("sft", revise, Supervised, sft, train_options.sft),
        _Command("pm", prefer, Preferring, pm, train_options.pm),
        _Command("rl", "train a policy against a preference model", Reinforcing, rl, train_options.rl),
        _Command("dpo", "train a policy on labels directly", Direct, dpo, train_options.labels),
    ):
        parser = subparsers.add_parser(stage.name, help=stage.help, description=f"{stage.help.capitalize()}.")
        parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="the run's directory")
        parser.add_argument(
            "--estimate", action="store_true", help="only say what memory and time it is going to take"
        )
        stage.options(parser)
        add_arguments(parser, stage.config)
        parser.set_defaults(run_command=partial(_placed, stage))


def _placed(stage: _Command, args: argparse.Namespace) -> int:
    ranks.take_gpu(stage.name)  # before anything asks CUDA, which then knows its GPUs for good
    return stage.run(args)


def sft(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    from pipeline.train import helpful, sources
    from pipeline.train import sft as stage

    config = from_arguments(Supervised, args)
    lessons, origins = [], []
    for run in args.chains:
        some, origin = sources.from_chains(run, config.revisions == "all")
        lessons += some
        origins.append(origin)
    revised = len(lessons)
    if args.responses and not args.written:
        raise UserError("--responses: take the place of those of --written, which is not there")
    if args.written:
        constitution = constitutions.load(constitutions.find(args.written))
        responses, more = sources.responses(args.responses) if args.responses else ({}, {})
        some = written.critic_lessons(constitution, config.seed, args.skills, responses)
        lessons += some
        version = constitution.version
        skills = [skill for skill in written.SKILLS if skill in args.skills]
        about = {"skills": skills, "count": len(some), "constitution": version, **more}
        origins.append({"written": "critic", **about})
    for path in args.demos:
        some, origin = sources.from_demonstrations(path)
        lessons += some
        origins.append(origin)
    most = round(config.helpful_ratio * revised) if revised else 10**6
    prompts: list[Prompt] = []
    by = config.helpful_by or config.model
    if args.helpful and helpful.are_answered(args.helpful):
        some, origin = sources.from_demonstrations(args.helpful)
        lessons += some[:most]
        origins.append({**origin, "count": len(some[:most])})
    elif args.helpful:
        prompts = helpful.asked(args.helpful, most)
        origins.append({"helpful": str(args.helpful), "count": len(prompts), "model": by})
    if not lessons and not prompts:
        raise UserError("nothing to learn from: name --chains, --demos, --helpful or --written")
    texts = ["".join(_text(one.ask("plain"))) + one.answer for one in lessons]
    within = beginning_others(texts)
    texts = [text for at, text in enumerate(texts) if at not in within]
    config = _foresee(config, texts + ["x" * 4 * config.helpful_tokens] * len(prompts))
    if args.estimate:
        return 0
    learnt = [["".join(_text(one.ask("plain"))), one.answer, one.ends] for one in lessons]
    folder = _open(args.run, "sft", config, origins, {}, learnt=content_id(learnt))
    say(f"{len(lessons)} examples, {revised} of them revisions")
    lineage = {"sources": origins, "seed": config.seed}
    if not prompts:
        return stage.train(folder, config, lessons, lineage)
    sample = partial(helpful.sample, by, prompts, config.seed, config.helpful_tokens, folder)
    return stage.train(folder, config, lessons, lineage, sample)


def pm(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    from pipeline.train import feedback_model, sources
    from pipeline.train import preference as stage

    config = from_arguments(Preferring, args)
    preferences, origins = _preferences(args)
    measured = {name: sources.from_people(path, axis)[0] for name, (path, axis) in _measured_on(args).items()}
    under = {}
    if args.under:
        if args.labels:
            raise UserError(
                "--under: labels were made under principles of their own: name --human or --written"
            )
        feedback_model.require(config)
        constitution = constitutions.load(constitutions.find(args.under))
        under = {"constitution": constitution.version}
        preferences = feedback_model.asked(preferences, constitution, config.seed)
        measured = {
            name: feedback_model.asked(some, constitution, config.seed) for name, some in measured.items()
        }
    config = _foresee(config, _pair_texts(preferences))
    if args.estimate:
        return 0
    gate = _gate(args)
    inputs = {"constitution.yaml": constitutions.find(args.under)} if args.under else {}
    about = {**gate, **under, "eval": sorted(measured), "learnt": _digest(preferences)}
    folder = _open(args.run, "pm", config, origins, inputs, **about)
    lineage = {"sources": origins, "seed": config.seed, **gate, **under}
    return stage.train(folder, config, preferences, lineage, measured)


def dpo(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    from pipeline.train import dpo as stage

    config = from_arguments(Direct, args)
    preferences, origins = _preferences(args)
    config = _foresee(config, _pair_texts(preferences))
    if args.estimate:
        return 0
    gate = _gate(args)
    folder = _open(args.run, "dpo", config, origins, {}, **gate, learnt=_digest(preferences))
    return stage.train(folder, config, preferences, {"sources": origins, "seed": config.seed, **gate})


def rl(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    from pipeline.train import preference
    from pipeline.train import rl as stage

    config = from_arguments(Reinforcing, args)
    if args.judge:
        preference.apart(args.pm, args.judge)
        for name in (args.pm, args.judge):
            if not preference.trained_on(name):
                say(f"{name}: does not say which pairs it was trained on, so none are known to be shared")
    with prompts.find(args.prompts) as path:
        found, inputs = read_prompts(path)
        answer = "x" * 4 * config.max_tokens
        config = _foresee(
            config, [_asked(prompt) + answer for prompt in found.prompts], int(bool(args.judge))
        )
        if args.estimate:
            return 0
        named = {"pm": args.pm, "judge": args.judge}
        weights = revisions(**{role: name for role, name in named.items() if name})
        folder = _open(args.run, "rl", config, [], inputs, **named, **weights)
    from pipeline.preference_model import PreferenceModel

    say(f"loading {args.pm}")
    reward = PreferenceModel(args.pm)
    judge = PreferenceModel(args.judge) if args.judge else None
    asked = {"prompts": str(args.prompts), "count": len(found.prompts)}
    lineage = {**named, **weights, "sources": [asked], "seed": config.seed}
    return stage.train(folder, config, found.prompts, reward.score, judge.score if judge else None, lineage)


def _foresee(config: T, texts: Sequence[str], judges: int = 0) -> T:
    """Say what the run is going to take; the config with what this machine decides."""
    lengths = estimating.lengths(texts, config.max_length)
    steps = config.steps_over(config.learnt(len(texts)))
    made, lines = estimating.foresee(config, lengths, steps, judges=judges)
    for line in lines:
        say(line)
    return cast(T, made)


def _asked(prompt: Prompt) -> str:
    return "".join(message.content for message in prompt.messages)


def _text(asked: Context) -> Iterator[str]:
    yield from (message.content for message in asked.messages)
    yield asked.prefill


def _pair_texts(preferences: Sequence[Preference]) -> list[str]:
    """What stands in a pair's sequences: the conversation and half of both responses, for one of them."""
    return [
        "".join(m.content for m in p.pair.messages)
        + (p.question and p.question + templates.CONSIDER + templates.CHOSEN + templates.ASKED_FOR)
        + (p.pair.response_a + p.pair.response_b)[: (len(p.pair.response_a) + len(p.pair.response_b)) // 2]
        for p in preferences
    ]


def choices_in(named: str, otherwise: Axis) -> tuple[Path, Axis]:
    """A file, and what its human choices are about: `helpful=FILE`, or a FILE that does not say."""
    for axis in get_args(Axis):
        if named.startswith(f"{axis}="):
            return Path(named.removeprefix(f"{axis}=")), axis
    return Path(named), otherwise


def _measured_on(args: argparse.Namespace) -> dict[str, tuple[Path, Axis]]:
    """The files of --eval by their names, with the folder's before it where two have the same."""
    files = [choices_in(named, args.axis) for named in args.eval]
    names = [path.name for path, _ in files]
    if len(set(names)) < len(names):
        names = [f"{path.absolute().parent.name}/{path.name}" for path, _ in files]
    taken = {*FIELDS, "heldout", "pairs", "too_long"}  # the closing event has its own figures by these
    for name in names:
        if names.count(name) > 1 or name in taken:
            raise UserError(f"--eval: {name}: its figures go by this name, which is taken: rename the file")
    return dict(zip(names, files, strict=True))


def _gate(args: argparse.Namespace) -> dict[str, Any]:
    """How the gate stands and why it is overridden, as the run and its checkpoint keep it."""
    from pipeline.train import gating

    state = gating.require(args.labels, args.gate, args.override_gate)
    return {"gate": state, **({"override_gate": args.override_gate.strip()} if state != "agrees" else {})}


def _preferences(args: argparse.Namespace) -> tuple[list[Preference], list[dict[str, Any]]]:
    from pipeline.train import sources

    if args.calibration and not args.labels:
        raise UserError("--calibration: changes the labels of --labels, which is not there")
    if args.reserved and not args.written:
        raise UserError("--reserved: takes of --written the reserved pairs, and that is not there")
    preferences: list[Preference] = []
    origins = []
    for run in args.labels:
        some, origin = sources.from_labels(run)
        if args.calibration:
            some = sources.calibrated(some, args.calibration)
            origin["calibration"] = args.calibration.name
        preferences += some
        origins.append(origin)
    for named in args.human:
        some, origin = sources.from_people(*choices_in(named, args.axis))
        preferences += some
        origins.append(origin)
    for name in args.written:
        some = written.preferences(name, args.reserved)
        preferences += some
        origins.append({"written": name, "reserved": args.reserved, "count": len(some)})
    if not preferences:
        raise UserError("no labels to learn from: name --labels, --human or --written")
    counts = ", ".join(f"{many} {kind}" for kind, many in sources.kinds_of(preferences).items())
    say(f"{len(preferences)} labelled pairs: {counts}")
    return preferences, origins


def _digest(preferences: Sequence[Preference]) -> str:
    """What is learnt from, in its order. A run whose files have changed since does not go on with others."""
    return content_id([[one.pair.id, one.p, one.question] for one in preferences])


def _open(
    folder: Path, stage: str, config: Any, origins: Sequence[Any], inputs: dict[str, Path], **more: Any
) -> RunDir:
    before = read_config(folder)
    if before and "learnt" not in before:  # begun by a version that did not say it
        more.pop("learnt", None)
    record = {
        "stage": stage,
        **as_json(config),
        **revisions(model=config.model),
        **more,
        "sources": list(origins),
    }
    return ranks.open_run(folder, record, inputs, may_change=MAY_CHANGE)
