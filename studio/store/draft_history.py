"""How the drafts of a name grew: where undo and redo lead from here."""

from __future__ import annotations

from collections.abc import Iterable


class History:
    """The tree of states of a draft, read off its rows: seq, undo_to, whether the body is NULL.

    A state is named by the seq of the row that first had it, 0 being the saved version before all
    edits. An edit grows from the state that was current just before it.
    """

    def __init__(self, rows: Iterable[tuple[int, int | None, bool]], has_version: bool) -> None:
        grown_from: dict[int, int] = {}
        empty, state = {0}, 0
        for seq, undo_to, is_empty in rows:
            if undo_to is not None:
                state = undo_to
                continue
            if is_empty:
                empty.add(seq)
            else:
                grown_from[seq] = state
            state = seq
        self.live = state not in empty
        self.below = grown_from.get(state, 0)
        self.above = max((seq for seq, base in grown_from.items() if base == state), default=None)
        self.can_redo = self.above is not None
        self.can_undo = self.live and (self.below not in empty or has_version)
