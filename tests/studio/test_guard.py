"""The guard: who is refused, what headers go out, and that streams pass untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from studio import guard
from studio.app import PAGES, build
from studio.context import Studio
from studio.guard import Guard, is_loopback, knows_host, knows_origin, site

ALL = "0.0.0.0"  # noqa: S104 - never bound to here
HOME = "http://127.0.0.1:7860"
EVENT = "/gradio_api/queue/join"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder: Path = tmp_path_factory.mktemp("session")
    studio = Studio.open(folder, "test")
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(build(studio), base_url=HOME) as client:
        yield client


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1:7860.evil.example"]
)
def test_a_foreign_page_can_not_post(client: TestClient, origin: str) -> None:
    answer = client.post(EVENT, json={}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "other sites" in answer.text
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_nor_do_anything_else(client: TestClient, method: str) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert client.request(method, EVENT, headers=headers).status_code == 403


def test_the_studios_own_page_and_a_script_can(client: TestClient) -> None:
    for headers in ({"Origin": HOME}, {}):
        answer = client.post(EVENT, json={"data": [], "fn_index": 0, "session_hash": "x"}, headers=headers)
        assert answer.status_code not in (400, 401, 403)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "[", ""])
def test_a_name_turned_on_us_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 400
    assert "--root-path" in answer.text


def test_every_page_carries_the_headers(client: TestClient) -> None:
    for page in PAGES:
        answer = client.get(f"/{page.path}")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        for part in (
            "default-src 'self'",
            "object-src 'none'",
            "frame-ancestors 'none'",
            "connect-src 'self'",
        ):
            assert part in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        # Not no-referrer: under it a browser sends `Origin: null` with our own forms.
        assert answer.headers["referrer-policy"] == "same-origin"


def test_answers_without_a_page_carry_them_too(client: TestClient) -> None:
    for answer in (
        client.get("/nowhere"),
        client.get("/favicon.ico"),
        client.get("/", headers={"Host": "x.org"}),
    ):
        assert "content-security-policy" in answer.headers


def test_a_proxys_name_and_address_are_ours() -> None:
    ours = site("127.0.0.1", "https://cai.example.org/studio")
    assert knows_host(ours, "cai.example.org")
    # The proxy may keep our own Host; the browser's Origin is the public one.
    assert knows_origin(ours, "https://cai.example.org", "127.0.0.1:7860")
    assert not knows_origin(ours, "https://other.example.org", "127.0.0.1:7860")


def test_bound_to_all_addresses_digits_are_ours_and_names_are_not() -> None:
    ours = site(ALL)
    assert knows_host(ours, "192.168.1.20:7860")
    assert knows_host(ours, "[fe80::1]:7860")
    assert not knows_host(ours, "evil.example")
    assert not knows_host(site(), "192.168.1.20:7860")


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1"))
    assert not any(is_loopback(host) for host in (ALL, "::", "10.0.0.1", "example.org", ""))


def test_a_published_path_reaches_every_page(studio: Studio) -> None:
    app = build(studio, root_path="/cai")
    with TestClient(app, base_url=HOME) as client:
        for path in ("/constitution", "/cai/constitution"):  # a proxy may strip the prefix, or not
            answer = client.get(path)
            assert answer.status_code == 200
            assert f'"root":"{HOME}/cai"' in answer.text


def _scope(kind: str, **headers: str) -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": kind, "method": "GET", "path": "/", "headers": raw}


async def _no_more() -> Message:
    return {"type": "http.disconnect"}


def test_a_stream_arrives_chunk_by_chunk() -> None:
    seen: list[Any] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in (b"data: 1\n\n", b"data: 2\n\n"):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            assert seen[-1]["body"] == chunk  # out before the next one is made

    async def send(message: Message) -> None:
        seen.append(message)

    asyncio.run(Guard(stream, site())(_scope("http", host="localhost"), _no_more, send))
    assert [message["type"] for message in seen] == ["http.response.start"] + ["http.response.body"] * 2


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_without_end_is_cut(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(guard, "BODY_LIMIT", 1000)
    for size, refused in ((900, False), (1100, True)):
        body = b'{"data": ["' + b"x" * (size - 100) + b'"]' + b" " * 86 + b"}"
        assert len(body) == size
        sent = body if announced else (body[at : at + 100] for at in range(0, size, 100))
        answer = client.post(EVENT, content=sent, headers={"Content-Type": "application/json"})  # type: ignore[arg-type]
        assert (answer.status_code == 413) == refused
        assert "content-security-policy" in answer.headers


def test_of_a_body_without_end_no_more_than_the_limit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_LIMIT", 1000)
    asked, seen = [0], list[Message]()

    async def endless() -> Message:
        asked[0] += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def reads_on(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "http.request":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        seen.append(message)

    asyncio.run(Guard(reads_on, site())(_scope("http", host="localhost"), endless, send))
    assert asked[0] == 11
    assert [message.get("status") for message in seen] == [413, None]


def test_a_foreign_websocket_is_closed_before_it_opens() -> None:
    seen: list[Message] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the app was reached")

    async def send(message: Message) -> None:
        seen.append(message)

    scope = _scope("websocket", host="127.0.0.1:7860", origin="https://evil.example")
    asyncio.run(Guard(never, site())(scope, _no_more, send))
    assert [message["type"] for message in seen] == ["websocket.close"]
