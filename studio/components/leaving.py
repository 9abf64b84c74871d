"""From a page to another session: what its button does, and how the browser waits for it."""

from __future__ import annotations

from studio.context import Studio
from studio.moving import Move
from studio.store import lock, sessions

# What may end with another page goes without the queue: its stream would be cut, and the browser complain.
LEAVE = {"queue": False, "show_progress": "minimal", "api_visibility": "private"}

# To the page of another session; or, while the studio closes one and opens the next, wait for the new app.
GO = """async (going) => {
  if (!going) return;
  // Once this event is over: a page that leaves in the middle of one complains.
  const leave = (query) => setTimeout(() => location.assign(location.pathname + query), 50);
  if (going !== MOVING) { leave(`?name=${encodeURIComponent(going)}`); return; }
  for (;;) {
    await new Promise((done) => setTimeout(done, 300));
    try {
      const answer = await (await fetch("gradio_api/app_id")).json();
      if (answer.app_id !== window.gradio_config.app_id) break;
    } catch { /* between the two */ }
  }
  leave("");
}"""
# No session can be called this.
MOVING = "→"
GO = GO.replace("MOVING", f'"{MOVING}"')


def leave_for(studio: Studio, name: str) -> None:
    """Have another session opened in the place of this one. Raises UserError where that can't be."""
    home = studio.folder.parent
    sessions.existing(home, name)
    pid = sessions.describe(home, name).pid
    if pid is not None:
        raise lock.busy(name, pid)
    studio.mover.go(Move(name, between=lambda: ""))
