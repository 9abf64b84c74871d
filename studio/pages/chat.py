"""Chat: talk to any model of the session, try again, change what was said, and send what comes of it on.

It has no stage and no command: `cai critique` and `cai pairs` do with many prompts what it is sent on to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from pipeline.chat import Chatting
from pipeline.records import Axis
from studio import chat_sending, forms
from studio.components import chat_list, chat_models, chat_view
from studio.components.chat_models import speakers
from studio.components.chat_view import Knowing
from studio.components.model_panel import model_panel
from studio.components.notice import content_notice
from studio.components.problem import told
from studio.components.training_sources import pm_options
from studio.context import Studio, author
from studio.escaping import escape, exact
from studio.store import conversations, settings
from studio.store.conversations import Conversation

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
STREAM = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
FRAME = 0.05  # seconds between two pictures of a text that streams
FORM = "chat.form"

MAIN = ("max_tokens", "temperature", "top_p", "seed")
ASKED = ("model", "system", *MAIN, "form")

# Gradio's pages have a <base>, so the path must be said. What was typed and not sent outlives a refresh.
LINK = """(id, text) => {
  const query = new URLSearchParams(location.search);
  if (id) query.set("conversation", id); else query.delete("conversation");
  history.replaceState(null, "", query.size ? `${location.pathname}?${query}` : location.pathname);
  sessionStorage.setItem("cai-message", text ?? "");
}"""
KEEP_TYPED = "(text) => { sessionStorage.setItem('cai-message', text); }"
READ_TYPED = "(text) => sessionStorage.getItem('cai-message') ?? text"


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Row(elem_classes="cai-behind-notice cai-columns"):
        with gr.Column(scale=3, min_width=420, elem_classes="cai-talk"):
            current = gr.Textbox(visible=False)
            thread = gr.HTML(js_on_load=chat_view.SCRIPT, padding=False, elem_id="thread")
            reply = gr.HTML(padding=False, elem_id="reply")
            with gr.Column(elem_classes="cai-say"):
                said = gr.HTML(padding=False, elem_id="said")
                message = gr.Textbox(
                    label="Message",
                    placeholder="Enter sends, Shift+Enter begins a new line, Esc stops",
                    lines=1,  # with more, Gradio would take Shift+Enter for itself
                    max_lines=12,
                    elem_id="message",
                    autofocus=True,
                )
                with gr.Row(elem_classes="cai-actions"):
                    send = gr.Button("Send", variant="primary", elem_id="send", min_width=120)
                    stop = gr.Button("Stop", elem_id="stop", min_width=120, interactive=False)
                    undo = gr.Button("Undo", elem_id="undo", min_width=120, interactive=False)
        with gr.Column(scale=1, min_width=300):
            controls = _controls()
            pm = gr.Dropdown(
                [("none", "")],
                value="",
                label="Preference model",
                info="scores each reply; only differences mean something",
                elem_id="pm",
            )
            listed = _list(blocks, studio, current)
            model_panel(blocks, studio)

    inputs, picture = list(controls.values()), [thread, reply, send, stop, undo]

    def say(request: gr.Request, id: str, text: str, pm: str, *values: Any) -> list[Any]:
        with told() as mistake:
            chatting = _chatting(studio, pm, values)
            return [studio.chats.say(id, text or "", chatting, author(request)), "", ""]
        return [gr.skip(), gr.skip(), mistake.html]

    def act(event: gr.EventData, request: gr.Request, pm: str, *values: Any) -> list[Any]:
        asked: Mapping[str, Any] = event._data
        id, turn = str(asked["conversation"]), str(asked["turn"])
        with told() as mistake:
            if asked["action"] == "step":
                studio.chats.step(id, turn)
            elif asked["action"] == "retry":
                studio.chats.retry(id, turn, _chatting(studio, pm, values), author(request))
            else:
                chatting = _chatting(studio, pm, values)
                studio.chats.edit(id, turn, str(asked["text"]), chatting, author(request))
            return [id, ""]
        return [gr.skip(), mistake.html]

    def take_back(id: str, typed: str) -> list[Any]:
        with told() as mistake:
            text = studio.chats.undo(id)
            return [gr.skip() if typed else text, ""]
        return [gr.skip(), mistake.html]

    def send_on(event: gr.EventData, request: gr.Request) -> str:
        return _send_on(studio, event._data, author(request))

    def change_one(event: gr.EventData, request: gr.Request, id: str) -> list[Any]:
        asked: Mapping[str, Any] = event._data
        about = str(asked["conversation"])
        with told() as mistake:
            if asked["action"] == "rename":
                conversations.rename(studio.store, about, str(asked["name"]), author(request))
            else:
                studio.chats.delete(about, author(request))
            gone = asked["action"] == "delete" and about == id
            return ["" if gone else gr.skip(), "", gr.skip()]
        return [gr.skip(), mistake.html, gr.skip()]

    def watch(id: str, pm: str) -> Iterator[list[Any]]:
        yield from _watch(studio, id, pm)

    def score(id: str, pm: str) -> Iterator[list[Any]]:
        yield from _score(studio, id, pm)

    def arrive(request: gr.Request) -> list[Any]:
        id = str(request.query_params.get("conversation", ""))
        return [id, *_remembered(studio, id)]

    def shown(event: Any) -> Any:
        """After what was done: the address, the conversation, and its scores."""
        return (
            event.then(None, [current, message], js=LINK)
            .then(watch, [current, pm], picture, **STREAM)
            .then(score, [current, pm], [thread, said], **STREAM)
        )

    shown(send.click(say, [current, message, pm, *inputs], [current, message, said], **QUIET))
    shown(thread.act(act, [pm, *inputs], [current, said], **QUIET))
    shown(undo.click(take_back, [current, message], [message, said], **QUIET))
    thread.send(send_on, None, said, **QUIET)
    shown(listed.change_one(change_one, current, [current, said, listed], **QUIET))
    stop.click(studio.chats.stop, current, **QUIET)
    pm.input(score, [current, pm], [thread, said], **STREAM)
    message.input(None, message, js=KEEP_TYPED)
    blocks.load(arrive, None, [current, *inputs, pm], **QUIET).then(
        None, message, message, js=READ_TYPED
    ).then(watch, [current, pm], picture, **STREAM).then(score, [current, pm], [thread, said], **STREAM)


def _controls() -> dict[str, Any]:
    """The controls by the name of what they set, in the order of ASKED."""
    model = forms.controls(Chatting, ("model",), {"model": ["bundled"]}, "chat")
    with gr.Accordion("System prompt and sampling", open=False):
        system = gr.Textbox(
            label="System prompt",
            info=Chatting.__dataclass_fields__["system"].metadata["help"],
            lines=2,
            max_lines=8,
            elem_id="chat-system",
        )
        with gr.Row():
            knobs = forms.controls(Chatting, MAIN, {}, "chat")
        form = forms.controls(Chatting, ("form",), {}, "chat")
    return {**model, "system": system, **knobs, **form}


def _list(blocks: gr.Blocks, studio: Studio, current: gr.Textbox) -> gr.HTML:
    """The session's conversations, searched."""
    gr.HTML(
        '<div class="cai-conversations-head"><h2 class="cai-heading">Conversations</h2>'
        '<a class="cai-small" href="chat">New conversation</a></div>',
        padding=False,
    )
    text = gr.Textbox(label="Search", placeholder="in what was said", elem_id="search", max_lines=1)
    rows = gr.State(chat_list.PAGE)
    listed = gr.HTML(js_on_load=chat_list.SCRIPT, padding=False, elem_id="conversations")
    more = gr.Button("Show more", size="sm", visible=False)

    def render(now: str, many: int, id: str, text: str) -> list[Any]:
        fresh, beyond = chat_list.chat_list(studio.store, text, many, id, speakers(studio))
        return [gr.skip(), gr.skip()] if fresh == now else [fresh, gr.update(visible=beyond)]

    inputs = [listed, rows, current, text]
    gr.on(
        [text.change, current.change, gr.Timer(2).tick, blocks.load], render, inputs, [listed, more], **QUIET
    )
    more.click(lambda many: many + chat_list.PAGE, rows, rows, **QUIET).then(
        render, inputs, [listed, more], **QUIET
    )
    return listed


