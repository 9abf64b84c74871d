"""The studio's actions for scripts: named endpoints with typed arguments, beside the pages (Gradio's REST).

    from gradio_client import Client
    Client("http://127.0.0.1:7860").predict(api_name="/list_runs")

Whoever may open the pages may call them, and nobody else. A mistake comes back as an error with the message
that a page would show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, Literal, ParamSpec, TypeVar, get_type_hints

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from pipeline import agreement, prompts
from pipeline.configs import Drawing
from pipeline.errors import UserError
from pipeline.intervals import Figure
from pipeline.records import Prompt
from studio.components import run_view
from studio.context import Studio, author
from studio.jobs import batch
from studio.jobs.stages import EVALUATE
from studio.store import audit, checkpoints, constitutions, gates, labels, runs
from studio.store.held_judgments import Whose
from studio.store.labels import Labeller
from studio.store.runs import Figures, Run

P = ParamSpec("P")
R = TypeVar("R")
Row = dict[str, Any]
CARD = ("method", "base", "step", "parameters", "figures")
RATINGS = "outputs/ratings.json"


def _endpoint(act: Callable[P, R]) -> Callable[P, R]:
    """Hold the caller to the arguments' types, which Gradio does not, and tell what a person did wrong.

    Of a bug they learn nothing.
    """

    @wraps(act)
    def called(*args: P.args, **given: P.kwargs) -> R:
        kinds = get_type_hints(act)
        try:
            for name, value in signature(act).bind(*args, **given).arguments.items():
                if name not in ("self", "request"):
                    _require(name, value, kinds[name])
            return act(*args, **given)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return called


def _require(name: str, value: object, kind: Any) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        [first, *_] = error.errors()
        raise UserError(f"{name}: {first['msg'].replace('Input should', 'must')}") from error


@dataclass(frozen=True)
class Api:
    """The endpoints; each is named as its method."""

    studio: Studio

    @_endpoint
    def list_runs(self) -> list[Row]:
        """All runs of the session, newest first: id, name, stage, state, how far, and why where it failed."""
        store = self.studio.store
        figures = runs.figures(store)
        return [_run(run, figures.get(run.id, Figures())) for run in runs.listed(store)]

    @_endpoint
    def run_state(self, run: str) -> Row:
        """One run as it stands.

        Parameters:
            run: the run's id
        """
        found = self._known(run)
        return _run(found, runs.figures(self.studio.store).get(run, Figures()))

    @_endpoint
    def start_critique(
        self,
        asked: list[str],
        prompt_set: str,
        constitution: str,
        model: str,
        revisions: int,
        max_tokens: int,
        seed: int,
        request: gr.Request,
    ) -> str:
        """Put a batch of critique and revision in the queue; returns its run's id.

        The same, asked for again within two seconds, is one run.

        Parameters:
            asked: prompts, a text each
            prompt_set: a shipped set beside them, as `red-team:train:6`; empty for none
            constitution: a name, for its newest version, or a version's hash
            model: `bundled`, a hub id, a folder, a run, or a server's URL#MODEL
            revisions: rounds of critique and revision
            max_tokens: the longest that a step may get
            seed: the same seed draws the same principles and texts
        """
        studio = self.studio
        drawing = Drawing(model=model, revisions=revisions, max_tokens=max_tokens, seed=seed)
        under = constitutions.load_version(studio.store, self._version(constitution))
        every = _prompts(asked, prompt_set)
        folder, who = studio.jobs.folder, author(request)
        id = batch.prepare_critique(studio.store, folder, every, under, drawing, "", who)
        studio.jobs.wake()
        return id

    @_endpoint
    def stop_run(self, run: str) -> Row:
        """Stop a run, and keep what it has; one that waits leaves the queue. Returns how it stands then.

        Parameters:
            run: the run's id
        """
        return self._acted(run, self.studio.jobs.stop)

    @_endpoint
    def resume_run(self, run: str) -> Row:
        """Put a run that ended early back in the queue: it goes on where it was. Returns how it stands then.

        Parameters:
            run: the run's id
        """
        return self._acted(run, self.studio.jobs.resume)

    @_endpoint
    def list_labellers(self) -> list[Row]:
        """Who has labelled pairs: model, method, constitution, how many pairs and labels; `key` names one."""
        return [
            {
                "key": row.labeller.key,
                "model": row.labeller.model,
                "method": row.labeller.method,
                "constitution": row.labeller.constitution,
                "constitution_name": row.constitution_name,
                "axis": row.axis,
                "pairs": row.pairs,
                "labels": row.rows,
            }
            for row in labels.labellers(self.studio.store)
        ]

    @_endpoint
    def agreement(
        self,
        labeller: str,
        axis: Literal["harmless", "helpful"],
        annotators: Literal["person", "imported", "model"],
    ) -> Row:
        """How far a labeller agrees with judgments, each figure with its 95% interval; and the gate.

        Parameters:
            labeller: a `key` of list_labellers
            axis: what the pairs were judged by
            annotators: whose judgments: never are two kinds counted together
        """
        store, of = self.studio.store, Labeller.of(labeller)
        if of not in [row.labeller for row in labels.labellers(store)]:
            raise UserError("nobody of that name has labelled pairs here: list_labellers tells who has")
        c, _ = audit.compared(store, axis, of, Whose(annotators))
        measures: dict[str, Callable[[agreement.Compared], Figure]] = {
            "accuracy": agreement.accuracy,
            "kappa": agreement.kappa,
            "calibration_error": agreement.ece,
            "brier": agreement.brier,
        }
        found: Row = {name: _figure(measure(c)) for name, measure in measures.items()}
        gate = gates.gate_for(store, of, axis)
        return {**found, "judgments": len(c), "gate": {"state": gate.state, "words": gate.words()}}

    @_endpoint
    def list_checkpoints(self) -> list[Row]:
        """What training left, snapshots too: id, name, method, base, step, figures; the newest run first."""
        return [
            {
                "id": one.id,
                "run": one.run,
                "name": one.name,
                "snapshot": one.snapshot,
                "made": one.made.isoformat(),
                **{
                    key: _finite(one.card.get(key))
                    for key in ("method", "base", "step", "parameters", "figures")
                },
            }
            for one in checkpoints.listed(self.studio.store, self.studio.jobs.folder)
        ]

    @_endpoint
    def elo_rows(self) -> list[Row]:
        """The ratings of the session's tournaments: run, axis, judge, model, elo, low, high, n."""
        rows: list[Row] = []
        for run in runs.listed(self.studio.store):
            path = self.studio.jobs.of(run.id) / RATINGS
            if run.stage == EVALUATE.name:
                found = checkpoints.small_json(path)
                some = found if isinstance(found, list) else ()
                rows += [{"run": run.id, **row} for row in some if isinstance(row, dict)]
        return rows

    def _known(self, id: str) -> Run:
        found = runs.load(self.studio.store, id)
        if found is None:
            raise UserError(f"this session has no run {id}")
        return found

    def _acted(self, id: str, act: Callable[[str], None]) -> Row:
        self._known(id)
        act(id)
        return self.run_state(id)

    def _version(self, name: str) -> str:
        newest = next(iter(constitutions.versions(self.studio.store, name)), None)
        return newest.version if newest else name


