"""The text of one request, piece by piece: what is shown of it, and what holds where it is begun again."""

from __future__ import annotations

from pipeline.engines.server.stream import Written


def test_a_character_whose_halves_come_in_two_events_is_one() -> None:
    written = Written(())
    assert [written.take(piece) for piece in ("hi \ud83c", "\udf0d", "!")] == ["hi ", "🌍", "!"]
    assert (written.text, written.tokens) == ("hi 🌍!", 3)


def test_half_a_character_that_nothing_follows_is_marked() -> None:
    written = Written(())
    assert [written.take("hi \ud83c"), written.end("stop")] == ["hi ", "\ufffd"]
    assert Written(()).take("\udf0d") == "\ufffd"


def test_a_stop_in_a_second_try_keeps_the_longer_text_whole() -> None:
    written = Written(())
    written.take("Gather dry wood.")
    written.again()
    written.take("Ask")
    assert written.so_far() == ("Gather dry wood.", 1)
    written.take(" a ranger first.")
    assert written.so_far() == ("Ask a ranger first.", 2)