def _chatting(studio: Studio, pm: str, values: Sequence[Any]) -> Chatting:
    """What the controls ask for, kept for the next visit."""
    given = dict(zip(ASKED, values, strict=True))
    chatting = forms.read(Chatting, given)
    settings.put(studio.store, FORM, json.dumps({**given, "pm": pm}))
    return chatting


def _remembered(studio: Studio, id: str) -> list[Any]:
    """The controls as they were last used; in a conversation, as its last reply was asked for."""
    saved: dict[str, Any] = json.loads(settings.get(studio.store, FORM) or "{}")
    there = conversations.load(studio.store, id) if id else None
    last = next((turn.chatting for turn in reversed(there.shown) if turn.chatting), None) if there else None
    if last:
        saved |= {name: getattr(last, name) for name in ASKED if name != "seed"}
        saved["form"] = last.form or ""
    updates = [gr.update(value=saved[name]) if name in saved else gr.update() for name in ASKED]
    updates[0]["choices"] = speakers(studio)
    pms = [("none", ""), *pm_options(studio)]
    known = saved.get("pm") if saved.get("pm") in [value for _, value in pms] else ""
    return [*updates, gr.update(choices=pms, value=known)]


def _watch(studio: Studio, id: str, pm: str) -> Iterator[list[Any]]:
    """Pictures of a conversation until nothing is written in it; each part is sent only when it changed."""
    reply = studio.chats.reply(id)
    there = conversations.load(studio.store, id) if id else None
    if there is None:
        missing = f'<p class="cai-error" role="status">This session has no conversation {escape(id)}.</p>'
        yield [(missing if id else "") + chat_view.thread(None, Knowing()), "", *_can()]
        return
    if reply:
        knowing, moment = _knowing(studio, there, pm), reply.moment()
        yield [
            chat_view.thread(there, knowing, reply.turn.id),
            chat_view.in_progress(reply.turn, moment, knowing),
            *_can(stop=True),
        ]
        while moment.status == "writing":
            moment = reply.moment(moment.serial, timeout=1.0)
            yield [gr.skip(), chat_view.in_progress(reply.turn, moment, knowing), *[gr.skip()] * 3]
            time.sleep(FRAME)
        there = conversations.load(studio.store, id) or there
    yield [chat_view.thread(there, _knowing(studio, there, pm)), "", *_can(undo=bool(there.shown))]


