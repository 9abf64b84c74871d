"""Every page over a session of hostile text, without a browser: no text becomes markup or turns its line.

`tests/browser/test_hostile.py` looks at the same pages in Chromium. This one reads all that the app would
send: it plays the frontend, which runs a page's load events, then what follows of each change.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import BlockFunction, Blocks
from gradio.helpers import special_args
from starlette.requests import Request

from studio import app
from studio.components import tournament_card
from studio.context import Studio
from studio.escaping import isolated

SEEDING = Path(__file__).parents[1] / "browser" / "seeding_hostile.py"
QUERIES = {
    "chains": "chain=00000000-0000-7000-8000-000000000001",
    "runs": "run=00000000-0000-7000-9000-000000000001",
    "training": "run=00000000-0000-7000-9000-000000000105",
    "checkpoints": "checkpoint=00000000-0000-7000-9000-000000000105",
    "chat": "conversation=00000000-0000-7000-a000-000000000001",
    "constitution": "name=harmless",
}
# What no page of ours has, and payloads bring.
FOREIGN = {"img", "script", "style", "iframe", "object", "embed", "link", "meta", "base", "video", "math"}
LINK = re.compile(r"(?!javascript:|data:|//|http://beacon)", re.IGNORECASE)
# A name of the seeding; its texts turn around too, but they fill a block.
TURNED = re.compile("(?<!\u2068)\u202e(?=[<\"'\u2069\u202c]|&[lq#])")


class Reader(HTMLParser):
    """Notes what a page must not hold."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside.append(tag)
        if tag in FOREIGN:
            self.faults.append(f"<{tag}>: {attributes}")
        for name, value in attributes:
            if name.startswith("on") or (name in ("href", "src", "action") and not LINK.match(value or "")):
                self.faults.append(f"<{tag} {name}={value}>")
            if name in ("title", "aria-label") and TURNED.search(value or ""):
                self.faults.append(f"turns its line: <{tag} {name}={value!a}>")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside[-1:] != ["textarea"] and TURNED.search(data):
            self.faults.append(f"turns its line: {data!a} in {self.inside[-3:]}")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio whose session holds nothing but hostile text."""
    folder = tmp_path_factory.mktemp("home") / "test"
    subprocess.run([sys.executable, SEEDING, folder], check=True)
    studio = Studio.open(folder, "test")
    yield studio
    studio.close()


def first_value(component: Any) -> Any:
    """A control's value before anything happens, as its events get it."""
    value = getattr(component, "value", None)
    return "" if value is None and isinstance(component, gr.Textbox) else value


class Frontend:
    """Runs a page's events as the browser would, as far as they follow of its load."""

    def __init__(self, blocks: Blocks, page: str) -> None:
        self.blocks, self.page = blocks, page
        self.values = {id: first_value(one) for id, one in blocks.blocks.items()}
        self.faults: list[str] = []
        scope = {"type": "http", "headers": [], "query_string": QUERIES.get(page, "").encode()}
        self.request = gr.Request(request=Request(scope), username="\u202e<b>ana</b>")

    def look(self) -> list[str]:
        """What the page must not send."""
        todo = [fn for fn in self.functions() if self.follows(fn, "load", None)]
        for _ in range(60):
            if not todo:
                break
            changed = self.run(todo.pop(0))
            todo += [fn for fn in self.functions() if any(self.follows(fn, "change", id) for id in changed)]
            todo = list({id(fn): fn for fn in todo}.values())
        for fn in self.functions():
            if self.follows(fn, "tick", None):
                self.run(fn)
        return self.faults

    def functions(self) -> list[BlockFunction]:
        return [fn for fn in self.blocks.fns.values() if fn.fn and fn.page == self.page]

    @staticmethod
    def follows(fn: BlockFunction, event: str, of: int | None) -> bool:
        return any(name == event and of in (None, id) for id, name in fn.targets)

    def run(self, fn: BlockFunction) -> list[int]:
        """Run one; returns the components that it changed."""
        made = fn.fn(*self.arguments(fn))
        if inspect.isgenerator(made):
            made = next(made, None)
        results = list(made) if len(fn.outputs) > 1 and isinstance(made, (list, tuple)) else [made]
        changed = []
        for component, result in zip(fn.outputs, results, strict=False):
            self.keep(component, f"{self.page or 'overview'}: {fn.name} → {component.elem_id}", result)
            if isinstance(result, dict) and result.get("__type__") == "update":
                if "value" not in result:
                    continue
                result = result["value"]
            if result != self.values[component._id]:
                self.values[component._id] = result
                changed.append(component._id)
        return changed

    def arguments(self, fn: BlockFunction) -> list[Any]:
        given = [self.values[one._id] for one in fn.inputs]
        return list(special_args(fn.fn, inputs=given, request=self.request)[0])

    def keep(self, component: Any, where: str, made: Any) -> None:
        """What a person is shown of a result; the values of controls are not."""
        update = isinstance(made, dict) and made.get("__type__") == "update"
        for choice in (made.get("choices") or []) if update else []:
            label, value = choice if isinstance(choice, (list, tuple)) else (choice, choice)
            # A label that is only a name fills its line.
            if TURNED.search(label, 1 if label == value else 0):
                self.faults.append(f"{where}: turns its line: {label!a}")
        value = made.get("value") if update else made
        if isinstance(component, gr.HTML) and isinstance(value, str):
            reader = Reader()
            reader.feed(value)
            self.faults += [f"{where}: {fault[:300]}" for fault in reader.faults]
        elif hasattr(value, "to_json"):
            self.faults += [f"{where}: {fault}" for fault in plot_faults(value.to_dict())]


def plot_faults(made: Any, under: str = "") -> Iterator[str]:
    """Plotly takes any text that it shows for a few tags of HTML, links among them."""
    if isinstance(made, dict):
        for key, value in made.items():
            if key not in ("customdata", "legendgroup", "meta", "uid"):
                yield from plot_faults(value, key)
    elif isinstance(made, (list, tuple)):
        for value in made:
            yield from plot_faults(value, under)
    elif isinstance(made, str):
        if re.search(r"<(?!/?(b|br|extra)>)", made):
            yield f"plot's {under} has markup: {made!a}"
        if TURNED.search(made):
            yield f"plot's {under} turns its line: {made!a}"


def test_no_text_becomes_markup_or_turns_its_line(studio: Studio) -> None:
    blocks = app._blocks(studio, logout=True)
    faults = [fault for page in app.PAGES for fault in Frontend(blocks, page.path).look()]
    assert not faults, f"{len(faults)}\n" + "\n".join(dict.fromkeys(faults))


def test_a_model_whose_name_is_isolated_is_found_by_what_is_typed_of_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [("bundled", "bundled"), (f"{isolated('שלום')} · RL (RLOO)", "/runs/1")]
    monkeypatch.setattr(tournament_card, "speakers", lambda _: known)
    assert tournament_card._model(studio, "שלום") == "/runs/1"
