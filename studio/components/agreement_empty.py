"""What the Agreement page says where there is nothing to compare yet: what is missing, and how to get it."""

from __future__ import annotations

from urllib.parse import urlencode

from studio.components.agreement_asked import Asked
from studio.components.agreement_data import Picture
from studio.escaping import escape
from studio.progress import plural

NO_LABELS = """<div class="cai-empty"><h2>No AI labels yet</h2><ol>
<li><a href="labels">Get pairs</a>: sample two responses to each prompt from a model, or import a file of
human comparisons.</li>
<li>Have a feedback model label them under a constitution.</li>
<li><a href="audit">Judge some pairs yourself</a>, blind. Then this page shows how far the AI agrees with
you, next to rules that need no model, and whether that is enough to train on.</li>
</ol></div>"""


def empty_html(asked: Asked, picture: Picture | None) -> str:
    """The teaching box; empty where there is something to show."""
    if asked.labeller is None or picture is None:
        return NO_LABELS
    if len(picture.every):
        if len(picture.random):
            return ""
        return _only_relabelled(picture.selected) if picture.selected else _none_random(asked)
    audit = escape("audit?" + urlencode({"axis": asked.axis, "labeller": asked.labeller.key}))
    return (
        f'<div class="cai-empty"><h2>Nothing to compare with yet</h2><p>{len(picture.matrix.pairs):,} pairs '
        "are "
        f"labelled, but on the axis “{asked.axis}” there are no {escape(asked.judges.whom)} for any of "
        "them.</p><ol>"
        f'<li><a href="{audit}">Judge pairs by keys</a>: the first figures come with the first judgments, '
        "the gate "
        "looks at 50.</li><li>Or choose other judgments above, or another axis: data sets that were imported "
        "with their "
        "choices are there under their name.</li></ol></div>"
    )


def _only_relabelled(pairs: int) -> str:
    many = plural(pairs, "pair")
    return (
        f'<div class="cai-empty"><h2>No gate for these labels</h2><p>Only the {many} relabelled from triage '
        "can be compared, and they were chosen because another version was wrong on them: figures of those "
        'would mislead. <a href="labels">Label all pairs</a> under this version (“Only what is not labelled '
        "yet” takes these again): the judgments that are there already give it its figures and gate. What "
        "became of the relabelled pairs is under Disagreements of the version before: choose it above.</p>"
        "</div>"
    )


def _none_random(asked: Asked) -> str:
    audit = escape("audit?" + urlencode({"axis": asked.axis, "mode": "random"}))
    return (
        '<div class="cai-empty"><h2>No random share yet</h2><p>All judged pairs were picked for a reason '
        "(uncertain, "
        "disagreement, order), or judged after their AI label was seen: figures of those would mislead. "
        f'<a href="{audit}">Judge pairs from the random queue.</a></p></div>'
    )
