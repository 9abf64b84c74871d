"""`cai evaluate`: models answer held-out prompts, a judge compares the answers, and Elo ratings follow.

A stopped or killed run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any, get_args

from pipeline import bounded, evaluate, feedback, models, prompts, seen
from pipeline import constitution as constitutions
from pipeline.configs import Evaluating, add_arguments, from_arguments
from pipeline.engines.opening import InTurn
from pipeline.errors import UserError
from pipeline.evaluate import ANSWERS, MATCHUPS, PEOPLE, Playing, Tournament
from pipeline.growing import Growing, Row, Work, grow, say
from pipeline.matchups import WAITING
from pipeline.preference_model import require_whole
from pipeline.records import Axis, Constitution, as_json
from pipeline.rundir import RunDir
from pipeline.servers import ServerModel
from pipeline.stage_inputs import add_inputs, read_prompts
from pipeline.verdicts import FeedbackJudge, Judge, PreferenceJudge, Scorer, label_key

LABELS = "labels.jsonl"
SCORES = "scores.jsonl"


def register(subparsers: Any) -> None:
    """Add `evaluate` to the command line."""
    parser = subparsers.add_parser(
        "evaluate",
        help="let models compete on held-out prompts, and rate them",
        description="Every model answers every prompt; a feedback model under a constitution, or a "
        "preference model, says in both orders which answer is better; Elo ratings follow, in which the "
        "first model is 0. Or people judge: then the pairs wait for them in the studio's arena. The same "
        "command again goes on with a stopped run.",
    )
    parser.add_argument(
        "--models", required=True, nargs="+", metavar="MODEL", help="two or more, the base first"
    )
    add_inputs(parser)
    parser.add_argument(
        "--judge",
        required=True,
        metavar="MODEL",
        help="a run of `cai pm`, a feedback model, or `people`: the pairs then wait in the studio's arena",
    )
    parser.add_argument(
        "--constitution", default="", help="for a feedback model: a YAML file, or the name of a shipped one"
    )
    parser.add_argument("--axis", required=True, choices=get_args(Axis), help="what is judged")
    add_arguments(parser, Evaluating)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    # A shipped set's plain name stands for its training prompts elsewhere; here they would be the wrong ones.
    asked = f"{args.prompts}:heldout" if str(args.prompts) in prompts.SETS else args.prompts
    with prompts.find(asked) as args.prompts:
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    settings = from_arguments(Evaluating, args)
    if len(args.models) < 2 or len({models.bare(name) for name in args.models}) < len(args.models):
        raise UserError("--models: name two models or more, each once")
    constitution = _constitution(args, settings)
    found, inputs = read_prompts(args.prompts)
    play = Tournament(tuple(args.models), found.prompts, args.axis, args.judge, settings)
    by_people = play.judge == PEOPLE
    config = {
        "stage": "evaluate",
        "models": list(play.models),
        "revisions": [models.resolve(name).revision for name in play.models],
        "judge": play.judge,
        "judge_revision": None if by_people else models.resolve(play.judge).revision,
        "axis": play.axis,
        "constitution": constitution.version if constitution else None,
        **as_json(settings),
        "method": settings.labelling(args.judge).settled if constitution else settings.method or "choice",
    }
    for note in seen.require_heldout(play.models, play.prompts):
        say(note)
    if constitution is not None:
        inputs["constitution.yaml"] = constitutions.find(args.constitution)
    if not by_people:
        for note in seen.require_apart(play.models, play.judge, scores=constitution is None):
            say(note)
    folder = RunDir.open(args.run, config, inputs)
    keys: list[str] = []
    return grow(
        folder,
        "evaluate",
        "pairs for people" if by_people else "matchups",
        WAITING if by_people else MATCHUPS,
        lambda row: str(row["id"]),
        keys,
        lambda work: _play(work, play, constitution, folder, keys),
        play.total(),
    )


def _constitution(args: argparse.Namespace, settings: Evaluating) -> Constitution | None:
    """What a feedback model judges by; None for a preference model and for people. Raises UserError."""
    if args.judge == PEOPLE:
        if args.constitution:
            raise UserError("people judge by the question alone, without a --constitution")
        return None
    if is_preference_model(args.judge):
        if args.constitution:
            raise UserError(f"{args.judge}: a preference model judges without a --constitution")
        return None
    if not args.constitution:
        raise UserError(
            f"{args.judge}: is no preference model; as a feedback model it needs a --constitution to judge by"
        )
    made = constitutions.load(constitutions.find(args.constitution))
    feedback.judges(made, settings.labelling(args.judge))  # fails here, before a model is loaded
    return made


def is_preference_model(name: str) -> bool:
    """Whether a model scores, and does not write.

    Raises UserError where there is no such model, and for an adapter on one that scores.
    """
    files = models.resolve(name)
    if isinstance(files, ServerModel) or files.head:
        return False
    try:
        config = bounded.json_of(files.folder / "config.json")
        kinds = config.get("architectures") or []
        found = any(str(kind).endswith("ForSequenceClassification") for kind in kinds)
    except (OSError, ValueError, AttributeError, TypeError):
        return False
    if found:
        require_whole(name, files)
    return found


def _play(
    work: Work, play: Tournament, constitution: Constitution | None, folder: RunDir, keys: list[str]
) -> None:
    turn = InTurn(work.purse)

    with ExitStack() as stack:
        answers = stack.enter_context(Growing(folder, ANSWERS, evaluate.answers_key))
        given = evaluate.answer(play, work, answers, turn.load)
        if work.stop.is_set():
            return
        named = [evaluate.answers_key({"model": m, "id": p.id}) for m in play.models for p in play.prompts]
        work.log.emit("artifact", path=f"outputs/{ANSWERS}", rows=answers.finish(named))
        if play.judge == PEOPLE:
            evaluate.leave_to_people(play, work, given, keys)
            say(f"{len(keys):,} pairs wait for people, in the arena of a studio that this run is imported to")
            return
        name, key = (SCORES, _score_key) if constitution is None else (LABELS, _label_key)
        kept = stack.enter_context(Growing(folder, name, key))
        judge: Judge
        if constitution is None:
            judge = PreferenceJudge(lambda: _load_scorer(play.judge, turn), kept)
        else:
            labelling = play.settings.labelling(play.judge)
            judge = FeedbackJudge(constitution, labelling, lambda: turn.load(play.judge), kept)
        played = evaluate.judge_all(Playing(play, work, given, judge), keys)
        if played.whole and work.output.rows:
            kept.finish(list(kept.rows))
            evaluate.rate(play, work, folder, played.core, _about(play.judge))


def _score_key(row: Row) -> str:
    return str(row["id"])


def _label_key(row: Row) -> str:
    return label_key(row["pair_id"], row["principle"])


def _about(judge: str) -> dict[str, Any]:
    """A preference model's accuracy on pairs that it did not learn from, and what it did learn from."""
    from pipeline.train.saving import read_card

    card = {} if isinstance(files := models.resolve(judge), ServerModel) else read_card(files.own)
    heldout = card.get("figures", {}).get("heldout", {}).get("accuracy")
    sources = card.get("lineage", {}).get("sources") or []
    told = [{k: v for k, v in source.items() if k != "config"} for source in sources]
    return {"judge_heldout": heldout, "judge_trained_on": told}


def _load_scorer(name: str, turn: InTurn) -> Scorer:
    turn.drop()
    say(f"loading {name}")
    from pipeline.preference_model import PreferenceModel

    return PreferenceModel(name).score
