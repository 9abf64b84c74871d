"""A small real server of the protocol, on this machine, with the tiny model behind it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.engines import Context, Request, Sampling
from pipeline.engines.server.connection import Patience
from pipeline.engines.server.engine import ServerEngine
from pipeline.engines.server.settings import Settings
from pipeline.engines.spending import Purse
from pipeline.records import Message
from pipeline.servers import read

QUICK = Settings(at_once=4, samples=8, patience=Patience(tries=3, first=0.01, silence=2.0))

Fault = Callable[["Handler"], None]


@dataclass
class ModelServer:
    """What it can do, what it was asked, and the next faults: each answers one request in its stead."""

    engine: Any
    chat: bool = True
    plain: bool = True
    echo: bool = True
    continues: str = "when asked"
    prompts: bool = True
    top: bool = True
    counts: bool = True
    key: str = ""
    context: int = 512
    text: str | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    lock: Any = field(default_factory=threading.Lock)
    url: str = ""
    http: Any = None

    def start(self, port: int = 0) -> None:
        """Listen; on the port it had before, if given."""
        self.always = None
        handler = type("Bound", (Handler,), {"serving": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # a client that hung up
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        serve = self.http.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> int:
        """Be gone, for whoever waits for an answer too. Returns the port."""
        self.always = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
        self.http.shutdown()
        self.http.server_close()
        return int(self.http.server_address[1])

    @property
    def name(self) -> str:
        return f"{self.url}#tiny"

    def open(self, purse: Purse | None = None, settings: Settings = QUICK) -> ServerEngine:
        """An engine on it, with what it was asked until then forgotten."""
        engine = ServerEngine(read(self.name), purse or Purse(), settings)
        self.asked.clear()
        return engine

    # What it answers.

    def context_of(self, path: str, body: dict[str, Any]) -> Context:
        if path.endswith("/completions") and "prompt" in body:
            return Context(prefill=body["prompt"])
        messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        asked = body.get("continue_final_message", False)
        goes_on = self.continues == "unasked" or (asked and self.continues == "when asked")
        if messages[-1].role == "assistant" and goes_on:
            return Context(messages=messages[:-1], prefill=messages[-1].content)
        return Context(messages=messages)

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A whole answer."""
        context = self.context_of(path, body)
        ids = self.encode(context)
        chat = not path.endswith("/v1/completions")
        about_prompt = (self.echo and body.get("echo")) or (self.prompts and "prompt_logprobs" in body)
        new: list[int] = []
        logprobs: list[Any] = []
        if about_prompt:
            text, new = "x", [self.engine.encoder.tokens("x")[0]]
        elif self.top and body.get("logprobs"):
            new, logprobs = self.greedy(ids, body["max_tokens"])
            text = self.engine.tokenizer.decode(new)
        else:
            text = self.written(context, body, lambda piece: None)[0]
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        if logprobs:
            choice["logprobs"] = self.told(new, logprobs, chat, body)
        if not chat and body.get("echo") and self.echo:
            choice["text"] = body["prompt"] + text
            choice["logprobs"] = self.echoed(ids + new[:1])
        reply = {"choices": [choice], "usage": self.usage(len(ids), max(1, len(new)))}
        if chat and self.prompts and "prompt_logprobs" in body:
            reply["prompt_logprobs"] = self.prompt_logprobs(ids)
        return reply

    def encode(self, context: Context) -> list[int]:
        with self.lock:  # whether special tokens are split is a state of the tokenizer
            return list(self.engine.encode(context))

    def written(
        self, context: Context, body: dict[str, Any], piece: Callable[[str], None]
    ) -> tuple[str, int]:
        if self.text is not None:
            for i in range(0, len(self.text), 3):
                piece(self.text[i : i + 3])
            return self.text, len(self.text)
        sampling = Sampling(
            max_tokens=body.get("max_tokens", 16),
            temperature=body.get("temperature", 1.0),
            top_p=body.get("top_p", 1.0),
            seed=body.get("seed", 0),
        )
        with self.lock:
            [done] = self.engine.generate([Request(context, sampling)], lambda i, text: piece(text))
        return done.text, done.tokens

    def usage(self, prompt: int, completion: int) -> dict[str, int] | None:
        return {"prompt_tokens": prompt, "completion_tokens": completion} if self.counts else None

    def logprobs_of(self, ids: list[int]) -> Any:
        import torch

        with torch.inference_mode(), self.lock:
            return torch.log_softmax(self.engine.model(torch.tensor([ids])).logits[0].float(), -1)

    def greedy(self, ids: list[int], many: int) -> tuple[list[int], list[Any]]:
        new: list[int] = []
        rows = []
        for _ in range(many):
            rows.append(self.logprobs_of(ids + new)[-1])
            new.append(int(rows[-1].argmax()))
        return new, rows

    def word(self, id: int) -> str:
        return str(self.engine.tokenizer.decode([id]))

    def echoed(self, ids: list[int]) -> dict[str, Any]:
        rows = self.logprobs_of(ids)
        logprobs = [None, *(float(rows[i, id]) for i, id in enumerate(ids[1:]))]
        return {"tokens": [self.word(id) for id in ids], "token_logprobs": logprobs}

    def prompt_logprobs(self, ids: list[int]) -> list[Any]:
        rows = self.logprobs_of(ids)
        entries: list[Any] = [None]
        for i, id in enumerate(ids[1:]):
            both = {int(rows[i].argmax()), id}
            entries.append(
                {str(j): {"logprob": float(rows[i, j]), "decoded_token": self.word(j)} for j in both}
            )
        return entries

    def told(self, new: list[int], rows: list[Any], chat: bool, body: dict[str, Any]) -> dict[str, Any]:
        many = body.get("top_logprobs", body["logprobs"])
        tops = [
            {self.word(int(j)): float(row[j]) for j in row.topk(int(many)).indices.tolist()} for row in rows
        ]
        own = [float(row[id]) for row, id in zip(rows, new, strict=True)]
        words = [self.word(id) for id in new]
        if not chat:
            return {"tokens": words, "token_logprobs": own, "top_logprobs": tops}
        return {
            "content": [
                {
                    "token": word,
                    "logprob": logprob,
                    "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()],
                }
                for word, logprob, top in zip(words, own, tops, strict=True)
            ]
        }


