"""The way from a built app to a window: the port, the server, the browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

DEFAULT_PORT = 7860
TRIES = 10
APP_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket on the given port; with None, on the first free one from 7860 on.

    The socket itself is handed to the server, so nobody can take the port in between.
    """
    if port is not None:
        return _listen(host, port)
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + TRIES + 1):
        with contextlib.suppress(PortBusyError):
            return _listen(host, candidate)
    raise UserError(f"ports {DEFAULT_PORT} to {DEFAULT_PORT + TRIES} are all in use; choose one with --port")


class PortBusyError(UserError):
    """Somebody else listens on that port."""


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host} is no address of this machine ({error})") from error
    if os.name == "posix":  # on Windows this option would let two servers share the port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise _refused(host, port, error) from error
    return sock


def _refused(host: str, port: int, error: OSError) -> UserError:
    if error.errno in (98, 48, 10048):  # EADDRINUSE of Linux, macOS, Windows
        return PortBusyError(
            f"port {port} is in use, perhaps by another studio; stop that one, or choose another with --port"
        )
    if isinstance(error, PermissionError):
        return UserError(f"port {port} needs administrator rights; choose one above 1023 with --port")
    return UserError(f"--host {host} is no address of this machine ({error.strerror})")


def serve(app: FastAPI, sock: socket.socket, on_ready: Callable[[], None], leave: threading.Event) -> None:
    """Serve until SIGINT, SIGTERM or `leave`; `on_ready` runs once the server answers.

    The socket stays open: who comes before the next app is served waits, and is not turned away.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        # httptools, which uvicorn takes where it finds it, bounds no request's head: one without an end kept
        # all others waiting, before anybody was asked to log in.
        http="h11",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        # Longer than pages look again, and than proxies keep theirs: who closes first cuts the other off.
        timeout_keep_alive=75,
        # Only the local proxy may say who the client is.
        forwarded_allow_ips="127.0.0.1",
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[sock.dup()]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            on_ready()
        watching = asyncio.create_task(_end_streams(server, app, leave))
        await serving
        watching.cancel()

    # uvicorn's choice of a loop: uvloop, where there is one, takes a quarter less of the processor.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


async def _end_streams(server: Any, app: FastAPI, leave: threading.Event) -> None:
    """Tell Gradio's endless streams that the server goes down, or it would wait for them."""
    while not server.should_exit:
        await asyncio.sleep(0.05)
        server.should_exit = server.should_exit or leave.is_set()
    app.state.gradio.stop_event.set()


def has_display() -> bool:
    """Whether a browser window can appear: without one, a text browser would take over the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_browser(url: str, window: bool, note: Callable[[str], None]) -> None:
    """Show the studio: in a window of its own where asked and possible, else in the browser."""
    if not has_display():
        return
    found = next((path for name in APP_BROWSERS if (path := shutil.which(name))), None) if window else None
    if found is not None:
        with contextlib.suppress(OSError):
            subprocess.Popen(
                [found, f"--app={url}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            return
    if window:
        note("no Chromium, Chrome or Edge was found for --window; opening the browser instead")
    # Opening can block for as long as a browser takes to start.
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
