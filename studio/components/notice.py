"""The one-time notice before red-team content.

What a page marks with the class `cai-behind-notice` stays hidden until the person has agreed once;
their browser remembers it.
"""

from __future__ import annotations

import gradio as gr

NOTICE = """<section class="cai-notice" aria-label="Content notice">
<p><b>Red-team content.</b> Chains start from prompts written to draw out harm, and the model's first
answers can be offensive, false or dangerous. They are here to be criticised and revised.</p>
<button type="button" class="cai-button">Show it</button>
</section>"""

# Storage can be shut off in a private window: then the notice comes back, and the page still works.
REMEMBER = """
const agreed = () => { try { return localStorage.getItem("cai-notice") === "read" } catch { return false } };
const reveal = () => { document.body.classList.add("cai-notice-read") };
if (agreed()) reveal();
element.addEventListener("click", (event) => {
  if (!event.target.closest("button")) return;
  try { localStorage.setItem("cai-notice", "read") } catch { /* shown again next time */ }
  reveal();
});
"""


def content_notice() -> None:
    """Put the notice on a page; it takes no room once it was read."""
    gr.HTML(NOTICE, js_on_load=REMEMBER, padding=False, elem_classes="cai-notice-bar")