class Handler(BaseHTTPRequestHandler):
    """One connection. Faults write what they like into `wfile`."""

    protocol_version = "HTTP/1.1"
    serving: ModelServer
    body: dict[str, Any]

    def do_GET(self) -> None:
        self.answer({"data": [{"id": "tiny"}, {"id": "other"}]})

    def do_POST(self) -> None:
        serving = self.serving
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        serving.asked.append((self.path, self.body))
        serving.keys.append(self.headers.get("Authorization"))
        if serving.key and self.headers.get("Authorization") != f"Bearer {serving.key}":
            return self.refuse(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
        if fault := serving.always or (serving.faults.pop(0) if serving.faults else None):
            return fault(self)
        return self.normal()

    def normal(self) -> None:
        serving, body = self.serving, self.body
        chat = self.path == "/v1/chat/completions"
        if self.path not in ("/v1/chat/completions", "/v1/completions") or not (
            serving.chat if chat else serving.plain
        ):
            return self.refuse(404, "Not Found")
        if body["model"] != "tiny":
            return self.refuse(404, f"The model `{body['model']}` does not exist.")
        if len(body.get("stop", [])) > 4:
            return self.refuse(400, "at most 4 stop strings")
        context = serving.context_of(self.path, body)
        size = len(serving.encode(context))
        if size + body["max_tokens"] > serving.context:
            return self.refuse(400, f"This model's maximum context length is {serving.context} tokens.")
        if not body["stream"]:
            return self.answer(serving.reply(self.path, body))
        self.begin()
        _, tokens = serving.written(context, body, lambda text: self.event(piece(text, chat)))
        self.event({"choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "length"}]})
        if usage := serving.usage(size, tokens):
            self.event({"choices": [], "usage": usage})
        return self.send(b"data: [DONE]\n\n", last=True)

    def answer(self, reply: Any, status: int = 200, **headers: str) -> None:
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str, **headers: str) -> None:
        self.answer({"error": {"message": message}}, status, **headers)

    def begin(self, kind: str = "text/event-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, event: Any) -> None:
        self.send(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n")

    def send(self, data: bytes, last: bool = False) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) + (b"0\r\n\r\n" if last else b""))
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


def piece(text: str, chat: bool = True) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": None}
    return {"choices": [choice | ({"delta": {"content": text}} if chat else {"text": text})]}


class Faults:
    """What can go wrong at a server: each answers one request."""

    @staticmethod
    def busy(status: int = 429, **headers: str) -> Fault:
        """Not able to answer now."""
        return lambda handler: handler.refuse(status, "try later", **headers)

    @staticmethod
    def broken(handler: Handler) -> None:
        """Two pieces, and the connection is gone."""
        handler.begin()
        handler.event(piece("half "))
        handler.event(piece("of it"))
        handler.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def gone(handler: Handler) -> None:
        """Nothing, and the connection is gone."""
        handler.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def slow(handler: Handler) -> None:
        """A piece, and then nothing for long."""
        handler.begin()
        handler.event(piece("so far"))
        time.sleep(5)

    @staticmethod
    def endless(handler: Handler) -> None:
        """Text for ever."""
        handler.begin()
        with suppress(OSError):
            while True:
                handler.event(piece("x" * 60_000))

    @staticmethod
    def bytes(*parts: bytes, kind: str = "text/event-stream") -> Fault:
        """These bytes as the body, one packet for each part."""

        def send(handler: Handler) -> None:
            handler.begin(kind)
            with suppress(OSError):
                for part in parts:
                    handler.send(part)
                    time.sleep(0.005)
                handler.wfile.write(b"0\r\n\r\n")

        return send


@pytest.fixture
def faults() -> type[Faults]:
    """What can go wrong: `serving.faults.append(faults.broken)`."""
    return Faults


@pytest.fixture
def serving(tiny_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """The server, running; a key of the environment is not this machine's affair."""
    for variable in ("CAI_SERVER_KEY", "OPENAI_API_KEY", "CAI_SERVER_MAX_TOKENS"):
        monkeypatch.delenv(variable, raising=False)
    model = ModelServer(tiny_engine)
    model.start()
    yield model
    model.stop()


@pytest.fixture
def say() -> Callable[..., Request]:
    """A request: `say("Hi", max_tokens=8)`; with `plain=True` in the plain form."""

    def make(text: str, prefill: str = "", plain: bool = False, **sampling: Any) -> Request:
        context = Context(messages=(Message("user", text),), prefill=prefill)
        chosen = Sampling(**{"max_tokens": 12, "temperature": 0.0, **sampling})
        return Request(replace(context, messages=(), prefill=text) if plain else context, chosen)

    return make
