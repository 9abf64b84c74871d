"""Half off the time until the studio answers: what Gradio does at its start that nobody needs."""

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


@contextmanager
def without_an_app_for_each_page() -> Iterator[None]:
    """Build pages in here and Gradio makes no app and configuration of all pages so far after each of them.

    Fifteen pages took five seconds so, in which each page's parts were described fifteen times. Mounting
    makes the app that counts.
    """
    from gradio import Blocks
    from gradio.routes import App

    create, configure = App.create_app, Blocks.get_config_file
    App.create_app = staticmethod(lambda *of, **how: None)
    Blocks.get_config_file = lambda self: {}
    try:
        yield
    finally:
        App.create_app, Blocks.get_config_file = staticmethod(create), configure
