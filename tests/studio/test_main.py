"""The command `cai-studio`: options, ports, refusals, and a clean end."""

from __future__ import annotations

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from studio import serving
from studio.__main__ import main
from studio.startup import signatures_read_once

RUN = [sys.executable, "-m", "studio", "--no-browser"]


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, and no accounts from outside."""
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    monkeypatch.delenv("CAI_AUTH", raising=False)
    return tmp_path


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    ["['--help']", "['--port', 'x']", "['--port', '99999']", "['--port', '9' * 5000]", "['--what']"],
)
def test_help_and_mistakes_answer_before_anything_heavy_is_imported(arguments: str) -> None:
    done = python(
        "import sys; from studio.__main__ import main\n"
        f"try: main({arguments})\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'gradio', 'fastapi', 'duckdb', 'torch', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    assert done.returncode == (0 if "help" in arguments else 2), done.stderr
    assert "usage: cai-studio" in done.stdout + done.stderr


def test_no_reader_and_an_old_terminal_end_a_command_without_a_traceback(alone: Path) -> None:
    listing = [sys.executable, "-m", "studio", "sessions", "list"]
    gone, pipe = os.pipe()
    os.close(gone)
    done = subprocess.run(listing, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (1, "")
    strange = {**os.environ, "CAI_HOME": str(alone / "∞"), "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(listing, capture_output=True, text=True, env=strange, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u221e" in done.stdout


def test_the_studio_imports_no_torch() -> None:
    done = python(
        "import sys, studio.app, studio.serving\n"
        "sys.exit(str({'torch', 'transformers', 'peft'} & set(sys.modules) or ''))"
    )
    assert done.stderr.strip() == ""


def test_gradio_writes_nothing_into_site_packages_when_the_studio_imports_it() -> None:
    done = python(
        "import inspect, pathlib\n"
        "from studio.startup import without_stub_writing\n"
        "written = []\n"
        "pathlib.Path.write_text = lambda path, *rest, **named: written.append(path)\n"
        "before = inspect.getfile\n"
        "with without_stub_writing():\n"
        "    import gradio\n"
        "assert inspect.getfile is before\n"
        "assert gradio.Textbox and not written, written\n"
    )
    assert done.returncode == 0, done.stderr


def test_while_the_pages_are_built_a_signature_is_read_once_and_afterwards_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[object] = []
    monkeypatch.setattr(inspect, "signature", read.append)
    for _ in range(2):
        with signatures_read_once():
            for of in (python, python, []):  # a list can't be a key
                inspect.signature(of)
    inspect.signature(python)
    assert [of for of in read if of is python] == [python] * 3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_others_are_not_let_in_without_accounts(
    alone: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    assert main(["--host", host, "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("cai-studio: ")
    assert "--auth" in said


def test_a_busy_port_that_was_asked_for_is_refused(
    alone: Path, capsys: pytest.CaptureFixture[str], busy: int
) -> None:
    assert main(["--port", str(busy), "--no-browser"]) == 2
    assert f"port {busy} is in use" in capsys.readouterr().err


def test_from_a_busy_default_port_it_goes_on_to_the_next(monkeypatch: pytest.MonkeyPatch, busy: int) -> None:
    monkeypatch.setattr(serving, "DEFAULT_PORT", busy)
    with serving.bind("127.0.0.1", None) as sock:
        assert busy < sock.getsockname()[1] <= busy + serving.TRIES


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match="no address of this machine"):
        serving.bind("192.0.2.1", 0)


def test_a_session_name_that_leads_elsewhere_is_refused(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--session", "../x", "--port", "0", "--no-browser"]) == 2
    assert "can't be the name of a session" in capsys.readouterr().err


def test_a_password_on_the_command_line_is_warned_about(
    alone: Path, capsys: pytest.CaptureFixture[str], busy: int
) -> None:
    assert main(["--auth", "ana:secret", "--port", str(busy)]) == 2
    said = capsys.readouterr().err
    assert "CAI_AUTH" in said
    assert "secret" not in said


def test_without_a_terminal_a_missing_password_is_an_error(
    alone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["--auth", "ana"]) == 2
    assert "ana has no password" in capsys.readouterr().err


def test_no_browser_where_there_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    serving.open_browser("http://127.0.0.1", window=False, note=opened.append)
    assert not opened


def test_without_chromium_a_window_becomes_a_tab_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(serving, "has_display", lambda: True)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    serving.open_browser("http://127.0.0.1", window=True, note=said.append)
    assert "--window" in said[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_cleanly_with_a_tab_open(alone: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "CAI_HOME": str(alone)}
    with subprocess.Popen(
        [*RUN, "--session", "s1", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as studio:
        assert studio.stdout is not None
        said = studio.stdout.readline()
        found = re.fullmatch(r"CAI Studio · session s1 · (http://127\.0\.0\.1:\d+)\n", said)
        assert found, said
        # What a tab keeps open for as long as it lives must not keep the studio.
        with urllib.request.urlopen(f"{found[1]}/gradio_api/heartbeat/x", timeout=20) as stream:  # noqa: S310
            assert stream.readline() == b"data: ALIVE\n"
            studio.send_signal(number)
            assert studio.wait(timeout=20) == 0
        assert studio.stderr is not None
        assert studio.stderr.read() == ""
