"""What a key or a button of the audit page does, and what is shown after it.

An act names the pair or group that was on the screen and the state it was in. A second press about a pair
that has been judged since is the same press: it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import UserError
from pipeline.records import Choice, Judgment, Pair
from studio.components import audit_picture, audit_reveal, audit_sides
from studio.components.audit_asking import Asking
from studio.components.audit_picture import Asked
from studio.components.problem import told
from studio.escaping import exact
from studio.store import judgments, pairs
from studio.store.database import Reader, Store
from studio.store.recall import Once

LONGEST = 600.0  # seconds: whoever took longer was not reading
CHOICES: tuple[Choice, ...] = ("a", "b", "tie", "skip")


@dataclass(frozen=True)
class Answer:
    """What the page shows next: HTML for each part; None leaves the part as it is."""

    view: str | None = None
    figures: str | None = None
    last: str | None = None
    said: str | None = ""


def arrive(store: Store, asked: Asked, asking: Asking, item: str | None, shown: bool = False) -> Answer:
    """The page for an address: the pair or group that it names, else the next one.

    `shown`: whoever comes has seen the AI's label of the pair on another page.
    """
    with told() as mistake:
        if asking.task == "ranking":
            item = item or asked.next_group(store, asking)
            view = audit_picture.group_picture(store, asking, item)
        elif item and shown and pairs.load(store, item):
            return _show(store, asking, item)
        else:
            view = audit_picture.pair_picture(store, asking, item or asked.next(store, asking))
        return Answer(view, audit_picture.figures(store, asking), audit_reveal.last_html(None))
    return Answer(said=mistake.html)


def act(store: Store, asked: Asked, asking: Asking, told_: Mapping[str, Any]) -> Answer:
    """Do what was asked for; the message says what went wrong, and then nothing was done."""
    action, item, state = (str(told_.get(name) or "") for name in ("action", "item", "state"))
    with told() as mistake:
        if action == "undo":
            return _undo(store, asking, str(told_.get("last") or ""))
        if asking.task == "ranking":
            if action == "rank":
                return _rank(store, asked, asking, item, told_)
            return _next_group(store, asked, asking, item)
        if action in ("next", "previous"):
            return _walk(store, asked, asking, item, action)
        note = str(told_.get("note") or "")[:2000]
        if action == "note":
            return _note(store, asking, item, note)
        if action == "show":
            return _show(store, asking, item)
        for choice in CHOICES:
            if action == choice:
                return _judge(store, asked, asking, item, choice, state, note, _seconds(told_))
    return Answer(said=mistake.html)


def _judge(
    store: Store,
    asked: Asked,
    asking: Asking,
    id: str,
    letter: Choice,
    state: str,
    note: str,
    seconds: float | None,
) -> Answer:
    stored = pairs.load(store, id)
    if stored is None:
        raise UserError("there is no such pair")
    own = audit_picture.mine(store, asking).get(id)
    judged = own is not None and own.choice != "skip"
    again = judged and state == "judged"
    if (judged or (own and letter == "skip")) and not again:
        return _go_on(store, asked, asking, stored.pair, note)  # pressed twice
    shown = audit_sides.shown(stored.pair, asking.who)
    judgment = Judgment(
        id,
        asking.axis,
        asking.who,
        "person",
        shown.turned(letter),
        shown.first,
        own.picked_by if own else asked.why(store, asking, id),  # the store knows whether it is blind
        seconds=None if again else seconds,
        note=note,
    )
    changed = own is None or (own.choice, own.note) != (judgment.choice, note)
    if changed:
        judgments.judge(store, judgment, instead_of=own)
    if again:
        words = "Changed; it is kept as not blind." if changed else "That is what you chose already."
        now = Once(store)
        return _with_note(now, asking, id, note, _stay(now, asking, id, words))
    return _go_on(store, asked, asking, stored.pair, note)


def _go_on(store: Store, asked: Asked, asking: Asking, pair: Pair, note: str) -> Answer:
    """After a judgment: the next pair, or the reveal first; the line below says what was just done."""
    now = Once(store)
    return _with_note(now, asking, pair.id, note, _after(now, asked, asking, pair))


def _with_note(now: Reader, asking: Asking, id: str, note: str, answer: Answer) -> Answer:
    """The answer, with word to the page that the note is kept: of two presses the first one's note counts."""
    own = audit_picture.mine(now, asking).get(id)
    if own is None or own.note != note:
        return answer
    return replace(answer, said=f"<span hidden{_kept(asking, id, note)}></span>")