def build(studio: Studio) -> None:
    """Register the endpoints with the app that is being built."""
    api = Api(studio)
    for endpoint in (
        api.list_runs,
        api.run_state,
        api.start_critique,
        api.stop_run,
        api.resume_run,
        api.list_labellers,
        api.agreement,
        api.list_checkpoints,
        api.elo_rows,
    ):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_limit=None)


def _prompts(asked: list[str], prompt_set: str) -> list[Prompt]:
    found = [prompts.from_text(text) for text in asked if text.strip()]
    if prompt_set:
        # Not any file of this machine: whoever has an account would read it.
        if prompt_set.partition(":")[0] not in prompts.SETS:
            known = ", ".join(prompts.SETS)
            raise UserError(f"{prompt_set}: is no shipped prompt set: name one of {known}, or give `asked`")
        with prompts.find(prompt_set) as path:
            found += prompts.read(path).prompts
    if not found:
        raise UserError("there are no prompts: give some in `asked`, or name a shipped set")
    return list({prompt.id: prompt for prompt in found}.values())


def _run(run: Run, now: Figures) -> Row:
    return {
        "id": run.id,
        "name": run.name,
        "stage": run.stage,
        "state": run.state,
        "detail": run.detail,
        "done": now.done,
        "total": run_view.total(run, now),
        "seconds_to_go": now.eta if run.state == "running" else None,
        "author": run.author,
        "created": run.created.isoformat(),
    }


def _figure(f: Figure) -> Row:
    return {
        "value": _finite(f.value),
        "low": _finite(f.low),
        "high": _finite(f.high),
        "n": f.n,
        "prompts": f.clusters,
    }


def _finite(value: Any) -> Any:
    """JSON has no word for NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
