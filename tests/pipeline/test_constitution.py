"""Constitutions: what loads, what is refused and how, and which principle is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import constitution as c
from pipeline.constitution_diff import Change, diff, diff_text, word_diff
from pipeline.errors import InputError, UserError
from pipeline.records import (
    Constitution,
    CritiqueExample,
    Exchange,
    FeedbackExample,
    FewShot,
    Message,
    Principle,
    ReasonedExample,
    as_json,
)

SMALL = """\
name: small
principles:
  - id: kind
    title: Be kind
    tags: [tone]
    critique_request: Say what is unkind.
    revision_request: |-
      Make it kind.

      Keep the rest.
  - id: fair
    title: Be fair
    weight: 3
    comparison: Which is fairer?
    keeps:
      - prompt: Hi
        response: Hello
"""


def problems_of(text: str | bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        c.load(path)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def edited(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


# --- records for Hypothesis ------------------------------------------------------------------------

texts = st.text(max_size=40) | st.sampled_from(
    ["a\nb", " a\n b\n", "a \nb", "\n\na", "yes", "null", "1e3", "- x", "#"]
)
filled = texts.filter(lambda text: text.strip() != "")
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
exchanges = st.builds(Exchange, texts, texts)
weights = st.floats(0, allow_nan=False, allow_infinity=False)


def conversations(last: Any) -> st.SearchStrategy[tuple[Message, ...]]:
    roles = st.sampled_from(["system", "user", "assistant"])
    start = st.lists(st.builds(Message, roles, texts), max_size=2)
    return st.builds(lambda head, text: (*head, Message(last, text)), start, texts)


def principles(name: str) -> st.SearchStrategy[Principle]:
    common: dict[str, Any] = {
        "id": st.just(name),
        "title": filled,
        "tags": st.lists(texts, max_size=2).map(tuple),
        "weight": weights,
        "enabled": st.booleans(),
        "keeps": st.lists(exchanges, max_size=2).map(tuple),
        "breaks": st.lists(exchanges, max_size=2).map(tuple),
    }
    critical = st.builds(Principle, **common, critique_request=filled, revision_request=filled)
    both = st.builds(Principle, **common, critique_request=filled, revision_request=filled, comparison=filled)
    return critical | both | st.builds(Principle, **common, comparison=filled)


few_shots = st.builds(
    FewShot,
    critique=st.lists(
        st.builds(CritiqueExample, conversations("assistant"), texts, texts, texts, texts), max_size=1
    ).map(tuple),
    feedback=st.lists(st.builds(FeedbackExample, conversations("user"), texts, texts), max_size=1).map(tuple),
    reasoned=st.lists(
        st.builds(ReasonedExample, conversations("user"), texts, texts, texts, st.sampled_from(["a", "b"])),
        max_size=1,
    ).map(tuple),
)


def drawable(one: Constitution) -> bool:
    return any(p.enabled and p.weight > 0 for p in one.principles)


constitutions = st.builds(
    Constitution,
    name=filled,
    principles=st.lists(ids, min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.tuples(*(principles(name) for name in names))
    ),
    description=texts,
    few_shot=few_shots,
).filter(drawable)


# --- reading ---------------------------------------------------------------------------------------


def test_a_file_becomes_records(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("\ufeff" + SMALL, encoding="utf-8")
    kind, fair = c.load(path).principles
    assert kind.tags == ("tone",)
    assert kind.revision_request == "Make it kind.\n\nKeep the rest."
    assert (fair.weight, fair.keeps) == (3.0, (Exchange("Hi", "Hello"),))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "title: Be kind",
            "titel: Be kind",
            "4: principles[0].titel: is not a field of a principle; did you mean",
        ),
        (
            "title: Be kind",
            "title: 2022",
            "4: principles[0].title: expected text, got the number 2022: put it in",
        ),
        ("title: Be kind", "title:", "4: principles[0].title: expected text, got nothing"),
        ("title: Be kind", 'title: " "', "4: principles[0].title: is blank"),
        ("tags: [tone]", "tags: tone", "5: principles[0].tags: expected a list"),
        ("id: kind", "id: be kind", "3: principles[0].id: 'be kind' is no id"),
        ("id: fair", "id: kind", "11: principles[1].id: 'kind' is used before"),
        ("id: fair\n", "id: fair\n    id: fairer\n", "12: principles[1].id: is given twice"),
        ("weight: 3", "weight: -1", "13: principles[1].weight: expected a finite number of 0 or more"),
        ("weight: 3", "weight: .nan", "13: principles[1].weight: expected a"),
        ("weight: 3", "weight: true", "13: principles[1].weight: expected a number, got true"),
        ("weight: 3", "weight: " + "9" * 5000, "13: principles[1].weight: is not the number"),
        (
            "weight: 3",
            "enabled: maybe",
            "13: principles[1].enabled: expected true or false, got the text 'maybe'",
        ),
        ("Which is fairer?", "''", "14: principles[1].comparison: is blank"),
        ("    comparison: Which is fairer?\n", "", "11: principles[1]: says nothing"),
        ("    critique_request: Say what is unkind.\n", "", "3: principles[0].critique_request: is missing"),
        (
            "prompt: Hi",
            "promt: Hi",
            "16: principles[1].keeps[0].promt: is not a field of an example; did you mean",
        ),
        ("name: small", "names: small", "1: names: is not a field of a constitution; did you mean 'name'?"),
        ("name: small", "name: small\n5: x", "2: the constitution: a field's name must be text"),
        ("name: small", "name: small\n? [a]\n: x", "2: the constitution: a field's name must be text"),
        ("name: small", "name: !!python/name:os.system x", "1: name: the tag"),
        ("name: small", "name: &x small", None),
        ("title: Be fair", "title: *x", "12: an alias"),
        ("    title: Be fair", "\ttitle: Be fair", "12: a tab"),
        ("title: Be fair", "title: 'open", "18: found unexpected end of stream"),
        ("title: Be fair", "title: a\0b", "12: the character 0x0 is not allowed"),
        ("title: Be fair", r'title: "\ud800"', "12: principles[1].title: expected text"),
    ],
)
def test_each_mistake_is_named_with_its_line(
    old: str, new: str, expected: str | None, tmp_path: Path
) -> None:
    if expected is None:
        assert c.loads(edited(old, new), "x").name == "small"
        return
    found = problems_of(edited(old, new), tmp_path)
    assert any(problem.startswith(expected) for problem in found), found


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = (
        edited("weight: 3", "weight: x").replace("id: kind", "id: '?'").replace("title: Be fair", "titel: x")
    )
    found = problems_of(text, tmp_path)
    assert [problem.split(": ")[1] for problem in found] == [
        "principles[0].id",
        "principles[1].title",
        "principles[1].titel",
        "principles[1].weight",
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "1: is empty"),
        (b"# nothing\n", "1: is empty"),
        (b"- a\n- b\n", "1: expected 'name:' and 'principles:' at the top, got a list"),
        (b"just words", "1: expected 'name:'"),
        (b"name: x\nprinciples: []\n", "2: principles: is empty"),
        (b"name: x\n---\nname: y\n", "2: but found another document"),
        (b"name: a\nother: \xff\n", "2: is not UTF-8 text"),
        (SMALL.encode("utf-16"), "1: is not UTF-8 text (it looks like UTF-16)"),
        (b"name: " + b"[" * 3000, "1: is nested more than"),
        (b"a: &a [x,x]\nb: &b [*a,*a]\n", "2: an alias"),
        (b"#" * 2_000_001, "1: is larger than 2 MB"),
    ],
)
def test_files_that_are_no_constitution(raw: bytes, expected: str, tmp_path: Path) -> None:
    assert problems_of(raw, tmp_path)[0].startswith(expected)


def test_a_missing_file_is_the_users_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, Path("a\0b"), Path("x" * 5000)):
        with pytest.raises(UserError, match="is not a file"):
            c.load(path)


def test_a_draft_is_checked_as_plain_data() -> None:
    draft = as_json(c.loads(SMALL, "small"))
    assert c.problems(draft) == []
    draft["principles"][1]["title"] = ""
    assert c.problems(draft) == ["principles[1].title: is blank: expected a few words"]
    assert c.problems([]) == ["the constitution: expected named fields ('field: value'), got a list"]


def test_all_disabled_is_refused() -> None:
    draft = as_json(c.loads(SMALL, "small"))
    for principle in draft["principles"]:
        principle["enabled"] = False
    assert c.problems(draft)[0].startswith("principles: none can be drawn")


@given(st.text(alphabet=st.sampled_from("abn :-[]{}#&*!|>'\"%@`?,\n\t\\\x00é0.~<=")) | st.text())
@settings(max_examples=100, deadline=None)
def test_no_text_brings_a_traceback(text: str) -> None:
    with pytest.raises(InputError):
        c.loads(text, "fuzz")


pieces = st.sampled_from(
    [*"\n\t :-[]{}#&*!|>'\"%?,\\0~=", "1e999", "!!int ", "!!bool ", "<<: ", "2020-99-99", "null"]
)


@given(
    st.lists(
        st.tuples(st.integers(0, len(SMALL)), st.integers(0, 12), pieces | st.text(max_size=4)), max_size=4
    )
)
@settings(max_examples=100, deadline=None)
def test_no_mutation_brings_a_traceback(edits: list[tuple[int, int, str]]) -> None:
    text = SMALL
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    try:
        loaded = c.loads(text, "fuzz")
    except InputError:
        return
    assert c.loads(c.dump(loaded), "again") == loaded


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "principles", "id", "title", "weight", "few_shot", "critique", "messages", "role"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
)


@given(anything)
@settings(max_examples=100, deadline=None)
def test_any_plain_data_gets_an_answer(data: object) -> None:
    assert c.problems(data) != []


# --- writing ---------------------------------------------------------------------------------------


@given(constitutions)
@settings(max_examples=100, deadline=None)
def test_what_is_written_reads_back_equal(one: Constitution) -> None:
    assert c.loads(c.dump(one), "dumped") == one


def test_yaml_is_for_people() -> None:
    assert c.dump(c.loads(SMALL, "small")) == SMALL.replace("[tone]", "\n      - tone").replace(
        "weight: 3", "weight: 3.0"
    ).replace("tags: \n", "tags:\n")


# --- using -----------------------------------------------------------------------------------------


def test_each_stage_gets_the_principles_it_can_use() -> None:
    small = c.loads(SMALL, "small")
    assert [p.id for p in c.usable(small, "critique")] == ["kind"]
    assert [p.id for p in c.usable(small, "feedback")] == ["fair"]


def test_no_usable_principle_is_explained() -> None:
    small = c.loads(SMALL, "small")
    kind, fair = small.principles
    rested = replace(small, principles=(replace(kind, enabled=False), fair))
    with pytest.raises(
        UserError, match=r"kind: is disabled\n  fair: has no critique_request and no revision_req"
    ):
        c.usable(rested, "critique")


def test_principles_are_drawn_by_weight() -> None:
    weighted = [Principle(id=name, title=name, weight=w) for name, w in [("a", 1.0), ("b", 3.0), ("c", 0.0)]]
    drawn = Counter(c.draw(weighted, 7, f"prompt-{i}/0").id for i in range(4000))
    assert drawn["c"] == 0
    assert 2900 < drawn["b"] < 3100


def test_a_draw_never_changes() -> None:
    ten = [Principle(id=str(i), title=str(i)) for i in range(10)]
    assert [c.draw(ten, 0, f"p{i}").id for i in range(3)] == ["7", "9", "0"]
    huge = [Principle(id=str(i), title="", weight=1.7e308) for i in range(3)]
    assert {c.draw(huge, 0, str(i)).id for i in range(50)} == {"0", "1", "2"}


@pytest.mark.parametrize("name", ["harmless", "helpful-honest-harmless", "minimal"])
def test_shipped_constitutions_serve_both_stages(name: str) -> None:
    loaded = c.load(c.find(name))
    assert loaded.name == name
    assert len(c.usable(loaded, "critique")) == len(c.usable(loaded, "feedback")) == len(loaded.principles)
    for principle in loaded.principles:
        assert [e.prompt for e in principle.keeps] == [e.prompt for e in principle.breaks]
        assert len(principle.keeps) >= 2


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"harmless, helpful-honest-harmless, minimal"):
        c.find("no-such")


def test_shipped_words_are_our_own(shared_data: Path) -> None:
    """No eight words in a row of the long constitution are the paper's."""
    paper = " ".join(p.read_text("utf-8") for p in (shared_data / "paper").glob("*Instructions.json"))
    theirs = runs(paper.replace("\\n", " "))
    ours = c.load(c.find("harmless"))
    for principle in ours.principles:
        for field in (principle.critique_request, principle.revision_request, principle.comparison):
            assert not runs(field or "") & theirs, principle.id


