"""What takes a user's time, in one sitting, beside what this machine could do. `make bench`.

python tests/benchmarks/bench.py [OUT.json]

Ratios are what counts: all of a ratio is measured one after the other. The plain loop is what public scripts
do: one text at a time with transformers' `generate` as it comes. The raw engine is the compiled model driven
without anything of ours around it, over the same prompts for as many tokens.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import bench_studio
import bench_training
import torch
from bench_elo import made
from bench_labels import written

from pipeline import constitution, critique, elo, feedback, prompts
from pipeline.configs import Drawing, Labelling
from pipeline.engines import Context, Request, Sampling
from pipeline.engines.decoding import Row
from pipeline.engines.paged import PagedModel, Passage
from pipeline.engines.transformers import TransformersEngine, in_fp32
from pipeline.records import FewShot, Message

PLAIN = 12
"""Of the chains' texts, so many are written by the plain loop too."""


@dataclass(frozen=True)
class Figure:
    """One line of the table. `goal`: what it should be at least, or with `most` at most."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    most: bool = False

    def line(self) -> str:
        """As a row of the table."""
        met = "" if self.goal is None else "yes" if (self.value <= self.goal) == self.most else "no"
        goal = "" if self.goal is None else f"{'≤' if self.most else '≥'} {self.goal:g}"
        return f"{self.what:42} {self.value:10.2f} {self.unit:9} {goal:>7} {met}"


class Recording(TransformersEngine):
    """Keeps what it was asked: the tokens of each prompt, and of its answer."""

    asked: list[Row]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked = []

    def _row(self, index: int, request: Request) -> Row:
        self.asked.append(row := super()._row(index, request))
        return row


def main(out: str = "") -> None:
    """Print each figure as it is measured; write all of them to a file."""
    figures = []
    for figure in every():
        print(figure.line(), flush=True)  # noqa: T201
        figures.append(asdict(figure))
    if out:
        Path(out).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")


def every() -> Iterator[Figure]:
    """All of them; a quarter of an hour on two cores."""
    yield from machine()
    engine = Recording("bundled")
    engine.generate([Request(Context(prefill="a"), Sampling(1))])
    if engine.paged is None:
        raise SystemExit("OpenVINO does not run here: the raw engine can't be measured")
    yield from chains(engine, Recording("bundled-critic"))
    yield from first_token(engine, engine.paged)
    yield from labels(engine)
    yield from training()
    yield from studio()
    yield from growth()


def machine() -> Iterator[Figure]:
    """The ceilings: matrix products, and reading memory."""
    square, large = torch.randn(2048, 2048), torch.randn(1 << 27)
    yield Figure("matrix product, fp32", 2 * 2048**3 / best(lambda: square @ square) / 1e9, "GFLOP/s")
    yield Figure("reading memory", 4 * len(large) / best(large.sum) / 1e9, "GB/s")


def chains(policy: Recording, critic: Recording) -> Iterator[Figure]:
    """64 prompts × 2 revisions by the default critic, at most 48 tokens a text."""
    with prompts.find("red-team:train:64") as path:
        some = prompts.read(path).prompts
    harmless = constitution.load(constitution.shipped()["harmless"])
    drawing = Drawing(critic="bundled-critic", revisions=2, max_tokens=48, top_p=0.95)
    policy.asked.clear()
    both = critique.Engines(policy, critic)
    took = timed(lambda: critique.draw_chains(some, harmless, drawing, both, lambda *_: None))
    asked = [(one, list(one.asked)) for one in (policy, critic)]
    many = sum(tokens(rows) for _, rows in asked)
    yield Figure("chains", many / took, "tokens/s")
    texts = [(one, row) for one, rows in asked for row in rows]
    few = texts[:: len(texts) // PLAIN][:PLAIN]
    plain = tokens([row for _, row in few]) / timed(lambda: [plainly(one, row) for one, row in few])
    yield Figure("chains, plain loop", plain, "tokens/s")
    yield Figure("chains / plain loop", many / took / plain, "times", 35)
    alone = 0.0
    for one, rows in asked:
        raw = PagedModel(one.model)  # one that knows none of these texts
        alone += timed(lambda raw=raw, rows=rows, one=one: driven(raw, rows, one.slots))  # type: ignore[misc]
    yield Figure("chains / raw engine", alone / took, "times", 0.9)


def plainly(engine: Recording, row: Row) -> None:
    """A text as `generate` writes it."""
    ids = torch.tensor([row.ids])
    many = max(1, len(row.new))
    engine.model.generate(ids, max_new_tokens=many, min_new_tokens=many, do_sample=True, top_p=0.95)


def driven(raw: PagedModel, rows: Sequence[Row], slots: int) -> None:
    """The same prompts, for as many tokens, each the most likely one; a chain's next follows its last."""
    waiting: dict[int, list[Row]] = {}
    for row in rows:
        waiting.setdefault(row.index, []).append(row)
    chains = list(waiting.values())
    running: list[tuple[Passage, int, list[Row]]] = []
    while chains or running:
        while chains and len(running) < slots:
            first, *rest = chains.pop(0)
            running.append((raw.begin(first.ids), len(first.ids) + len(first.new), rest))
            if len(running) == 1:
                break  # its beginning is that of all
        logits = raw.logits([passage for passage, _, _ in running])
        for (passage, end, rest), token in zip(running, logits.argmax(-1).tolist(), strict=True):
            passage.ids.append(token)
            if len(passage.ids) >= end:
                raw.blocks.leave(passage.blocks)
                if rest:
                    chains.insert(0, rest)
        running = [one for one in running if len(one[0].ids) < one[1]]


