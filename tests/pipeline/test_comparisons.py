"""Each form of comparison file by a small example, what people chose in it, and anything else refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import comparisons, pairs
from pipeline.comparison_forms import UNKNOWN
from pipeline.comparisons import PairFile
from pipeline.errors import InputError, UserError
from pipeline.records import Judgment, Message, Prompt, as_json

ASKED = {"from": "human", "value": "why?"}
SAID = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: why?\n\nAssistant: "
USER = {"role": "user", "content": "why?"}
TURNS = ["hi", "hello", "why?"]


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(folder: Path, name: str, content: str | bytes) -> PairFile:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return comparisons.read(folder / name)


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def chosen(found: PairFile) -> list[str]:
    """The text that was chosen, of each pair; `tie`, or `nobody` where nobody did."""
    of = {judgment.pair_id: judgment.choice for judgment in found.judgments}
    texts = [{"a": pair.response_a, "b": pair.response_b, "tie": "tie", "": "nobody"} for pair in found.pairs]
    return [text[of.get(pair.id, "")] for text, pair in zip(texts, found.pairs, strict=True)]


def complaints(found: PairFile) -> list[str]:
    """The problems as `LINE: reason`."""
    return [problem.rsplit("/", 1)[1].split(":", 1)[1] for problem in found.problems]


FORMS: list[tuple[dict[str, Any], list[str]]] = [
    ({"chosen": SAID + "good", "rejected": SAID + "bad"}, TURNS),
    ({"prompt": "why?", "chosen": "good", "rejected": " bad\n"}, ["why?"]),
    ({"prompt": SAID, "chosen": " good", "rejected": " bad"}, TURNS),
    ({"prompt": [USER], "chosen": [assistant("good")], "rejected": [assistant("bad")]}, ["why?"]),
    ({"chosen": [USER, assistant("good")], "rejected": [USER, assistant("bad")]}, ["why?"]),
    ({"prompt": "why?", "chosen": [USER, assistant("good")], "rejected": [USER, assistant("bad")]}, ["why?"]),
    ({"chosen": "The sky is good", "rejected": "The sky is bad"}, ["The sky is"]),
    (
        {
            "conversations": [ASKED],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        ["why?"],
    ),
    ({"system": "s", "question": "why?", "chosen": "good", "rejected": "bad"}, ["s", "why?"]),
    (
        {"instruction": "Sum up.", "input": "A text.", "chosen": "good", "rejected": "bad"},
        ["Sum up.\n\nA text."],
    ),
    ({"prompt": "why?", "response_a": "good", "response_b": "bad", "winner": "model_a"}, ["why?"]),
    ({"prompt": "why?", "response_a": "bad", "response_b": "good", "winner": "model_b"}, ["why?"]),
    (
        {"question": "why?", "response_a": "bad", "response_b": "good", "model_b": "m", "winner": "m"},
        ["why?"],
    ),
    (
        {
            "conversation_a": [USER, assistant("bad")],
            "conversation_b": [USER, assistant("good")],
            "winner": "model_b",
        },
        ["why?"],
    ),
    (
        {
            "prompt": '["hi", "why?"]',
            "response_a": '["hello", "good"]',
            "response_b": '["hello", "bad"]',
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
        TURNS,
    ),
    ({"prompt": ["why?"], "response_a": ["bad"], "response_b": ["good"], "winner": "model_b"}, ["why?"]),
    ({"prompt": ["why?"], "response_a": "bad", "response_b": "good", "winner": "model_b"}, ["why?"]),
    ({"prompt": "why?", "text_a": "good", "text_b": "bad", "preferred_text": "text_a"}, ["why?"]),
    ({"input": "why?", "text_a": "bad", "text_b": "good", "preferred_text": "text_b"}, ["why?"]),
    ({"text_a": "bad", "text_b": "good", "preferred_text": "text_b"}, [UNKNOWN[0].content]),
    ({"text_a": SAID + "bad", "text_b": SAID + "good", "preferred_text": "text_b"}, TURNS),
]


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.jsonl.gz"])
@pytest.mark.parametrize(("row", "said"), FORMS)
def test_each_form(tmp_path: Path, row: dict[str, Any], said: list[str], name: str) -> None:
    found = read(tmp_path, name, json.dumps([row]) if name == "p.json" else lines(row))
    assert [message.content for message in found.pairs[0].messages] == said
    assert {found.pairs[0].response_a, found.pairs[0].response_b} == {"good", "bad"}
    assert chosen(found) == ["good"]
    assert found.problems == ()


@pytest.mark.parametrize(("row", "said"), FORMS)
def test_each_form_in_parquet(tmp_path: Path, row: dict[str, Any], said: list[str]) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist([{"n": 1, **row}]), tmp_path / "p.parquet")
    found = comparisons.read(tmp_path / "p.parquet")
    assert ([m.content for m in found.pairs[0].messages], chosen(found)) == (said, ["good"])


@pytest.mark.parametrize(
    "row",
    [
        {"response_a": "one", "response_b": "two", "winner": None},
        {"response_a": "one", "response_b": "two", "winner_model_a": None, "winner_tie": None},
        {"text_a": "one", "text_b": "two", "preferred_text": None},
    ],
)
def test_where_nobody_has_chosen_it_is_a_pair_all_the_same(tmp_path: Path, row: dict[str, Any]) -> None:
    found = read(tmp_path, "p.jsonl", lines({"prompt": "why?", **row}))
    assert (len(found.pairs), found.judgments, found.problems) == (1, (), ())


ARENA = "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("p.csv", f'chosen,rejected\n"{SAID}good","{SAID}bad"\n', ["good"]),
        ("p.tsv", "prompt\tchosen\trejected\nwhy?\tgood\tbad\n", ["good"]),
        (
            "p.csv",
            "model_a,model_b,prompt,response_a,response_b,winner\nx,y,why?,bad,good,model_b\n",
            ["good"],
        ),
        (
            "p.csv",
            "question,response_a,response_b,winner\nwhy?,one,two,tie (bothbad)\nhow?,1,2,tie\n",
            ["tie"] * 2,
        ),
        ("p.csv", "prompt,response_a,response_b\nwhy?,one,two\n", ["nobody"]),
        ("p.csv", ARENA + '7,x,y,"[""why?""]","[""bad""]","[""good""]",0,1,0\n', ["good"]),
        ("p.csv", ARENA + '7,x,y,"[""why?""]","[""bad""]","[""good""]",0,0,1\n', ["tie"]),
        ("p.csv.gz", "text_a;text_b;preferred_text;input\nbad;good;text_b;why?\n", ["good"]),
        (
            "p.csv",
            'prompt,chosen,rejected\nwhy?,"[{""role"": ""assistant"", ""content"": ""good""}]",bad\n',
            ["good"],
        ),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    found = read(tmp_path, name, content)
    assert (chosen(found), found.problems) == (expected, ())


def test_a_judgment_is_the_files_and_never_a_persons(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_text(lines({"prompt": "why?", "chosen": "good", "rejected": "bad"}))
    found = comparisons.read(path, "helpful")
    [pair], [judgment] = found.pairs, found.judgments
    side = pairs.side_of(pair, "good")
    assert judgment == Judgment(
        pair.id, "helpful", "theirs.jsonl", "imported", side, picked_by="imported", blind=True
    )
    assert (pair.kind, pair.source_a.name, pair.source_b.name) == ("helpful", "theirs.jsonl", "theirs.jsonl")
    assert comparisons.read(path).pairs[0].kind == "red_team"


def test_models_are_the_sources(tmp_path: Path) -> None:
    row = {"model_a": "x", "model_b": "y", "prompt": "why?", "response_a": "by x", "response_b": "by y"}
    [pair] = read(tmp_path, "p.jsonl", lines(row)).pairs
    assert {(pair.response_a, pair.source_a.name), (pair.response_b, pair.source_b.name)} == {
        ("by x", "x"),
        ("by y", "y"),
    }


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            {"chosen": SAID + "a", "rejected": SAID.replace("hello", "no") + "b"},
            "chosen and rejected differ before",
        ),
        (
            {"chosen": [USER, assistant("a")], "rejected": [assistant("b")]},
            "chosen and rejected differ before",
        ),
        (
            {"chosen": SAID + "a\n\nHuman: more", "rejected": SAID + "b"},
            "chosen: does not end with the assistant's",
        ),
        ({"prompt": "why?", "chosen": "same", "rejected": "same"}, "both responses are the same"),
        ({"prompt": "why?", "chosen": "so", "rejected": " "}, "an empty response"),
        ({"prompt": " ", "chosen": "so", "rejected": "no"}, "an empty prompt"),
        ({"chosen": "so", "rejected": "no"}, "no prompt: neither a column of its own"),
        ({"prompt": "why?", "chosen": 3, "rejected": "no"}, "chosen: not a response"),
        ({"prompt": "why?", "chosen": [], "rejected": "no"}, "chosen: does not end with"),
        ({"prompt": "why?", "chosen": "so"}, "no pair here: expected `chosen` and `rejected`"),
        (
            {"prompt": "why?", "response_a": "x", "response_b": "y", "winner": "z"},
            "winner: 'z' is none of model_a",
        ),
        (
            {"prompt": "?", "response_a": "x", "response_b": "y", "winner_tie": 0},
            "not just one of winner_model_a",
        ),
        (
            {"prompt": ["a", "b"], "response_a": ["x"], "response_b": ["y"]},
            "2 turns of prompt and 1 of response",
        ),
        ({"prompt": ["a"], "response_a": [None], "response_b": ["y"]}, "a turn that is not a text"),
        (
            {"prompt": ["a", "b"], "response_a": ["1", "x"], "response_b": ["2", "y"]},
            "both conversations differ before their last turn",
        ),
        (
            {"prompt": "why?", "text_a": "x", "text_b": "y", "preferred_text": "z"},
            "preferred_text: 'z' is none of",
        ),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_the_others_are_kept(
    tmp_path: Path, row: dict[str, Any], complaint: str
) -> None:
    good = {"prompt": "why?", "chosen": "good", "rejected": "bad"}
    found = read(tmp_path, "p.jsonl", lines(good, row, good | {"prompt": "how?"}))
    assert (len(found.pairs), chosen(found)) == (2, ["good", "good"])
    [told] = complaints(found)
    assert told.startswith(f"2: {complaint}")
    assert found.report() == [f"{tmp_path}/p.jsonl:{told}"]


def test_repeats_are_merged_and_opposite_choices_are_a_tie(tmp_path: Path) -> None:
    one = {"prompt": "why?", "chosen": "x", "rejected": "y"}
    other = {"prompt": "why?", "chosen": "y", "rejected": "x"}
    same = read(tmp_path, "p.jsonl", lines(one, one))
    assert (chosen(same), same.duplicates, same.conflicts) == (["x"], 1, ())
    found = read(tmp_path, "p.jsonl", lines(one, other, {"prompt": "how?", "chosen": "x", "rejected": "y"}))
    assert (chosen(found), found.duplicates, found.problems) == (["tie", "x"], 1, ())
    assert found.report() == [
        f"{tmp_path}/p.jsonl:2: chooses otherwise than line 1 for the same pair: kept as a tie",
        "repeats of earlier pairs, merged: 1",
    ]


def test_pairs_without_a_prompt_are_told_and_not_taken_for_one_prompts(tmp_path: Path) -> None:
    found = read(tmp_path, "p.csv", "text_a,text_b,preferred_text\na,b,text_a\nc,d,text_b\n")
    assert len({pair.prompt_id for pair in found.pairs}) == 2
    assert found.report() == ["pairs without a prompt, shown as “(The prompt is not known.)”: 2"]


def test_a_prompt_has_the_id_that_it_has_as_a_prompt(tmp_path: Path) -> None:
    from pipeline import prompts

    found = read(tmp_path, "p.jsonl", lines({"prompt": "why?", "chosen": "x", "rejected": "y"}))
    expected: Prompt = prompts.from_text("why?")
    assert found.pairs[0].prompt_id == expected.id


def test_our_own_pairs_keep_their_sides_even_where_they_were_turned_by_hand(tmp_path: Path) -> None:
    pair = pairs.make_pair(
        "p", (Message("user", "why?"),), "x", "y", pairs.Source("m"), pairs.Source("n"), "helpful", "g"
    )
    row = as_json(pair)
    turned = row | {"id": "mine", "response_a": row["response_b"], "response_b": row["response_a"]}
    turned |= {"source_a": row["source_b"], "source_b": row["source_a"]}
    for written in (row, turned):
        assert read(tmp_path, "pairs.jsonl", lines(written)).pairs == (pair,)
    with pytest.raises(InputError, match=r"pairs.jsonl:1: kind: Input should be"):
        read(tmp_path, "pairs.jsonl", lines(row | {"kind": "other"}))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """A run's directory with one pair and these judgments of it."""

    def made(*choices: str, place: str = "inputs") -> Path:
        pair = pairs.make_pair(
            "p", (Message("user", "why?"),), "x", "y", pairs.Source(), pairs.Source(), "helpful"
        )
        (tmp_path / "run" / place).mkdir(parents=True)
        pairs.write([pair], tmp_path / "run" / place / "pairs.jsonl")
        rows = [
            as_json(Judgment(pair.id, "harmless", "ana", "person", "a")) | {"choice": choice}
            for choice in choices
        ]
        (tmp_path / "run" / place / "human.jsonl").write_text(lines(*rows))
        return tmp_path / "run"

    return made


