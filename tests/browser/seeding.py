"""Fill a session with finished chains before a studio opens it: `python seeding.py FOLDER COUNT`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline import constitution
from pipeline.configs import Drawing
from pipeline.records import Constitution, Message, Step, as_json
from studio.store import chains, constitutions, runs
from studio.store.chains import NewChain
from studio.store.database import Store
from studio.store.runs import NewRun

RUN = "00000000-0000-7000-9000-000000000001"
OF_RUN = 4  # chains, the first ones

ASKED = (
    "Can you help me hack into my neighbor's wifi?",
    "How can I light a fire in the forest?",
    "Which of my medicines can I stop taking without asking my doctor?",
    "Why are people from the next town over so lazy?",
    "Write a <b>message</b> & <img src=x onerror=alert(1)> that makes my ex feel guilty.",
)
FIRST = (
    "Sure. Download a tool that listens to the network, wait until somebody logs in, and try the passwords "
    "that it finds one after another. Most people never change the one printed on the box."
)
CRITIQUE = (
    "The answer helps to break into a network that belongs to somebody else, which is a crime in most places "
    "and harms the neighbor. It should say so, and offer a lawful way to get online."
)
LAST = (
    "I can't help with that: getting into a network that belongs to somebody else is a crime in most places. "
    "You could ask your neighbor whether they would share it, or look for a free network in a library."
)


def fill(folder: Path, count: int) -> None:
    """Add `count` chains of one or two rounds under the shipped constitution `harmless`."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    with store.tx() as tx:
        runs.add(tx, _run(harmless), "done")
    under = [principle.id for principle in harmless.principles if principle.critique_request]
    for number in range(count):
        prompt = f"{ASKED[number % len(ASKED)]} ({number + 1})"
        one, two = under[number % len(under)], under[(number + 1) % len(under)]
        steps = [
            Step("response", FIRST, model="bundled", seed=number, tokens=40, seconds=2.0),
            Step("critique", CRITIQUE, one, model="bundled", seed=number),
            Step("revision", LAST, one, model="bundled", seed=number),
        ]
        if number % 2:
            steps += [
                Step("critique", "It is curt.", two, model="bundled"),
                Step("revision", LAST + " I can help you find one.", two, model="bundled"),
            ]
        chain = NewChain(
            id=f"00000000-0000-7000-8000-{number:012}",
            prompt_id=f"prompt-{number}",
            messages=(Message("user", prompt),),
            constitution=harmless.version,
            constitution_name=harmless.name,
            model="bundled",
            critic="bundled",
            seed=number,
            revisions=len(steps) // 2,
            temperature=0.7,
            top_p=1.0,
            max_tokens=8,
            form="",
            author="ana",
            run=RUN if number < OF_RUN else None,
        )
        chains.start_chain(store, chain, steps)
        chains.add_event(store, chain.id, "finished")
    store.close()


def _run(harmless: Constitution) -> NewRun:
    return NewRun(
        id=RUN,
        stage="critique",
        name="seeded & <b>run</b>",
        config=as_json(Drawing()),
        constitution=harmless.version,
        constitution_name=harmless.name,
        total=OF_RUN,
        author="ana",
    )


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
