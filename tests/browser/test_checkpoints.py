"""The checkpoints page in a real browser: lineage, export, load the exported model, delete."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline import constitution

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

SLOW = 120_000  # ms: an export starts a process that loads torch
SEEDING = Path(__file__).with_name("seeding_checkpoints.py")
NAME = "<img src=x onerror=alert(1)> & <b>SL</b>"
RL = "checkpoints?checkpoint=00000000-0000-7000-9000-000000000105"
SL = "checkpoints?checkpoint=00000000-0000-7000-9000-000000000102"


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A session with a line of checkpoints, of which SL-CAI is a tiny model's adapter."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, SEEDING, home / "sessions" / "test", tiny_model], check=True)
    return home


def goto(page: Page, address: str = "checkpoints") -> None:
    page.goto(f"/{address}")
    expect(page.locator("#checkpoint h2")).to_be_visible()


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
    ids=["light-1280", "light-1920", "dark-1280", "dark-1920"],
)
def test_the_table_and_the_lineage(
    page: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    goto(page, RL)
    rows = page.locator("#checkpoints tbody tr")
    expect(rows).to_have_count(6)  # two PMs, SL, RL and its two snapshots
    expect(page.locator("#checkpoints")).to_contain_text("heldout accuracy 0.6312 [0.5811, 0.6789], n = 402")
    expect(page.locator("#checkpoints")).to_contain_text(NAME)
    graph = page.locator(".cai-lineage svg")
    expect(graph).to_contain_text("PM of bundled × 1,600")
    expect(graph).to_contain_text("harmless")
    assert page.locator(".cai-lineage img, .cai-lineage i").count() == 0
    # All of it is seen without scrolling sideways.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".cai-lineage").evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    shot(f"checkpoints-{request.node.callspec.id}")


def test_each_node_opens_what_it_is(page: Page) -> None:
    goto(page, RL)
    graph = page.locator(".cai-lineage")
    graph.locator("a", has_text="harmless × 64").click()
    expect(page).to_have_url(re.compile(r"/runs\?run=0000.*100$"))
    goto(page, RL)
    graph.locator("a", has_text="PM of bundled").click()
    expect(page.locator("#checkpoint h2")).to_have_text("PM of bundled × 1,600")
    expect(page.locator("#checkpoint")).to_contain_text("brier")
    page.get_by_text("As a table").click()
    expect(page.locator("#checkpoint table").last).to_contain_text("<i>helpful.jsonl")
    version = constitution.load(constitution.shipped()["harmless"]).version
    graph.locator("a", has_text="constitution: harmless").click()
    expect(page).to_have_url(re.compile(r"/constitution\?name=harmless"))
    expect(page.locator(".cai-versions")).to_contain_text(version[:8])


def test_an_adapter_is_downloaded(page: Page, tmp_path: Path) -> None:
    goto(page, SL)
    expect(page.locator("#checkpoint")).to_contain_text("adapter")
    page.get_by_role("button", name="Download as a zip").click()
    button = page.locator("#download")
    expect(button).to_be_visible()
    with page.expect_download() as told:
        button.click()
    told.value.save_as(tmp_path / "got.zip")
    with zipfile.ZipFile(tmp_path / "got.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
        readme = archive.read(
            next(name for name in archive.namelist() if name.endswith("README.md"))
        ).decode()
    assert {"adapter_model.safetensors", "tokenizer.json", "checkpoint.json", "README.md"} <= names
    assert "harmless" in readme


@pytest.mark.timeout(300)
def test_the_whole_model_is_exported_and_plain_transformers_loads_it(
    page: Page, studio_home: Path, shot: Callable[[str], None]
) -> None:
    goto(page, SL)
    expect(page.locator("#command")).to_contain_text("cai export")
    page.get_by_role("button", name="Export the whole model").click()
    state = page.locator("#export-state")
    expect(state).to_contain_text("Writing")
    page.reload()  # another tab sees it too, and nothing is lost
    expect(state).to_contain_text("Exported to", timeout=SLOW)
    shot("checkpoints-exported")
    [folder] = (studio_home / "sessions" / "test" / "exports").iterdir()
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model, told = AutoModelForCausalLM.from_pretrained(sys.argv[1], output_loading_info=True)\n"
        "ids = AutoTokenizer.from_pretrained(sys.argv[1])('Hello', return_tensors='pt')\n"
        "print(any(told.values()), model.generate(**ids, max_new_tokens=2).shape[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]


def test_a_checkpoint_is_deleted_once_it_is_confirmed(page: Page) -> None:
    goto(page, SL.replace("102", "104"))
    rows = page.locator("#checkpoints tbody tr")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(6)
    assert "RL-CAI, β 0.05" in asked[0]  # it went into that one, whose lineage will end here
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(5)
    expect(page.locator("#checkpoint h2")).not_to_have_text("judge × 800")
