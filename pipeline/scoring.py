"""Scores of the answers in chains by a preference model, none computed twice (the paper's figures 5 and 7).

Headless: `cai score`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import models, seen
from pipeline.errors import UserError
from pipeline.evaluate_command import is_preference_model
from pipeline.growing import EXCERPT, Work, say
from pipeline.records import Chain, as_json, content_id
from pipeline.revision_scores import RevisionScore
from pipeline.verdicts import AT_ONCE, Scorer


@dataclass(frozen=True)
class Answer:
    """A chain's answer after so many revisions. `chains` names its run, `key` the prompt with the text."""

    chains: str
    chain: Chain
    revision: int
    text: str

    @property
    def id(self) -> str:
        """What tells its score from the others of a run."""
        return f"{self.chains}:{self.chain.id}:{self.revision}"

    @property
    def key(self) -> str:
        """Whatever was scored once need not be again: runs of one seed share their first responses."""
        return content_id([[as_json(message) for message in self.chain.messages], self.text])


def answers(runs: Mapping[str, Iterable[Chain]]) -> Iterator[Answer]:
    """Each chain's first response and its revisions, by run; what the model left empty is no answer."""
    for name, chains in runs.items():
        for chain in chains:
            said = [step.text.strip() for step in chain.steps if step.kind != "critique"]
            yield from (Answer(name, chain, at, text) for at, text in enumerate(said) if text)


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """The runs by the name of their folder; by that of the one above too, where two have the same.

    Raises UserError where they still have.
    """
    places = [_place(path) for path in paths]
    for parts in (1, 2):
        names = ["-".join(place.parts[-parts:]) for place in places]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    raise UserError("--chains: two have the same name, by which the scores are told apart: rename a folder")


def _place(path: Path) -> Path:
    """A run's folder; of an exported file the file, without its ending."""
    path = Path(os.path.abspath(path.expanduser()))  # a link keeps its name
    return path if path.is_dir() else path.with_suffix("")


def require(pm: str) -> str:
    """The revision of a preference model's weights. Raises UserError for what is none."""
    if not is_preference_model(pm):
        raise UserError(f"{pm}: is no preference model: name a run of `cai pm`, or train one with it")
    return models.resolve(pm).revision


def notes(pm: str, chains: Sequence[Chain]) -> list[str]:
    """What speaks against these scores: prompts that the preference model has learnt from, and models that
    were trained against it or on its pairs. As far as lineages say."""
    found = []
    asked = {seen.key(chain.messages) for chain in chains}
    if known := len(asked & seen.of(pm).prompts.keys()):
        found.append(
            f"{pm}: was trained on {known:,} of these {len(asked):,} prompts, and may score what it learnt"
        )
    writers = {name for chain in chains for name in (chain.model, chain.critic)}
    if trained := sorted(name for name in writers if Path(models.bare(name)).expanduser().is_dir()):
        try:
            found += seen.require_apart(trained, pm)
        except UserError as error:
            found.append(str(error))
    return found


def score(work: Work, every: Sequence[Answer], pm: str, revision: str, load: Callable[[], Scorer]) -> None:
    """Score what is not scored yet. The model is only loaded where something lacks."""
    known = {one.key: work.output.rows[one.id]["score"] for one in every if not work.lacks(one.id)}
    todo = [one for one in every if work.lacks(one.id)]
    scorer: Scorer | None = None
    for start in range(0, len(todo), AT_ONCE):
        if work.stop.is_set():
            return
        some = todo[start : start + AT_ONCE]
        new = {one.key: (one.chain.messages, one.text) for one in some if one.key not in known}
        if new:
            if scorer is None:
                say(f"loading {pm}")
                scorer = load()
            known |= dict(zip(new, scorer(list(new.values())), strict=True))
        for one in some:
            _keep(work, one, known[one.key], pm, revision)


def _keep(work: Work, one: Answer, score: float, pm: str, revision: str) -> None:
    chain = one.chain
    row = RevisionScore(
        id=one.id,
        chains=one.chains,
        chain=chain.id,
        prompt_id=chain.prompt_id,
        revision=one.revision,
        score=score,
        pm=pm,
        pm_revision=revision,
        constitution=chain.constitution,
        model=chain.model,
        critic=chain.critic,
        critiques=chain.critiques,
    )
    work.keep(
        as_json(row),
        0,
        lambda: {
            "chain": chain.id,
            "prompt": chain.messages[-1].content[:EXCERPT],
            "text": f"{score:+.2f} after {one.revision}: {one.text[:EXCERPT]}",
        },
    )
