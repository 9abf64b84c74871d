"""What the Elo page is asked for: which judgments, counted how, and against which base; as its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from pipeline.elo import Group, Rule
from pipeline.errors import UserError
from pipeline.records import content_id
from studio.store.matchups import MatchupFilter

Who = Literal["person", "imported", "ai", "pm"]
WHO: Mapping[Who, str] = {
    "person": "people",
    "imported": "imported judgments",
    "ai": "feedback model",
    "pm": "preference model",
}
"""Kinds of judges: they are never pooled. A feedback model judges by a constitution, a PM without."""
JUDGES = [("All kinds, each by itself", ""), *((words.capitalize(), who) for who, words in WHO.items())]
AXES = [("Both", ""), ("Harmlessness", "harmless"), ("Helpfulness", "helpful")]
PROMPTS = [("All", ""), ("Red-team", "red_team"), ("Helpful", "helpful")]
RULES = [("majority of both orders", "majority"), ("probabilities", "soft")]


@dataclass(frozen=True)
class Asked:
    """`base` is a model's name, empty for the usual one; `harmless` and `helpful` are `key`s of the groups
    that are drawn; `since` and `until` are days in UTC, both included, as `2026-01-31`."""

    who: str = ""
    axis: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    rule: Rule = "majority"
    base: str = ""
    harmless: str = ""
    helpful: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The page's address."""
        return {name: value for name, value in vars(self).items() if value and value != "majority"}

    @property
    def filter(self) -> MatchupFilter:
        """Which matchups. Raises UserError for a day that is none."""
        return MatchupFilter(
            axis=self.axis or None,  # type: ignore[arg-type]  # of the menu
            kind=self.kind or None,  # type: ignore[arg-type]
            annotator_kind=KIND_OF.get(self.who),  # type: ignore[arg-type]
            since=_day(self.since),
            until=_day(self.until, after=1),
        )


KIND_OF = {"person": "person", "imported": "imported", "ai": "model", "pm": "model"}
NAMES = ("who", "axis", "kind", "since", "until", "rule", "base", "harmless", "helpful")


def read(query: Mapping[str, Any]) -> Asked:
    """What an address asks for; what is not offered is passed over."""
    offered = {"who": JUDGES, "axis": AXES, "kind": PROMPTS, "rule": RULES}
    values = {name: str(query.get(name) or "")[:500] for name in NAMES}
    for name, choices in offered.items():
        if values[name] not in [value for _, value in choices]:
            values[name] = ""
    return replace(Asked(**{**values, "rule": "soft" if values["rule"] == "soft" else "majority"}))


def of_controls(values: Sequence[Any]) -> Asked:
    """What the page's controls ask for, in the order of NAMES."""
    return read(dict(zip(NAMES, values, strict=True)))


def who(group: Group) -> Who:
    """What kind of judge a group is rated by."""
    if group.kind == "person" or group.kind == "imported":
        return group.kind
    return "ai" if group.constitution else "pm"


def key(group: Group) -> str:
    """A short name of a group for addresses."""
    return content_id([group.axis, group.judge, group.kind, group.constitution])[:12]


def _day(text: str, after: int = 0) -> datetime | None:
    if not text.strip():
        return None
    try:
        return datetime.combine(date.fromisoformat(text.strip()) + timedelta(days=after), time(), UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{text[:40]!r} is no day: write it as 2026-01-31") from None
