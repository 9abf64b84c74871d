"""Accounts and the login wall: nothing is served to whoever is not logged in."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from pipeline.errors import UserError
from studio import auth
from studio.app import build
from studio.auth import Accounts, LoginWall, read_accounts
from studio.context import Studio, author

HOME = "http://127.0.0.1:7860"
PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("session")
    studio = Studio.open(folder, "test")
    yield build(studio, Accounts({"ana": "open sesame", "bo": "päss:wörd"}))
    studio.close()


@pytest.fixture
def client(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(auth, "WRONG_PAUSE", 0.0)
    with TestClient(app, base_url=HOME, follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, name: str = "ana", password: str | None = None, target: str = "/") -> Any:
    password = "open sesame" if password is None else password
    form = {"username": name, "password": password, "next": target}
    return client.post("/login", data=form, headers={"Origin": HOME})


def routes(parent: Any) -> Iterator[Any]:
    """All routes below an app or router: FastAPI keeps those of an included router nested."""
    for route in parent.routes:
        inside = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(inside, "routes"):
            yield from routes(inside)
        elif hasattr(route, "path"):
            yield route


def table(app: Any) -> list[tuple[str, str]]:
    """Every method and path that the app and Gradio inside it answer, parameters filled in."""
    rows = []
    for route in routes(app):
        path = re.sub(r"\{[^}]*\}", "1", route.path) or "/"
        rows += [(method, path) for method in sorted(getattr(route, "methods", None) or {"GET"})]
    return sorted(set(rows))


def test_every_route_is_refused_without_login(app: Any, client: TestClient) -> None:
    rows = table(app)
    assert len(rows) > 60  # Gradio's own are in it
    for method, path in rows:
        expected = 405 if path.startswith("/logout") else 401
        for headers in ({}, PAGE):
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == expected, f"{method} {path}: {answer.status_code}"
            assert "gradio_config" not in answer.text


def test_a_person_sees_the_form_and_a_program_a_line(client: TestClient) -> None:
    page = client.get("/chains?chain=7", headers=PAGE)
    assert '<form method="post" action="/login">' in page.text
    assert 'value="/chains?chain=7"' in page.text
    assert client.get("/chains").headers["content-type"].startswith("text/plain")


def test_who_logs_in_is_known_by_name(client: TestClient) -> None:
    answer = log_in(client, "bo", "päss:wörd", target="/chains?chain=7")
    assert (answer.status_code, answer.headers["location"]) == (303, "/chains?chain=7")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/gradio_api/user").json() == "bo"
    assert client.get("/constitution", headers=PAGE).status_code == 200


@pytest.mark.parametrize("name", ["ana", "nobody", ""])
@pytest.mark.parametrize("password", ["", "wrong", "päss:wörd"])
def test_a_wrong_password_stays_outside(client: TestClient, name: str, password: str) -> None:
    answer = log_in(client, name, password)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/\r\nX: y", "/login"]
)
def test_the_login_leads_nowhere_else(client: TestClient, target: str) -> None:
    assert log_in(client, target=target).headers["location"] == "/"


async def _guess(wall: LoginWall, password: str, address: str) -> int:
    """One login, straight at the wall; the status of its answer."""
    body = f"username=ana&password={password}".encode()
    scope = {"type": "http", "method": "POST", "path": "/login", "root_path": "", "query_string": b""}
    scope |= {"headers": [(b"host", b"127.0.0.1")], "client": (address, 1), "scheme": "http"}
    seen: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        seen.append(message)

    await wall(scope, receive, send)
    return int(seen[0]["status"])


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the app was reached")


def test_an_address_that_is_none_gets_the_form_all_the_same(client: TestClient) -> None:
    page = client.get(f"{HOME}//[", headers=PAGE)
    assert (page.status_code, 'name="next" value=""' in page.text) == (401, True)
    assert log_in(client, password="wrong", target="//[").status_code == 401
    assert log_in(client, target="//[").headers["location"] == "/"


def test_guesses_at_once_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "WRONG_PAUSE", 0.05)
    wall = LoginWall(_nothing, Accounts({"ana": "x"}))

    async def guess() -> list[int]:
        guesses = [_guess(wall, password, "10.0.0.1") for password in ("a", "b", "c", "d", "x")]
        return await asyncio.gather(*guesses)

    began = time.monotonic()
    assert asyncio.run(guess()) == [401, 401, 401, 401, 303]
    assert time.monotonic() - began >= 4 * 0.05  # the right one too came out only in its turn


def test_a_flood_of_guesses_keeps_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "WRONG_PAUSE", 0.05)
    wall = LoginWall(_nothing, Accounts({"ana": "x"}))

    async def flood() -> tuple[list[int], int]:
        guesses = asyncio.gather(*(_guess(wall, "wrong", "10.0.0.1") for _ in range(100)))
        await asyncio.sleep(0)
        assert await _guess(wall, "x", "10.0.0.2") == 303
        assert not guesses.done()
        return await guesses, await _guess(wall, "x", "10.0.0.1")

    answers, after = asyncio.run(flood())
    assert (answers.count(401), answers.count(429)) == (auth.IN_LINE, 100 - auth.IN_LINE)
    assert after == 303
    assert not wall.turns._lines


def test_many_addresses_are_throttled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "WRONG_PAUSE", 0.01)
    wall = LoginWall(_nothing, Accounts({"ana": "x"}))

    async def flood() -> list[int]:
        return await asyncio.gather(*(_guess(wall, "wrong", f"10.0.1.{i}") for i in range(100)))

    assert asyncio.run(flood()).count(401) == auth.ADDRESSES


def test_logging_out_ends_it(client: TestClient) -> None:
    log_in(client)
    token = dict(client.cookies)
    assert client.get("/logout").status_code == 405  # an image on another page must not
    assert client.post("/logout", headers={"Origin": HOME}).status_code == 303
    client.cookies.update(token)
    assert client.get("/constitution").status_code == 401


def test_the_form_shows_nothing_as_live_html(client: TestClient) -> None:
    page = log_in(client, password="wrong", target='/"><script>alert(1)</script>').text
    assert "<script>" not in page


def test_a_huge_form_is_no_login(client: TestClient) -> None:
    assert client.post("/login", content=b"x" * 100_000, headers={"Origin": HOME}).status_code == 413


def test_behind_https_the_cookie_stays_there(tmp_path: Path) -> None:
    studio = Studio.open(tmp_path, "test")
    app = build(studio, Accounts({"ana": "x"}), root_path="https://cai.example.org/s")
    with TestClient(app, base_url="https://cai.example.org", follow_redirects=False) as client:
        assert 'action="/s/login"' in client.get("/s/", headers=PAGE).text
        form = {"username": "ana", "password": "x", "next": "/s/chains"}
        answer = client.post("/s/login", data=form, headers={"Origin": "https://cai.example.org"})
        assert answer.headers["location"] == "/s/chains"
        assert "secure" in answer.headers["set-cookie"].lower()
    studio.close()


def _never(name: str) -> str:
    raise AssertionError(f"asked for {name}'s password")


def test_accounts_from_flags_and_environment() -> None:
    accounts = read_accounts(["ana:x", "bo"], "bo:a:b, cy:c", _never)
    assert accounts is not None
    assert accounts.passwords == {"bo": "a:b", "cy": "c", "ana": "x"}
    lines = read_accounts([], "ana:with, comma\nbo:y\n", _never)
    assert lines is not None
    assert lines.passwords == {"ana": "with, comma", "bo": "y"}
    assert read_accounts([], "", _never) is None


def test_a_missing_password_is_asked_for_and_an_empty_one_refused() -> None:
    asked = read_accounts(["ana"], "", lambda name: f"{name}'s own")
    assert asked is not None
    assert asked.passwords == {"ana": "ana's own"}
    with pytest.raises(UserError, match="empty password"):
        read_accounts(["ana"], "", lambda name: "")
    with pytest.raises(UserError, match="no name"):
        read_accounts([":x"], "", _never)


def test_an_unknown_name_never_matches_an_empty_password() -> None:
    assert not Accounts({"ana": "x"}).admits("bo", "")


def test_the_author_is_the_login() -> None:
    assert author(gr.Request(username="ana")) == "ana"
    assert author(gr.Request()) == "local"


def test_a_login_outlives_the_move_to_another_session() -> None:
    """Which builds the app anew around the same accounts."""
    accounts = Accounts({"ana": "x"})
    before = TestClient(LoginWall(_whoever, accounts), base_url=HOME, follow_redirects=False)
    log_in(before, password="x")
    after = TestClient(LoginWall(_whoever, accounts), base_url=HOME, cookies=dict(before.cookies))
    assert after.get("/").text == "ana"
    wall = LoginWall(_whoever, Accounts({"ana": "x"}))
    assert TestClient(wall, base_url=HOME, cookies=dict(before.cookies)).get("/").status_code == 401


async def _whoever(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse(scope["user"] or "nobody")(scope, receive, send)
