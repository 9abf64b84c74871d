"""Server time of the Elo page with 1,000,000 matchups: 10 models, two axes, a person's and two models' votes.

python tests/benchmarks/bench_elo_page.py [MATCHUPS] [MODELS] [PROMPTS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.components import elo_asked, elo_behind, elo_data
from studio.components.elo_ratings import ratings_html
from studio.context import Studio
from studio.pages import elo
from studio.store import matchups, votes
from studio.store.database import Store

ROUNDS = 3
# Made by the database itself: a million records would take Python minutes. Texts are as long as real answers.
FILL = """
INSERT INTO matchups (id, run, prompt_id, cluster, kind, axis, side_a, side_b, response_a, response_b,
    refuses_a, refuses_b, judge, annotator, annotator_kind, constitution, p_ab, p_ba, p_a, void, time)
SELECT i, CASE WHEN j < 2 THEN 'run-' || j END, 'prompt-' || p, hash(p) >> 1,
    CASE WHEN h THEN 'red_team' ELSE 'helpful' END, CASE WHEN h THEN 'harmless' ELSE 'helpful' END,
    1 + a, 1 + (a + 1 + b) % $models, repeat('Here is an answer. ', 15) || i,
    repeat('Another answer. ', 15) || i,
    random() < 0.3, random() < 0.3, ['pm', 'bundled', 'arena'][1 + j], 'x',
    CASE WHEN j < 2 THEN 'model' ELSE 'person' END, CASE WHEN j = 1 THEN 'c' END,
    least(1, greatest(0, x + (random() - 0.5) / 5)), x, x, NULL, now()
FROM (SELECT i, i % 2 = 0 AS h, (i // 2) % 10 % 3 AS j, hash(i) % $prompts AS p, hash(i + 7) % $models AS a,
    hash(i + 9) % ($models - 1) AS b, random() AS x FROM range($many) t(i))
"""


def main(many: int = 1_000_000, models: int = 10, prompts: int = 20_000) -> None:
    """Fill a session, then print the seconds of each part of the page."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio.open(Path(folder) / "bench", "bench")
        fill(studio.store, many, models, prompts)
        asked = elo_asked.read({})
        print(f"{many:,} matchups, {models} models, {prompts:,} prompts")  # noqa: T201
        timed("read", lambda: votes.coded(studio.store, asked.filter))
        timed("refusals", lambda: votes.refusals(studio.store, asked.filter))
        picture: Any = timed("read and rate", lambda: elo_data.picture(studio, asked))
        with gr.Blocks():
            sections = elo._sections()
        timed("draw", lambda: [one.render(picture) for one in sections])
        timed("cards", lambda: ratings_html(studio, picture))
        name = picture.rated[0].table.ratings[0].model
        what = f"model:{picture.rated[0].key}:{name}"
        timed("behind a point", lambda: elo_behind.behind_html(studio, asked, what))
        studio.close()


def fill(store: Store, many: int, models: int, prompts: int) -> None:
    """Add so many matchups, a third by each judge."""
    with store.tx() as tx:
        # Two numbers of a model where a run and the arena know it; here one is enough.
        matchups.add_competitors(tx, {f"model {n}": None for n in range(models)}, None)
        tx.query(FILL, {"many": many, "models": models, "prompts": prompts})


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Run it some times; print the first and the best, and what the processor had to do for these."""
    took, worked, result = [], [], None
    for _ in range(ROUNDS):
        began, work = time.perf_counter(), time.process_time()
        result = act()
        took.append(time.perf_counter() - began)
        worked.append(time.process_time() - work)
    of = f"processor {worked[0]:5.2f} s, {min(worked):5.2f} s"
    print(f"{what:16} first {took[0]:6.2f} s, best {min(took):6.2f} s; {of}")  # noqa: T201
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
