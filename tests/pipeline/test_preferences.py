"""Judged pairs as TRL's and ICAI's rows, and as files that a spreadsheet may open."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import export_files, preferences
from pipeline.errors import UserError
from pipeline.pairs import make_pair, side_of
from pipeline.preferences import Judged, judged
from pipeline.records import Constitution, Judgment, Label, Message, Pair, Source

WHY = (Message("system", "Be brief."), Message("user", "why?"))
GOOD = "good"


def pair(name: str = "p", second: str = "bad") -> Pair:
    return make_pair(
        name, (*WHY[:1], Message("user", f"{name}?")), GOOD, second, Source("m"), Source("n"), "helpful"
    )


def label(of: Pair, principle: str, ab: float, ba: float | None = None) -> Label:
    """A label with these log-odds of a, the same in both orders unless told."""
    ba = ab if ba is None else ba
    p, q, r = (1 / (1 + math.exp(-x)) for x in (ab, ba, (ab + ba) / 2))
    return Label(of.id, principle, "choice", "judge", "c", 0, ab, ba, p, q, r)


def judgment(of: Pair, choice: Any, annotator: str = "ana", **more: Any) -> Judgment:
    return Judgment(of.id, "harmless", annotator, more.pop("kind", "person"), choice, **more)


def toward_good(of: Pair, logit: float) -> float:
    """Log-odds of a that favour the response `good` by `logit`."""
    return logit if side_of(of, GOOD) == "a" else -logit


def test_p_is_the_weighted_mean_over_principles() -> None:
    p = pair()
    labels = [label(p, "harm", 2.0), label(p, "honest", -1.0, 0.0), label(p, "off", 9.0)]
    [item] = judged([p], labels, {"harm": 1.0, "honest": 3.0, "off": 0.0})
    assert item.p == pytest.approx((labels[0].p_a + 3 * labels[1].p_a) / 4)
    assert item.logit == pytest.approx((2.0 + 3 * -0.5) / 4)
    assert set(item.principles) == {"harm", "honest"}
    assert judged([p], labels[2:], {"off": 0.0})[0].p is None
    assert judged([p], labels[:2])[0].p == pytest.approx((labels[0].p_a + labels[1].p_a) / 2)


def test_peoples_last_words_count_and_a_models_never() -> None:
    p = pair()
    said = [
        judgment(p, "b"),
        judgment(p, "a"),
        judgment(p, "tie", "ben"),
        judgment(p, "b", "file", kind="imported"),
        judgment(p, "b", "gpt", kind="model"),
        judgment(p, "b", "eve"),
        judgment(p, "skip", "eve"),
        Judgment(p.id, "helpful", "zoe", "person", "b"),
    ]
    [item] = judged([p], judgments=said)
    assert item.votes == {"ana": 1.0, "ben": 0.5, "file": 0.0}
    assert item.human == 0.5


def test_trl_rows_prefer_what_is_more_likely_better() -> None:
    pairs = [pair(f"p{i}") for i in range(8)]  # of both sides
    assert {side_of(p, GOOD) for p in pairs} == {"a", "b"}
    rows = preferences.trl(judged(pairs, [label(p, "harm", toward_good(p, 1.5)) for p in pairs]))
    assert len(rows) == 8
    for i, row in enumerate(rows):
        assert row["prompt"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"p{i}?"},
        ]
        assert row["chosen"] == [{"role": "assistant", "content": GOOD}]
        assert row["rejected"] == [{"role": "assistant", "content": "bad"}]
        assert row["margin"] == pytest.approx(1.5)
        assert row["p"] == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_ties_have_no_chosen_and_people_no_margin() -> None:
    tied, ai, human = pair("tied"), pair("ai"), pair("human")
    labels = [label(tied, "h", 0.0), label(ai, "h", 2.0), label(human, "h", toward_good(human, -2.0))]
    items = judged([tied, ai, human], labels, judgments=[judgment(human, side_of(human, GOOD))])
    assert [(r["pair_id"], "margin" in r) for r in preferences.trl(items)] == [
        (ai.id, True),
        (human.id, True),
    ]
    assert preferences.trl(items)[1]["chosen"][0]["content"] == "bad"
    [row] = preferences.trl(items, "human")
    assert (row["chosen"][0]["content"], row["p"], row["origin"], "margin" in row) == (
        GOOD,
        1.0,
        "human",
        False,
    )
    both = preferences.trl(items, "both")
    assert [(r["origin"], "margin" in r) for r in both] == [("ai", False), ("human", False)]


def test_datasets_and_trl_take_the_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the datasets package")
    trl = pytest.importorskip("trl.data_utils", reason="needs TRL")
    rows = preferences.trl(
        judged([pair("p"), pair("q")], [label(pair("p"), "h", 1.0), label(pair("q"), "h", -1.0)])
    )
    for name, form in (("p.jsonl", "json"), ("p.parquet", "parquet")):
        export_files.write(rows, tmp_path / name)
        read = datasets.load_dataset(
            form, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert list(read) == rows
        assert trl.is_conversational(read[0])
        assert trl.maybe_extract_prompt(read[0])["prompt"] == rows[0]["prompt"]


def test_icai_annotated_pairs() -> None:
    p, q = pair("p"), pair("q")
    constitution = Constitution("c", (preferences_principle("harm", "Which is less harmful?"),))
    items = judged([p, q], [label(p, "harm", 1.0), label(q, "harm", 0.0)], judgments=[judgment(p, "b")])
    data = preferences.icai(items, constitution, "judge", "mine", "2026-01-01T00:00:00+00:00")
    assert (data["metadata"]["version"], data["metadata"]["dataset_name"]) == ("2.0", "mine")
    by_name = {row["name"]: id for id, row in data["annotators"].items()}
    assert data["metadata"]["default_annotator"] == by_name["ana"]
    assert data["annotators"][by_name["harm"]] == {
        "name": "harm",
        "description": "Which is less harmful?",
        "type": "principle",
    }
    first, second = data["comparisons"]
    assert first["prompt"] == "System: Be brief.\n\nHuman: p?"
    assert first["response_a"] == {"text": p.response_a, "model": p.source_a.name}
    assert first["annotations"] == {
        by_name["ana"]: {"pref": "b"},
        by_name["judge"]: {"pref": "a"},
        by_name["harm"]: {"pref": "a"},
    }
    assert second["annotations"][by_name["harm"]] == {"pref": None, "no_pref_reason": "tie"}


def preferences_principle(id: str, comparison: str) -> Any:
    from pipeline.records import Principle

    return Principle(id, id.title(), comparison=comparison)


def test_a_row_a_pair() -> None:
    p, bare = pair("p"), pair("q")
    [shown] = preferences.flat(
        judged([p], judgments=[judgment(p, "a", blind=False), judgment(p, "a", "ben")])
    )
    assert (shown["blind"], json.loads(shown["source_a"])["name"]) == (False, p.source_a.name)
    one, other = preferences.flat(judged([p, bare], [label(p, "h", 1.0)], judgments=[judgment(p, "tie")]))
    assert (one["ai"], one["human"], one["annotators"], one["principles"]) == ("a", "tie", 1, "h 0.7311")
    assert (other["p_a"], other["ai"], other["human"]) == (None, None, None)
    assert list(one) == list(other)


TEXTS = st.text() | st.sampled_from(
    ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", " =1", "＝1", "'=1"]
)


@given(texts=st.lists(TEXTS, min_size=1))
def test_no_cell_of_a_csv_is_a_formula_and_no_other_is_changed(texts: list[str]) -> None:
    content, changed = export_files.as_csv([{"text": text, "p": -0.5} for text in texts])
    cells = [row[0] for row in csv.reader(io.StringIO(content, newline=""))][1:]
    assert not any(cell.strip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) for cell in cells)
    assert all(cell in (text, f"'{text}") for cell, text in zip(cells, texts, strict=True))
    assert sum(cell != text for cell, text in zip(cells, texts, strict=True)) == changed
    assert content.splitlines()[-1].endswith(",-0.5")  # a number is no formula


def test_each_file_holds_the_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = preferences.flat([Judged(pair(second="=1+1"), p=0.75, logit=1.1)])
    for suffix in export_files.SUFFIXES:
        assert export_files.write(rows, tmp_path / f"r{suffix}") == (suffix == ".csv")
    assert json.loads((tmp_path / "r.jsonl").read_text()) == rows[0]
    assert parquet.read_table(tmp_path / "r.parquet").to_pylist() == rows
    [read] = csv.DictReader((tmp_path / "r.csv").open(newline=""))
    assert "'=1+1" in (read["response_a"], read["response_b"])
    with pytest.raises(UserError, match=r"must end with one of .jsonl, .csv, .parquet"):
        export_files.write(rows, tmp_path / "r.txt")
    with pytest.raises(UserError, match="can't be written"):
        export_files.write(rows, tmp_path / "none" / "r.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "r.jsonl", "r.parquet"]
