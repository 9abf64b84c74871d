"""What each page is, why, and the section of the paper behind it: the text of its “About this page”."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A page in three sentences or so. `section` is of Bai et al. (2022); `terms` are in the glossary."""

    what: str
    why: str
    section: str
    terms: tuple[str, ...]


ABOUT: Mapping[str, About] = {
    "": About(
        "The loop as a whole: what this session has of each station, what to do next, the newest runs, and "
        "a tour that goes once round.",
        "To see at a glance what was made of what, and what is still to be made.",
        "1.2, figure 1",
        ("Constitution", "SL-CAI", "RL-CAI", "Elo"),
    ),
    "constitution": About(
        "The principles: edit, weigh and order them, try a draft on a prompt beside the saved version, "
        "compare versions, import and export.",
        "They are all the supervision of harm that the method has. Each chain, label and checkpoint names "
        "the version that it was made under.",
        "3.1 and appendix C",
        ("Constitution", "Principle"),
    ),
    "chains": About(
        "One prompt at a time, live: the model answers, criticises its answer under a drawn principle, and "
        "revises it. Stop it, edit a step, draw it anew, branch.",
        "To see with your own eyes what the principles do to an answer.",
        "3.1",
        ("Chain", "Critic", "Critique", "Revision", "Red-team prompt"),
    ),
    "runs": About(
        "Whatever works in the background, one run at a time on each device: start a batch of chains, stop "
        "it, go on, repeat it with changes, import a run made in a terminal.",
        "A training set needs more chains than anyone watches one by one.",
        "3.1 and 3.2",
        ("Chain", "Constitution"),
    ),
    "reading": About(
        "The finished chains, one after another by keys: accept, reject, note; then export what was "
        "accepted.",
        "A small model often revises badly, and what SL-CAI learns should be worth learning. The paper "
        "trained on all revisions.",
        "3.2",
        ("Revision", "SL-CAI"),
    ),
    "labels": About(
        "Pairs of responses, sampled from a model or imported, and a feedback model's labels of them, by a "
        "method and under a constitution of your choice.",
        "This is the AI feedback: it stands where people's labels of harm would.",
        "4.1",
        ("Pair", "Feedback model", "Label", "Chain of thought"),
    ),
    "audit": About(
        "Your own judgments, blind: two responses, which is better? What the AI thinks, and who wrote what, "
        "is shown after.",
        "AI labels are worth as much as they agree with people, and only judgments made without seeing them "
        "can say.",
        "2",
        ("Label", "Harmlessness and helpfulness", "Gate"),
    ),
    "agreement": About(
        "AI labels beside people's: accuracy, kappa, calibration and biases, each with its n and an "
        "interval; the gate; and what other weights of the principles would have said.",
        "To know before training whether the labels are shown to be worth learning.",
        "2 and 4.1",
        ("Agreement", "Calibration", "Gate"),
    ),
    "training": About(
        "SL-CAI from chains, preference models from labels, RL against a preference model, and DPO; each "
        "with its curves and its answers to the same few prompts as it learns.",
        "Here the principles get into the weights.",
        "3.2, 4.1 and 4.2",
        ("SL-CAI", "Preference model", "RL-CAI", "KL", "RLOO and GRPO"),
    ),
    "checkpoints": About(
        "What training left: each checkpoint with its figures and all that went into it, to export or "
        "delete.",
        "A model can be trusted as far as it can be traced: to its labels, and from them to a version of "
        "the constitution.",
        "4.2",
        ("Checkpoint", "Adapter", "Snapshot"),
    ),
    "chat": About(
        "Talk to any model of the session; retry, edit and undo. A bad answer can start a chain, and two "
        "tries can become a pair.",
        "Figures hide what a model is like. Ask it, and see whether it refuses, evades or explains.",
        "4.4",
        ("Policy", "Evasive", "Preference model"),
    ),
    "arena": About(
        "Two models answer the same prompt, blind and shuffled; you say which answer is better. In the queue "
        "are pairs of a tournament that wait for people.",
        "People's judgments are what all else stands in for. Names come after the vote, so that it is of the "
        "answers.",
        "4.3",
        ("Matchup", "Evasive", "Elo"),
    ),
    "elo": About(
        "Ratings from the matchups of this session, with their intervals, by axis and by judge; where "
        "tournaments are started; what a preference model holds of chains by their number of revisions, and "
        "what models answer to multiple-choice questions.",
        "Harmlessness against helpfulness, along training, is what the method is measured by.",
        "3.4, 3.5 and 4.3, figures 2 to 5, 7 and 9",
        ("Elo", "Matchup", "Judge", "Revision"),
    ),
    "sessions": About(
        "A session is one workspace: its database and its runs. Make, open, rename, back up, export and "
        "import them.",
        "Experiments that must not mix belong in sessions of their own; an export hands one on.",
        "",
        ("Checkpoint",),
    ),
}
