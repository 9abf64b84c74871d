"""The overview: what the studio is for, the loop, what the session holds, and where to begin."""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.progress import Progress, next_action, plural, progress

LEAD = """<h2 class="cai-title">Constitutional AI, by hand and eye</h2>
<p class="cai-lead">A model answers a prompt written to draw out harm, criticises its own answer in the light
of a principle, and revises it. Here you write the principles, watch every step as it is written, and
correct the model where it is wrong.</p>"""

# (who, name, what): who is a person, a model, or nobody
LOOP = (
    ("person", "Constitution", "The principles you keep, weigh and edit"),
    ("person", "Prompt", "A red-team prompt: a request made to draw out harm"),
    ("model", "Response", "What the model says first"),
    ("model", "Critique", "What is wrong with that, by one principle"),
    ("model", "Revision", "The answer, rewritten to mend it"),
)

FIRST_VISIT = """<section class="cai-empty" aria-labelledby="cai-start">
<h3 id="cai-start">Start here</h3>
<ol>
<li><b>Watch one chain.</b> Pick a prompt and see the response, the critique and the revision as the model
writes them. The bundled model is small and often wrong: good to criticise.</li>
<li><b>Change a principle.</b> Reword what the critiques look for. Each saved change is a version, and each
chain names the version it was made under.</li>
<li><b>Watch again.</b> The same prompt under your words: compare the two.</li>
</ol>
<p class="cai-muted">Chains start from red-team prompts, so that page can show offensive text. It asks once
before it does.</p>
$todo
</section>"""

SECOND = """<p class="cai-muted cai-second"><b>Then the second stage.</b> Two responses to each prompt make a
pair, and a feedback model says under a principle which of them is better: see <a href="labels">Labels</a>.
You judge some of the pairs <a href="audit">blind</a>, and the <a href="agreement">Agreement</a> page says
what the labels are worth before anything is trained on them.</p>"""

METHOD = """<p class="cai-muted cai-foot">The method is that of Bai et al. (2022), “Constitutional AI:
Harmlessness from AI Feedback”, arXiv 2212.08073: the supervised stage of section 3, the AI feedback of
section 4.</p>"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the route."""
    gr.HTML(LEAD + loop_html(), padding=False)

    def render() -> str:
        return now_html(progress(studio.store))

    now = gr.HTML(render(), padding=False)
    gr.HTML(SECOND + METHOD, padding=False)
    # The page is built once for everybody; what it counts is read again at each load.
    blocks.load(render, None, now, queue=False, show_progress="hidden", api_visibility="private")


def loop_html() -> str:
    """The loop as an ordered list, each step marked with who does it by colour, shape and word."""
    steps = "".join(
        f'<li class="cai-node cai-{who}"><b>{name}</b><span>{what}</span>'
        f'<em class="cai-who">{"you" if who == "person" else "the model"}</em></li>'
        for who, name, what in LOOP
    )
    return (
        f'<ol class="cai-loop" aria-label="One chain, step by step">{steps}</ol>'
        '<p class="cai-muted cai-again"><span aria-hidden="true">↻</span> Critique and revision repeat, each '
        "round with another principle.</p>"
    )


def now_html(now: Progress) -> str:
    """What the session holds and what to do next; on the first visit, how to begin."""
    action = next_action(now)
    button = f'<a class="cai-button" href="{action.path}">{action.label}</a>'
    versions = _card(now.versions, "version", "of the constitutions", "constitution", "Edit the principles")
    chains = _card(
        now.chains,
        "chain",
        "of critique and revision",
        "chains",
        "Read them" if now.chains else "Watch the first",
    )
    if now.chains == 0 and now.pairs == 0:
        inside, name = FIRST_VISIT.replace("$todo", button) + versions + chains, "cai-now cai-first"
    else:
        labelled = f"of responses, {now.labelled:,} labelled"
        pairs = _card(now.pairs, "pair", labelled, "labels", "See the labels" if now.pairs else "Get some")
        todo = f'<span class="cai-muted">Next</span><span>{action.why}</span>{button}'
        inside = f'{versions}{chains}{pairs}<div class="cai-card cai-todo">{todo}</div>'
        name = "cai-now"
    return f'<section class="{name}" aria-label="This session">{inside}</section>'


def _card(count: int, noun: str, rest: str, target: str, invite: str) -> str:
    number, _, word = plural(count, noun).partition(" ")
    return (
        f'<a class="cai-card cai-stat" href="{target}"><span class="cai-number">{number}</span>'
        f"<span>{word} {rest}</span>"
        f'<span class="cai-go">{invite} <span aria-hidden="true">→</span></span></a>'
    )