def _after(store: Reader, asked: Asked, asking: Asking, pair: Pair) -> Answer:
    own = audit_picture.mine(store, asking)
    judgment = own.get(pair.id)
    if judgment is None or judgment.choice == "skip":
        last = audit_reveal.last_html(None, _said("Skipped; u takes it back."))
    elif asking.reveal == "before":
        return _stay(store, asking, pair.id, "Kept. Enter, Space or j goes on; u takes it back.")
    elif asking.reveal == "none":
        letter = audit_sides.shown(pair, asking.who).letter(judgment.choice)
        last = audit_reveal.last_html(None, _said(f"Kept: {letter}. u takes it back."))
    else:
        last = audit_reveal.last_html(audit_picture.revealed(store, asking, pair, own, judgment))
    view = audit_picture.pair_picture(store, asking, asked.next(store, asking))
    return Answer(view, audit_picture.figures(store, asking), last)


def _stay(store: Reader, asking: Asking, id: str, words: str) -> Answer:
    """The pair again, as it stands now."""
    view = audit_picture.pair_picture(store, asking, id)
    return Answer(view, audit_picture.figures(store, asking), audit_reveal.last_html(None, _said(words)))


def _show(store: Store, asking: Asking, id: str) -> Answer:
    """Reveal a pair that was not judged. That it was revealed is kept, as a skip that is not blind."""
    stored, own = pairs.load(store, id), audit_picture.mine(store, asking).get(id)
    if stored is None:
        raise UserError("there is no such pair")
    if store.read_only:  # nobody judges in the example, blind or not
        return Answer(audit_picture.pair_picture(store, asking, id, peeked=True), said="")
    if own is None or (own.choice == "skip" and own.blind):
        side = audit_sides.shown(stored.pair, asking.who).first
        note = own.note if own else ""
        peek = Judgment(id, asking.axis, asking.who, "person", "skip", side, "chosen", blind=False, note=note)
        judgments.judge(store, peek, instead_of=own)
    judged = own is not None and own.choice != "skip"
    words = "" if judged else "Shown without judging: a judgment of this pair is now not blind."
    return _stay(store, asking, id, words)


def _note(store: Store, asking: Asking, id: str, note: str) -> Answer:
    own = audit_picture.mine(store, asking).get(id)
    if own is None:
        raise UserError("judge the pair first: its note is kept with the judgment")
    if own.note == note:
        return Answer(said=_noted(store, asking, id, note))
    # Of one pair, whatever ranking its choice came from: undo must not take back the whole of that.
    judgments.judge(store, replace(own, note=note, ranking_id=None, time=""), instead_of=own)
    now = audit_picture.mine(store, asking).get(id)
    if now is None or now.note != note:
        raise UserError("this pair was judged anew meanwhile: reload the page, and write the note anew")
    # Not the pair once more: whoever leaves its note by a press of “next” is at another pair by now.
    return Answer(said=_noted(store, asking, id, note))


def _noted(store: Store, asking: Asking, id: str, note: str) -> str:
    return _said("Note kept.", _newest(store, asking) + _kept(asking, id, note))


def _newest(store: Store, asking: Asking) -> str:
    """What undo would take back, for a pair that is not shown once more."""
    asked = exact(f"{asking.who} {asking.axis}")
    return f' data-last="{exact(audit_picture.last(store, asking))}" data-asked="{asked}"'


def _kept(asking: Asking, id: str, note: str) -> str:
    """The note that the studio has, under the name of its draft in the browser."""
    return f' data-kept="{exact(f"{asking.who} {asking.axis} {id}")}" data-note="{exact(note)}"'


