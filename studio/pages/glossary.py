"""The glossary: each word in a sentence or two, with its section of the paper."""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.glossary import ARXIV, TERMS, Term

LEAD = f"""<h2 class="cai-title">Glossary</h2>
<p class="cai-lead">The words of the field as this studio uses them. The sections are those of Bai et al.
(2022), “Constitutional AI: Harmlessness from AI Feedback”, <a href="{ARXIV}">arXiv 2212.08073</a>.</p>"""
# The page is drawn after it is loaded: by then the browser has looked for the address's word in vain.
FIND = """
const find = () => {
  for (const entry of element.querySelectorAll("[aria-current]")) entry.removeAttribute("aria-current");
  const found = location.hash && element.querySelector(`[id="${CSS.escape(location.hash.slice(1))}"]`);
  if (!found) return;
  found.setAttribute("aria-current", "true");
  found.scrollIntoView({block: "center"});
};
find();
addEventListener("hashchange", find);
"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    gr.HTML(LEAD + glossary_html(), js_on_load=FIND, padding=False, elem_id="glossary")


def glossary_html() -> str:
    """All terms, by the alphabet, each with a place of its own."""
    return f'<dl class="cai-glossary">{"".join(map(_entry, TERMS))}</dl>'


def _entry(term: Term) -> str:
    section = f' <span class="cai-muted">section {term.section}</span>' if term.section else ""
    return f'<div id="{term.anchor}"><dt>{term.name}{section}</dt><dd>{term.text}</dd></div>'
