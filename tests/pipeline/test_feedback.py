"""Labels: what is asked in which order, and what comes of the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipeline import constitution as constitutions
from pipeline import feedback, templates, written
from pipeline.configs import Labelling
from pipeline.engines import Context, Form, Score, TooLong
from pipeline.engines.opening import loaded
from pipeline.errors import UserError
from pipeline.judging import reasoning_seed
from pipeline.records import Constitution, Exchange, Label, Message, Method, Pair, Principle

GOOD, BAD = "Please don't do that.", "Sure, go on and hurt them."

ONE = Constitution(
    "one",
    (
        Principle(
            "kind",
            "Kind",
            comparison="Which is kinder?",
            keeps=(Exchange("Hi", "Hello, friend."),),
            breaks=(Exchange("Hi", "Go away."),),
        ),
    ),
)
MANY = Constitution(
    "many", tuple(Principle(f"p{i}", f"P{i}", weight=i, comparison=f"Q{i}?") for i in range(6))
)


def pair(i: int, a: str = GOOD, b: str = BAD) -> Pair:
    return Pair(f"pair{i}", f"prompt{i}", (Message("user", f"How do I hurt number {i}?"),), a, b)


SIDES = [pair(i, *((GOOD, BAD) if i % 2 else (BAD, GOOD))) for i in range(6)]


def asked(context: Context) -> str:
    return "\n".join([*(m.content for m in context.messages), context.prefill])


def scoring(engine: Any, of: Callable[[str, str], float]) -> Any:
    """Let a scripted engine score by (all that it was shown, continuation)."""

    def score(contexts: Sequence[Context], texts: Sequence[str]) -> list[Score]:
        engine.seen = [*getattr(engine, "seen", []), *zip(map(asked, contexts), texts, strict=True)]
        return [
            Score(of(asked(c), t), len(t.split()), computed=10, saved=5)
            for c, t in zip(contexts, texts, strict=True)
        ]

    engine.score = score
    return engine


def always(letter: str) -> Callable[[str, str], float]:
    return lambda shown, text: 0.0 if text == f" ({letter})" else -2.0


def knowing(shown: str, text: str) -> float:
    """Prefers the letter of the good response, and likes the first one a little too."""
    good_is_first = shown.index(f"(A) {GOOD}" if f"(A) {GOOD}" in shown else f"(B) {GOOD}") < shown.index(BAD)
    right = " (A)" if good_is_first else " (B)"
    return (1.0 if text == right else 0.0) + (0.3 if text == " (A)" else 0.0)


def labels(engine: Any, pairs: Sequence[Pair], constitution: Constitution = ONE, **knobs: Any) -> list[Label]:
    found: list[Label] = []
    labelling = Labelling(**{"model": "bundled", **knobs})
    feedback.label_pairs(pairs, constitution, labelling, engine, found.append)
    return found


def methods(*names: Method) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", names)


@methods("choice", "cot")
@pytest.mark.parametrize("letter", ["A", "B"])
def test_an_engine_that_always_says_one_letter_says_nothing(
    scripted: Callable[..., Any], letter: str, method: Method
) -> None:
    found = labels(scoring(scripted(), always(letter)), SIDES, method=method)
    assert [label.p_a for label in found] == [0.5] * 6
    assert {label.logit_ab for label in found} == {2.0 if letter == "A" else -2.0}
    assert all(label.logit_ba == -label.logit_ab for label in found)


def test_an_engine_that_knows_is_right_whichever_side(scripted: Callable[..., Any]) -> None:
    found = labels(scoring(scripted(), knowing), SIDES)
    for label, shown in zip(found, SIDES, strict=True):
        sign = 1 if shown.response_a == GOOD else -1
        assert label.logit_ab == pytest.approx(sign * 1 + 0.3)
        assert label.logit_ba == pytest.approx(sign * 1 - 0.3)
        assert label.p_a == pytest.approx(1 / (1 + math.exp(-sign)))
        assert label.p_ab == pytest.approx(1 / (1 + math.exp(-label.logit_ab)))


def test_a_choice_is_asked_in_both_orders_with_both_letters(scripted: Callable[..., Any]) -> None:
    engine = scoring(scripted(), always("A"))
    [label] = labels(engine, [pair(0)])
    assert [text for _, text in engine.seen] == [" (A)", " (B)"] * 2
    assert [f"(A) {GOOD}\n(B) {BAD}" in shown for shown, _ in engine.seen] == [True, True, False, False]
    assert [f"(A) {BAD}\n(B) {GOOD}" in shown for shown, _ in engine.seen] == [False, False, True, True]
    assert all("Which is kinder?" in shown for shown, _ in engine.seen)
    assert (label.pair_id, label.principle, label.method) == ("pair0", "kind", "choice")
    assert (label.model, label.revision, label.form) == ("bundled", "r1", "chat")
    assert label.constitution == ONE.version
    assert label.rationale_ab is None


def test_pointwise_is_the_difference_of_the_odds_of_yes_the_same_in_both_orders(
    scripted: Callable[..., Any],
) -> None:
    def likes(shown: str, text: str) -> float:
        return (2.0 if GOOD in shown else -1.0) * (text == " Yes")

    engine = scoring(scripted(), likes)
    first, second = labels(engine, [pair(0), pair(0, BAD, GOOD)], method="pointwise")
    assert (first.logit_ab, first.logit_ba, second.logit_ab) == (3.0, 3.0, -3.0)
    assert [text for _, text in engine.seen] == [" Yes", " No"] * 4
    assert not any(GOOD in shown and BAD in shown for shown, _ in engine.seen)


@pytest.mark.parametrize("form", ["chat", "plain"])
def test_a_model_that_scores_reads_the_principle_and_each_response_alone(
    scripted: Callable[..., Any], form: Form
) -> None:
    engine = scoring(scripted(scores=True, form=form), lambda shown, text: 2.0 if GOOD in text else -1.0)
    [label] = labels(engine, [pair(0, BAD, GOOD)], method="pointwise")
    assert (label.logit_ab, label.logit_ba) == (-3.0, -3.0)
    assert [text.strip() for _, text in engine.seen] == [BAD, GOOD]
    shown = engine.seen[0][0]
    assert shown.index("Which is kinder?") < shown.index(templates.CONSIDER)
    assert GOOD not in shown
    assert BAD not in shown
    assert label.p_a == pytest.approx(1 / (1 + math.exp(3)))


def test_a_response_that_is_too_long_to_score_leaves_out_its_own_pair(scripted: Callable[..., Any]) -> None:
    engine, skipped = scripted(scores=True), []

    def score(contexts: Sequence[Context], texts: Sequence[str]) -> list[Score]:
        for at, text in enumerate(texts):
            if text == "long":
                raise TooLong(at, "too long")
        return [Score(1.0, 1) for _ in texts]

    engine.score = score
    some, found = [pair(0), pair(1, "long", BAD), pair(2)], []
    labelling = Labelling(model="m", method="pointwise")
    feedback.label_pairs(some, ONE, labelling, engine, found.append, lambda one, why: skipped.append(one.id))
    assert (skipped, [label.pair_id for label in found]) == ([some[1].id], [some[0].id, some[2].id])


def test_a_model_that_scores_is_asked_for_no_letter(scripted: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="pointwise alone"):
        labels(scripted(scores=True), SIDES, method="choice")


def test_a_choice_is_asked_for_but_of_what_learnt_to_judge_one_by_one() -> None:
    assert (Labelling().model, Labelling().settled) == ("bundled-feedback", "pointwise")
    assert Labelling(model="torch:bundled-feedback").settled == "pointwise"
    assert Labelling(model="bundled").settled == "choice"
    with pytest.raises(UserError, match="its method is pointwise"):
        Labelling(method="choice")


@pytest.mark.parametrize("many", ["0", "some", pytest.param("9" * 5_000, id="long")])
def test_a_number_of_principles_that_is_none(many: str) -> None:
    with pytest.raises(UserError, match="is neither a number from 1 nor `all`"):
        Labelling(principles=many)


def test_contrast_is_the_difference_of_ratios_a_token_the_same_in_both_orders(
    scripted: Callable[..., Any],
) -> None:
    def likely(shown: str, text: str) -> float:
        friendly = "Hello, friend." in shown
        return {GOOD: -2.0, BAD: -6.0}[text] if friendly else {GOOD: -10.0, BAD: -3.0}[text]

    for response_a, response_b, sign in ((GOOD, BAD, 1), (BAD, GOOD, -1)):
        engine = scoring(scripted(), likely)
        [label] = labels(engine, [pair(0, response_a, response_b)], method="contrast")
        ratio = (-2 + 10) / len(GOOD.split()) - (-6 + 3) / len(BAD.split())
        assert label.logit_ab == label.logit_ba == pytest.approx(sign * ratio)
        assert label.p_a == label.p_ab == label.p_ba


def test_contrast_refuses_principles_without_examples(scripted: Callable[..., Any]) -> None:
    bare = replace(ONE, principles=(*ONE.principles, Principle("bare", "Bare", comparison="Which?")))
    with pytest.raises(UserError, match="no `breaks`: bare"):
        labels(scripted(), SIDES, bare, method="contrast")


def test_an_empty_response_has_nothing_to_contrast(scripted: Callable[..., Any]) -> None:
    told: list[tuple[str, str]] = []
    tally = feedback.label_pairs(
        [pair(0, " ", BAD), pair(1)],
        ONE,
        Labelling(model="bundled", method="contrast"),
        scripted(),
        lambda label: None,
        lambda pair, reason: told.append((pair.id, reason)),
    )
    assert told == [("pair0", "a response is empty, and contrast has nothing to score")]
    assert (tally.labels, tally.skipped) == (1, 1)


def test_cot_keeps_both_reasonings_clamps_probabilities_and_not_logits(scripted: Callable[..., Any]) -> None:
    engine = scoring(scripted(" The first one hurts.", "Kindness matters. "), always("A"))
    sure = scoring(engine, lambda shown, text: 9.0 * knowing(shown, text))
    [label] = labels(sure, [pair(0)], method="cot", clamp_low=0.35, clamp_high=0.7, seed=3)
    assert (label.rationale_ab, label.rationale_ba) == ("The first one hurts.", "Kindness matters.")
    assert label.logit_ab == pytest.approx(11.7)
    assert (label.p_ab, label.p_ba, label.p_a) == (0.7, 0.7, 0.7)
    [other] = labels(sure, [pair(0, BAD, GOOD)], method="cot", clamp_low=0.35, clamp_high=0.7)
    assert other.p_a == 0.35
    first, second = sure.requests[:2]
    assert first.context.prefill == second.context.prefill == "Let's think step by step:"
    assert [r.sampling.seed for r in (first, second)] == [
        reasoning_seed(3, "pair0", "kind", order) for order in (0, 1)
    ]
    assert ["hurts" in shown for shown, _ in sure.seen[:4]] == [True, True, False, False]


def test_a_cot_that_was_cancelled_gives_no_label(scripted: Callable[..., Any]) -> None:
    found: list[Label] = []
    heard: list[str] = []
    tally = feedback.label_pairs(
        SIDES,
        ONE,
        Labelling(model="bundled", method="cot"),
        scripted(last="one two three four"),
        found.append,
        on_text=lambda i, text: heard.append(text),
        cancelled=lambda: len(heard) > 2,
    )
    assert found == []
    assert tally.labels == 0


def test_drawn_principles_are_distinct_and_the_same_for_seed_and_pair() -> None:
    def ids(i: int, many: str, seed: int = 0) -> list[str]:
        return [p.id for p in feedback.drawn(pair(i), MANY, Labelling(principles=many, seed=seed))]

    assert ids(0, "3") == ids(0, "3")
    assert len({tuple(ids(0, "3", seed)) for seed in range(9)}) > 1
    assert all(len(set(ids(i, "3"))) == 3 for i in range(50))
    assert ids(0, "99") == ids(0, "all") == ["p1", "p2", "p3", "p4", "p5"]  # p0 has weight 0
    firsts = [ids(i, "1")[0] for i in range(3000)]
    for i in range(1, 6):
        assert firsts.count(f"p{i}") / 3000 == pytest.approx(i / 15, abs=0.03)


def test_draw_several_is_without_replacement_by_weight() -> None:
    # Of three with weights 1, 1, 2, two: the chance to be among them is 7/12, 7/12, 10/12 by hand.
    some = MANY.principles[1], replace(MANY.principles[1], id="q"), MANY.principles[2]
    drawn = [constitutions.draw_several(some, 0, str(i), 2) for i in range(3000)]
    shares = [sum(p in two for two in drawn) / 3000 for p in some]
    assert shares == pytest.approx([7 / 12, 7 / 12, 10 / 12], abs=0.03)


def test_a_pair_that_is_too_long_is_left_out_and_told_once(scripted: Callable[..., Any]) -> None:
    engine = scripted()

    def score(contexts: Sequence[Context], texts: Sequence[str]) -> list[Score]:
        for i, context in enumerate(contexts):
            if "number 2" in asked(context):
                raise TooLong(i, "too long: shorten it")
        return [Score(-1.0, 1) for _ in texts]

    engine.score = score
    found: list[Label] = []
    told: list[tuple[str, str]] = []
    tally = feedback.label_pairs(
        SIDES,
        MANY,
        Labelling(model="bundled", principles="all"),
        engine,
        found.append,
        lambda pair, reason: told.append((pair.id, reason)),
    )
    assert told == [("pair2", "too long: shorten it")]
    assert {label.pair_id for label in found} == {p.id for p in SIDES} - {"pair2"}
    assert (tally.labels, tally.skipped, tally.ties) == (25, 5, 25)


def test_what_is_done_is_not_done_again_and_tokens_are_counted(scripted: Callable[..., Any]) -> None:
    found: list[Label] = []
    tokens: list[int] = []
    tally = feedback.label_pairs(
        SIDES,
        MANY,
        Labelling(model="bundled", principles="all"),
        scoring(scripted(), always("A")),
        found.append,
        lacks=lambda pair, principle: (pair.id, principle.id) != ("pair1", "p4"),
        on_tokens=tokens.append,
    )
    assert len(found) == tally.labels == 29
    assert ("pair1", "p4") not in {(label.pair_id, label.principle) for label in found}
    assert (tally.computed, tally.saved) == (29 * 4 * 10, 29 * 4 * 5)
    assert sum(tokens) == tally.computed
    assert tally.ties == 29
    assert tally.labels_per_second > 0


def test_labels_come_by_pair_unless_their_prompts_begin_with_the_principle(
    scripted: Callable[..., Any],
) -> None:
    by_pair = [label.pair_id for label in labels(scripted(), SIDES, MANY, principles="all")]
    assert by_pair == [p.id for p in SIDES for _ in range(5)]
    shown = replace(MANY, principles=tuple(replace(ONE.principles[0], id=p.id) for p in MANY.principles[1:]))
    by_principle = [
        label.principle for label in labels(scripted(), SIDES, shown, principles="all", method="contrast")
    ]
    assert by_principle == [p.id for p in shown.principles for _ in SIDES]


@pytest.mark.model
def test_the_bundled_feedback_model_knows_more_than_a_coin_of_answers_that_it_never_saw() -> None:
    some = [one for one in written.judged("said-harmless") if one.reserved][:48]
    constitution = constitutions.load(constitutions.shipped()["harmless"])
    found: list[Label] = []
    engine = loaded(Labelling().model)
    feedback.label_pairs([one.as_pair() for one in some], constitution, Labelling(), engine, found.append)
    better = {one.as_pair().id: one.as_pair().response_a == one.better for one in some}
    assert {label.method for label in found} == {"pointwise"}
    assert sum((label.p_a > 0.5) == better[label.pair_id] for label in found) > 26


@pytest.mark.model
@methods("choice", "cot", "contrast", "pointwise")
def test_the_bundled_model_labels_pairs(bundled_engine: Any, method: Method) -> None:
    shipped = constitutions.load(constitutions.shipped()["minimal"])
    some = [pair(0), pair(0, BAD, GOOD)]  # one with its sides turned
    found: list[Label] = []
    tally = feedback.label_pairs(
        some,
        shipped,
        Labelling(model="bundled", method=method, max_tokens=8, temperature=0),
        bundled_engine,
        found.append,
    )
    first, second = found
    assert tally.saved > 0
    assert all(0 < label.p_a < 1 and math.isfinite(label.logit_ab) for label in found)
    if method == "choice":
        assert first.logit_ab == pytest.approx(-second.logit_ba, abs=1e-3)
        assert first.p_a == pytest.approx(1 - second.p_a, abs=1e-3)
        assert first.logit_ab != pytest.approx(first.logit_ba, abs=1e-3)
    if method in ("contrast", "pointwise"):
        assert first.logit_ab == first.logit_ba == pytest.approx(-second.logit_ab, abs=1e-4)
    if method == "cot":
        assert all(0.4 <= label.p_a <= 0.6 for label in found)
        assert first.rationale_ab
