"""The loop as a figure: ten stations in a ring, each with what the session holds of it and a way there.

An ordered list laid out by the style sheet: who can't see it reads the same, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from studio.progress import Progress, next_action, plural


@dataclass(frozen=True)
class Station:
    """One station: whose work it is, what it holds as a number and in words, and what it is."""

    name: str
    path: str
    who: Literal["person", "model", "both"]
    what: str
    many: Callable[[Progress], int]
    held: Callable[[Progress], str]


def _labels(now: Progress) -> str:
    return f"by AI, {now.audited:,} by people"


STATIONS = (
    Station(
        "Constitution",
        "constitution",
        "person",
        "The principles",
        lambda now: now.versions,
        lambda now: f"{_of('version', now.versions)}, {now.edits:,} by people",
    ),
    Station(
        "Chains",
        "chains",
        "model",
        "Response, critique, revision",
        lambda now: now.chains,
        lambda now: f"{_of('chain', now.chains)}, {now.finished:,} finished",
    ),
    Station(
        "Read",
        "reading",
        "person",
        "Which revisions are fit",
        lambda now: now.judged,
        lambda now: f"of {now.finished:,} read and judged",
    ),
    Station(
        "SL-CAI",
        "training",
        "model",
        "Learns the revisions",
        lambda now: now.sft,
        lambda now: _of("checkpoint", now.sft),
    ),
    Station(
        "Pairs",
        "labels",
        "model",
        "Two responses to a prompt",
        lambda now: now.pairs,
        lambda now: f"{_of('pair', now.pairs)} of responses",
    ),
    Station("Labels", "agreement", "both", "Which one is better", lambda now: now.labelled, _labels),
    Station(
        "Preference model",
        "training",
        "model",
        "Learns the labels",
        lambda now: now.pm,
        lambda now: _of("checkpoint", now.pm),
    ),
    Station(
        "RL-CAI",
        "training",
        "model",
        "Earns its reward",
        lambda now: now.rl,
        lambda now: f"{_of('checkpoint', now.rl)}, {now.dpo:,} by DPO",
    ),
    Station(
        "Matchups",
        "arena",
        "both",
        "Models compared",
        lambda now: now.matchups,
        lambda now: _of("matchup", now.matchups),
    ),
    Station(
        "Elo",
        "elo",
        "model",
        "What came of it",
        lambda now: now.rated,
        lambda now: _of("table", now.rated),
    ),
)
WHO = {"person": "you", "model": "models", "both": "models and you"}


def loop_html(now: Progress, example: bool = False) -> str:
    """The ring, with the station of the next action marked: in the example there is none."""
    at = None if example else next_action(now).station
    items = "".join(_item(station, now, station.name == at) for station in STATIONS)
    return f'<ol class="cai-ring" aria-label="The loop, with what this session holds">{items}</ol>'


def where(now: Progress) -> str:
    """Which stations hold something, in a sentence."""
    there = [station.name for station in STATIONS if station.many(now)]
    lacking = [station.name for station in STATIONS if not station.many(now)]
    if not lacking:
        return "Each station of the loop holds something."
    first = f"This session holds: {', '.join(there)}. " if there else ""
    return f"{first}Nothing yet: {', '.join(lacking)}."


def _item(station: Station, now: Progress, at: bool) -> str:
    many = station.many(now)
    state = "cai-there" if many else "cai-not-yet"
    here = ' aria-current="step"' if at else ""
    mark = '<em class="cai-at">next</em>' if at else ""
    return (
        f'<li class="cai-station cai-{station.who} {state}"><a href="{station.path}"{here}>'
        f'<span class="cai-station-name"><b>{station.name}</b>{mark}</span>'
        f'<span class="cai-station-held"><span class="cai-number">{many:,}</span> '
        f"<span>{station.held(now)}</span></span>"
        f'<span class="cai-station-what">{station.what}</span>'
        f'<span class="cai-who">{WHO[station.who]}</span></a></li>'
    )


def _of(noun: str, many: int) -> str:
    """The noun for so many."""
    return plural(many, noun).rpartition(" ")[2]
