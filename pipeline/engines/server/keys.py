"""The key for a server: from the environment only, never written down, and never sent where it may be read.

`CAI_SERVER_KEY_MY__HOST_EXAMPLE` (the host in capitals, `_` for a dot and `__` for a dash) is for
`my-host.example`; `CAI_SERVER_KEY` for any server that is named; `OPENAI_API_KEY` for OpenAI's own, so that
naming another does not give it away.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from pipeline.engines.server import reading
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.servers import ServerModel

GENERAL, OPENAI = "CAI_SERVER_KEY", "OPENAI_API_KEY"
HIDDEN = "[key]"
HOST = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)*")
"""A host that has a variable of its own: of these, no two have the same."""


@dataclass(frozen=True)
class Key:
    """A key and the variable that it is in; an empty one where there is none.

    `withheld`: there is one, but whoever is on the way could read it, so it is not sent.
    """

    secret: str = field(default="", repr=False)
    variable: str = GENERAL
    withheld: bool = False

    def headers(self) -> dict[str, str]:
        """What a request says of it."""
        return {"Authorization": f"Bearer {self.secret}"} if self.secret and not self.withheld else {}

    def hide(self, data: bytes) -> bytes:
        """What a server sent, without the key: some repeat it in their errors."""
        return data.replace(self.secret.encode(), HIDDEN.encode()) if self.secret else data

    def parsed(self, data: bytes) -> Any:
        """The JSON that a server sent, without the key. Raises ValueError."""
        reply = reading.parsed(self.hide(data))
        if not self.secret or b"\\" not in data:
            return reply
        try:
            return self._hidden(reply)  # JSON may have written it with escapes
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(self.secret, HIDDEN)
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if isinstance(value, dict):
            return {self._hidden(name): self._hidden(item) for name, item in value.items()}
        return value


def find(server: ServerModel) -> Key:
    """The key for a server. Raises UserError, which does not repeat it, where it can't be one.

    Says where one is in the variable that the server had before, and is not its own any more.
    """
    host = server.host.upper().replace("-", "__").replace(".", "_")
    own = [f"{GENERAL}_{host}"] if HOST.fullmatch(server.host) else []
    theirs = server.host == "openai.com" or server.host.endswith(".openai.com")
    for variable in (*own, GENERAL, *([OPENAI] if theirs else [])):
        if secret := os.environ.get(variable, "").strip():
            if not re.fullmatch(r"[\x21-\x7e]+", secret):
                raise UserError(f"{variable}: holds a space or a character that no key has")
            found = Key(secret, variable, withheld=not server.private)
            break
    else:
        found = Key()
    if own and found.variable not in own:
        _tell_of_old(server.host, own[0])
    return found


def _tell_of_old(host: str, own: str) -> None:
    """Say that a key is in the variable that a host with a dash had before, `_` for it as for a dot."""
    old = own.replace("__", "_")
    if old != own and os.environ.get(old, "").strip():
        theirs = host.replace("-", ".")
        say(f"{host}: the key in {old} is not sent, as that is {theirs}'s name; this server's is {own}")
