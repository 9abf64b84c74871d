"""A third off the time until the studio answers: most of it is the import of Gradio."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_stub_writing() -> Iterator[None]:
    """Import Gradio in here and it leaves its type stubs alone.

    At each import it parses every component's source and rewrites the `.pyi` beside it, which takes a
    second and needs site-packages to be writable. It skips components that lie in no file, and says
    so with OSError: for the time of the import none of them does.
    """
    getfile = inspect.getfile

    def no_file(thing: Any) -> str:
        if type(thing).__name__ == "ComponentMeta":
            raise OSError("no stubs wanted")
        return getfile(thing)

    inspect.getfile = no_file  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile
