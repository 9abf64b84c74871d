"""A studio without its pages, to be killed while it looks after a run. Says `ready` when it does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from studio.context import Studio


def main(folder: Path) -> None:
    Studio.open(folder, "killed")
    print("ready", flush=True)  # noqa: T201
    time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
