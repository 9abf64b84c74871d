"""The audit page's answers to a key: blind until judged, and no text of anybody becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.records import Judgment, Label, Message, Pair, Source
from studio.audit_acts import Answer, act, arrive
from studio.components import audit_asking, audit_picture, audit_reveal, audit_sides
from studio.components.audit_asking import Asking
from studio.components.audit_bar import PAIRS, bar_html
from studio.components.audit_picture import Asked
from studio.components.audit_reveal import Opinion, Revealed
from studio.components.audit_view import pair_html
from studio.store import judgments, labels, pairs
from studio.store.database import Store

HOSTILE = "</textarea><img src=x onerror=alert(1)><script>alert(2)</script>\"'"
ANA = Asking(who="ana")


def pair(id: str, **changes: Any) -> Pair:
    made = Pair(
        id,
        f"prompt-{id}",
        (Message("user", f"Ask {id}"),),
        f"first of {id}",
        f"second of {id}",
        source_a=Source("model-one"),
        source_b=Source("model-two"),
    )
    return replace(made, **changes)


def label(id: str, p_a: float = 0.8125, **changes: Any) -> Label:
    made = Label(id, "kind", "choice", "judge", "gone", 0, 1.5, 1.5, p_a, p_a, p_a)
    return replace(made, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Six labelled pairs, p0 to p5."""
    store = Store.open(tmp_path / "s")
    with store.tx() as tx:
        pairs.add(tx, [pair(f"p{n}") for n in range(6)], None)
        labels.add(tx, [label(f"p{n}") for n in range(6)], "run")
    yield store
    store.close()


class Tab:
    """A tab of the page: what is on it, and what a key does."""

    def __init__(self, store: Store, asking: Asking = ANA, item: str | None = None) -> None:
        self.store, self.asking, self.asked = store, asking, Asked()
        self.now = arrive(store, self.asked, asking, item)
        self.view = self.now.view or ""

    def press(self, action: str, **more: Any) -> Answer:
        told = {"action": action, "item": self.item, "state": self.state, "last": self.last}
        told |= {"seconds": 3.0, "note": "", **more}
        self.now = act(self.store, self.asked, self.asking, told)
        self.view = self.now.view or self.view
        return self.now

    @property
    def last(self) -> str:
        noted = re.search('data-last="([^"]*)"', self.now.said or "")
        return noted[1] if noted else self.read("last")

    def read(self, name: str) -> str:
        found = re.search(rf'data-{name}="([^"]*)"', self.view)
        assert found
        return found[1]

    @property
    def item(self) -> str:
        return self.read("item")

    @property
    def state(self) -> str:
        return self.read("state")

    def held(self, id: str) -> Judgment | None:
        return audit_picture.mine(self.store, self.asking).get(id)


@pytest.fixture
def tab(store: Store) -> Tab:
    return Tab(store)


def test_the_reveal_says_which_letter_is_which_side(tab: Tab) -> None:
    before = tab.item
    tab.press("a")
    letter = "A" if audit_sides.shown(pair(before), "ana").first == "a" else "B"
    assert f"{letter} is this pair’s <b>a</b>" in (tab.now.last or "")


def test_a_judgment_is_kept_in_the_pairs_own_sides_and_the_next_pair_comes(tab: Tab) -> None:
    before = tab.item
    tab.press("a")
    kept = tab.held(before)
    assert kept
    assert kept.choice == kept.shown_first == audit_sides.shown(pair(before), "ana").first
    assert (kept.blind, kept.picked_by, kept.seconds, kept.annotator_kind) == (True, "random", 3.0, "person")
    assert tab.item != before
    assert "<b>1</b> judged" in (tab.now.figures or "")


def test_nothing_of_the_ai_is_there_before_the_judgment(tab: Tab) -> None:
    before = tab.now
    assert tab.state == "blind"
    for told in ("0.81", "0.19", "model-one", "model-two", "judge", "random"):
        for part in (before.view, before.last, before.said):
            assert told not in (part or "")
    tab.press("a")
    assert "0.81" in (tab.now.last or "")
    assert "model-one" in (tab.now.last or "")
    assert "model-one" not in tab.view


