"""The header of every page: the product, the session, the loop as a stepper, the next useful action."""

from __future__ import annotations

import json

import gradio as gr

from studio.context import Studio
from studio.escaping import escape
from studio.progress import Progress, next_action, plural, progress

REFRESH = 4.0  # seconds; another tab, or this page, may have added a chain

LOGO = (
    '<svg class="cai-logo" viewBox="0 0 32 32" aria-hidden="true">'
    '<path d="M23 9.5A9.5 9.5 0 1 0 25.5 16" fill="none" stroke="currentColor" stroke-width="3.2" '
    'stroke-linecap="round"/><path d="M20.2 11.2h5.4V5.8" fill="none" stroke="currentColor" '
    'stroke-width="3.2" stroke-linecap="round" stroke-linejoin="round"/>'
    '<rect class="cai-logo-core" x="12.5" y="12.5" width="7" height="7" rx="1" '
    'transform="rotate(45 16 16)"/></svg>'
)


# Another tab may have opened another session: what this one shows is then of a session that is closed.
RELOAD = """
new MutationObserver(() => {
  const serial = element.querySelector(".cai-session")?.dataset.serial;
  if (serial !== undefined && serial !== "SERIAL") location.replace(location.pathname);
}).observe(element, {childList: true, subtree: true, attributes: true});
"""


def header(blocks: gr.Blocks, studio: Studio, path: str, title: str, logout: bool) -> None:
    """Put the header on the page at `path`, keep its counts fresh, and title the browser's tab."""

    def render(request: gr.Request | None = None) -> str:
        user = request.username if request is not None and logout else None
        now, example = progress(studio.store), studio.store.read_only
        return header_html(studio.session, path, title, now, user, studio.mover.serial, example)

    def refresh(shown: str, request: gr.Request) -> object:
        fresh = render(request)
        return gr.skip() if fresh == shown else fresh

    tab = json.dumps(f"{title} · {studio.session} · CAI Studio")
    bar = gr.HTML(
        render(),
        js_on_load=f"document.title = {tab};{RELOAD.replace('SERIAL', str(studio.mover.serial))}",
        padding=False,
        elem_classes="cai-bar",
    )
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    quiet |= {"preprocess": False, "postprocess": False}  # HTML comes and goes as it is, without more threads
    # The page is built once, so what it first shows may be old: the load event brings it up to date.
    blocks.load(refresh, bar, bar, **quiet)
    gr.Timer(REFRESH).tick(refresh, bar, bar, **quiet)


def header_html(
    session: str,
    path: str,
    title: str,
    now: Progress,
    user: str | None = None,
    serial: int = 0,
    example: bool = False,
) -> str:
    """The header as HTML, with the page's `h1` for who reads by headings: the stepper shows it already.

    Links are relative to the page's `<base>`, so they hold under any root path. In the example nothing is to
    be done next.
    """
    action = None if example else next_action(now)
    steps = _step("constitution", "Constitution", plural(now.versions, "version"), path)
    steps += _step("chains", "Chains", plural(now.chains, "chain"), path)
    steps += _step("runs", "Runs", plural(now.runs, "run"), path)
    steps += _step("reading", "Read", f"{now.judged:,} of {now.finished:,} judged", path)
    steps += _step("labels", "Labels", f"{now.labelled:,} of {plural(now.pairs, 'pair')}", path)
    steps += _step("audit", "Audit", f"{now.audited:,} judged", path)
    steps += _step("agreement", "Agreement", "", path)
    steps += _step("training", "Training", f"{now.trained:,} trained" if now.trained else "", path)
    steps += _step("checkpoints", "Checkpoints", "", path)
    steps += _step("chat", "Chat", "", path)
    steps += _step("arena", "Arena", "", path)
    steps += _step("elo", "Elo", "", path)
    here = ' aria-current="page"' if path == "" else ""
    at_glossary = ' aria-current="page"' if path == "glossary" else ""
    at_sessions = ' aria-current="page"' if path == "sessions" else ""
    following = ""
    if action:
        following = (
            f'<a class="cai-next" href="{action.path}" title="{escape(action.why)}"><span class="cai-muted">'
            f'Next</span> {escape(action.label)} <span aria-hidden="true">→</span></a>'
        )
    leave = ""
    if user is not None:
        leave = (
            f'<form class="cai-user" method="post" action="logout"><span>{escape(user)}</span>'
            '<button class="cai-link">Log out</button></form>'
        )
    return f"""<header class="cai-header">
<h1 class="cai-unseen">{escape(title)}</h1>
<a class="cai-brand" href="./"{here}>{LOGO}<span>CAI Studio</span></a>
<a class="cai-session" href="sessions" data-serial="{serial}"{at_sessions} title="All sessions">\
<span class="cai-muted">session</span> <b>{escape(session)}</b></a>
<a class="cai-words" href="glossary"{at_glossary}>Glossary</a>
{following}{leave}
<nav class="cai-nav" aria-label="The loop"><ol class="cai-stepper">{steps}</ol></nav>
</header>"""


def _step(target: str, title: str, count: str, path: str) -> str:
    here = ' aria-current="page"' if target == path else ""
    told = f' <span class="cai-count">{count}</span>' if count else ""
    return f'<li><a href="{target}"{here}><b>{title}</b>{told}</a></li>'
