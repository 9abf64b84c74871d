"""Controls come from the config dataclass, and go back into it."""

from __future__ import annotations

from dataclasses import asdict, fields

import gradio as gr
import pytest

from pipeline.configs import Drawing, as_arguments
from pipeline.errors import UserError
from studio import forms


def test_every_field_has_a_control_with_its_help_and_default() -> None:
    with gr.Blocks():
        made = forms.controls(Drawing, [f.name for f in fields(Drawing)], {"model": ["bundled"]})
    assert {name: control.info for name, control in made.items()} == {
        f.name: f.metadata["help"] for f in fields(Drawing)
    }
    assert forms.read(Drawing, {name: control.value for name, control in made.items()}) == Drawing()


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
