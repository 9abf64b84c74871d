"""What Gradio holds of each page that is open in a browser."""

from __future__ import annotations

from types import SimpleNamespace

from gradio.state_holder import SessionState, StateHolder


class PageStates(StateHolder):  # type: ignore[misc]
    """Gradio's, but without a description of every component of every page in each.

    Gradio makes one for its links that carry a page's whole state, which the studio has none of. For each
    page that was opened it took a fifth of a second of the processor, and that up to four times: once for
    each request that came before the first had made it.
    """

    def __getitem__(self, session: str) -> SessionState:
        with self.lock:
            if session not in self.session_data:
                bare = SimpleNamespace(default_config=self.blocks.default_config, blocks={})
                self.session_data[session] = SessionState(bare)
        return super().__getitem__(session)
