"""The command `cai-studio`: one session, in the browser."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from pipeline import bounded
from pipeline.errors import UserError
from pipeline.terminal import hang_up, say_all, shown

if TYPE_CHECKING:
    from studio.auth import Accounts

FIRST_PAGE = 4.0
"""Seconds in which a browser has shown it."""

# Nothing heavy is imported here: `--help` and a mistyped option answer at once.


def parser() -> argparse.ArgumentParser:
    """The options, with their help."""
    options = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="cai-studio",
        description="Constitutional AI by hand and eye, in the browser.",
        epilog="`cai-studio sessions --help`: make, rename, back up, export and import sessions. "
        "`cai-studio doctor`: look at the machine and the sessions.",
    )
    options.add_argument(
        "--session", default="default", metavar="NAME", help="the workspace to open or start"
    )
    options.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; any but this machine's needs --auth"
    )
    options.add_argument(
        "--port", type=_port, help="the port to listen on; by default the first free one from 7860 on"
    )
    options.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="USER[:PASS]",
        help="let this person in, and nobody without an account; repeatable. "
        "Passwords belong in CAI_AUTH (the same form, one a line) or at the prompt",
    )
    options.add_argument(
        "--root-path",
        default="",
        metavar="PATH",
        help="where a proxy publishes the studio: a path, or the full address",
    )
    options.add_argument("--no-browser", action="store_true", help="only print the address")
    options.add_argument("--window", action="store_true", help="open in a window of its own")
    return options


def _port(text: str) -> int:
    if (port := bounded.number(text, 65535)) is None:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def main(argv: Sequence[str] | None = None) -> int:
    """Run the studio; returns the exit status."""
    say_all()
    words = sys.argv[1:] if argv is None else list(argv)
    options = None if words[:1] in (["sessions"], ["doctor"]) else parser().parse_args(words)
    # One SIGTERM must close the store as a Ctrl-C does, also before the server stands.
    signal.signal(signal.SIGTERM, _leave)
    try:
        return run(options) if options else _command(words)
    except UserError as error:
        _say(f"cai-studio: {error}")
        return 2
    except KeyboardInterrupt:
        return 0


def _command(words: list[str]) -> int:
    """`doctor` or `sessions`: what needs no browser."""
    try:
        if words[0] == "doctor":
            from studio.doctor_command import run as look

            status = look(words[1:])
        else:
            from studio.sessions_command import run as keep_sessions

            status = keep_sessions(words[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        return hang_up()
    return status


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _say(text: str) -> None:
    sys.stderr.write(shown(text) + "\n")
    sys.stderr.flush()


def _ask(name: str) -> str:
    if not sys.stdin.isatty():
        raise UserError(f"{name} has no password; give it in CAI_AUTH as {name}:PASS")
    return getpass.getpass(f"Password for {name}: ")


def run(options: argparse.Namespace) -> int:
    """Check what was asked, then open the store, build the app and serve it."""
    from studio.auth import read_accounts
    from studio.guard import is_loopback
    from studio.serving import DEFAULT_PORT, bind

    _keep_quiet()
    for name in [text.partition(":")[0] for text in options.auth if text.partition(":")[2]]:
        _say(f"cai-studio: {name}'s password is in the list of processes for others to read; prefer CAI_AUTH")
    # Taken out of the environment: the workers this process starts have no use for passwords.
    accounts = read_accounts(options.auth, os.environ.pop("CAI_AUTH", ""), _ask)
    if accounts is None and not is_loopback(options.host):
        raise UserError(
            f"--host {options.host} lets others on the network in: name who may enter with --auth USER"
        )
    with contextlib.ExitStack() as closers:
        sock = bind(options.host, options.port)
        closers.callback(sock.close)
        if options.port is None and sock.getsockname()[1] != DEFAULT_PORT:
            _say(f"cai-studio: port {DEFAULT_PORT} is in use; using {sock.getsockname()[1]}")
        _serve(options, accounts, sock, closers)
    return 0


def _serve(
    options: argparse.Namespace,
    accounts: Accounts | None,
    sock: socket.socket,
    closers: contextlib.ExitStack,
) -> None:
    import asyncio
    import gc
    import threading

    gc.disable()  # until the first page has been shown
    closers.callback(gc.enable)
    from studio import example
    from studio.context import Studio, moved
    from studio.store.sessions import home, session_folder

    folder = session_folder(home(), options.session)
    if options.session == example.NAME and not example.own(folder):
        example.unpack(home())
    studio: Studio | None = Studio.open(folder, options.session)
    closers.callback(lambda: studio.close() if studio else None)
    # What people upload stays theirs, and goes with the process; Gradio's default is a shared folder.
    uploads = closers.enter_context(tempfile.TemporaryDirectory(prefix="cai-studio-"))
    os.environ["GRADIO_TEMP_DIR"] = uploads

    from studio.serving import open_browser, serve
    from studio.startup import settle, without_matplotlib, without_stub_writing

    without_matplotlib()
    with without_stub_writing():
        from studio.app import build

    url = _address(options.host, sock.getsockname()[1], options.root_path)

    def ready(studio: Studio) -> None:
        sys.stdout.write(f"CAI Studio · session {studio.session} · {url}\n")
        sys.stdout.flush()
        later = threading.Thread(target=settle, name="settle", daemon=True)
        asyncio.get_running_loop().call_later(FIRST_PAGE, later.start)
        if not options.no_browser and studio.mover.serial == 0:
            open_browser(url, options.window, note=lambda text: _say(f"cai-studio: {text}"))

    while studio is not None:
        app = build(studio, accounts, options.host, options.root_path)
        serve(app, sock, partial(ready, studio), studio.mover.leave)
        studio.close()
        studio = moved(studio)


def _keep_quiet() -> None:
    """No telemetry, from anything this process imports."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"


def _address(host: str, port: int, root_path: str) -> str:
    """The address to type into a browser on this machine."""
    if "://" in root_path:
        return root_path
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


if __name__ == "__main__":
    sys.exit(main())