def _score(studio: Studio, id: str, pm: str) -> Iterator[list[Any]]:
    """Score what is on the page and not scored yet, then show it."""
    there = conversations.load(studio.store, id) if id else None
    if there is None or studio.chats.reply(id):
        yield [gr.skip(), gr.skip()]
        return
    if pm and (todo := chat_sending.unscored(studio, there, pm)):
        yield [gr.skip(), '<p class="cai-muted" role="status">The preference model reads…</p>']
        with told() as mistake:
            chat_sending.score(studio, there, pm, todo)
        # Meanwhile somebody may have said more: what is being answered is watched, and scored after that.
        there = conversations.load(studio.store, id)
        if there is None or studio.chats.reply(id):
            yield [gr.skip(), mistake.html]
            return
        yield [chat_view.thread(there, _knowing(studio, there, pm)), mistake.html]
        return
    yield [chat_view.thread(there, _knowing(studio, there, pm)), gr.skip()]


def _knowing(studio: Studio, there: Conversation, pm: str) -> Knowing:
    scores = conversations.scores(studio.store, pm, [turn.id for turn in there.shown]) if pm else {}
    return Knowing(speakers(studio), chat_models.called(pm, pm_options(studio)) if pm else "", scores)


def _send_on(studio: Studio, asked: Mapping[str, Any], who: str) -> str:
    """Send a reply to the chains, or two tries to the audit; says where what came of it is."""
    there = conversations.load(studio.store, str(asked["conversation"]))
    if there is None:
        return ""
    with told() as mistake:
        if asked["to"] == "chains":
            id = chat_sending.to_chains(studio, there, str(asked["turn"]), who)
            link = f'<a href="chains?chain={exact(id)}">Watch the critique</a>'
            return f'<p class="cai-done" role="status">A chain begins with this reply. {link}</p>'
        axis: Axis = "helpful" if asked.get("axis") == "helpful" else "harmless"
        id = chat_sending.to_audit(studio, there, str(asked["turn"]), str(asked["other"]), axis)
        link = f'<a href="audit?pair={exact(id)}&amp;axis={axis}">Judge it</a>'
        return f'<p class="cai-done" role="status">These two tries are a pair of the session. {link}</p>'
    return mistake.html


def _can(stop: bool = False, undo: bool = False) -> list[Any]:
    """The buttons Send, Stop and Undo as they may be pressed now."""
    return [gr.update(interactive=not stop), gr.update(interactive=stop), gr.update(interactive=undo)]
