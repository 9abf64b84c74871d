"""The queue of the arena page: pairs of tournaments that wait for people, one after another, by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from pipeline.matchups import Waiting
from studio import waiting_acts
from studio.components import audit_view
from studio.components.arena_bar import queue_bar
from studio.components.arena_view import SIDES, VOTES, answer_html, article, text_html
from studio.components.audit_sides import first_side
from studio.components.audit_view import nothing_html
from studio.components.problem import as_html, told
from studio.context import Studio, author
from studio.escaping import escape, isolated
from studio.store import battles, waiting
from studio.store.waiting import Held, Queue
from studio.waiting_acts import as_seen

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LONGEST = 600.0  # seconds: whoever took longer was not reading
VIEW_SCRIPT = Path(audit_view.__file__).with_suffix(".js")
EMPTY = """<section class="cai-empty" aria-label="How pairs come here"><h2>No pairs wait for people</h2><ol>
<li>Let models answer, and leave the judging to people: <code>cai evaluate --models bundled runs/sl-cai
--prompts red-team:heldout --axis harmless --judge people --run runs/by-people</code></li>
<li>Bring the run into this session: on the <a href="sessions">Sessions page</a>, or by
<code>cai-studio sessions import-run NAME runs/by-people</code>.</li>
<li>Its pairs are then shown here one at a time, to each person once. Each vote is a matchup.</li>
</ol></section>"""


def queue_tab(blocks: gr.Blocks, studio: Studio, tab: gr.Tab) -> None:
    """Put the queue on the page."""
    run = gr.Dropdown([], label="Tournament", elem_id="queue-run", visible=False)
    view = gr.HTML(js_on_load=VIEW_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="queue")
    with gr.Column(elem_classes="cai-judging"):
        figures = gr.HTML(padding=False, elem_id="queue-figures")
        bar = queue_bar()
        said = gr.HTML(padding=False, elem_id="queue-said")
    shown = [view, figures, said]

    def open_tab(request: gr.Request, chosen: str | None) -> list[Any]:
        who, query = author(request), request.query_params
        found = waiting.queues(studio.store, who)
        runs = [queue.run for queue in found]
        wanted = next((name for name in (query.get("run"), chosen) if name in runs), None) or _first(found)
        options = [(f"{isolated(queue.name)} · {queue.axis}", queue.run) for queue in found]
        pair = query.get("pair") if wanted == query.get("run") else None
        return [
            gr.update(choices=options, value=wanted, visible=len(found) > 1),
            *picture(studio, wanted, who, pair),
        ]

    def choose(request: gr.Request, chosen: str | None) -> list[Any]:
        return picture(studio, chosen, author(request))

    def press(event: gr.EventData, request: gr.Request, chosen: str | None) -> list[Any]:
        return act(studio, event._data, author(request), chosen)

    gr.on([tab.select, blocks.load], open_tab, run, [run, *shown], **QUIET)
    run.input(choose, run, shown, **QUIET)
    bar.act(press, run, shown, trigger_mode="multiple", **QUIET)


def act(studio: Studio, asked: Mapping[str, Any], who: str, chosen: str | None) -> list[Any]:
    """Do what a key asks for; returns the view, the figures and what is said."""
    action, (run, _, id) = str(asked["action"]), str(asked["item"]).rpartition("/")
    with told() as mistake:
        if action == "undo":
            run, _, id = waiting_acts.take_back(studio, who, str(asked.get("last") or "")).rpartition("/")
            return picture(studio, run, who, id, "Taken back: it counts no more. Vote anew, or go on.")
        if action == "skip":
            return picture(studio, run, who, after=id)
        if action in get_args(battles.Vote):
            seconds = asked.get("seconds")
            timed = min(max(float(seconds), 0.0), LONGEST) if isinstance(seconds, int | float) else None
            held = waiting_acts.vote(studio, run, id, action, who, timed)  # type: ignore[arg-type]
            return picture(studio, run, who, words=_kept(held, who), after=id)
        return picture(studio, chosen, who)
    return [gr.skip(), gr.skip(), mistake.html]


def picture(
    studio: Studio, run: str | None, who: str, id: str | None = None, words: str = "", after: str = ""
) -> list[Any]:
    """The view, the figures and what is said: of a pair, else of the next one that this person is asked."""
    queue = next((queue for queue in waiting.queues(studio.store, who) if queue.run == run), None)
    held = waiting.last_held(studio.store, who)
    last = held.item if held else ""
    if run is None or queue is None:
        return [_nothing(EMPTY, last), "", ""]
    # The next one is never one that they have judged.
    now = waiting.held(studio.store, run, id, who) if id else None
    id = id or waiting.next_pair(studio.store, run, who, after)
    pair = waiting.load(studio.store, run, id) if id else None
    said = f'<p class="cai-muted" role="status">{words}</p>' if words else ""
    if pair is None:
        inside = as_html("This tournament has no such pair.") if id else _done(queue)
        return [_nothing(inside, last), _figures(queue, who), said]
    return [pair_html(pair, run, who, now, last), _figures(queue, who), said]


def pair_html(pair: Waiting, run: str, who: str, held: Held | None, last: str) -> str:
    """A pair as this person sees it; nothing in it tells who wrote what, before the vote or after."""
    first = first_side(pair.id, who)
    texts = (pair.response_a, pair.response_b)
    chosen = as_seen(held.vote, first) if held else None
    answers = "".join(
        answer_html(number, text_html(text), "your vote" if chosen == side else "")
        for number, side, text in zip((1, 2), SIDES, texts if first == "a" else texts[::-1], strict=True)
    )
    query = {"tab": "queue", "run": run, "pair": pair.id}
    state = "voted" if held else "open"
    return article("queue", state, f"{run}/{pair.id}", query, pair.axis, pair.messages, answers, last)


def _nothing(inside: str, last: str) -> str:
    return nothing_html(inside, "queue", {"tab": "queue"}, last)


def _first(found: Sequence[Queue]) -> str | None:
    """The newest tournament that this person has something to judge of; else the newest."""
    left = [queue.run for queue in found if queue.mine < queue.total]
    return next(iter([*left, *(queue.run for queue in found)]), None)


def _kept(held: Held, who: str) -> str:
    if held.void:
        return (
            f"<b>Void:</b> an answer tells who wrote it (“{escape(held.void)}”), so the vote is kept, and "
            "counts for no rating. <kbd>u</kbd> takes it back."
        )
    return f"Kept: {VOTES[as_seen(held.vote, first_side(held.id, who))]}. <kbd>u</kbd> takes it back."


def _done(queue: Queue) -> str:
    return (
        '<div class="cai-empty"><h2>You have judged every pair of this tournament</h2>'
        f"<p>{queue.total:,} of {escape(queue.name)}. They are matchups now, and ratings come of them.</p>"
        "</div>"
    )


def _figures(queue: Queue, who: str) -> str:
    return (
        f'<div class="cai-figures"><span><b>{queue.mine:,}</b> of {queue.total:,} judged by '
        f"<b>{escape(who)}</b></span>"
        f'<progress max="{queue.total}" value="{queue.mine}" aria-label="Pairs judged"></progress>'
        f'<span class="cai-muted">{queue.anybody:,} by anybody · {escape(queue.name)}</span></div>'
    )
