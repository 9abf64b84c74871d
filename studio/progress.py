"""How far the session has come round the loop, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from studio.store.constitutions import PROJECT
from studio.store.database import Rows, Store

FIRST_LOOK = 50
"""Judged pairs at which the gate first looks at how well a labeller agrees."""
COUNTS = (
    f"SELECT count(*), count(*) FILTER (author <> '{PROJECT}') FROM constitution_versions",  # noqa: S608
    "SELECT count(*) FROM chains",
    "SELECT count(*) FROM chain_status WHERE status = 'finished'",
    "SELECT count(*) FROM current_verdicts WHERE verdict <> 'none'",
    "SELECT count(*) FROM run_status WHERE state <> 'deleted'",
    "SELECT count(*) FROM pairs",
    "SELECT count(DISTINCT pair) FROM labels WHERE run NOT IN (SELECT run FROM deleted_runs)",
    "SELECT count(DISTINCT pair) FROM standing_judgments "
    "WHERE annotator_kind = 'person' AND choice NOT IN ('none', 'skip')",
    "SELECT count(*) FILTER (r.stage = 'sft'), count(*) FILTER (r.stage = 'pm'), "
    "count(*) FILTER (r.stage = 'rl'), count(*) FILTER (r.stage = 'dpo'), "
    "count(*) FILTER (r.stage = 'evaluate') FROM runs r JOIN run_status s ON s.run = r.id "
    "WHERE s.state = 'done'",
    "SELECT count(*) FROM current_matchups",
)
"""What Progress holds, in its order. One by one: what nobody has written to since is not counted again."""


@dataclass(frozen=True)
class Progress:
    """What the session holds."""

    versions: int = 0  # saved, of all its constitutions, the shipped ones included
    edits: int = 0  # of these, the ones that a person saved
    chains: int = 0
    finished: int = 0  # of these, the ones that can be judged
    judged: int = 0  # of these, the ones that a person accepted or rejected
    runs: int = 0
    pairs: int = 0
    labelled: int = 0  # of these, the ones that a feedback model has judged
    audited: int = 0  # of these, the ones that a person has judged
    sft: int = 0  # checkpoints of finished training runs, by method
    pm: int = 0
    rl: int = 0
    dpo: int = 0
    rated: int = 0  # finished tournaments
    matchups: int = 0

    @property
    def trained(self) -> int:
        """Checkpoints of finished training runs."""
        return self.sft + self.pm + self.rl + self.dpo


@dataclass(frozen=True)
class Action:
    """One thing worth doing now, the page where it is done, why, and at which station of the loop."""

    label: str
    path: str
    why: str
    station: str


def progress(store: Store) -> Progress:
    """Live counts from the store."""
    return Progress(*(int(number) for sql in COUNTS for number in store.recall(sql, (), _only)))


def _only(rows: Rows) -> tuple[int, ...]:
    (row,) = rows
    return row


def next_action(now: Progress) -> Action:
    """The next useful thing: the first stage of the loop that is still empty, else its last.

    Who has pairs is in the second half of the loop, and is not sent back for what is left in the first.
    """
    if now.pairs:
        return _with_pairs(now)
    if now.chains == 0:
        return Action(
            "Watch a chain", "chains", "See the model answer, criticise itself and revise.", "Chains"
        )
    if now.edits == 0:
        why = "Change what the critiques look for, then look again."
        return Action("Edit a principle", "constitution", why, "Constitution")
    if now.finished == 0:
        return Action("Run another chain", "chains", "See what the constitution in force changes.", "Chains")
    if now.judged < now.finished:
        return Action("Read and judge", "reading", "Accept the chains that are fit to train on.", "Read")
    if now.sft == 0:
        return Action("Train SL-CAI", "training", "Teach a model to give the revisions at once.", "SL-CAI")
    why = "Get two responses to each prompt, for a feedback model to compare."
    return Action("Get pairs", "labels", why, "Pairs")


def _with_pairs(now: Progress) -> Action:
    if now.labelled == 0:
        return Action(
            "Label the pairs", "labels", "Let a feedback model say which response is better.", "Labels"
        )
    if now.audited < min(FIRST_LOOK, now.pairs):
        why = "Judge some pairs blind, by keys: then it shows what the labels are worth."
        return Action("Judge some pairs", "audit", why, "Labels")
    if now.pm == 0:
        why = "See how far the feedback model and people agree; then train a preference model on the labels."
        return Action("See the agreement", "agreement", why, "Preference model")
    if now.rl + now.dpo == 0:
        return Action("Train RL-CAI", "training", "Let the preference model reward a policy.", "RL-CAI")
    if now.matchups == 0:
        why = "Let the plain model and the trained ones meet in a tournament, or judge them yourself, blind."
        return Action("Compare the models", "elo", why, "Matchups")
    why = "Reword a principle, go round again, and compare."
    return Action("Change a principle", "constitution", why, "Constitution")


def plural(count: int, noun: str) -> str:
    """`1 chain`, `2 chains`, `1,204 chains`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