def first_token(engine: Recording, raw: PagedModel) -> Iterator[Figure]:
    """Time to the first text of a chat's turn, over one pass of the raw engine."""
    ours, alone = [], []
    for i in range(9):
        request = Request(Context((Message("user", f"{i}: how does a lock work?"),)), Sampling(4))
        began, heard = time.perf_counter(), []
        engine.generate([request], lambda *_, heard=heard: heard.append(time.perf_counter()))  # type: ignore[misc]
        ours.append(heard[0] - began)
        ids = engine.encode(Context((Message("user", f"{i} again: how does a lock work?"),)))
        passage = raw.begin(ids)
        alone.append(timed(lambda passage=passage: raw.logits([passage])))  # type: ignore[misc]
        raw.blocks.leave(passage.blocks)
    yield Figure(
        "first token, over the raw engine", 1000 * (median(ours) - median(alone)), "ms", 30, most=True
    )


def labels(engine: Recording) -> Iterator[Figure]:
    """12 pairs × 16 principles × 2 orders, against a plain pass over as many tokens as had to be computed.

    In fp32, which probabilities need, whatever the model is kept in.
    """
    ids = torch.randint(100, 1000, (4, 512))
    with torch.inference_mode(), in_fp32(engine.model):
        rate = ids.numel() / best(lambda: engine.model.model(input_ids=ids))
    harmless = constitution.load(constitution.shipped()["harmless"])
    asked = Labelling(model="bundled", principles="all", method="choice", form="chat")
    for shots, chosen in (("few-shot", harmless), ("zero-shot", replace(harmless, few_shot=FewShot()))):
        tally = feedback.label_pairs(written(12), chosen, asked, engine, lambda _: None)
        yield Figure(f"labels, {shots}", tally.labels_per_second, "labels/s")
        yield Figure(f"labels, {shots} / bound", tally.computed / tally.seconds / rate, "times", 0.9)


def training() -> Iterator[Figure]:
    """Each kind of training against plain TRL in fp32; its default of bf16 is minutes a step without it."""
    for what, rates in (
        ("SFT", bench_training.sft_rates()),
        ("PM", bench_training.pm_rates()),
        ("RL", bench_training.rl_rates()),
    ):
        found = dict(rates)
        yield Figure(what, found["ours"], "tokens/s")
        yield Figure(f"{what} / TRL in fp32", found["ours"] / found["TRL in fp32"], "times", 2)


def studio() -> Iterator[Figure]:
    """The studio's start, its memory, and its pages with a million labels and a million matchups."""
    found = bench_studio.starting()
    yield Figure("from the command to the page", found["start"], "s", 4, most=True)
    yield Figure("idle studio", found["idle memory"], "MB", 400, most=True)
    pages = bench_studio.pages()
    bare = pages.pop("Glossary")  # text alone: what a browser takes for any page
    for title, seconds in pages.items():
        yield Figure(f"{title}, over a bare page", seconds - bare, "s", 2 if title == "Elo" else 1, most=True)


def growth() -> Iterator[Figure]:
    """Time for 16 times the work, by the time for it; n log n is about 20."""
    elo.rate(made(1000, 10, 100), resamples=10)
    few, many = (made(n, 10, n // 50) for n in (62_500, 1_000_000))
    ratio = best(lambda: elo.rate(many)) / best(lambda: elo.rate(few))
    yield Figure("ratings of 16 times the votes", ratio, "times", 20, most=True)


def tokens(rows: Sequence[Row]) -> int:
    """All that were written."""
    return sum(len(row.new) for row in rows)


def timed(act: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def best(act: Callable[[], Any]) -> float:
    """The fewest seconds of four times, of which the first warms up."""
    act()
    return min(timed(act) for _ in range(3))


if __name__ == "__main__":
    main(*sys.argv[1:])
