"""What running tools print, as few and small events: the window shows it while it comes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.events import Event, ToolOutput

BETWEEN_SECONDS = 0.1
"""Between two events of one call."""
MOST_CHARS = 4_000
"""Of one event: of what came faster only the end is shown."""
HELD_SECONDS, MOST_HELD = 1.0, 400
"""The beginning of a word is held back this long, and to this length: it may be half of a key."""
_UNFINISHED = re.compile(rf"\S*\w\S{{0,{MOST_HELD}}}\Z")


@dataclass(slots=True)
class _Call:
    text: str = ""
    timer: asyncio.TimerHandle | None = None
    heard_at: float = 0.0


@dataclass(slots=True)
class LiveOutput:
    """Gathers the output of the calls of one turn. Lives on the loop; `scrub` takes out known secrets."""

    conversation_id: int
    turn_id: int
    publish: Callable[[Event], None]
    scrub: Callable[[str], str]
    _calls: dict[str, _Call] = field(default_factory=dict)

    def add(self, call_id: str, text: str) -> None:
        """A piece that a call printed."""
        call = self._calls.setdefault(call_id, _Call())
        call.text = (call.text + text)[-2 * MOST_CHARS :]
        call.heard_at = time.monotonic()
        if call.timer is None:
            self._later(call_id, call)

    def close(self) -> None:
        """The turn is over: what has not been told is in the results."""
        for call in self._calls.values():
            if call.timer is not None:
                call.timer.cancel()
        self._calls.clear()

    def _later(self, call_id: str, call: _Call) -> None:
        call.timer = asyncio.get_running_loop().call_later(BETWEEN_SECONDS, self._tell, call_id, call)

    def _tell(self, call_id: str, call: _Call) -> None:
        call.timer = None
        unfinished = _UNFINISHED.search(call.text)
        ready = len(call.text)
        if unfinished is not None and time.monotonic() - call.heard_at < HELD_SECONDS:
            ready = unfinished.start()
        text, call.text = self.scrub(call.text[:ready]), call.text[ready:]
        if call.text:
            self._later(call_id, call)
        if text:
            if len(text) > MOST_CHARS:
                text = "…" + text[-MOST_CHARS:]
            self.publish(ToolOutput(self.conversation_id, self.turn_id, call_id, text))
