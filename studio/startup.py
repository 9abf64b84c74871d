"""Half off the time until the studio answers: what Gradio does at its start that nobody needs."""

from __future__ import annotations

import gc
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache, wraps
from importlib.util import find_spec
from typing import Any


def without_matplotlib() -> None:
    """Where it isn't installed, let that be found at once: Gradio looks through all folders at each event."""
    if not find_spec("matplotlib"):
        sys.modules["matplotlib"] = None  # type: ignore[assignment]


def settle() -> None:
    """What can wait until the first page has been shown: the libraries that other pages need, and garbage.

    Python need not look for it before. Most of what was made stays: that is looked through once and then
    left out, as it took a tenth of a second again and again.
    """
    import scipy.sparse
    import scipy.special
    import scipy.stats  # noqa: F401

    gc.collect()
    gc.freeze()
    gc.enable()


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

    with _put(inspect, "getfile", no_file):
        yield


@contextmanager
def without_an_app_for_each_page() -> Iterator[None]:
    """Build pages in here and Gradio makes no app of all pages so far after each of them: mounting does."""
    from gradio.routes import App

    with _put(App, "create_app", staticmethod(lambda *of, **how: None)):
        yield


@contextmanager
def signatures_read_once() -> Iterator[None]:
    """Build and mount in here and Gradio reads the signature of a function once.

    It asks for the one of a component's constructor whenever it makes or describes such a component: two
    thousand times for thirty of them, a third of the building.
    """
    with ExitStack() as stack:
        for module, name in ((inspect, "signature"), (inspect, "getfullargspec"), (typing, "get_type_hints")):
            stack.enter_context(_put(module, name, _once(getattr(module, name))))
        yield


@contextmanager
def _put(of: Any, name: str, what: Any) -> Iterator[None]:
    """Something else in the place of an attribute, for a time."""
    before = vars(of)[name]
    setattr(of, name, what)
    try:
        yield
    finally:
        setattr(of, name, before)


def _once(read: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which keeps what it found; not for what can't be a key."""
    kept = lru_cache(maxsize=None)(read)

    @wraps(read)
    def found(*of: Any, **how: Any) -> Any:
        try:
            hash((of, *how.values()))
        except TypeError:
            return read(*of, **how)
        return kept(*of, **how)

    return found