def runs(text: str, length: int = 8) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


# --- comparing -------------------------------------------------------------------------------------


def test_a_changed_word_is_marked() -> None:
    small = c.loads(SMALL, "small")
    kind, fair = small.principles
    after = replace(small, principles=(kind, replace(fair, title="Be very fair", weight=1.0)))
    assert diff(small, after) == [
        Change("changed", "fair", "title", "Be fair", "Be very fair"),
        Change("changed", "fair", "weight", "3.0", "1.0"),
    ]
    assert diff_text(small, after) == ("principle fair\n  title: Be {+very +}fair\n  weight: [-3.0-]{+1.0+}")


def test_moved_added_and_removed_principles() -> None:
    def of(*names: str) -> Constitution:
        return Constitution("x", tuple(Principle(n, n.upper(), comparison="?") for n in names))

    kinds = [
        (change.kind, change.principle, change.field) for change in diff(of("a", "b", "c"), of("c", "a", "d"))
    ]
    assert kinds == [
        ("removed", "b", ""),
        ("moved", "c", ""),
        ("added", "d", ""),
        ("added", "d", "comparison"),
    ]


def test_the_constitutions_own_fields_are_compared() -> None:
    small = c.loads(SMALL, "small")
    shot = FewShot(feedback=(FeedbackExample((Message("user", "Hi"),), "Hello", "No"),))
    after = replace(small, description="New\x1b[2J", few_shot=shot)
    assert [change.field for change in diff(small, after)][:2] == [
        "description",
        "few_shot.feedback[0].messages[0].role",
    ]
    assert "\x1b" not in diff_text(small, after)
    assert diff_text(small, small) == "no difference"


