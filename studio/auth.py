"""Who may come in: accounts from the command line, and the wall with the login form.

The wall stands before the whole app, since Gradio's own login leaves some of its routes open (its API
description, cancel, stream and heartbeat among them). What is not named here as open is shut.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from string import Template
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.errors import UserError

FORM_LIMIT = 8192  # bytes of a login form; more is no login
WRONG_PAUSE = 0.5  # seconds that a wrong guess keeps the next one of its address waiting
IN_LINE = 8  # guesses of one address at a time: nobody waits for more than these
ADDRESSES = 64  # that guess at a time; together with the pause, the most that can be tried in a second

LOGIN_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in · CAI Studio</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: light-dark(#f6f7f9, #14171c); color: light-dark(#1c2430, #e6e9ee) }
form { width: min(20rem, 90vw); padding: 2rem; border-radius: 10px; display: grid; gap: 1rem;
  background: light-dark(#fff, #1c2027); border: 1px solid light-dark(#d9dee6, #333a45) }
h1 { font-size: 1.25rem; margin: 0 } label { display: grid; gap: .25rem; font-size: .9rem }
input, button { font: inherit; padding: .5rem .6rem; border-radius: 6px }
input { border: 1px solid light-dark(#8a94a3, #667080); background: transparent; color: inherit }
button { border: 0; background: #0072b2; color: #fff; cursor: pointer; font-weight: 600 }
:focus-visible { outline: 2px solid #56b4e9; outline-offset: 2px }
p { margin: 0; font-size: .9rem; color: light-dark(#a3122a, #ff8a8a) }
</style></head><body><main><form method="post" action="$action">
<h1>CAI Studio</h1>
$problem
<label>Name <input name="username" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="next" value="$next">
<button>Log in</button>
</form></main></body></html>
"""
)


@dataclass(frozen=True)
class Accounts:
    """The people who may come in, by name."""

    passwords: Mapping[str, str]
    # Here, not in the wall: opening another session builds the app anew, and nobody should log in again.
    # Cookies don't know ports: a name of its own keeps two studios on one machine apart.
    cookie: str = field(default_factory=lambda: f"cai-{secrets.token_hex(4)}")
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def admits(self, name: str, password: str) -> bool:
        """Whether the password is that person's, in a time that tells nothing about either."""
        known = self.passwords.get(name, "")
        same = hmac.compare_digest(password.encode("utf-8", "replace"), known.encode("utf-8", "replace"))
        return same and known != ""


def read_accounts(flags: Sequence[str], env: str, ask: Callable[[str], str]) -> Accounts | None:
    """Accounts from `--auth` flags and `CAI_AUTH`, each `USER[:PASS]`; None when there are none.

    `CAI_AUTH` holds one account a line, or several on one line between commas. A password that is
    in neither is asked for.
    """
    lines = env.splitlines() if "\n" in env.strip() else env.split(",")
    passwords: dict[str, str] = {}
    for text in [*(line.strip() for line in lines if line.strip()), *flags]:
        name, _, password = text.partition(":")
        if not name.strip() or not name.isprintable():
            raise UserError("an account is USER or USER:PASS, and this one has no name")
        if password or name not in passwords:
            passwords[name] = password
    for name, password in passwords.items():
        passwords[name] = password or ask(name)
        if not passwords[name]:
            raise UserError(f"{name} has an empty password; nobody was let in")
    return Accounts(passwords) if passwords else None


@dataclass
class _Line:
    """The guesses of one address."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Turns:
    """One guess at a time for each address, however many it sends at once.

    Not one at a time for all: whoever guesses would then keep everyone else out.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def take(self, address: str) -> AsyncIterator[bool]:
        """Wait for the turn; False, at once, where too many wait already."""
        line = self._lines.get(address, _Line())
        if line.waiting >= IN_LINE or (address not in self._lines and len(self._lines) >= ADDRESSES):
            yield False
            return
        self._lines[address] = line
        line.waiting += 1
        try:
            async with line.lock:
                yield True
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(address, None)


class LoginWall:
    """Answers whoever is not logged in with the login form, or 401; names the others in `scope["user"]`."""

    def __init__(self, app: ASGIApp, accounts: Accounts, secure: bool = False) -> None:
        self.app = app
        self.accounts = accounts
        self.secure = secure
        self.cookie, self.tokens = accounts.cookie, accounts.tokens
        self.turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        token = _cookie(Headers(scope=scope), self.cookie)
        user = self.tokens.get(token)
        if scope["type"] == "websocket" and user is None:
            await send({"type": "websocket.close", "code": 1008, "reason": "not logged in"})
            return
        response = await self._answer(Request(scope, receive), user, token) if _is_http(scope) else None
        if response is not None:
            await response(scope, receive, send)
            return
        scope["user"] = user
        await self.app(scope, receive, send)

    async def _answer(self, request: Request, user: str | None, token: str) -> Response | None:
        """What the wall itself answers; None lets the request through."""
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        if path == "/login" and request.method == "POST":
            return await self._log_in(request)
        if path == "/logout":
            if request.method != "POST":  # a link from anywhere must not log a person out
                return PlainTextResponse("Log out with the button.\n", status_code=405)
            self.tokens.pop(token, None)
            return RedirectResponse(_home(request), status_code=303)
        if user is not None:
            return None
        if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return _form(request, target)
        return PlainTextResponse("Log in to CAI Studio first.\n", status_code=401)

    async def _log_in(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_LIMIT:
                return PlainTextResponse("That is no login form.\n", status_code=413)
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        name, password, target = (fields.get(key, [""])[0] for key in ("username", "password", "next"))
        async with self.turns.take(request.client.host if request.client else "") as turn:
            if not turn:
                return _form(request, target, "Too many log in at once. Try again in a moment.", 429)
            # Looked at within the turn: else a hundred guesses at once would cost no more than one.
            if not self.accounts.admits(name, password):
                await asyncio.sleep(WRONG_PAUSE)
                return _form(request, target, "That name and password do not go together.")
        token = secrets.token_urlsafe(32)
        self.tokens[token] = name
        response = RedirectResponse(_inside(target) or _home(request), status_code=303)
        secure = self.secure or request.url.scheme == "https"
        response.set_cookie(self.cookie, token, httponly=True, samesite="lax", secure=secure)
        return response


def _is_http(scope: Scope) -> bool:
    return bool(scope["type"] == "http")


def _cookie(headers: Headers, name: str) -> str:
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _home(request: Request) -> str:
    return str(request.scope["root_path"]) + "/"


def _inside(target: str) -> str:
    """The path to go on to, or nothing when it would lead to another site."""
    try:
        parts = urlsplit(target)
    except ValueError:  # of `//[`, which looks like an address and is none
        return ""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    # After a wrong guess the form stands at /login itself, which is no place to go on to.
    return target if inside and target.isprintable() and not parts.path.endswith("/login") else ""


def _form(request: Request, target: str, problem: str = "", status: int = 401) -> HTMLResponse:
    page = LOGIN_PAGE.substitute(
        action=escape(_home(request) + "login"),
        next=escape(_inside(target)),
        problem=f'<p role="alert">{escape(problem)}</p>' if problem else "",
    )
    return HTMLResponse(page, status_code=status)
