"""The server itself, over a socket: what comes before any page or login."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request

from studio.serving import bind, serve


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    app = FastAPI()
    app.state.gradio = SimpleNamespace(stop_event=threading.Event())

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    sock, ready, leave = bind("127.0.0.1", 0), threading.Event(), threading.Event()
    server = threading.Thread(target=serve, args=(app, sock, ready.set, leave))
    server.start()
    assert ready.wait(60)
    yield sock.getsockname()
    leave.set()
    server.join(60)
    sock.close()
    assert not server.is_alive()


def test_a_request_whose_head_never_ends_is_refused_before_it_is_kept(address: tuple[str, int]) -> None:
    sent = 0
    with socket.create_connection(address, timeout=60) as client, suppress(ConnectionError):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        while sent < 64 << 20:
            client.sendall(b"a" * 65536)
            sent += 65536
    assert sent < 8 << 20  # what lies in the sockets' own memory


def test_long_bodies_come_through_and_the_connection_is_kept(address: tuple[str, int]) -> None:
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=60) as client:
        assert [client.post("/size", content=b"a" * (3 << 20)).json() for _ in range(3)] == [3 << 20] * 3