@given(constitutions, constitutions)
@settings(max_examples=30, deadline=None)
def test_no_difference_means_equal(a: Constitution, b: Constitution) -> None:
    assert diff(a, a) == []
    assert (diff(a, b) == []) == (a == b)
    diff_text(a, b)


@pytest.mark.timeout(20)  # it took a minute
def test_of_long_texts_the_lines_are_compared() -> None:
    before = "".join(f"word{i} " + "\n" * (i % 50 == 49) for i in range(1_000))
    after = before.replace("word7 ", "other ")
    assert word_diff(before, after).startswith("[-word0 word1 ")
    assert word_diff(before, after).endswith(before.partition("\n")[2])
    flat = before.replace("\n", "")
    assert word_diff(flat, flat + "end") == f"[-{flat}-]{{+{flat}end+}}"


def test_a_number_without_end_is_refused_at_once() -> None:
    text = SMALL.replace("    title:", f"    weight: 1{':1' * 100_000}\n    title:", 1)
    with pytest.raises(InputError, match="weight: is not the number"):
        c.loads(text, "x")


def test_half_a_character_is_told() -> None:
    with pytest.raises(InputError, match="name: expected text, got half a character"):
        c.loads('name: "\\ud83d"\n' + SMALL.partition("\n")[2], "x")


@given(st.text(), st.text())
def test_word_diffs_hold_both_texts(a: str, b: str) -> None:
    assert word_diff(a, a) == a
    assert b in word_diff("", b)
