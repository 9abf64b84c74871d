"""One finished chain, to judge: what was asked, what was answered first, what the revision made of it.

All text from models and people is escaped here.
"""

from __future__ import annotations

from urllib.parse import urlencode

from studio.components import chain_view
from studio.components.chain_view import Principles, plain, revised, step, turn, verdict_chip
from studio.escaping import escape, exact
from studio.progress import plural
from studio.store.chains import StoredChain
from studio.store.reading import Queue
from studio.store.verdicts import Verdict

NONE_YET = """<div class="cai-empty"><h2>Nothing to read yet</h2><ol>
<li>Draw a few chains: <a href="chains">run one here</a>, or <code>cai critique</code> for a file of
prompts.</li>
<li>Come back: each finished chain is shown here by itself, its prompt, its first answer, and what the last
revision changed.</li>
<li>Press <kbd>a</kbd> to accept it for training or <kbd>r</kbd> to reject it, and the next one comes.
What you accept is what the model learns from.</li>
</ol></div>"""
NO_MATCH = """<div class="cai-empty"><h2>No chain matches</h2>
<p>Widen the search or the filters above.</p></div>"""


def chain_html(
    chain: StoredChain, verdict: Verdict, principles: Principles, queue: Queue, query: dict[str, str]
) -> str:
    """The chain, large and calm. `query` is the page's address with this chain and the filters."""
    first, last = chain.steps[0], chain.steps[-1]
    done = chain.steps
    parts = [turn(message) for message in chain.messages]
    if len(done) == 1:
        parts.append(step(0, done, principles))
    else:
        parts.append(_part(first.author, "First response", plain(first.text)))
        parts.append(_fold(chain, principles))
        rounds = f"Final revision, after {plural(sum(s.kind == 'revision' for s in done), 'round')}"
        parts.append(_part(last.author, rounds, revised(first.text, last.text), "cai-revision"))
    facts = f'<div class="cai-facts">{_facts(chain, verdict, queue)}</div>'
    return (
        f'<article class="cai-reading" data-chain="{exact(chain.id)}" {_address(query)}>'
        f"{facts}{''.join(parts)}{_note(verdict)}</article>"
    )


def nothing_html(queue: Queue, query: dict[str, str], filtered: bool) -> str:
    """What to say where there is no chain to show: none yet, none that matches, or all judged."""
    if not queue.entries:
        inside = NO_MATCH if filtered else NONE_YET
    elif queue.verdict == "none":
        inside = (
            f'<div class="cai-empty"><h2>{plural(len(queue.entries), "chain")}, and all judged</h2>'
            f"<p>{queue.count('accepted'):,} accepted, {queue.count('rejected'):,} rejected. Export the "
            "accepted below, or set the verdict filter to look at them again.</p></div>"
        )
    else:
        inside = NO_MATCH
    return f'<article class="cai-reading" data-chain="" {_address(query)}>{inside}</article>'


def figures_html(queue: Queue, filtered: bool) -> str:
    """How far the reading has come, of all chains or of those that the filters let through."""
    total, judged, accepted = len(queue.entries), queue.judged, queue.count("accepted")
    if not total:
        return ""
    share = f": {accepted / judged:.0%} accepted" if judged else ""
    which = "that match judged" if filtered else "judged"
    counts = f"{accepted:,} accepted, {queue.count('rejected'):,} rejected{share}"
    return (
        f'<div class="cai-figures"><span><b>{judged:,}</b> of <b>{total:,}</b> {which}</span>'
        f'<progress max="{total}" value="{judged}" aria-label="Chains judged"></progress>'
        f'<span class="cai-muted">{counts}</span></div>'
    )


def _address(query: dict[str, str]) -> str:
    return f'data-query="{exact(urlencode(query))}"'


def _facts(chain: StoredChain, verdict: Verdict, queue: Queue) -> str:
    at = queue.position(chain.id)
    place = f"<b>{at:,}</b> of {len(queue.shown):,}" if at else "outside the filters"
    by = f" by {escape(verdict.author)}" if verdict.verdict != "none" else ""
    facts = [
        place,
        verdict_chip(verdict.verdict) + by,
        f"model <b>{escape(chain.model)}</b>",
        f"constitution <b>{escape(chain.constitution_name)}</b> {escape(chain.constitution[:8])}",
        f'<a href="chains?chain={exact(chain.id)}">All its steps and branches</a>',
    ]
    return "".join(f"<span>{fact}</span>" for fact in facts)


def _part(who: str, label: str, body: str, kind: str = "") -> str:
    return f'<section class="cai-step cai-{who} {kind}"><div class="cai-label">{label}</div>{body}</section>'


def _fold(chain: StoredChain, principles: Principles) -> str:
    done = chain.steps
    middle = range(1, len(done) - 1) if done[-1].kind == "revision" else range(1, len(done))
    critiques = [done[at] for at in middle if done[at].kind == "critique"]
    ids = dict.fromkeys(step.principle or "" for step in critiques or done[1:])
    under = [principles[id].title if id in principles else id for id in ids]
    titles = " ".join(f'<span class="cai-chip">§ {escape(title)}</span>' for title in under)
    name = "Critique" if len(critiques) == 1 else f"{len(critiques)} critiques"
    if not critiques:
        name = "Revised without a critique"
    inside = "".join(chain_view.step(at, done, principles) for at in middle)
    if not inside:
        return f'<p class="cai-fold cai-muted">{name} under {titles}</p>'
    return f'<details class="cai-fold"><summary>{name} under {titles}</summary>{inside}</details>'


def _note(verdict: Verdict) -> str:
    return (
        '<label class="cai-note-line"><span>Note</span>'
        f'<input class="cai-note-input" value="{exact(verdict.note)}" maxlength="2000" '
        'autocomplete="off" placeholder="why, for whoever reads this later; Enter keeps it"></label>'
    )
