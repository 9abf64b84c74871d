"""The matchups behind a point, in a drawer: what was asked, both answers, who judged, and the p's.

Of a tournament's pairs a person is told who wrote what when they have judged all of that prompt. All text
from models and people is escaped here.
"""

from __future__ import annotations

from urllib.parse import quote

import numpy as np

from pipeline import elo
from pipeline.elo import Group
from studio.components import elo_asked, elo_data, elo_models
from studio.components.chain_view import plain
from studio.components.elo_asked import Asked
from studio.components.elo_data import TITLES
from studio.context import Studio
from studio.escaping import escape
from studio.progress import plural
from studio.store import checkpoints, matchups, sightings, waiting
from studio.store.matchups import MatchupFilter, StoredMatchup
from studio.waiting_acts import JUDGE

LISTED = 40
NONE = '<li class="cai-muted">None.</li>'
UNTOLD = """You have yet to judge answers to this prompt: who wrote which is told when you have. They wait in
the <a href="arena?tab=queue">Arena</a>."""
KINDS = {"person": "a person", "imported": "imported", "model": "a model"}


def behind_html(studio: Studio, asked: Asked, what: str, viewer: str = "") -> str:
    """The drawer for `model:GROUP:NAME` or `against:GROUP:NAME\\nNAME`; empty for anything else.

    `viewer` is who looks: what they were told is kept, for a vote of theirs is then blind no more.
    """
    kind, _, rest = what.partition(":")
    key, _, named = rest.partition(":")
    one, _, other = named.partition("\n")
    group = elo_data.group_of(studio, asked, key) if kind in ("model", "against") else None
    if group is None:
        return ""
    there = checkpoints.listed(studio.store, studio.jobs.folder)
    known = elo_models.known(matchups.competitors(studio.store), there)
    names = {code: model.name for code, model in known.items()}
    codes = tuple(code for code, name in names.items() if name == one)
    against = tuple(code for code, name in names.items() if name == other) if kind == "against" else ()
    if not codes or (kind == "against" and not against):
        return ""
    filter = _filter(asked, group, codes, against)
    some = matchups.listed(studio.store, filter, LISTED)
    total = matchups.count(studio.store, filter)
    title = f"{one} against {other}" if against else one
    judge = elo_models.judged_by(group.judge, there)
    kind_of = elo_asked.WHO[elo_asked.who(group)]
    under = f", under constitution {group.constitution[:8]}" if group.constitution else ""
    more = f", the newest {len(some):,} of them" if total > len(some) else ""
    unjudged = waiting.unjudged(studio.store, viewer)
    told = [(item, (item.run, item.matchup.prompt_id) not in unjudged) for item in some]
    seen = {f"{item.run}/{item.matchup.prompt_id}" for item, so in told if so and item.matchup.judge == JUDGE}
    sightings.note(studio.store, viewer, sorted(seen))
    rows = "".join(_row(item, names if so else None) for item, so in told)
    return (
        '<aside class="cai-drawer" role="dialog" aria-label="Matchups behind the figure" tabindex="-1">'
        f'<div class="cai-drawer-head"><h2>{escape(title)}</h2>'
        '<button type="button" class="cai-small" data-open="" aria-keyshortcuts="Escape">Close</button></div>'
        f'<p class="cai-muted">{TITLES[group.axis]}, judged by {escape(judge)} ({kind_of}{escape(under)}). '
        f"{plural(total, 'matchup')}{more}.</p>"
        f'<ul class="cai-list cai-elo-behind">{rows or NONE}</ul></aside>'
    )


def _filter(asked: Asked, group: Group, codes: tuple[int, ...], against: tuple[int, ...]) -> MatchupFilter:
    base = asked.filter
    return MatchupFilter(
        axis=group.axis,
        judge=group.judge,
        annotator_kind=group.kind,
        constitution=group.constitution or "",
        kind=base.kind,
        since=base.since,
        until=base.until,
        models=codes,
        against=against,
    )


def _row(item: StoredMatchup, names: dict[int, str] | None) -> str:
    """A matchup; without `names` nothing that tells who wrote what."""
    one = item.matchup
    asked = next((m.content for m in reversed(item.messages) if m.role == "user"), "")
    prompt = escape(asked[:600]) or f'<span class="cai-muted">prompt {escape(one.prompt_id[:40])}</span>'
    orders = ""
    if one.p_ab != one.p_ba:
        orders = f" (a first {one.p_ab:.1%}, b first {one.p_ba:.1%})"
    who = one.annotator.name if one.annotator.name != one.judge else KINDS[one.annotator.kind]
    side = "cai-person" if one.annotator.kind == "person" else "cai-model"
    run = f' · <a href="elo?run={quote(item.run)}">its run</a>' if item.run else " · arena"
    won = {1.0: "a", 0.0: "b", 0.5: "tie"}[elo.majority(np.array([one.p_ab]), np.array([one.p_ba])).item()]
    if names is None:
        answers = f'<p class="cai-muted">{UNTOLD}</p>'
    else:
        answers = _answer("a", names[item.side_a], one.response_a)
        answers += _answer("b", names[item.side_b], one.response_b)
    return (
        f'<li><p class="cai-list-prompt">{prompt}</p><div class="cai-pair">{answers}</div>'
        f'<p class="cai-behind-said"><span class="{side}"><span class="cai-who">'
        f"{escape(elo_models.called(who))}: {won}</span></span> p(a) = {one.p_a:.1%}{orders} "
        f'<span class="cai-muted">{escape(one.time[:16].replace("T", " "))} UTC{run}</span></p></li>'
    )


def _answer(side: str, model: str, text: str) -> str:
    label = f'<div class="cai-label"><span>{side}: {escape(model)}</span></div>'
    return f'<section class="cai-step cai-model">{label}{plain(text)}</section>'