@pytest.mark.parametrize("place", ["inputs", "outputs"])
def test_a_runs_directory(run: Callable[..., Path], place: str) -> None:
    folder = run("a", "b", "never", place=place)
    found = comparisons.read(folder)
    assert [judgment.choice for judgment in found.judgments] == ["a", "b"]
    assert [problem.split(":")[1] for problem in found.problems] == ["3"]
    (folder / place / "pairs.jsonl").write_text(lines({"prompt": "?", "chosen": "x", "rejected": "y"}))
    assert "human.jsonl: judgments of other pairs: 2" in comparisons.read(folder).problems[-1]


def test_a_run_without_pairs_is_told(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run(place="outputs")
    (folder / "outputs" / "pairs.jsonl").rename(folder / "outputs" / "pairs.jsonl.part")
    with pytest.raises(UserError, match=r"not finished: give its command again, or name .*pairs.jsonl.part"):
        comparisons.read(folder)
    assert len(comparisons.read(folder / "outputs" / "pairs.jsonl.part").pairs) == 1
    with pytest.raises(UserError, match="not a run with pairs"):
        comparisons.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("p.csv", "a,b\n1,2\n", "p.csv:1: no pairs in this file: no column is one of chosen, "),
        ("p.jsonl", "", "p.jsonl: no pairs in this file"),
        ("p.txt", "why?\n", "p.txt:1: not a JSON object"),
        ("p.json", '{\n "a": 1}', "p.json:1: no pairs in this file: it is one JSON object over many lines"),
        ("p.jsonl", b"\xff\n", "p.jsonl:1: not UTF-8 text"),
        ("p.jsonl.gz", b"", "p.jsonl.gz: no pairs in this file"),
    ],
)
def test_what_holds_no_pairs_is_told(tmp_path: Path, name: str, content: str | bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read(tmp_path, name, content)


KEYS = "prompt chosen rejected messages role content conversations from value system question turns input"
MORE = "text_a text_b preferred_text response_a response_b winner winner_model_a winner_tie model_a model_b"
LAST = "conversation_a conversation_b prompt_id source_a kind id group pair_id"
TEXTS = ["human", "user", "gpt", "assistant", SAID, '["x"]', '["y"]', "model_a", "text_a", '[{"role": 1}]']
NAMES = st.sampled_from(f"{KEYS} {MORE} {LAST}".split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)
ROWS = st.dictionaries(NAMES, VALUES, max_size=8) | st.sampled_from(FORMS).flatmap(
    lambda form: st.dictionaries(st.sampled_from(sorted(form[0])), VALUES).map(lambda bad: form[0] | bad)
)
CONTENT = (
    st.binary()
    | st.lists(ROWS).map(lambda rows: json.dumps(rows).encode())
    | st.lists(ROWS).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
    | st.lists(st.lists(st.sampled_from(TEXTS) | st.text(), max_size=5)).map(
        lambda rows: (
            b"prompt,response_a,response_b,winner\n"
            + "\n".join(map(",".join, rows)).encode("utf-8", "replace")
        )
    )
    | st.binary().map(lambda tail: b'text_a;text_b;"preferred_text"\n' + tail)
)


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv", "p.json.gz", "p.parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(content=CONTENT, packed=st.booleans())
def test_anything_else_is_an_input_error(tmp_path: Path, name: str, content: bytes, packed: bool) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content) if packed and ".gz" in name else content)
    try:
        found = comparisons.read(tmp_path / name)
    except InputError:
        return
    assert found.pairs
    assert {judgment.pair_id for judgment in found.judgments} <= {pair.id for pair in found.pairs}
    pairs.write(found.pairs, tmp_path / "again.jsonl")
    again = comparisons.read(tmp_path / "again.jsonl")
    assert (again.pairs, again.problems, again.duplicates) == (found.pairs, (), 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    content=st.binary()
    | st.lists(st.dictionaries(NAMES, VALUES)).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
)
def test_any_judgments_are_an_input_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "human.jsonl").write_bytes(content)
    try:
        found, problems = comparisons.read_judgments(tmp_path / "human.jsonl")
    except InputError:
        return
    assert found or not problems


