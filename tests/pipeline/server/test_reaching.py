"""Names of servers, and servers that can't be used: what is said, and what to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import models
from pipeline.engines import EngineError, StoppedError
from pipeline.engines.opening import open_engine
from pipeline.engines.server.connection import Patience
from pipeline.engines.server.engine import ServerEngine
from pipeline.engines.server.settings import Settings
from pipeline.errors import UserError
from pipeline.servers import ServerModel, read


def test_a_name_is_an_address_and_a_model() -> None:
    found = models.resolve(" HTTPS://Far.Example:8443/v1/#org/name:tag ")
    assert isinstance(found, ServerModel)
    assert (found.kind, found.url, found.model) == ("server", "https://far.example:8443/v1", "org/name:tag")
    assert found.revision == "https://far.example:8443/v1#org/name:tag"
    assert read("http://[::1]:8000/v1#m").url == "http://[::1]:8000/v1"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("http://127.0.0.1:8000/v1", "/v1/models lists them"),
        ("http://127.0.0.1:8000/v1#", "Put its name after `#`"),
        ("https://#m", "not a server's address"),
        ("http://host:99999/v1#m", "can't be read"),
        ("http://[::1/v1#m", "can't be read"),
        ("http://host/v1#m\x1b[2J", "not a server's address"),
        ("http://host/v1#" + "m" * 3000, "not a server's address"),
    ],
)
def test_names_that_are_no_servers(name: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        models.resolve(name)


@pytest.mark.parametrize("name", ["https://me:sk-1@far.example/v1#m", "https://far.example/v1?key=sk-1#m"])
def test_a_secret_in_a_name_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(UserError, match="CAI_SERVER_KEY") as caught:
        models.resolve(name)
    assert "sk-1" not in str(caught.value)


def test_what_needs_weights_refuses_a_server() -> None:
    with pytest.raises(UserError, match="its weights are needed here"):
        models.weights("https://far.example/v1#m")


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        EngineError, match=rf"no server answers at http://127\.0\.0\.1:{port}/v1 .*is it started"
    ):
        open_engine(f"http://127.0.0.1:{port}/v1#m")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """What takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def name_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/v1#m"


def test_one_that_never_said_anything_is_asked_once(silent: socket.socket) -> None:
    why = "said nothing for 0 s, and has not answered before.* CAI_SERVER_TIMEOUT"
    with pytest.raises(EngineError, match=why):
        ServerEngine(read(name_of(silent)), settings=Settings(patience=Patience(first=0.01, silence=0.3)))
    silent.accept()
    with pytest.raises(BlockingIOError):
        silent.accept()


def test_an_address_that_takes_no_connections_is_not_called_silent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
        first.connect(full.getsockname())  # the queue has room for no other
        quick = Settings(patience=Patience(first=0.01, silence=0.3))
        with pytest.raises(EngineError, match=r"no server answers at .* is this its address") as caught:
            ServerEngine(read(name_of(full)), settings=quick)
    assert "CAI_SERVER_TIMEOUT" not in str(caught.value)


def test_a_first_connection_that_breaks_is_tried_again(serving: Any, faults: Any) -> None:
    serving.faults.append(faults.gone)
    assert serving.open().abilities
    assert not serving.faults


def test_one_that_says_nothing_is_left_when_it_is_no_longer_wanted(silent: socket.socket) -> None:
    began = time.monotonic()
    with pytest.raises(StoppedError, match="stopped while reaching"):
        open_engine(name_of(silent), cancelled=lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 5


def test_a_model_that_it_has_not(serving: Any) -> None:
    with pytest.raises(EngineError, match=r"has no model tinny.*It has: tiny, other"):
        open_engine(f"{serving.url}#tinny")


def test_an_address_that_is_not_its_apis(serving: Any) -> None:
    with pytest.raises(EngineError, match=r"mostly ends in /v1"):
        open_engine(f"{serving.url}/more#tiny")


def test_a_page_is_not_an_api(serving: Any, faults: Any) -> None:
    serving.always = faults.bytes(b"<html>Welcome</html>", kind="text/html")
    with pytest.raises(EngineError, match="something else than JSON"):
        serving.open()


def test_403_is_said(serving: Any, faults: Any) -> None:
    serving.always = faults.busy(403)
    with pytest.raises(EngineError, match=r"does not let this key use tiny: try later"):
        serving.open()


def test_redirects_are_not_followed(serving: Any, faults: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", "sk-1")
    serving.always = faults.busy(307, Location=f"{serving.url}/other")
    with pytest.raises(EngineError, match="sends elsewhere"):
        serving.open()
    assert [path for path, _ in serving.asked] == ["/v1/chat/completions"]


def test_an_answer_without_end_is_not_read_to_it(
    serving: Any, faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engines.server.connection.BODY", 1 << 20)
    serving.always = faults.bytes(*[b"[" * (1 << 19)] * 4, kind="application/json")
    with pytest.raises(EngineError, match="sends without end: more than 1 MB"):
        serving.open()


def test_a_compressed_answer_is_not_unpacked(serving: Any) -> None:
    serving.always = lambda handler: handler.answer({}, 200, Content_Encoding="gzip")
    with pytest.raises(EngineError, match="compressed"):
        serving.open()


@pytest.mark.parametrize("value", ["many", "-1", "0", "1e3", "9" * 30])
def test_a_limit_that_is_no_number(monkeypatch: pytest.MonkeyPatch, serving: Any, value: str) -> None:
    monkeypatch.setenv("CAI_SERVER_MAX_TOKENS", value)
    with pytest.raises(UserError, match="CAI_SERVER_MAX_TOKENS"):
        open_engine(serving.name)
