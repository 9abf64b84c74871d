"""What the Elo page says where nothing is rated yet: what a tournament is, and how to get one."""

from __future__ import annotations

from studio.components.elo_asked import Asked

NOTHING = """<div class="cai-empty"><h2>No matchups yet</h2>
<p>In a tournament models answer the same held-out prompts, and a judge says which answer of each two is
better: a person, a feedback model under a constitution, or a preference model. Ratings follow from who beats
whom, as in chess. Here they are drawn as the paper draws them: harmlessness against helpfulness, along RL
training.</p><ol>
<li><b>Run one.</b> <code>cai evaluate --models bundled runs/sl-cai runs/rl-cai --prompts red-team:heldout
--judge runs/judge-pm --axis harmless --run runs/tournament</code>; and the same with
<code>--prompts helpful:heldout --axis helpful</code> for the other axis.</li>
<li><b>Bring one along.</b> <code>cai-studio sessions import-run runs/tournament</code>, or
<a href="sessions">the Sessions page</a>: a run made in a terminal comes in with its answers.</li>
<li><b>Vote.</b> Two answers side by side, blind, in the arena: each vote is a matchup.</li>
</ol><p class="cai-muted">A few dozen prompts tell large differences; for small ones it takes hundreds. Each
rating has its interval.</p></div>"""
FILTERED = """<div class="cai-empty"><h2>No matchups match</h2><p>There are matchups in this session, but none
that these filters leave. Widen the days, or choose all judges, both axes and all prompts.</p></div>"""


def empty_html(asked: Asked, rated: int, matchups: int) -> str:
    """The teaching box; empty where something is rated."""
    if rated:
        return ""
    return FILTERED if matchups else NOTHING
