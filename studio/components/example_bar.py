"""What says on each page that this is the example, with one click back to the session of before."""

from __future__ import annotations

import gradio as gr

from studio.components.leaving import GO, LEAVE, MOVING, leave_for
from studio.components.problem import told
from studio.context import Studio

SAYS = """<p><b>The example, read-only.</b> A full tour of the bundled model as it went; its
judgments are a language model's, not a person's. Nothing can be started, judged or changed; do that in
<a href="sessions">a session of your own</a>.</p>"""


def example_bar(studio: Studio) -> None:
    """Put the bar on the page; it is seen where the session is the example.

    It is there in any session: a tab that is still open calls the events of the next app by their number.
    """
    before = studio.mover.before
    with gr.Row(visible=studio.store.read_only, elem_classes="cai-example-bar", elem_id="example-bar"):
        gr.HTML(SAYS, padding=False)
        back = gr.Button(
            f"Back to “{before}”",
            visible=bool(before),
            size="sm",
            elem_id="example-back",
            scale=0,
            min_width=160,
        )
    problem, going = gr.HTML(padding=False), gr.Textbox(visible=False)

    def leave() -> list[str]:
        with told() as mistake:
            leave_for(studio, before)
            return ["", MOVING]
        return [mistake.html, ""]

    back.click(leave, None, [problem, going], **LEAVE).then(None, going, js=GO)