def test_sides_are_shuffled_by_annotator_and_stay() -> None:
    sides = [audit_sides.shown(pair(f"p{n}"), "ana").first for n in range(400)]
    assert 160 < sides.count("a") < 240
    assert sides == [audit_sides.shown(pair(f"p{n}"), "ana").first for n in range(400)]
    ben = [audit_sides.shown(pair(f"p{n}"), "ben").first for n in range(400)]
    assert 120 < sum(one != two for one, two in zip(sides, ben, strict=True)) < 280


def test_letters_are_those_of_the_shown_sides() -> None:
    turned = audit_sides.Shown(pair("p"), "b")
    assert turned.responses == ("second of p", "first of p")
    assert (turned.turned("a"), turned.letter("a"), turned.turned("tie")) == ("b", "B", "tie")
    assert turned.left(0.8) == pytest.approx(0.2)


def test_a_second_press_about_the_same_pair_changes_nothing(tab: Tab) -> None:
    before, view = tab.item, tab.view
    tab.press("a")
    following = tab.item
    tab.view = view  # the answer is still on its way
    tab.press("b")
    kept = tab.held(before)
    assert kept
    assert kept.choice == kept.shown_first
    assert tab.item == following
    assert tab.held(following) is None


def test_of_two_presses_that_are_answered_at_once_the_first_counts(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, view = tab.item, tab.view
    tab.press("a")
    kept = tab.held(before)
    tab.view = view
    for key in ("b", "show"):
        with monkeypatch.context() as at_once:
            at_once.setattr(audit_picture, "mine", lambda *_: {})  # read before the first was kept
            tab.press(key, item=before, state="blind")
        assert tab.held(before) == kept
    tab.press("undo")
    assert tab.held(before) is None


def test_undo_shows_the_pair_again_and_it_is_no_longer_blind(tab: Tab) -> None:
    before = tab.item
    tab.press("a")
    tab.press("undo")
    assert (tab.item, tab.state) == (before, "known")
    assert tab.held(before) is None
    tab.press("b")
    kept = tab.held(before)
    assert kept
    assert not kept.blind
    tab.press("undo")
    assert "nothing of yours" in (tab.press("undo").said or "")


def test_undo_takes_what_was_the_newest_on_its_own_tab(tab: Tab) -> None:
    before, fresh = tab.item, tab.view
    tab.press("a")
    other = Tab(tab.store)
    later = other.item
    other.press("b")
    for view in (tab.view, fresh):
        tab.view = view
        assert "judged since" in (tab.press("undo").said or "")
    assert [before, later] == list(audit_picture.mine(tab.store, ANA))
    other.press("undo")
    assert [before] == list(audit_picture.mine(tab.store, ANA))


def test_a_second_press_of_undo_is_about_the_same_judgment(tab: Tab) -> None:
    tab.press("a")
    last, judged = tab.item, tab.press("b")
    for _ in range(2):
        tab.now, tab.view = judged, judged.view or ""  # the answer to undo is still on its way
        assert "Taken back" in (tab.press("undo").last or "")
        assert tab.item == last
    assert len(audit_picture.mine(tab.store, ANA)) == 1
    tab.press("undo")
    assert not audit_picture.mine(tab.store, ANA)


def test_a_note_is_taken_back_before_its_judgment(tab: Tab) -> None:
    before = tab.item
    tab.press("a")
    tab.press("previous")
    assert tab.press("note", note="hm").view is None  # by now the next pair may be on the screen
    tab.press("undo")
    kept = tab.held(before)
    assert kept
    assert kept.note == ""
    tab.press("undo")
    assert tab.held(before) is None


def test_what_is_kept_with_a_judgment_is_told_so_that_its_draft_can_go(tab: Tab) -> None:
    before = tab.item
    told = f'data-kept="ana harmless {before}" data-note="a &amp; b"'
    assert told in (tab.press("a", note="a & b").said or "")
    assert told in (tab.press("note", item=before, note="a & b").said or "")
    assert "data-last" in (tab.now.said or "")
    other = tab.press("b", item=before, state="blind", note="another")  # pressed twice: the first one counts
    assert "data-kept" not in (other.said or "")


def test_a_note_of_a_skip_is_shown_and_one_of_a_judgment_outlives_undo(tab: Tab) -> None:
    before = tab.item
    tab.press("skip", note="to think about")
    tab.press("previous")
    assert tab.read("item") == before
    assert 'value="to think about"' in tab.view
    tab.press("show")
    assert 'value="to think about"' in tab.view
    tab.press("a", note="thought")
    tab.press("undo")
    assert 'value="thought"' in tab.view


def test_a_note_does_not_put_back_a_choice_that_was_changed_meanwhile(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tab.item
    tab.press("a")
    seen = audit_picture.mine(tab.store, ANA)
    Tab(tab.store, item=before).press("tie")
    now = audit_picture.mine(tab.store, ANA)
    read = iter([seen, now])  # the other tab was faster
    monkeypatch.setattr(audit_picture, "mine", lambda *_: next(read))
    assert "write the note anew" in (tab.press("note", item=before, note="hm").said or "")
    assert judgments.mine(tab.store, "ana", "harmless") == [now[before]]


def test_a_skip_reveals_nothing_and_stays_blind(tab: Tab) -> None:
    before = tab.item
    answer = tab.press("skip")
    assert "0.81" not in (answer.last or "")
    tab.press("previous")
    assert (tab.item, tab.state) == (before, "blind")
    tab.press("tie")
    kept = tab.held(before)
    assert kept
    assert (kept.choice, kept.blind, kept.picked_by) == ("tie", True, "random")


def test_a_pair_whose_label_another_page_has_shown_is_not_judged_blind(store: Store) -> None:
    tab = Tab(store)
    arrive(store, tab.asked, ANA, "p3", shown=True)
    tab = Tab(store, item="p3")
    tab.press("a")
    assert [one.blind for one in judgments.mine(store, "ana", "harmless") if one.pair_id == "p3"] == [False]


def test_a_link_from_another_page_leaves_a_judgment_as_it_was(tab: Tab, store: Store) -> None:
    id = tab.item
    tab.press("a")
    before = judgments.mine(store, "ana", "harmless")
    assert "Shown without" not in str(arrive(store, tab.asked, ANA, id, shown=True).last)
    assert judgments.mine(store, "ana", "harmless") == before


def test_shown_without_judging_is_never_blind_again(tab: Tab) -> None:
    before = tab.item
    tab.press("show")
    assert tab.state == "known"
    assert "0.81" in tab.view
    again = Tab(tab.store, item=before)
    assert again.state == "known"
    again.press("a")
    kept = again.held(before)
    assert kept
    assert (kept.blind, kept.picked_by) == (False, "chosen")


def test_a_pair_opened_by_its_address_is_not_of_the_random_share(store: Store) -> None:
    first = Tab(store).item
    other = next(f"p{n}" for n in range(6) if f"p{n}" != first)
    tab = Tab(store, item=other)
    tab.press("a")
    kept = tab.held(other)
    assert kept
    assert (kept.blind, kept.picked_by) == (True, "chosen")


def test_a_restart_remembers_why_a_pair_was_asked(store: Store) -> None:
    first = Tab(store).item
    refreshed = Tab(store, item=first)
    refreshed.press("b")
    kept = refreshed.held(first)
    assert kept
    assert kept.picked_by == "random"


def test_revealed_first_where_that_is_asked(store: Store) -> None:
    tab = Tab(store, replace(ANA, reveal="before"))
    before = tab.item
    tab.press("a")
    assert (tab.item, tab.state) == (before, "judged")
    assert "0.81" in tab.view
    tab.press("next")
    assert tab.state == "blind"
    tab = Tab(store, replace(ANA, reveal="none"))
    assert "0.81" not in (tab.press("b").last or "")


def test_back_to_a_judged_pair_and_forward_again(tab: Tab) -> None:
    one = tab.item
    tab.press("a")
    two = tab.item
    tab.press("b")
    three = tab.item
    tab.press("previous")
    tab.press("previous")
    assert (tab.item, tab.state) == (one, "judged")
    assert "first one" in (tab.press("previous").said or "")
    tab.press("next")
    tab.press("next")
    assert tab.item == three
    tab.press("previous")
    tab.press("a")  # changed with the AI's label in sight
    kept = tab.held(two)
    assert kept
    assert not kept.blind


def test_two_annotators_see_the_same_pairs_and_do_not_mix(store: Store) -> None:
    ana, ben = Tab(store), Tab(store, Asking(who="ben"))
    assert ana.item == ben.item
    first = ana.item
    ana.press("a")
    assert ben.held(first) is None
    ben.press("tie")
    kept = ben.held(first)
    assert kept
    assert kept.choice == "tie"
    assert "<b>ana</b>" in (ana.now.figures or "")
    assert "ana: <b>" in (ben.now.last or "")


@pytest.mark.parametrize("kind", ["imported", "person"])
def test_what_came_along_under_my_name_is_not_mine(tab: Tab, kind: Any) -> None:
    brought = Judgment(tab.item, "harmless", "ana", kind, "a", picked_by="imported")
    with tab.store.tx() as tx:
        judgments.add_imported(tx, [brought], "run")
    again = Tab(tab.store, item=tab.item)
    assert again.state == "blind"
    assert "0.81" not in again.view
    again.press("tie")
    kept = again.held(tab.item)
    assert kept
    assert (kept.choice, kept.annotator_kind) == ("tie", "person")


def test_the_other_question_is_another_queue(tab: Tab) -> None:
    before = tab.item
    tab.press("a")
    assert audit_picture.mine(tab.store, replace(ANA, axis="helpful")) == {}
    assert Tab(tab.store, replace(ANA, axis="helpful"), before).held(before) is None


def test_all_judged_is_said(tab: Tab) -> None:
    for _ in range(6):
        tab.press("a")
    assert "Every pair is judged by ana" in tab.view
    assert tab.state == "none"


def test_an_empty_session_teaches(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "empty")
    assert 'href="labels"' in Tab(store).view
    assert "rank" in Tab(store, replace(ANA, task="ranking")).view
    assert "No such pair" in Tab(store, item="gone").view
    store.close()


def reveal(first: Any, p_ab: float, p_ba: float, p_a: float, **changes: Any) -> str:
    said = label("p", p_a, p_ab=p_ab, p_ba=p_ba, **changes)
    judgment = Judgment("p", "harmless", "ana", "person", "a", first)
    opinion = Opinion("judge", p_a, (said,), ("Kindness",))
    return audit_reveal.judged_html(Revealed(audit_sides.Shown(pair("p"), first), judgment, (opinion,)))


def test_the_reveal_is_in_the_letters_that_were_shown() -> None:
    straight = reveal("a", 0.9, 0.3, 0.6)
    assert re.findall(r"<td>(?:<b>)?(0\.\d\d)", straight) == ["0.60", "0.90", "0.30"]
    assert "0.60 for A" in straight
    assert ", agreed" in straight
    turned = reveal("b", 0.9, 0.3, 0.6)
    # Side b was on the left, as A: shown first in the turned order, where it has 1 - 0.3.
    assert re.findall(r"<td>(?:<b>)?(0\.\d\d)", turned) == ["0.40", "0.70", "0.10"]
    assert "0.60 for B" in turned
    assert ", agreed" in turned


def test_reasonings_go_with_their_order() -> None:
    html = reveal("b", 0.6, 0.6, 0.6, rationale_ab="a came first", rationale_ba="b came first")
    assert html.index("Reasoning, A first") < html.index("b came first") < html.index("Reasoning, B first")


def test_no_text_becomes_markup_wherever_it_is_shown() -> None:
    hostile = pair(
        "p",
        messages=(Message("user", HOSTILE), Message("assistant", HOSTILE), Message("user", HOSTILE)),
        response_a=HOSTILE,
        response_b=HOSTILE,
        source_a=Source(HOSTILE, HOSTILE, HOSTILE),
    )
    shown = audit_sides.shown(hostile, HOSTILE)
    judgment = Judgment("p", "harmless", HOSTILE, "person", "a", note=HOSTILE)
    said = label("p", rationale_ab=HOSTILE, rationale_ba=HOSTILE)
    revealed = Revealed(shown, judgment, (Opinion(HOSTILE, 0.6, (said,), (HOSTILE,)),), (judgment,))
    query = Asking(who=HOSTILE, labeller=HOSTILE).query(HOSTILE)
    html = pair_html(shown, "harmless", "judged", judgment, query, audit_reveal.judged_html(revealed), "")
    html += audit_reveal.last_html(revealed)
    assert "<img" not in html
    assert "<script" not in html
    assert "</textarea" not in html


def test_the_address_is_read_as_it_was_written() -> None:
    asking = Asking("ranking", "helpful", "Åsa B.", "order", "key", "none")
    assert audit_asking.read(asking.query("g"), None) == asking
    assert audit_asking.read({"as": "ana", "axis": "rude", "mode": "x"}, "ben") == Asking(who="ben")
    assert audit_asking.read({"as": " a\n\u202eb "}, None).who == "a b"


def test_every_key_is_on_its_button() -> None:
    assert re.findall(r'aria-keyshortcuts="(.)"', bar_html("pairs", PAIRS, "")) == list("abtsnukjx?")


TEXTS = ("one", "two", "three", "four")


def grouped(texts: Sequence[str] = TEXTS, group: str = "g") -> list[Pair]:
    pairs_of = [(x, y) for at, x in enumerate(texts) for y in texts[at + 1 :]]
    return [
        pair(
            f"{group}{n}", prompt_id="q", group=group, response_a=x, response_b=y, source_a=Source(f"by-{x}")
        )
        for n, (x, y) in enumerate(pairs_of)
    ]


@pytest.fixture
def ranking(store: Store) -> Tab:
    """Four responses to one prompt, to rank."""
    with store.tx() as tx:
        pairs.add(tx, grouped(), None)
        labels.add(tx, [label(f"g{n}", 0.75) for n in range(6)], "run")
    return Tab(store, replace(ANA, task="ranking"))


def test_a_ranking_is_kept_as_all_its_pairs(ranking: Tab) -> None:
    texts = dict(zip("ABCD", audit_picture.lettered(grouped(), "g", "ana"), strict=True))
    assert ranking.item == "g"
    assert "0.75" not in ranking.view
    answer = ranking.press("rank", order=[["B"], ["D", "A"], ["C"]])
    place = {texts["B"]: 0, texts["D"]: 1, texts["A"]: 1, texts["C"]: 2}
    kept = [ranking.held(f"g{n}") for n in range(6)]
    assert len({one.ranking_id for one in kept if one}) == 1
    for one, of in zip(kept, grouped(), strict=True):
        assert one
        behind = place[of.response_b] - place[of.response_a]
        assert one.choice == ("tie" if behind == 0 else "a" if behind > 0 else "b")
        assert (one.blind, one.picked_by) == (True, "random")
    assert "B &gt; D = A &gt; C" in (answer.last or "")
    assert "of 5 pairs" in (answer.last or "")
    assert ranking.state == "none"


def test_a_ranking_that_decides_no_pair_does_not_say_that_there_are_no_labels(ranking: Tab) -> None:
    last = ranking.press("rank", order=[["A", "B", "C", "D"]]).last or ""
    assert "no pair that you and the AI both decided" in last
    assert "no AI label" not in last


def test_of_two_rankings_that_are_answered_at_once_the_first_counts(
    ranking: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [["A"], ["B"], ["C"], ["D"]]
    ranking.press("rank", order=order)
    kept = judgments.mine(ranking.store, "ana", "harmless")
    with monkeypatch.context() as at_once:
        at_once.setattr(audit_picture, "mine", lambda *_: {})  # read before the first was kept
        ranking.press("rank", item="g", order=order[::-1])
    assert judgments.mine(ranking.store, "ana", "harmless") == kept
    ranking.press("undo")
    assert judgments.mine(ranking.store, "ana", "harmless") == []


def test_undo_takes_the_ranking_while_ranking_and_a_pair_while_judging_pairs(ranking: Tab) -> None:
    ranking.press("rank", order=[["A"], ["B"], ["C"], ["D"]])
    tab = Tab(ranking.store, item="p0")
    tab.press("a")
    ranking.press("undo")
    assert list(audit_picture.mine(ranking.store, ANA)) == ["p0"]
    assert ranking.item == "g"
    ranking.press("rank", order=[["A"], ["B"], ["C"], ["D"]])
    tab.press("undo")
    assert tab.held("p0") is None
    assert len(audit_picture.mine(ranking.store, ANA)) == 6


def test_a_ranking_is_taken_back_whole(ranking: Tab) -> None:
    ranking.press("rank", order=[["A", "B", "C", "D"]])
    ranking.press("undo")
    assert (ranking.item, ranking.state) == ("g", "known")
    assert ranking.held("g0") is None
    assert ranking.held("g5") is None


def test_a_skip_leaves_the_rankings_after_it_random(ranking: Tab) -> None:
    with ranking.store.tx() as tx:
        for group in "hi":
            pairs.add(tx, grouped([f"{group} {text}" for text in TEXTS], group), None)
    tab = Tab(ranking.store, ranking.asking)
    tab.press("skip")
    ranked = [tab.item]
    tab.press("rank", order=[["A", "B", "C", "D"]])
    ranked.append(tab.item)
    tab.press("rank", order=[["A", "B", "C", "D"]])
    assert len({*ranked, tab.item}) == 3
    kept = [tab.held(f"{group}0") for group in ranked]
    assert [one.picked_by for one in kept if one] == ["random", "random"]


def test_a_group_opened_by_its_address_is_not_of_the_random_share(ranking: Tab) -> None:
    with ranking.store.tx() as tx:
        pairs.add(tx, grouped([f"h {text}" for text in TEXTS], "h"), None)
    first = Tab(ranking.store, ranking.asking).item
    tab = Tab(ranking.store, ranking.asking, item="h" if first == "g" else "g")
    tab.press("rank", order=[["A", "B", "C", "D"]])
    kept = tab.held(f"{'h' if first == 'g' else 'g'}0")
    assert kept
    assert kept.picked_by == "chosen"


def test_a_ranking_that_is_changed_is_kept_and_one_that_is_not_is_not(ranking: Tab) -> None:
    order = [["A"], ["B"], ["C"], ["D"]]
    ranking.press("rank", order=order)
    before = [ranking.held(f"g{n}") for n in range(6)]
    again = Tab(ranking.store, ranking.asking, item="g")
    again.press("rank", order=order)
    assert [again.held(f"g{n}") for n in range(6)] == before
    again = Tab(ranking.store, ranking.asking, item="g")
    again.press("rank", order=[["B"], ["A"], ["C"], ["D"]])
    after = [again.held(f"g{n}") for n in range(6)]
    changed = [
        new for old, new in zip(before, after, strict=True) if old and new and old.choice != new.choice
    ]
    assert [one.blind for one in changed] == [False]
    assert {one.picked_by for one in after if one} == {"random"}
    again.press("undo")
    assert [one.choice for n in range(6) if (one := again.held(f"g{n}"))] == [
        one.choice for one in before if one
    ]


def test_taking_back_a_note_leaves_the_ranking(ranking: Tab) -> None:
    ranking.press("rank", order=[["A"], ["B"], ["C"], ["D"]])
    before = [ranking.held(f"g{n}") for n in range(6)]
    tab = Tab(ranking.store, item="g2")
    tab.press("note", note="hm")
    noted = tab.held("g2")
    assert noted
    assert (noted.note, noted.blind) == ("hm", True)
    tab.press("undo")
    after = [ranking.held(f"g{n}") for n in range(6)]
    assert [(one.choice, one.note) for one in after if one] == [(one.choice, "") for one in before if one]


@pytest.mark.parametrize(
    "order", [None, [["A"]], [["A", "A"], ["B", "C"]], "ABCD", [["A", "B", "C", "D", "E"]]]
)
def test_an_order_that_lacks_a_response_is_refused(ranking: Tab, order: Any) -> None:
    assert "hold each response once" in (ranking.press("rank", order=order).said or "")
    assert ranking.held("g0") is None


def test_sources_wait_for_the_other_pairs_of_the_same_responses(ranking: Tab) -> None:
    tab = Tab(ranking.store, item="g0")
    assert "by-one" not in (tab.press("a").last or "")
    for n in range(1, 5):
        Tab(ranking.store, item=f"g{n}").press("a")
    assert "by-" in (Tab(ranking.store, item="g5").press("a").last or "")
    assert "by-one" in Tab(ranking.store, item="g0").view
