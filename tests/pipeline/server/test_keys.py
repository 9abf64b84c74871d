"""The key: from the environment, to the server that is meant, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engines import EngineError, Request
from pipeline.engines.server import keys
from pipeline.errors import UserError
from pipeline.servers import read

SECRET = "sk-very-secret-123"


def test_it_is_sent(serving: Any, monkeypatch: pytest.MonkeyPatch, say: Callable[..., Request]) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", SECRET)
    serving.key = SECRET
    assert serving.open().generate([say("Hi")])[0].finish == "length"
    assert set(serving.keys) == {f"Bearer {SECRET}"}


def test_without_one_a_server_that_wants_one_is_told_of(serving: Any) -> None:
    serving.key = SECRET
    with pytest.raises(EngineError, match="wants a key: put it into CAI_SERVER_KEY"):
        serving.open()


def test_a_wrong_one_is_refused_and_not_repeated(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.key = "another"
    monkeypatch.setenv("CAI_SERVER_KEY", SECRET)
    with pytest.raises(EngineError, match=r"refuses the key in CAI_SERVER_KEY: .*\[key\]") as caught:
        serving.open()
    assert SECRET not in str(caught.value)
    assert len(serving.asked) == 1


def test_one_that_is_written_with_escapes_is_not_repeated_either(
    serving: Any, faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", "abc/def=")
    told = rb'{"error": {"message": "Incorrect API key provided: abc\/def\u003d"}}'
    serving.always = faults.bytes(told, kind="application/json")
    with pytest.raises(EngineError, match=r"provided: \[key\]"):
        serving.open()


def test_one_that_a_header_can_not_hold_is_not_repeated(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", f"{SECRET}\r\nX-Other: 1")
    with pytest.raises(UserError, match="CAI_SERVER_KEY: holds a space") as caught:
        serving.open()
    assert SECRET not in str(caught.value)


def test_openais_goes_to_openai_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAI_SERVER_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert keys.find(read("https://api.openai.com/v1#m")).headers() == {"Authorization": f"Bearer {SECRET}"}
    for url in (
        "https://openai.com.evil.example/v1#m",
        "http://127.0.0.1:8000/v1#m",
        "https://notopenai.com#m",
    ):
        assert keys.find(read(url)).headers() == {}
    assert keys.find(read("http://api.openai.com/v1#m")).headers() == {}


def test_each_server_may_have_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", "general")
    monkeypatch.setenv("CAI_SERVER_KEY_API_ONE_EXAMPLE", "own")
    assert keys.find(read("https://api.one.example/v1#m")).secret == "own"
    assert keys.find(read("https://api.two.example/v1#m")).secret == "general"


def test_its_name_is_one_hosts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAI_SERVER_KEY", raising=False)
    hosts = ("api.host.example", "api-host.example", "api.host-example", "api_host.example")
    for variable, owner in (
        ("CAI_SERVER_KEY_API_HOST_EXAMPLE", "api.host.example"),
        ("CAI_SERVER_KEY_API__HOST_EXAMPLE", "api-host.example"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "own")
            assert [host for host in hosts if keys.find(read(f"https://{host}/v1#m")).secret] == [owner]


def test_one_by_the_name_that_dashes_had_before_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY_MY_HOST_EXAMPLE", SECRET)
    assert keys.find(read("https://my-host.example/v1#m")).secret != SECRET
    assert capsys.readouterr().err.splitlines() == [
        "my-host.example: the key in CAI_SERVER_KEY_MY_HOST_EXAMPLE is not sent, as that is my.host.example's"
        " name; this server's is CAI_SERVER_KEY_MY__HOST_EXAMPLE"
    ]
    keys.find(read("https://my.host.example/v1#m"))
    assert not capsys.readouterr().err


def test_it_is_not_sent_where_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", SECRET)
    for url in ("http://far.example/v1#m", "http://10.0.0.7:8000/v1#m", "http://127.0.0.1.evil.example/v1#m"):
        key = keys.find(read(url))
        assert (key.withheld, key.headers()) == (True, {})
    for url in (
        "https://far.example/v1#m",
        "http://localhost:1/v1#m",
        "http://[::1]:1/v1#m",
        "http://127.9.0.1/v1#m",
    ):
        assert keys.find(read(url)).headers()


def test_its_words_do_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_SERVER_KEY", SECRET)
    assert SECRET not in repr(keys.find(read("https://far.example/v1#m")))


def test_a_far_server_without_encryption_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.engines.server.connection import Patience
    from pipeline.engines.server.engine import ServerEngine
    from pipeline.engines.server.settings import Settings

    monkeypatch.setenv("CAI_SERVER_KEY", SECRET)
    quick = Settings(patience=Patience(tries=1, silence=0.2))
    with pytest.raises(EngineError):
        ServerEngine(read("http://nowhere.invalid/v1#m"), settings=quick)
    assert "travel there unencrypted, and can be read on the way, so CAI_SERVER_KEY is not sent" in (
        capsys.readouterr().err
    )
