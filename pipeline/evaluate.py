"""A tournament as a run: answers, then matchups, then ratings (the paper's figures 2 and 3).

Every model answers every prompt, its answers meet those of the others, and a judge says in both orders which
is better. `answers.jsonl` and `matchups.jsonl` grow: nothing is computed twice. Headless: `cai evaluate`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pipeline import elo, elo_command, pairs, tournament
from pipeline.configs import Evaluating
from pipeline.engines import Engine
from pipeline.errors import UserError
from pipeline.growing import EXCERPT, Growing, Row, Work, say
from pipeline.matchups import Annotator, Matchup, Waiting
from pipeline.meter import Part
from pipeline.pairs import Answers, Engines, Response
from pipeline.records import Axis, Message, Pair, Prompt, as_json, parse
from pipeline.rundir import RunDir, write_atomically
from pipeline.tournament import Match
from pipeline.verdicts import TIE, Judge, Verdict

ANSWERS = "answers.jsonl"
MATCHUPS = "matchups.jsonl"
RATINGS = "ratings.json"
PEOPLE = "people"
"""The judge's name where people are to judge."""
WINDOW = 512
"""Answers that an engine holds at once."""


@dataclass(frozen=True)
class Tournament:
    """Who answers what, and who judges it by what. The first model is the base of the ratings."""

    models: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    axis: Axis
    judge: str
    settings: Evaluating

    def matches(self) -> list[Match]:
        """All that can meet."""
        return tournament.matches(self.models, [prompt.id for prompt in self.prompts], self.settings.samples)

    def total(self) -> int:
        """How many matchups there are to be."""
        every = len(self.prompts) * self.settings.samples * math.comb(len(self.models), 2)
        return min(self.settings.budget or every, every)

    def answers(self) -> int:
        """How many answers the models are to give."""
        return len(self.models) * len(self.prompts) * self.settings.samples


Given = dict[tuple[str, str], Answers]
"""By model and prompt."""


def answers_key(row: Row) -> str:
    """What tells a row of answers.jsonl from the others."""
    return f"{row['model']}\t{row['id']}"


def answer(play: Tournament, work: Work, kept: Growing, load: Callable[[str], Engine]) -> Given:
    """Have each model answer what it has not yet; a model is only loaded where something lacks.

    What is too long for a model is left out, with a word.
    """
    samples = play.settings.samples
    work.meter.begin(Part("answers", play.answers(), samples * len(kept.rows)))
    for model in play.models:
        todo = [p for p in play.prompts if answers_key({"model": model, "id": p.id}) not in kept.rows]
        if todo and not work.stop.is_set():
            say(f"{model} answers {len(todo):,} prompts")
            _answer(model, todo, play.settings, work, kept, load(model))
    if not work.stop.is_set():
        work.meter.end_part()
    given: Given = {}
    for row in kept.rows.values():
        answers = parse(Answers, {name: value for name, value in row.items() if name != "model"})
        given[row["model"], answers.id] = answers
    return given


def met(play: Tournament, work: Work, given: Given) -> list[Match]:
    """The matches whose two models have both answered. Raises UserError where there are none."""
    every = [
        match
        for match in play.matches()
        if all((model, match.prompt_id) in given for model in (match.one, match.other))
    ]
    if not every and not work.stop.is_set():
        raise UserError("no prompt was answered by two models: there is nothing to judge")
    return every


def responses(given: Given, match: Match) -> tuple[Response, Response]:
    """The two answers of a match."""
    one, other = (given[model, match.prompt_id].responses[match.sample] for model in (match.one, match.other))
    return one, other


