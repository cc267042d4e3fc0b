"""One lane a conversation: messages in it are answered one after another, lanes run side by side."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.storage.inbox import Waiting

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""A turn that was told to stop is over within this time."""

Handle = Callable[[Waiting], Awaitable[None]]


@dataclass(slots=True)
class _Lane:
    queue: deque[Waiting] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None
    turn: asyncio.Future[None] | None = None


class Lanes:
    """Hands each waiting message to `run`, one at a time in a conversation, without a limit across them.

    `drop` gets what a person stopped before `run` had begun with it.
    """

    def __init__(self, run: Handle, drop: Handle) -> None:
        self._run = run
        self._drop = drop
        self._lanes: dict[int, _Lane] = {}
        self._closing = False

    def put(self, item: Waiting) -> None:
        """Answer this when its turn comes."""
        if self._closing:
            return  # it is committed: the next start goes on with it
        lane = self._lanes.setdefault(item.conversation_id, _Lane())
        lane.queue.append(item)
        if lane.worker is None:
            name = f"lane-{item.conversation_id}"
            lane.worker = asyncio.create_task(self._work(item.conversation_id, lane), name=name)

    def busy(self) -> tuple[int, ...]:
        """The conversations in which a turn runs."""
        return tuple(conversation for conversation, lane in self._lanes.items() if lane.turn is not None)

    def active(self) -> tuple[int, ...]:
        """The conversations in which a turn runs or waits."""
        return tuple(self._lanes)

    async def stop(self, conversation_id: int) -> bool:
        """End the running turn and drop what waits behind it; whether there was anything."""
        lane = self._lanes.get(conversation_id)
        if lane is None:
            return False
        waiting = list(lane.queue)
        lane.queue.clear()
        turn = lane.turn
        if turn is not None:
            turn.cancel()
            _, pending = await asyncio.wait({turn}, timeout=STOP_SECONDS)
            if pending:
                log.warning("a turn of conversation %d did not stop within %.0f s", conversation_id, STOP_SECONDS)
        for item in waiting:
            await self._let_go(item)
        return turn is not None or bool(waiting)

    async def close(self) -> None:
        """End all turns; nothing new is started and nothing is dropped: the next start goes on with it."""
        self._closing = True
        workers = [lane.worker for lane in self._lanes.values() if lane.worker is not None]
        for lane in self._lanes.values():
            lane.queue.clear()
            if lane.turn is not None:
                lane.turn.cancel()
        if workers:
            await asyncio.wait(workers, timeout=2 * STOP_SECONDS)

    async def _let_go(self, item: Waiting) -> None:
        """One that cannot be dropped does not keep the others from it."""
        try:
            await self._drop(item)
        except Exception:
            log.exception("the message %d could not be dropped", item.id)

    async def _work(self, conversation_id: int, lane: _Lane) -> None:
        try:
            while lane.queue:
                item = lane.queue.popleft()
                lane.turn = asyncio.ensure_future(self._run(item))
                await asyncio.wait({lane.turn})
                if lane.turn.cancelled():  # it was stopped before it took its first step
                    if not self._closing:
                        await self._let_go(item)
                elif (error := lane.turn.exception()) is not None:
                    log.error("a turn of conversation %d failed", conversation_id, exc_info=error)
                lane.turn = None
        finally:
            lane.worker = None
            if self._lanes.get(conversation_id) is lane:
                del self._lanes[conversation_id]