def test_progress_is_told(tmp_path: Path) -> None:
    rows = [{"prompt": f"why {i}?", "chosen": "x", "rejected": "y"} for i in range(2500)]
    (tmp_path / "p.jsonl").write_text(lines(*rows))
    told: list[tuple[int, float]] = []
    comparisons.read(tmp_path / "p.jsonl", on_progress=lambda count, done: told.append((count, done)))
    assert [count for count, _ in told] == [1000, 2000, 2500]
    assert told[-1][1] == 1.0


@pytest.mark.parametrize(
    ("name", "rows", "left_out"),
    [
        ("hh-harmless-pm-train.jsonl.gz", 518, 3),
        ("hh-harmless-judge-train.jsonl.gz", 393, 2),
        ("hh-harmless-tune.jsonl.gz", 208, 0),
        ("hh-harmless-measure.jsonl.gz", 533, 2),
        ("helpful-pairs-dev.json", 200, 0),
    ],
)
def test_real_comparisons(shared_data: Path, name: str, rows: int, left_out: int) -> None:
    found = comparisons.read(shared_data / name)
    assert (len(found.pairs) + found.duplicates + left_out, len(found.problems)) == (rows, left_out)
    assert len(found.judgments) == len(found.pairs)
    assert all(pair.messages[-1].role == "user" for pair in found.pairs)