def _answer(
    model: str, todo: Sequence[Prompt], settings: Evaluating, work: Work, kept: Growing, engine: Engine
) -> None:
    window = max(1, WINDOW // settings.samples)

    def keep(answers: Answers, tokens: int) -> None:
        kept.keep({"model": model, **as_json(answers)})
        if work.meter.part:
            work.meter.part.more(settings.samples)
        work.meter.show()

    for start in range(0, len(todo), window):
        pairs.sample_pairs(
            todo[start : start + window],
            settings,
            Engines(engine, engine),
            work.meter.text,
            work.stop.is_set,
            lambda prompt, error: work.skip(prompt.id, f"{model}: {error}"),
            keep,
        )


class Playing:
    """Matches on their way to matchups. Called with some, it judges those that are not judged yet."""

    def __init__(self, play: Tournament, work: Work, given: Given, judge: Judge) -> None:
        self.play, self.work, self.given, self.judge = play, work, given, judge
        self.kinds = {prompt.id: prompt.kind for prompt in play.prompts}

    def __call__(self, some: Sequence[Match]) -> dict[str, Matchup] | None:
        """All matchups so far by id; None for a stop."""
        waiting: dict[str, list[Match]] = {}
        asked: dict[str, Pair] = {}
        for match in some:
            if self.work.lacks(match.id):
                if (pair := self._pair(match)) is None:
                    self._keep(match, None, TIE)  # word for word the same: there is nothing to judge
                else:
                    asked[pair.id] = pair
                    waiting.setdefault(pair.id, []).append(match)

        def keep(pair: Pair, verdict: Verdict) -> None:
            for match in waiting[pair.id]:
                self._keep(match, pair, verdict)

        self.judge.judge(
            list(asked.values()),
            keep,
            lambda pair, reason: self.work.skip(pair.id, reason, "pair"),
            self.work.stop.is_set,
        )
        if self.work.stop.is_set():
            return None
        return {id: parse(Matchup, row) for id, row in self.work.output.rows.items()}

    def _pair(self, match: Match) -> Pair | None:
        """None where both said the same."""
        one, other = responses(self.given, match)
        if one.text == other.text:
            return None
        messages = self.given[match.one, match.prompt_id].messages
        kind = self.kinds[match.prompt_id]
        return pairs.make_pair(
            match.prompt_id, messages, one.text, other.text, one.source, other.source, kind
        )

    def _keep(self, match: Match, pair: Pair | None, verdict: Verdict) -> None:
        one, other = (response.text for response in responses(self.given, match))
        first = pair is None or pair.response_a == one
        made = Matchup(
            id=match.id,
            prompt_id=match.prompt_id,
            axis=self.play.axis,
            model_a=match.one if first else match.other,
            model_b=match.other if first else match.one,
            judge=self.play.judge,
            annotator=Annotator(self.play.judge, "model"),
            p_ab=verdict.p_ab,
            p_ba=verdict.p_ba,
            p_a=verdict.p_a,
            kind=self.kinds[match.prompt_id],
            response_a=one if first else other,
            response_b=other if first else one,
            constitution=self.judge.constitution,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        messages = self.given[match.one, match.prompt_id].messages
        # As for labels: whoever watches may judge the same two later, and blind.
        self.work.keep(as_json(made), 0, partial(_excerpt, messages))


@dataclass(frozen=True)
class Played:
    """Whether all is judged; the ids of the matchups, and of the core of those that a budget chose."""

    whole: bool
    core: tuple[str, ...] = ()


def judge_all(playing: Playing, keys: list[str]) -> Played:
    """Judge all matches, or as many as the budget has. `keys` gets the ids of those that are to be there.

    Raises UserError where no two models answered the same prompt.
    """
    settings, work = playing.play.settings, playing.work
    every = met(playing.play, work, playing.given)
    if 0 < settings.budget < len(every):
        keys += [match.id for match in tournament.spend(every, settings.budget, settings.seed, playing)]
        core = tuple(keys[: tournament.core_size(settings.budget)])
        enough = len(keys) == settings.budget
    else:
        keys += [match.id for match in every]
        playing(every)
        core, enough = (), True
    done = enough and not any(map(work.lacks, keys))
    return Played(done or not work.stop.is_set(), core)


def leave_to_people(play: Tournament, work: Work, given: Given, keys: list[str]) -> None:
    """Write the pairs that people are to judge: all, or so many at random as the budget has.

    Nobody's verdicts are there to say where intervals are wide. Raises UserError as `judge_all` does.
    """
    some, kinds = met(play, work, given), {prompt.id: prompt.kind for prompt in play.prompts}
    if play.settings.budget:
        some = tournament.drawn(some, play.settings.budget, play.settings.seed)
    keys += [match.id for match in some]
    for match in some:
        one, other = responses(given, match)
        messages = given[match.one, match.prompt_id].messages
        made = Waiting(
            id=match.id,
            prompt_id=match.prompt_id,
            axis=play.axis,
            messages=messages,
            model_a=match.one,
            model_b=match.other,
            response_a=one.text,
            response_b=other.text,
            kind=kinds[match.prompt_id],
            revision_a=one.source.revision,
            revision_b=other.source.revision,
        )
        work.keep(as_json(made), 0, partial(_excerpt, messages))


def _excerpt(messages: Sequence[Message]) -> dict[str, str]:
    return {"prompt": messages[-1].content[:EXCERPT]}


def rate(play: Tournament, work: Work, folder: RunDir, core: Sequence[str], about: Mapping[str, Any]) -> None:
    """Write ratings.json: of all matchups and, where a budget chose them, of the random core alone.

    `about` is what there is to know of the judge; it stands in each row.
    """
    rows: list[dict[str, Any]] = []
    sets = {"all": work.keys, **({"core": core} if core else {})}
    for name, ids in sets.items():
        some = [parse(Matchup, work.output.rows[id]) for id in ids if id in work.output.rows]
        for group, few in elo.grouped(some).items():
            votes = elo.votes(few)
            base = play.models[0] if play.models[0] in votes.models else ""
            table = elo.rate(votes, base, seed=play.settings.seed)
            rows += [{**row, "of": name, **about} for row in elo.as_rows(group, table)]
            say("all matchups" if name == "all" else "the random core of them, alone")
            for line in elo_command.lines(group, table):
                say(f"  {line}")
    if found := about.get("judge_heldout"):
        share = f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}], n = {found['n']:,}"
        say(f"{play.judge} agrees with held-out labels: {share}")
    write_atomically(folder.outputs / RATINGS, json.dumps(rows, indent=2) + "\n")
    work.log.emit("artifact", path=f"outputs/{RATINGS}", rows=len(rows))
    work.log.emit(
        "summary", ratings=[{k: v for k, v in row.items() if k != "judge_trained_on"} for row in rows]
    )
