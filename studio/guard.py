"""What every request passes first: which names the studio answers to, from where, with which headers.

A studio on the loopback address is still reachable by any web page the person has open: a foreign
page can post to it, and a name that resolves to 127.0.0.1 can read it (DNS rebinding). So a request
must name a host that is ours, and a browser's `Origin` must be that host. Pure ASGI: bodies pass
as they come, so a token stream arrives as it is written; those that come in are counted, since only
uploads have a limit of Gradio's own.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import bounded

# Gradio evaluates its templates and styles inline; everything else comes from here or not at all.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nothing to other sites, as with no-referrer; but under that one a browser sends `Origin: null`
    # along with our own forms, and the guard would refuse them.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

BODY_LIMIT = 65 << 20  # bytes: an upload of 64 MB, the most that app.py lets in, and its wrapping


@dataclass(frozen=True)
class Site:
    """The names that this studio answers to."""

    names: frozenset[str]
    origins: frozenset[str] = frozenset()
    any_address: bool = False
    path: str = ""  # where a proxy publishes us; it may strip it from what it passes on, or not


def site(host: str = "127.0.0.1", root_path: str = "") -> Site:
    """The site of a studio bound to `host`, published at `root_path` (a path, or a full address)."""
    names = {"localhost", host.lower()}
    origins = set()
    if "://" in root_path:
        public = urlsplit(root_path)
        names.add((public.hostname or "").lower())
        origins.add(f"{public.scheme}://{public.netloc}".lower())
    wildcard = host in ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to
    if wildcard:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return Site(
        frozenset(names - {""}),
        frozenset(origins),
        any_address=wildcard,
        path=urlsplit(root_path).path.rstrip("/"),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def knows_host(ours: Site, host: str) -> bool:
    """Whether a request's `Host` is one of our names; the port may be a proxy's."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in ours.names or is_loopback(name):
            return True
        # Rebinding needs a name: an address typed as digits can't be turned on us.
        return ours.any_address and bool(ip_address(name))
    except ValueError:
        return False


def knows_origin(ours: Site, origin: str, host: str) -> bool:
    """Whether a browser's `Origin` is the page that this host itself served."""
    try:
        page: SplitResult = urlsplit(origin.lower())
    except ValueError:
        return False
    if f"{page.scheme}://{page.netloc}" in ours.origins:
        return True
    # The scheme is left out: behind a proxy that ends TLS, the page is https and we are http.
    return page.scheme in ("http", "https") and page.netloc == host.lower()


class Guard:
    """Refuses foreign hosts and origins; puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self.app = app
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope["root_path"] = self.site.path
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await _limited(self.app, scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if not knows_host(self.site, host):
            return PlainTextResponse(
                "CAI Studio does not answer to this host name. Behind a proxy, start it with "
                "--root-path and its full public address.\n",
                status_code=400,
            )
        origin = headers.get("origin")
        if origin is not None and not knows_origin(self.site, origin, host):
            return PlainTextResponse("CAI Studio refuses requests from other sites.\n", status_code=403)
        return None


async def _limited(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the app, and answer in its place where a request's body is too large.

    The bytes are counted as they come: their announced length may be missing, or a lie.
    """
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    refusal = PlainTextResponse(
        "That is too much to send to CAI Studio at once.\n",
        status_code=413,
        headers={"Connection": "close"},  # the rest of the body is not read
    )
    announced = Headers(scope=scope).get("content-length", "")
    if announced.isdecimal() and bounded.number(announced, BODY_LIMIT) is None:
        await refusal(scope, receive, send)
        return
    size, begun, refused = 0, False, False

    async def counted() -> Message:
        nonlocal size, refused
        message = {"type": "http.disconnect"} if refused else await receive()
        size += len(message.get("body", b""))
        if size > BODY_LIMIT and not refused:
            refused = True
            if not begun:
                await refusal(scope, receive, send)
            return {"type": "http.disconnect"}
        return message

    async def unless_refused(message: Message) -> None:
        nonlocal begun
        begun = True
        if not refused:
            await send(message)

    try:
        await app(scope, counted, unless_refused)
    except Exception:
        if not refused:  # else the app only tells that its client went away
            raise


def _with_headers(send: Send) -> Send:
    """`send`, with our headers on the answer, and without Gradio's leave for other origins to read it."""

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return secured
