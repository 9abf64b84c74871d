"""The command `cai`: quick to help, plain about mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.__main__ import main


def cai(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_help_is_quick_and_loads_no_model_library() -> None:
    code = (
        "import sys; from pipeline.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'duckdb', 'gradio'}\n"
        "print(heavy & set(sys.modules))"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "critique" in done.stdout
    assert time.monotonic() - began < 3  # a second on an idle machine


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: STAGE"),
        (["bake"], "invalid choice: 'bake'"),
        (["critique"], "the following arguments are required: --constitution, --prompts, --run"),
        (["--revisions", "17"], "revisions: 17 is not between 0 and 16"),
        (["--revisions", "two"], "argument --revisions: invalid int value: 'two'"),
        (["--temperature", "nan"], "temperature: nan is not between 0 and 2"),
        (["--top-p", "0"], "top p: 0.0 is not between 0.01 and 1"),
        (["--seed", "-1"], "seed: -1 is not between"),
        (["--form", "prose"], "argument --form: invalid choice: 'prose'"),
        (["--model", "/nowhere"], "/nowhere: no such folder"),
        (["--critic", "/nowhere", "--model", "{model}"], "/nowhere: no such folder"),
        (["--constitution", "nothing"], "nothing: is neither a file nor a shipped constitution"),
        (["--prompts", "/nowhere.jsonl"], "/nowhere.jsonl: can't be read"),
    ],
)
def test_a_mistake_is_one_line_and_makes_no_folder(
    tmp_path: Path, tiny_model: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "p.txt").write_text("why?\n")
    whole = [
        "critique",
        "--constitution",
        "minimal",
        "--prompts",
        tmp_path / "p.txt",
        "--run",
        tmp_path / "run",
    ]
    if arguments and arguments[0].startswith("--"):
        arguments = [*whole, *(str(tiny_model) if a == "{model}" else a for a in arguments)]
    done = cai(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_option_has_its_whole_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["constitution", "export", "minimal", "--form", "yaml", "--loss"])
    assert "unrecognized arguments: --loss" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "constitution", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 1
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_models_show(tiny_model: Path) -> None:
    done = cai("models", "show", tiny_model)
    assert done.returncode == 0
    assert f"folder    {tiny_model}" in done.stdout


def test_no_file_speaks_to_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"id": "1", "messages": [{"role": "user", "content": "x", "\\u001b[2J\\u202e": 1}]}\n')
    done = cai("prompts", "import", file, "-o", tmp_path / "out.jsonl")
    assert done.returncode == 2
    assert "\ufffd[2J\ufffd: " in done.stderr
    assert not {"\x1b", "\u202e"} & set(done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="file names there are bytes")
def test_a_name_that_is_not_utf8_is_no_reason_to_fail(tmp_path: Path) -> None:
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    done = cai("prompts", "import", "red-team:train:2", "-o", out)
    assert (done.returncode, out.exists()) == (0, True)


def test_half_a_character_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["elo", "\ud800.jsonl"]) == 2
    assert capsys.readouterr().err == "cai: '\\ud800.jsonl': holds half a character: type it again\n"
