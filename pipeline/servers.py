"""What `https://host/v1#model` means: a model of an OpenAI-compatible server.

Such servers are vLLM, llama.cpp's and Ollama, or hosted ones. The part before `#` is where the API begins,
mostly ending in `/v1`; the part after it is the model's name there. Nothing here sends anything. No secret
may stand in the name, for names are recorded: a key comes from the environment (engines/server/keys.py).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import UserError

EXAMPLE = "http://127.0.0.1:8000/v1#org/name"
LONGEST = 2000


@dataclass(frozen=True)
class ServerModel:
    """A model of a server. `url` is where its API begins, without a last slash; `model` its name there."""

    name: str
    url: str
    model: str
    kind: Literal["server"] = "server"

    @property
    def revision(self) -> str:
        """All that is known of its weights: where they are, and what they are called there."""
        return f"{self.url}#{self.model}"

    @property
    def host(self) -> str:
        """The name or address that requests go to, without the port."""
        return urlsplit(self.url).hostname or ""

    @property
    def here(self) -> bool:
        """Whether the server is on this machine, so that nothing leaves it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read what is sent: it is encrypted, or never leaves this machine."""
        return self.here or self.url.startswith("https://")


def is_server(name: str) -> bool:
    """Whether a model name is meant as a server's."""
    return name.strip().lower().startswith(("http://", "https://"))


def read(name: str) -> ServerModel:
    """Read the name of a server's model. Raises UserError with what to do."""
    name = name.strip()
    try:
        url = urlsplit(name)
        port = url.port
    except ValueError as error:  # a port that is no number, half an IPv6 address
        raise UserError(f"this server's address can't be read ({error}): write it like {EXAMPLE}") from error
    if url.username or url.password or url.query:
        # Not repeated: it may be a key.
        raise UserError(
            f"the address of the server at {url.hostname} holds a user, a password or a query, and would be "
            "recorded with every text: leave them out, and put the key into CAI_SERVER_KEY"
        )
    if len(name) > LONGEST or not name.isprintable() or " " in name or not url.hostname:
        raise UserError(f"{name[:200]!r}: not a server's address; write it like {EXAMPLE}")
    if not url.fragment:
        raise UserError(
            f"{name}: which of this server's models? Put its name after `#`, like {EXAMPLE}; "
            f"{_base(url, port)}/models lists them"
        )
    return ServerModel(name, _base(url, port), url.fragment)


def _base(url: SplitResult, port: int | None) -> str:
    host = (url.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme.lower()}://{host}{f':{port}' if port else ''}{url.path.rstrip('/')}"
