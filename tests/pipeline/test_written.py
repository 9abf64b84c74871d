"""The project's demonstrations as lessons: what a critic is asked later, word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from pipeline import constitution as constitutions
from pipeline import prompts, templates, written
from pipeline.engines.encoding import Encoder
from pipeline.errors import InputError
from pipeline.records import Chain, Message, Step, as_json
from pipeline.train import sources
from pipeline.train.examples import beginning_others, supervised
from pipeline.written import PairSet


def test_reserved_pairs_are_apart_and_sides_are_drawn() -> None:
    open_ones, reserved = written.preferences("harmless", False), written.preferences("harmless", True)
    assert len(reserved) == 200
    assert not {p.pair.id for p in open_ones} & {p.pair.id for p in reserved}
    assert 0.4 < sum(p.p for p in open_ones) / len(open_ones) < 0.6
    assert {p.origin for p in open_ones} == {"written"}


@pytest.mark.parametrize(("name", "least"), [("said-harmless", 500), ("said-helpful", 150)])
def test_what_models_said_names_them_and_no_reserved_prompt_is_open(name: PairSet, least: int) -> None:
    open_ones, reserved = (written.preferences(name, reserved) for reserved in (False, True))
    assert min(len(open_ones), len(reserved)) > least
    assert not {p.pair.messages for p in open_ones} & {p.pair.messages for p in reserved}
    assert {"bundled", "SL-CAI"} <= {p.pair.source_a.name for p in open_ones}


def test_a_critic_learns_both_orders_of_each_pair_and_no_reserved_one() -> None:
    constitution = constitutions.load(constitutions.find("harmless"))
    lessons = written.critic_lessons(constitution, seed=0)
    letters = [lesson.answer for lesson in lessons if lesson.answer in templates.OPTIONS]
    assert letters.count(" (A)") == letters.count(" (B)") == len(letters) // 2
    reserved = {pair.id for axis in ("harmless", "helpful") for pair in written.judged(axis) if pair.reserved}
    assert not reserved & {lesson.source for lesson in lessons}


def test_a_pair_in_a_longer_chat_is_judged_with_all_of_it() -> None:
    chat = next(one for one in written.judged("harmless") if one.earlier)
    asked = (*chat.earlier, Message("user", chat.prompt))
    assert chat.as_pair().messages == asked
    lessons = written.critic_lessons(constitutions.load(constitutions.find("harmless")), 0, ["choice"])
    question = next(x for x in lessons if x.source == chat.id).ask("chat").messages[-1].content
    assert f"Human: {chat.earlier[0].content}\n\nAssistant: {chat.earlier[1].content}" in question
    assert (asked, chat.as_pair().id) in written.critic_prompts(["choice"])


def test_a_chain_teaches_what_the_templates_ask() -> None:
    constitution = constitutions.load(constitutions.find("harmless"))
    chain = written.chains()[0]
    lesson = next(x for x in written.critic_lessons(constitution, 0) if x.source == chain.id)
    principle = next(p for p in constitution.principles if p.id == chain.principle)
    asked = templates.critique("chat", (Message("user", chain.prompt),), chain.response, principle)
    assert (lesson.ask("chat"), lesson.answer) == (asked, chain.critique)


def test_a_models_own_responses_take_the_place_of_written_ones(tmp_path: Path) -> None:
    constitution = constitutions.load(constitutions.find("harmless"))
    first, second, *_ = written.chains()
    said = Step("response", "Its own words.")
    chain = Chain("1", "1", (Message("user", first.prompt),), "v", "mine", "mine", 0, (said,))
    (tmp_path / "chains.jsonl").write_text(json.dumps(as_json(chain)))
    responses, origin = sources.responses(tmp_path / "chains.jsonl")
    assert origin["responses_by"] == ["mine"]
    lessons = written.critic_lessons(constitution, 0, ["critique"], responses)
    answers = [lesson.ask("chat").messages[1].content for lesson in lessons[:2]]
    assert answers == ["Its own words.", second.response]
    assert lessons[0].answer == first.critique


def test_what_the_chains_ask_is_a_prompt_file() -> None:
    with prompts.find("written") as path:
        asked = prompts.read(path).prompts
    assert [p.messages[-1].content for p in asked] == [chain.prompt for chain in written.chains()]


def test_a_critique_is_learnt_within_the_revision_that_begins_with_it(bundled_folder: Path) -> None:
    constitution = constitutions.load(constitutions.find("harmless"))
    encoder = Encoder(AutoTokenizer.from_pretrained(bundled_folder), "bundled")
    lessons = written.critic_lessons(constitution, 0, ["critique", "revision"])[:6]
    data, out = supervised(encoder, lessons, 1024)
    assert (len(data), out) == (3, 0)
    for row, chain in zip(data, written.chains(), strict=False):
        learnt = [token for token in row["labels"] if token != -100]
        assert encoder.tokenizer.decode(learnt) == f"{chain.critique}<|im_end|>{chain.revision}<|im_end|>"


def test_what_begins_another_is_found_through_its_like() -> None:
    assert beginning_others(["ab", "abc", "b", "abd", "ab", ""]) == {0: 1, 4: 1, 5: 1}


def test_of_contrast_the_better_follows_good_examples_and_the_worse_bad_ones() -> None:
    constitution = constitutions.load(constitutions.find("harmless"))
    written_pair = written.judged("harmless")[0]
    kept, broken = written.critic_lessons(constitution, 0, ["contrast"])[:2]
    assert (kept.answer, broken.answer) == (written_pair.better, written_pair.worse)
    principle = next(
        p for p in constitution.principles if p.keeps[0].prompt == kept.ask("chat").messages[0].content
    )
    assert broken.ask("chat").messages[1].content == principle.breaks[0].response


def test_a_bad_row_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    good = json.loads((written.FOLDER / "harmless.jsonl").read_text("utf-8").splitlines()[0])
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "better": 3}) + "\n")
    with pytest.raises(InputError, match=r"mine.jsonl:2: better"):
        written.read(path, written.WrittenPair)


def test_turns_that_are_not_by_turns_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    good = json.loads((written.FOLDER / "harmless.jsonl").read_text("utf-8").splitlines()[0])
    path.write_text(json.dumps({**good, "earlier": [{"role": "assistant", "content": "Hi"}]}) + "\n")
    with pytest.raises(InputError, match=r"mine.jsonl:1: .*by turns"):
        written.read(path, written.WrittenPair)
