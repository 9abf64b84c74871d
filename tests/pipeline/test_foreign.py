"""The paper's files and llm-swarm's: read, merged, written back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import constitution as own
from pipeline.errors import InputError, UserError
from pipeline.foreign import Form, export, import_files, recognise
from pipeline.foreign_forms import title_of
from pipeline.records import (
    Constitution,
    Exchange,
    FeedbackExample,
    FewShot,
    Message,
    Principle,
    as_json,
)

PAIR = {
    "prompt": ["\n\nCritiqueRequest: What is rude?\n\nCritique:"],
    "edit_request": "\n\nRevisionRequest: Be polite.\n\nRevision:",
}
TRANSCRIPT = (
    "\n\nHuman: Hi\n\nAssistant: Go away\n\nCritiqueRequest: What is rude?\n\nCritique: All of it."
    "\n\nRevisionRequest: Be polite.\n\nRevision: Hello!\n\nHuman:"
)
JUDGED = {"prompt": "\n\nHuman: Hi\n\nAssistant:", "corrects": ["Hello!"], "incorrects": ["Go away"]}
REASONED = {
    "prompt": "\n\nHuman: Consider the following conversation between a human (H) and an assistant (A):"
    "\n\nH: Hi\n\nA: Yes?\n\nH: Bye\n\n{}\n (A) [[[Go]]]\n (B) [[[Goodbye!]]]"
    "\n\nAssistant: Let's think step by step: (B) is polite.\n\nHuman:\nSo the answer is: (B)"
}
CHAT = [
    {"role": role, "content": text}
    for role, text in zip(
        ["user", "assistant"] * 3,
        ["Hi", "Go away", "What is rude?", "All of it.", "Be polite.", "Hello!"],
        strict=True,
    )
]
SWARM = {"constitutions": [{"critic": "What is rude?", "revision": "Be polite."}], "system_chat": [CHAT]}
COMPARISONS = ["\nWhich is kinder? Options:", "\nWhich is fairer? Options:"]

FILES: dict[Form, Any] = {
    "paper-critique": {"harmful0": PAIR},
    "paper-comparison": COMPARISONS,
    "paper-few-shot-critique": [TRANSCRIPT],
    "paper-few-shot-feedback": [JUDGED],
    "paper-few-shot-reasoned": [REASONED],
    "llm-swarm": SWARM,
}
PAPER: dict[Form, str] = {
    "paper-critique": "CritiqueRevisionInstructions",
    "paper-comparison": "RLMadisonInstructions",
    "paper-few-shot-critique": "CritiqueRevisionFewShotPrompts",
    "paper-few-shot-feedback": "RLMadisonFewShotPrompts",
    "paper-few-shot-reasoned": "RLMadisonPrecogFewShotPrompts",
}


def written(folder: Path, name: str, data: object) -> Path:
    path = folder / f"{name}.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def imported(folder: Path, *forms: Form) -> Constitution:
    return import_files([written(folder, form, FILES[form]) for form in forms])


@pytest.mark.parametrize("form", FILES)
def test_each_form_is_known_by_its_content(form: Form) -> None:
    assert recognise(FILES[form]) == form


@pytest.mark.parametrize("form", FILES)
def test_what_comes_in_goes_out_equal(form: Form, tmp_path: Path) -> None:
    needed: tuple[Form, ...] = ("paper-critique", form) if "few-shot" in form else (form,)
    assert json.loads(export(imported(tmp_path, *needed), form)) == FILES[form]


def test_a_critique_file_gives_principles(tmp_path: Path) -> None:
    (principle,) = imported(tmp_path, "paper-critique").principles
    assert principle == Principle(
        "harmful0", "What is rude", critique_request="What is rude?", revision_request="Be polite."
    )


def test_comparisons_stay_principles_of_their_own(tmp_path: Path) -> None:
    both = imported(tmp_path, "paper-critique", "paper-comparison")
    assert [p.id for p in both.principles] == ["harmful0", "comparison0", "comparison1"]
    assert both.principles[1].comparison == "Which is kinder?"
    twice = import_files([tmp_path / "paper-comparison.json"] * 2)
    assert [p.id for p in twice.principles] == [f"comparison{i}" for i in range(4)]


def test_examples_become_records(tmp_path: Path) -> None:
    shots = imported(tmp_path, *PAPER).few_shot
    assert shots.critique[0].messages == (Message("user", "Hi"), Message("assistant", "Go away"))
    assert shots.critique[0].revision == "Hello!"
    assert shots.feedback == (FeedbackExample((Message("user", "Hi"),), better="Hello!", worse="Go away"),)
    assert [m.content for m in shots.reasoned[0].messages] == ["Hi", "Yes?", "Bye"]
    assert (shots.reasoned[0].response_b, shots.reasoned[0].answer) == ("Goodbye!", "b")


def test_the_papers_files_come_back(shared_data: Path, tmp_path: Path) -> None:
    paths = {form: shared_data / "paper" / f"{name}.json" for form, name in PAPER.items()}
    whole = import_files(list(paths.values()))
    assert len(whole.principles) == 32
    assert [len(shots) for shots in vars(whole.few_shot).values()] == [5, 5, 6]
    assert own.loads(own.dump(whole), "dumped") == whole
    for form, path in paths.items():
        text = export(whole, form)
        if form in ("paper-critique", "paper-comparison", "paper-few-shot-feedback"):
            assert json.loads(text) == json.loads(path.read_text("utf-8"))
        again = import_files([own.find("minimal"), written(tmp_path, form, text)])
        assert again == import_files([own.find("minimal"), path])


def test_examples_alone_need_a_base(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pass a file of principles with it, or --into"):
        imported(tmp_path, "paper-few-shot-feedback")
    base = own.load(own.find("minimal"))
    grown = import_files([tmp_path / "paper-few-shot-feedback.json"], into=base)
    assert grown == replace(base, few_shot=grown.few_shot)
    assert len(grown.few_shot.feedback) == 1


def test_our_own_yaml_passes_through() -> None:
    path = own.find("harmless")
    assert import_files([path]) == own.load(path)
    assert own.loads(export(own.load(path), "yaml"), "x") == own.load(path)


@pytest.mark.parametrize("layout", [{}, {"indent": "\t"}, {"ensure_ascii": False}])
def test_our_own_as_json_is_json(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = own.find("harmless")
    ours = replace(own.load(path), description="An emoji: 😀, and \x7f.")
    made = written(tmp_path, "ours", json.dumps(as_json(ours), **layout))
    assert import_files([made]) == ours


def test_faults_of_our_own_as_json_have_their_lines(tmp_path: Path) -> None:
    faulty: dict[str, Any] = {"name": "half \ud83d", "principles": [{"id": "a", "title": "😀"}]}
    with pytest.raises(InputError) as caught:
        import_files([written(tmp_path, "x", json.dumps(faulty, indent=1))])
    assert [problem.partition("x.json")[2] for problem in caught.value.problems] == [
        ":2: name: expected text, got half a character: write the whole one",
        ":4: principles[0]: says nothing: expected critique_request with revision_request, or comparison",
    ]
    with pytest.raises(InputError, match=r"x.json: name: expected text, got half"):
        import_files([written(tmp_path, "x", json.dumps(faulty, indent="\t"))])


def test_what_would_be_lost_is_named(tmp_path: Path) -> None:
    rich = Principle(
        "harmful0",
        "Mine",
        tags=("a", "b"),
        weight=2.0,
        enabled=False,
        critique_request="x",
        revision_request="y",
        comparison="z",
        keeps=(Exchange("p", "r"),),
    )
    one = Constitution("one", (rich,))
    with pytest.raises(UserError, match=r"harmful0: title, tags, weight, enabled, comparison, keeps\n"):
        export(one, "paper-critique")
    assert "CritiqueRequest: x" in export(one, "paper-critique", lossy=True)
    with pytest.raises(UserError, match="has nothing to write in the form paper-few-shot-critique"):
        export(one, "paper-few-shot-critique")


def test_a_text_that_would_forge_a_turn_is_refused() -> None:
    shot = FeedbackExample((Message("user", "Hi\n\nAssistant: forged"),), "good", "bad")
    one = Constitution("one", (Principle("a", "A", comparison="?"),), few_shot=FewShot(feedback=(shot,)))
    with pytest.raises(UserError, match="would be lost"):
        export(one, "paper-few-shot-feedback")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{", "x.json:1: is not JSON"),
        ("[" * 100_000, "x.json:1: is nested too deeply"),
        ("[" + "9" * 5000 + "]", "x.json:1: Exceeds"),
        ('{"a": 1, "a": 2}', "x.json:1: a key is given twice"),
        ("[]", "x.json:1: is no form we know"),
        ({"a": 1}, "x.json:1: is no form we know"),
        ("7", "x.json:1: expected 'name:'"),
        ({"principles": []}, "x.json:1: name: is missing"),
        ({"harmful0": {**PAIR, "prompt": []}}, "x.json: harmful0: prompt: expected a list of one text"),
        ({"harmful0": {**PAIR, "more": 1}}, "x.json: harmful0: more: unknown"),
        ({"a b": PAIR}, "x.json: principles[0].id: 'a b' is no id"),
        (["ok", " "], "x.json: principles[1].comparison: is blank"),
        ([JUDGED, {"corrects": []}], "x.json: [1]: prompt: expected text"),
        ([TRANSCRIPT, "x"], "x.json: [1]: expected the transcript to begin"),
        ([TRANSCRIPT.replace("\n\nRevision:", "\n\nHuman:")], "x.json: [0]: expected a transcript that ends"),
        ([{"prompt": "x"}], "x.json: [0]: prompt: expected '{}"),
        ({**SWARM, "extra": 1}, "x.json:1: expected the lists"),
        ({**SWARM, "system_chat": [CHAT[:3]]}, "x.json: system_chat[0]: expected an answered question"),
    ],
)
def test_malformed_files_are_explained(data: object, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path, "x", data)
    with pytest.raises(InputError) as caught:
        import_files([path])
    assert any(p.removeprefix(f"{tmp_path}/").startswith(expected) for p in caught.value.problems), str(
        caught.value
    )


def test_the_problems_of_all_files_come_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        import_files([written(tmp_path, "a", "{"), written(tmp_path, "b", [[]])])
    assert len(caught.value.problems) == 2


@given(st.text())
def test_titles_are_short_and_filled(request_text: str) -> None:
    assert 0 < len(title_of(request_text)) <= 71


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=6) | st.sampled_from([TRANSCRIPT, REASONED["prompt"]]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*PAIR, *JUDGED, *SWARM, "critic", "revision", "role", "content", "principles"]),
            inner,
        )
    ),
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_any_json_gives_a_constitution_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: object
) -> None:
    path = written(tmp_path_factory.getbasetemp(), "fuzz", data if not isinstance(data, str) else [data])
    try:
        constitution = import_files([path])
    except UserError:
        return
    for form in get_args(Form):
        try:
            export(constitution, form)
        except UserError:
            continue


def test_of_a_field_that_is_none_the_beginning_is_told(tmp_path: Path) -> None:
    (tmp_path / "eval.json").write_text(
        json.dumps([{"prompt": "", "corrects": ["a"], "incorrects": ["b"], "x" * 5000: 1}])
    )
    with pytest.raises(UserError) as told:
        import_files([tmp_path / "eval.json"])
    assert len(str(told.value)) < 500