def _walk(store: Store, asked: Asked, asking: Asking, id: str, action: str) -> Answer:
    """Back and forth through what the annotator has judged; after the last of it, the next to judge."""
    done = list(audit_picture.mine(store, asking))
    at = done.index(id) if id in done else len(done)
    if action == "previous":
        if at == 0:
            return Answer(said=_said("That was the first one." if done else "You have judged nothing yet."))
        goal: str | None = done[at - 1]
    else:
        goal = done[at + 1] if at + 1 < len(done) else asked.next(store, asking)
    return Answer(audit_picture.pair_picture(store, asking, goal), last=audit_reveal.last_html(None))


def _undo(store: Store, asking: Asking, last: str) -> Answer:
    """Take back this annotator's newest judgment, or ranking where they rank, and show what it was about."""
    before = audit_picture.mine(store, asking)
    id = judgments.undo(store, asking.who, asking.axis, asking.task == "ranking", last)
    if id is None:
        raise UserError("there is nothing of yours to undo")
    known = judgments.seen(store, id, asking.who)  # a skip reveals nothing
    more = " The AI’s label may have been seen: judged again, it is kept as not blind." if known else ""
    words = _said(f"Taken back.{more}")
    if asking.task == "ranking":
        stored = pairs.load(store, id)
        view = audit_picture.group_picture(store, asking, stored.pair.group if stored else None)
        said = ""
    else:
        view = audit_picture.pair_picture(store, asking, id, taken=before.get(id))
        own = audit_picture.mine(store, asking).get(id)
        # The pair may be shown already, as it was before its note: then Gradio changes nothing of it.
        more = _newest(store, asking) + (_kept(asking, id, own.note) if own and own.choice != "skip" else "")
        said = f"<span hidden{more}></span>"
    return Answer(view, audit_picture.figures(store, asking), audit_reveal.last_html(None, words), said)


def _rank(store: Store, asked: Asked, asking: Asking, group: str, told_: Mapping[str, Any]) -> Answer:
    """Keep a ranking as all the pairs that it implies, and go on."""
    of = pairs.group(store, group)
    if not of:
        raise UserError("there is no such group of responses")
    texts = dict(zip(audit_sides.LETTERS, audit_picture.lettered(of, group, asking.who), strict=False))
    order = _order(told_.get("order"), texts)
    levels = [[texts[letter] for letter in level] for level in order]
    own = audit_picture.mine(store, asking)
    before = [own[pair.id] for pair in of if pair.id in own]
    ranked = [one for one in before if one.ranking_id]
    place = {text: at for at, level in enumerate(levels) for text in level}
    if ranked and [one.choice for one in before] == [judgments.implied(pair, place) for pair in of]:
        return _next_group(store, asked, asking, group)  # pressed twice, or looked at again and left as it is
    random = any(one.picked_by == "random" for one in ranked)
    kept = judgments.rank(
        store,
        group,
        levels,
        asking.axis,
        asking.who,
        picked_by="random" if random else asked.why_group(store, asking, group),
        blind=True,  # but for the pairs that the store knows to have been seen
        seconds=_seconds(told_),
        instead_of=before,
    )
    answer = _next_group(store, asked, asking, group)
    if kept is None:
        return answer  # another press was faster
    if asking.reveal == "none":
        return replace(answer, last=audit_reveal.last_html(None, _said("Ranking kept; u takes it back.")))
    return replace(answer, last=audit_picture.compared(store, asking, group, order))


def _next_group(store: Store, asked: Asked, asking: Asking, after: str) -> Answer:
    group = asked.next_group(store, asking, after)
    view = audit_picture.group_picture(store, asking, group)
    return Answer(view, audit_picture.figures(store, asking), audit_reveal.last_html(None))


def _order(given: Any, texts: Mapping[str, str]) -> list[list[str]]:
    """The order as the page sent it: lists of letters, each letter once."""
    levels = [[str(letter) for letter in level] for level in given or [] if isinstance(level, list)]
    if sorted(letter for level in levels for letter in level) != sorted(texts):
        raise UserError("the order does not hold each response once: reload the page, and rank them again")
    return levels


def _seconds(told_: Mapping[str, Any]) -> float | None:
    given = told_.get("seconds")
    return min(max(float(given), 0.0), LONGEST) if isinstance(given, int | float) else None


def _said(words: str, more: str = "") -> str:
    return f'<p class="cai-muted" role="status"{more}>{words}</p>'
