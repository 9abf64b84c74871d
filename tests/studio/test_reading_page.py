"""The reading page's answers to a key, and that no text of anybody becomes markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.records import Message, Principle, Step
from studio.components import branching, chain_filters, reading_view
from studio.components.chain_list import chain_list
from studio.components.reading_bar import bar_html
from studio.context import Studio
from studio.pages import reading
from studio.store import chains, verdicts
from studio.store.chains import ChainFilter, NewChain
from studio.store.families import family
from studio.store.reading import Queue
from studio.store.verdicts import Verdict

HOSTILE = "</textarea><img src=x onerror=alert(1)><script>alert(2)</script>\"'"
UNJUDGED = ChainFilter(verdict="none")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Three finished chains, c1 to c3; the texts of c3 are hostile."""
    studio = Studio.open(tmp_path / "s", "s")
    for id, text in (("c1", "one"), ("c2", "two"), ("c3", HOSTILE)):
        add(studio, id, text)
    yield studio
    studio.close()


def add(studio: Studio, id: str, text: str, steps: Sequence[Step] | None = None, **changes: Any) -> None:
    values: dict[str, Any] = {
        "id": id,
        "prompt_id": "p",
        "messages": (Message("user", f"Ask {text}"),),
        "constitution": "gone",
        "constitution_name": text,
        "model": text,
        "critic": text,
        "seed": 7,
        "revisions": 1,
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 20,
        "form": "",
        "author": text,
    }
    usual = [Step("response", text), Step("critique", text, text), Step("revision", f"{text} more", text)]
    chains.start_chain(studio.store, NewChain(**(values | changes)), steps or usual)
    chains.add_event(studio.store, id, "finished")


def press(studio: Studio, action: str, chain: str, wanted: ChainFilter = UNJUDGED, **more: Any) -> Any:
    return reading._act(studio, {"action": action, "chain": chain, "note": None, **more}, "ana", wanted)


def shown(picture: Any) -> str:
    found = re.search(r'data-chain="([^"]*)"', picture[0])
    assert found
    return found[1]


@pytest.mark.parametrize("action", ["accept", "note"])
def test_an_answer_says_of_which_chain_it_has_which_note(studio: Studio, action: str) -> None:
    said = press(studio, action, "c1", note=HOSTILE)[2]
    assert f'data-kept="c1" data-note="{html.escape(HOSTILE)}"' in said
    assert "data-kept" not in press(studio, action, "gone", note=HOSTILE)[2]
    assert "data-kept" not in press(studio, "skip", "c2")[2]


def test_a_judgement_is_kept_and_the_next_chain_comes(studio: Studio) -> None:
    answer = press(studio, "accept", "c1", note="clear")
    assert shown(answer) == "c2"
    assert "<b>1</b> of <b>3</b> judged" in answer[1]
    assert verdicts.load(studio.store, "c1") == Verdict("accepted", "clear", "ana")


def test_what_was_skipped_comes_round_again(studio: Studio) -> None:
    assert shown(press(studio, "skip", "c1")) == "c2"
    press(studio, "reject", "c2")
    assert shown(press(studio, "reject", "c3")) == "c1"
    assert shown(press(studio, "skip", "c1")) == "c1"
    assert "3 chains, and all judged" in press(studio, "accept", "c1")[0]


def test_undo_shows_the_chain_again(studio: Studio) -> None:
    press(studio, "accept", "c1")
    answer = press(studio, "undo", "c2")
    assert shown(answer) == "c1"
    assert "<b>0</b> of <b>3</b> judged" in answer[1]
    assert "nothing of yours" in press(studio, "undo", "c1")[2]


def test_undo_pressed_twice_takes_back_one(studio: Studio) -> None:
    def last(answer: Any) -> str:
        found = re.search(r'data-last="([^"]*)"', answer[1])
        assert found
        return found[1]

    before = last([None, reading._figures(studio, UNJUDGED, "ana")])
    noted = last(press(studio, "note", "c1", note="hm"))
    judged = last(press(studio, "accept", "c1"))
    assert len({before, noted, judged}) == 3
    answers = [press(studio, "undo", "c2", last=judged) for _ in range(2)]
    assert [shown(answer) for answer in answers] == ["c1", "c1"]
    assert verdicts.load(studio.store, "c1") == Verdict("none", "hm", "ana")
    assert last(answers[1]) == noted


