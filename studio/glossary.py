"""The words of the field as this studio uses them, each with its section of Bai et al. (2022)."""

from __future__ import annotations

import re
from dataclasses import dataclass

ARXIV = "https://arxiv.org/abs/2212.08073"


@dataclass(frozen=True)
class Term:
    """A word, what it means in a sentence or two, and its section in the paper; empty: not from there."""

    name: str
    text: str
    section: str = ""

    @property
    def anchor(self) -> str:
        """Its place on the glossary page."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


TERMS = (
    Term(
        "Adapter",
        "Small matrices, trained beside weights that stay as they are (LoRA). A checkpoint that is an "
        "adapter needs its base to answer.",
    ),
    Term(
        "Agreement",
        "How often a feedback model and people prefer the same response, with an interval. It says what AI "
        "labels are worth before anything learns from them.",
        "2",
    ),
    Term(
        "Base",
        "The model that training began from. In Elo it is 0, and the others are measured against it.",
    ),
    Term(
        "Calibration",
        "Whether a probability means what it says: of the pairs at 70%, people should prefer that response "
        "in 70%.",
        "4.1",
    ),
    Term(
        "Chain",
        "One prompt's way through the first stage: a response, then rounds of critique and revision.",
        "3.1",
    ),
    Term(
        "Chain of thought",
        "The feedback model reasons in words before it chooses. Its probabilities are then kept between 40% "
        "and 60%, for they come out far too sure.",
        "4.1",
    ),
    Term("Checkpoint", "Weights as a training run left them, with a card that says what they were made of."),
    Term(
        "Constitution",
        "The list of principles that the model criticises itself by and that the feedback model judges by. "
        "Each saved change of it is a version, named by its content.",
        "1.2",
    ),
    Term(
        "Critic",
        "The model that critiques and revises: in the paper the one that answered, after solved examples. "
        "The bundled model is too small for that and has a critic of its own, taught by the project's "
        "chains: it is shown no solved examples, neither the constitution's nor yours.",
        "3.1",
    ),
    Term("Critique", "What the model finds wrong with its own response, asked for by one principle.", "3.1"),
    Term(
        "DPO",
        "Direct preference optimisation: learns from labelled pairs without a preference model and without "
        "sampling. The paper does not use it.",
    ),
    Term(
        "Elo",
        "A rating on which 400 points are a factor of 10 in the odds of winning a comparison. Only "
        "differences mean anything; the base is 0 here.",
        "3.3",
    ),
    Term(
        "Evasive",
        "Harmless by saying nothing: a refusal without a reason or an offer of help. The paper wants a "
        "model that says why it objects.",
        "4.4",
    ),
    Term("Feedback model", "The model that says which of two responses is better under a principle.", "4.1"),
    Term(
        "Gate",
        "The check before training on AI labels: the lower end of the interval of their agreement with "
        "people must be above a threshold. Who trains without it gives a reason, which stays with the run.",
    ),
    Term(
        "Harmlessness and helpfulness",
        "The two axes that responses are judged on. They pull apart: a model that refuses everything is "
        "harmless, and of no help.",
        "1.2",
    ),
    Term(
        "Head",
        "What turns a preference model's states into a score. Tuning the head alone leaves the model as it "
        "is, and scores the mean of its middle states over the answer: some hundred pairs do, and minutes.",
    ),
    Term(
        "Judge",
        "Whoever compares answers in a tournament: people, a feedback model, or a preference model that "
        "shares no pairs with the one that rewarded.",
    ),
    Term(
        "Kappa",
        "Agreement beyond what chance alone would give: 0 is chance, 1 is always.",
    ),
    Term(
        "KL",
        "How far the policy's answers have moved from the reference's. A penalty on it keeps the policy "
        "from words that only please the reward.",
        "4.1",
    ),
    Term(
        "Label",
        "One judgment of a pair. An AI label is a probability, the mean of both orders; a person's is a "
        "choice.",
        "4.1",
    ),
    Term("Matchup", "A pair whose two responses come from two models, as a tournament judges it.", "3.3"),
    Term(
        "Pair",
        "One prompt with two responses, a and b. Which is a comes from a hash, never from who won.",
        "4.1",
    ),
    Term(
        "Pointwise",
        "Each response is judged alone: is it what the principle chooses? The label is the odds of “Yes” for "
        "one against those for the other. For models too small to compare two texts.",
    ),
    Term("Policy", "The model that answers and is being trained by RL.", "4.1"),
    Term(
        "Preference model",
        "PM: a model that gives a response a score, learnt from labels. In RL its score is the reward.",
        "4.1",
    ),
    Term(
        "Principle",
        "One rule of the constitution: what to criticise, how to revise, and how to choose between two "
        "responses.",
        "3.1",
    ),
    Term("Red-team prompt", "A request made to draw out harm. It is what chains begin with.", "3.2"),
    Term("Reference", "The policy as it was when RL began. KL is measured from it.", "4.1"),
    Term(
        "Revision",
        "The response, written anew to mend what the critique found, or at once, without a critique. SL-CAI "
        "learns the last one of each chain.",
        "3.1",
    ),
    Term(
        "RL-CAI",
        "The model of the second stage: SL-CAI, trained further by reinforcement learning on a reward that "
        "came from AI feedback.",
        "4.1",
    ),
    Term(
        "RLOO and GRPO",
        "How RL learns here. The baseline of an answer is the reward of the other answers to its prompt "
        "(RLOO) or of all of them (GRPO). The paper used PPO.",
    ),
    Term(
        "SL-CAI",
        "The model of the first stage: fine-tuned on revisions, and on helpful answers beside them.",
        "3.2",
    ),
    Term(
        "Snapshot", "A checkpoint taken on the way of RL, so that Elo can be followed over its steps.", "4.3"
    ),
)


BY_NAME = {term.name: term for term in TERMS}
