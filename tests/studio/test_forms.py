"""Controls come from the config dataclass, and go back into it."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import gradio as gr
import pytest

from pipeline.configs import Answering, Drawing, Labelling, as_arguments
from pipeline.errors import UserError
from studio import forms


@pytest.mark.parametrize("kind", [Drawing, Answering, Labelling])
def test_every_field_has_a_control_with_its_help_and_default(kind: Any) -> None:
    with gr.Blocks():
        made = forms.controls(kind, [f.name for f in fields(kind)], {"model": ["bundled"]}, "of")
    assert {name: control.info for name, control in made.items()} == {
        f.name: f.metadata["help"] for f in fields(kind)
    }
    assert forms.read(kind, {name: control.value for name, control in made.items()}) == kind()
    assert made["model"].elem_id == "of-model"


def test_a_choice_is_one_of_its_words() -> None:
    with gr.Blocks():
        made = forms.controls(Labelling, ["method"], {})
    assert [value for _, value in made["method"].choices] == ["", "choice", "cot", "contrast", "pointwise"]
    with pytest.raises(UserError, match="method: 'dice' is none of choice, cot, contrast, pointwise"):
        forms.read(Labelling, {"method": "dice"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("revisions", 99),
        ("revisions", 2.7),
        ("max_tokens", float("inf")),
        ("temperature", -1.0),
        ("seed", None),
        ("top_p", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_in_words(name: str, value: object) -> None:
    with pytest.raises(UserError, match=name.replace("_", " ")):
        forms.read(Drawing, {**asdict(Drawing()), name: value})


def test_the_equal_command_says_only_what_differs() -> None:
    assert as_arguments(Drawing(revisions=3, form="plain")) == ["--revisions", "3", "--form", "plain"]
