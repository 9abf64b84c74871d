"""Pages as scripts that send what a tab sends: somebody who judges, somebody who chats."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from studio.components.header import REFRESH


class Page:
    """A page in somebody's tab."""

    def __init__(self, url: str, page: str, who: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=120)
        self.who, self.draw = who, random.Random(who)
        # The page's functions, by name, and what each is given as the page first has it.
        self.of: dict[str, int] = {}
        self.given: dict[str, list[Any]] = {}
        config = self.http.get("/config").json()
        ours = config["page"][page]["dependencies"]
        values = {one["id"]: one["props"].get("value") for one in config["components"]}
        for one in config["dependencies"]:
            if one["id"] in ours:
                name = one["api_name"].partition("_")[0]
                self.of.setdefault(name, one["id"])
                self.given.setdefault(name, [values[id] for id in one["inputs"]])

    def call(self, name: str, *data: Any, event: Any = None) -> list[Any]:
        answer = self.http.post(f"/gradio_api/run/predict?as={self.who}", json=self._body(name, data, event))
        answer.raise_for_status()
        return list(answer.json()["data"])

    def stream(self, name: str, *data: Any) -> int:
        """See a stream through; returns how many pictures came."""
        self.http.post("/gradio_api/queue/join", json=self._body(name, data)).raise_for_status()
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={self.who}") as lines:
            told = [json.loads(line[6:]) for line in lines.iter_lines() if line.startswith("data: ")]
        [end] = [one for one in told if one["msg"] == "process_completed"]
        assert end["success"]
        return sum(one["msg"] == "process_generating" for one in told)

    def _body(self, name: str, data: Sequence[Any], event: Any = None) -> dict[str, Any]:
        return {"data": data, "event_data": event, "fn_index": self.of[name], "session_hash": self.who}


class Chat(Page):
    """Somebody who chats with a model, and reads each answer to its end."""

    def __init__(self, url: str, who: str, model: Path) -> None:
        super().__init__(url, "chat", who)
        _, _, self.pm, _, *sampling = self.given["say"]
        self.asked, self.pictures = [str(model), *sampling], 0
        self.answers: Counter[str] = Counter()  # by conversation

    def say(self) -> None:
        two = self.answers.total() % 2  # more than two answers do not fit into the tiny model's context
        id, _, mistake = self.call("say", [*self.answers][-1] if two else "", "And?", self.pm, *self.asked)
        assert not mistake
        self.pictures += self.stream("watch", id, self.pm)
        self.answers[id] += 1


class Tab(Page):
    """One annotator on the audit page, who judges whatever is shown, at once."""

    def __init__(self, url: str, who: str) -> None:
        super().__init__(url, "audit", who)
        self.took: list[float] = []
        self.said: dict[str, str] = {}
        self.view = self.header = ""
        self.due = 0.0

    def arrive(self) -> None:
        self.view = self.call("come", self.who)[0]

    def look(self) -> None:
        """What the header's clock does, when it is time."""
        if time.monotonic() > self.due:
            self.due = time.monotonic() + REFRESH
            [header] = self.call("refresh", self.header)
            self.header = header if isinstance(header, str) else self.header

    def judge(self) -> bool:
        """Judge the pair that is shown; False where there is none."""
        item = re.search(r'data-item="([^"]+)"', self.view)
        if not item:
            return False
        letter = self.draw.choice(["a", "b", "tie"])
        told = {"action": letter, "item": item[1], "state": "blind", "query": f"as={self.who}", "seconds": 1}
        began = time.monotonic()
        view, *_ = self.call("press", event=told)
        self.took.append(time.monotonic() - began)
        self.said[item[1]] = letter
        self.view = view if isinstance(view, str) else self.view
        return True
