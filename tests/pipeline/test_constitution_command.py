"""`cai constitution`: what each subcommand prints, writes and refuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from pipeline import constitution as own
from pipeline.constitution_command import register
from pipeline.errors import InputError, UserError


def cai(*args: object) -> int:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    parsed = parser.parse_args(["constitution", *map(str, args)])
    status: int = parsed.run_command(parsed)
    return status


@pytest.fixture
def comparisons(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text('["\\nWhich is kinder? Options:"]')
    return path


def test_check_sums_a_constitution_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert cai("check", "minimal") == 0
    version = own.load(own.find("minimal")).version
    assert capsys.readouterr().out == (
        f"minimal  {version}  1 principle (1 enabled; 1 for critique, 1 for feedback)\n"
    )


def test_a_name_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(own.find("minimal").read_text("utf-8").replace("name: minimal", r'name: "a\e[2J\nb"'))
    assert cai("check", path) == 0
    assert capsys.readouterr().out.startswith("a\ufffd[2J b  ")
    assert cai("import", path, "-o", tmp_path / "out.yaml") == 0
    assert f"{tmp_path}/out.yaml: a\ufffd[2J b  " in capsys.readouterr().out


def test_check_raises_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("nam: x\nprinciples:\n  - id: a\n")
    with pytest.raises(InputError) as caught:
        cai("check", path)
    assert len(caught.value.problems) == 4


def test_list_names_the_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    cai("list")
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["harmless", "helpful-honest-harmless", "minimal"]


def test_diff_shows_the_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "changed.yaml"
    path.write_text(
        own.find("minimal").read_text("utf-8").replace("One principle", "Two principles"), "utf-8"
    )
    assert cai("diff", "minimal", path) == 0
    assert "description: [-One-]{+Two+} [-principle,-]{+principles,+} to try" in capsys.readouterr().out


def test_import_writes_yaml(comparisons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.yaml"
    assert cai("import", comparisons, "-o", out) == 0
    assert own.load(out).principles[0].comparison == "Which is kinder?"
    assert "mine" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.json", "out.yaml"]


def test_import_into_a_base_adds(comparisons: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    cai("import", comparisons, "--into", "minimal", "-o", out)
    assert [p.id for p in own.load(out).principles] == ["harmless", "comparison0"]


def test_nothing_is_overwritten_unasked(comparisons: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    out.write_text("precious")
    with pytest.raises(UserError, match="--force replaces it"):
        cai("import", comparisons, "-o", out)
    assert out.read_text() == "precious"
    cai("import", comparisons, "-o", out, "--force")
    assert own.load(out).name == "mine"


def test_a_dash_is_no_file(comparisons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("import", comparisons), ("export", "minimal", "--form", "paper-comparison", "--lossy")):
        with pytest.raises(UserError, match="name a file"):
            cai(*words, "-o", "-", "--force")
    assert not (tmp_path / "-").exists()


def test_export_prints_or_writes(
    comparisons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cai("import", comparisons, "-o", tmp_path / "c.yaml")
    capsys.readouterr()
    cai("export", tmp_path / "c.yaml", "--form", "paper-comparison")
    assert json.loads(capsys.readouterr().out) == json.loads(comparisons.read_text())
    cai("export", tmp_path / "c.yaml", "--form", "paper-comparison", "-o", tmp_path / "back.json")
    assert json.loads((tmp_path / "back.json").read_text()) == json.loads(comparisons.read_text())


def test_export_refuses_to_lose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        UserError, match=r"harmless: id, title, tags, comparison, keeps, breaks\npass --lossy"
    ):
        cai("export", "minimal", "--form", "llm-swarm")
    cai("export", "minimal", "--form", "llm-swarm", "--lossy")
    assert len(json.loads(capsys.readouterr().out)["constitutions"]) == 1


def test_a_folder_that_is_not_there_is_explained(comparisons: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be written: No such file"):
        cai("import", comparisons, "-o", tmp_path / "none" / "out.yaml")
