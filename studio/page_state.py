"""What Gradio holds of each page that is open in a browser."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

from gradio.state_holder import SessionState, StateHolder


class PageStates(StateHolder):  # type: ignore[misc]
    """Gradio's, but without a description of every component of every page in each, and not for ever.

    Gradio makes one for its links that carry a page's whole state, which the studio has none of. For each
    page that was opened it took a fifth of a second of the processor, and that up to four times: once for
    each request that came before the first had made it.
    """

    def __getitem__(self, session: str) -> SessionState:
        with self.lock:
            if session not in self.session_data:
                bare = SimpleNamespace(default_config=self.blocks.default_config, blocks={})
                self.session_data[session] = SessionState(bare)
            # In here: it must not be dropped before it is given.
            self.time_last_used[session] = datetime.now()
        return super().__getitem__(session)

    def delete_all_expired_state(self) -> None:
        """Drop what is held of pages that were closed and not used since for as long as Gradio keeps values.

        Gradio drops the values alone, and looks through all pages that were ever opened each second. One that
        comes back after all begins anew.
        """
        super().delete_all_expired_state()
        now = datetime.now()
        with self.lock:
            for session, state in list(self.session_data.items()):
                kept = timedelta(seconds=state.STATE_TTL_WHEN_CLOSED)
                if state.is_closed and now - self.time_last_used[session] > kept:
                    del self.session_data[session], self.time_last_used[session]
