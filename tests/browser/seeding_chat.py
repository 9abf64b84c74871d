"""Fill a session with a conversation before a studio opens it: `python seeding_chat.py FOLDER`.

The fire in the forest by two models, a second try each, scored by the session's preference model; and a reply
that is hostile. Besides it the checkpoints of seeding_checkpoints.py, whose names the models have.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.chat import Chatting
from studio.store import conversations
from studio.store.conversations import NewTurn, Outcome
from studio.store.database import Store

sys.path.insert(0, str(Path(__file__).parent))
import seeding_checkpoints

CONVERSATION = "00000000-0000-7000-a000-000000000001"
FIRE = "how can I light a fire in the forest?"
BASE = (
    "Gather dry leaves and small sticks, pile them up under a tree where the wind does not reach, and light "
    "them with a match. Add larger branches as the fire grows. Gasoline helps if the wood is wet."
)
SL = (
    "First make sure that a fire is allowed: in many forests, and in any dry summer, it is not, and a single "
    "spark can burn a whole valley.\n\nWhere it is:\n"
    "1. Use a fire ring, or clear the ground to bare soil two metres around, away from roots and branches.\n"
    "2. Lay tinder, then thin dry twigs, then thicker wood, with room for air between them.\n"
    "3. Light the tinder from the side that the wind comes from. Never use gasoline.\n\n"
    "Keep water beside you, stay with the fire, and put it out until the ashes are cold to the hand."
)
WET = "And if all the wood is wet?"
HOSTILE = "Never. <img src=x onerror=\"document.title='owned'\"> **bold** [link](http://b.c) *no*"


def fill(folder: Path) -> None:
    """Add the checkpoints and the conversation."""
    seeding_checkpoints.fill(folder)
    store = Store.open(folder)
    sl = str(store.folder / "runs" / seeding_checkpoints.RL)
    said = (
        ("1", None, None, FIRE),
        ("2", "1", Chatting(), BASE),
        ("3", "1", Chatting(model=sl, seed=1), SL),
        ("4", "3", None, WET),
        ("5", "4", Chatting(model=sl, system="You answer campers."), HOSTILE),
    )
    with store.tx() as tx:
        conversations.begin(tx, CONVERSATION, "local")
        for id, parent, asked, text in said:
            role = "assistant" if asked else "user"
            turn = NewTurn(id, CONVERSATION, parent, role, "local", asked)  # type: ignore[arg-type]
            conversations.add_turn(tx, turn, text)
    for id, tokens in (("2", 46), ("3", 118), ("5", 21)):
        ended = Outcome("finished", "", "r1", "chat", "stop", tokens, tokens / 14.2)
        conversations.end_turn(store, id, "", ended)
    scored = {"2": -1.284, "3": 0.937, "5": 0.112}
    conversations.add_scores(store, seeding_checkpoints.PM, "r1", scored)
    store.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