def test_a_note_leaves_the_page_as_it_is(studio: Studio) -> None:
    view, _, said = press(studio, "note", "c1", note="hm")
    assert not isinstance(view, str)
    assert "Note kept" in said
    assert verdicts.load(studio.store, "c1") == Verdict("none", "hm", "ana")


def test_the_ends_are_said(studio: Studio) -> None:
    assert shown(press(studio, "next", "c1")) == "c2"
    assert shown(press(studio, "previous", "c3")) == "c2"
    assert "last" in press(studio, "next", "c3")[2]
    assert "first" in press(studio, "previous", "c1")[2]


@pytest.mark.parametrize("action", ["accept", "note", "dance"])
def test_what_names_no_chain_changes_nothing(studio: Studio, action: str) -> None:
    press(studio, action, "c9", note="x")
    assert studio.store.query("SELECT count(*) FROM verdicts") == [(0,)]


def test_the_address_brings_back_the_chain_and_the_filters(studio: Studio) -> None:
    press(studio, "accept", "c2")
    wanted = chain_filters.asked({"verdict": "accepted", "text": "two", "model": "two"})
    assert wanted == ChainFilter(verdict="accepted", text="two", model="two")
    assert 'data-query="chain=c2&amp;text=two&amp;model=two&amp;verdict=accepted"' in reading._show(
        studio, None, wanted
    )
    assert shown([reading._show(studio, "c3", UNJUDGED)]) == "c3"


def test_the_empty_page_teaches() -> None:
    assert "Nothing to read yet" in reading_view.nothing_html(Queue((), "none"), {}, filtered=False)
    assert "No chain matches" in reading_view.nothing_html(Queue((), "none"), {}, filtered=True)


def test_no_text_becomes_markup_wherever_it_is_shown(studio: Studio) -> None:
    verdicts.judge(studio.store, "c3", HOSTILE, "rejected", HOSTILE)
    add(studio, "c4", HOSTILE, parent="c3", branch_step=0)
    one, two = chains.load_chain(studio.store, "c3"), chains.load_chain(studio.store, "c4")
    assert one
    assert two
    principles = {HOSTILE: Principle(HOSTILE, HOSTILE, critique_request=HOSTILE)}
    kin = family(studio.store, "c3")
    html = (
        reading._show(studio, "c3", ChainFilter(text=HOSTILE))
        + branching.step_acts(HOSTILE, 0, one.steps, HOSTILE)
        + branching.family_html(kin, "c3")
        + branching.compare_html(one, two, principles, kin)
        + chain_list(studio.store, ChainFilter(), 9, "c3")[0]
    )
    assert "<img" not in html
    assert "<script" not in html
    assert html.count("</textarea>") == 1


def test_an_edit_starts_from_the_text_as_it_is() -> None:
    # A text area would drop the first line break.
    html = branching.step_acts("c", 0, [Step("response", "\nfirst")], "bundled")
    assert ">\n\nfirst</textarea>" in html


def test_every_key_is_on_its_button() -> None:
    assert re.findall(r'aria-keyshortcuts="(.)"', bar_html()) == list("arsnukj?")


@pytest.mark.parametrize(("form", "parquet"), [("messages", True), ("cai", False), ("chains", False)])
def test_an_export_holds_the_accepted_and_lies_outside_the_session(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, parquet: bool
) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    with pytest.raises(reading.UserError, match="nothing to export"):
        reading._export(studio, form, parquet, UNJUDGED)
    press(studio, "accept", "c1")
    press(studio, "reject", "c2")
    path, count = reading._export(studio, form, parquet, UNJUDGED)
    assert count == 1
    assert uploads in path.parents


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_chain_without_critiques_shows_none(studio: Studio, rounds: int) -> None:
    steps = [Step("response", "one"), *[Step("revision", f"said {n}", HOSTILE) for n in range(rounds)]]
    add(studio, "direct", "direct", critiques=False, steps=steps)
    chain = chains.load_chain(studio.store, "direct")
    assert chain
    html = reading_view.chain_html(chain, verdicts.load(studio.store, "direct"), {}, Queue(()), {})
    assert "Revised without a critique under" in html
    assert "Critique" not in html
    assert f"after {rounds} round" in html
    assert HOSTILE not in html
