"""The app: the list of pages, the endpoints beside them, and the FastAPI application around. Nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request
from starlette.routing import Mount

from pipeline.errors import UserError
from studio import api
from studio.auth import Accounts, LoginWall
from studio.components.about import about_html
from studio.components.example_bar import example_bar
from studio.components.header import header
from studio.context import Studio
from studio.escaping import escape
from studio.guard import Guard, site
from studio.page_state import PageStates
from studio.pages import (
    agreement,
    arena,
    audit,
    chains,
    chat,
    checkpoints,
    constitution,
    elo,
    glossary,
    labels,
    overview,
    reading,
    runs,
    sessions,
    training,
)
from studio.startup import signatures_read_once, without_an_app_for_each_page
from studio.store.database import SessionReadOnly
from studio.theme import studio_theme

HERE = Path(__file__).parent
WATCHING, ANSWERING = 120, 40
"""Tabs that may watch a text being written at a time, and threads that are left to answer all others: each
that watches holds a thread while it waits for the next words."""


@dataclass(frozen=True)
class Page:
    """One screen, at its path below the root."""

    path: str
    title: str
    build: Callable[[gr.Blocks, Studio], None]


class Pages(gr.Blocks):  # type: ignore[misc]
    """Gradio's app, which tells what a person can mend where no part of a page does.

    Any act may meet the example, or a full disk: on a page it is a toast then, to a script an error.
    """

    def get_config_file(self) -> Any:
        """Describe all pages. Gradio asks after each page and twice as it mounts them: the last one counts.

        By then it has the style sheets. Fifteen pages took five seconds when each was described each time.
        """
        return super().get_config_file() if self.head else {}

    async def process_api(self, *args: Any, **given: Any) -> dict[str, Any]:
        """Run one event. Raises gr.Error, whose message Gradio shows as HTML, for a UserError."""
        try:
            done: dict[str, Any] = await super().process_api(*args, **given)
        except UserError as error:
            title = "Read-only" if isinstance(error, SessionReadOnly) else "Error"
            raise gr.Error(escape(str(error)), title=title, print_exception=False) from error
        return done


PAGES = (
    Page("", "Overview", overview.build),
    Page("constitution", "Constitution", constitution.build),
    Page("chains", "Chains", chains.build),
    Page("runs", "Runs", runs.build),
    Page("reading", "Read", reading.build),
    Page("labels", "Labels", labels.build),
    Page("audit", "Audit", audit.build),
    Page("agreement", "Agreement", agreement.build),
    Page("training", "Training", training.build),
    Page("checkpoints", "Checkpoints", checkpoints.build),
    Page("chat", "Chat", chat.build),
    Page("arena", "Arena", arena.build),
    Page("elo", "Elo", elo.build),
    Page("sessions", "Sessions", sessions.build),
    Page("glossary", "Glossary", glossary.build),
)


def build(
    studio: Studio,
    accounts: Accounts | None = None,
    host: str = "127.0.0.1",
    root_path: str = "",
) -> FastAPI:
    """The whole studio as one ASGI app; with accounts, nobody comes in without logging in.

    `host` is the address it is served on, `root_path` where a proxy publishes it: a path, or the full
    address.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if accounts is not None:
        app.add_middleware(LoginWall, accounts=accounts, secure=root_path.startswith("https:"))
    app.add_middleware(Guard, site=site(host, root_path))  # added last: runs first
    with warnings.catch_warnings():
        # Gradio says at every multi-page mount that it won't render on the server: it was not asked to.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        with signatures_read_once():
            pages = _blocks(studio, logout=accounts is not None)
            _mount(app, pages, root_path, logged_in=accounts is not None)
    gradio: Any = next(route.app for route in app.routes if isinstance(route, Mount))
    gradio.state_holder = PageStates()
    gradio.state_holder.set_blocks(gradio.get_blocks())
    gradio.get_blocks().app = gradio  # Gradio's queue looks for it there
    app.state.gradio = gradio
    return app


def _mount(app: FastAPI, blocks: gr.Blocks, root_path: str, logged_in: bool) -> None:
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        root_path=root_path.rstrip("/") or None,
        # The wall has checked the person already; Gradio only needs the name for `request.username`.
        auth_dependency=_name if logged_in else None,
        theme=studio_theme(),
        head=_head(),
        favicon_path=str(HERE / "favicon.svg"),
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size="64mb",
        allowed_paths=[],
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
    )


def _head() -> str:
    """Our style sheets, as they are: Gradio rewrites what it takes as `css` to reach below its root only."""
    sheets = ("studio", "help", "overview", "audit", "training", "checkpoints", "chat", "arena", "elo")
    return "".join(f"<style>{(HERE / f'{name}.css').read_text('utf-8')}</style>" for name in sheets)


def _blocks(studio: Studio, logout: bool) -> gr.Blocks:
    with without_an_app_for_each_page():
        with Pages(title="CAI Studio", analytics_enabled=False) as blocks:
            # As `launch` sets them, which nobody calls here.
            blocks.max_threads, blocks._queue.max_thread_count = WATCHING + ANSWERING, WATCHING
            _page(blocks, studio, PAGES[0], logout)
            api.build(studio)
        for page in PAGES[1:]:
            with blocks.route(page.title, f"/{page.path}"):
                _page(blocks, studio, page, logout)
    return blocks


def _page(blocks: gr.Blocks, studio: Studio, page: Page, logout: bool) -> None:
    header(blocks, studio, page.path, page.title, logout)
    example_bar(studio)
    if help := about_html(page.path):
        gr.HTML(help, padding=False)
    page.build(blocks, studio)


def _name(request: Request) -> str | None:
    return request.scope.get("user")
