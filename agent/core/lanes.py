"""One lane a conversation: messages in it are answered one after another, lanes run side by side.

What a message does that comes while another is worked on, its queue mode says: it waits (`queue`), is given to the
model at the next step (`steer`), is answered together with the others that wait (`collect`), or ends what is worked on
(`interrupt`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from agent.providers.types import Message
from agent.storage.inbox import Waiting

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""A turn that was told to stop is over within this time."""
FLOOD = 5
"""So many waiting messages of one person who is no owner are answered together, whatever the mode."""

Handle = Callable[[Waiting], Awaitable[None]]


@dataclass(slots=True)
class _Lane:
    queue: deque[Waiting] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None
    turn: asyncio.Future[None] | None = None
    item: Waiting | None = None
    """What `turn` works on."""
    reworded: bool = False
    """`turn` was ended because its person asks otherwise."""


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
        """Answer this when its turn comes, or as its queue mode says."""
        if self._closing:
            return  # it is committed: the next start goes on with it
        lane = self._lanes.setdefault(item.conversation_id, _Lane())
        lane.queue.append(item)
        if item.queue == "interrupt" and lane.turn and lane.item and _may_interrupt(item, lane.item):
            lane.turn.cancel()
        if lane.worker is None:
            name = f"lane-{item.conversation_id}"
            lane.worker = asyncio.create_task(self._work(item.conversation_id, lane), name=name)

    def join(self, item: Waiting, *, begun: bool) -> list[Waiting]:
        """What is to be answered together with `item`, whose turn runs; it leaves the lane.

        Before the turn's first step (`begun` False) what was collected or flooded in, later what steers. Only messages
        of the same person: nobody's wish is carried out with the rights of somebody else.
        """
        lane = self._lanes.get(item.conversation_id)
        found: list[Waiting] = []
        while lane is not None and lane.queue:
            following = list(itertools.takewhile(partial(_same_person, item), lane.queue))
            flood = not begun and len(following) >= FLOOD and item.sender_role != "owner"
            if flood:
                found += [lane.queue.popleft() for _ in following]
            elif following and following[0].queue == ("steer" if begun else "collect"):
                found.append(lane.queue.popleft())
            else:
                break
        return found

    def reword(self, inbox_id: int, conversation_id: int, message: Message) -> None:
        """A message that waits was edited."""
        lane = self._lanes.get(conversation_id)
        for position, item in enumerate(lane.queue if lane else ()):
            if lane is not None and item.id == inbox_id:
                lane.queue[position] = replace(item, message=message)

    def withdraw(self, inbox_id: int, conversation_id: int) -> Waiting | None:
        """Take a message that waits out of its lane; None when it does not wait there."""
        lane = self._lanes.get(conversation_id)
        item = next((one for one in lane.queue if one.id == inbox_id), None) if lane else None
        if lane is not None and item is not None:
            lane.queue.remove(item)
        return item

    async def interrupt(self, conversation_id: int, inbox_id: int) -> None:
        """End the turn on this message, if it runs, because it was edited; what waits behind it goes on."""
        lane = self._lanes.get(conversation_id)
        if lane is None or lane.turn is None or lane.item is None or lane.item.id != inbox_id:
            return
        lane.reworded = True
        lane.turn.cancel()
        await asyncio.wait({lane.turn}, timeout=STOP_SECONDS)

    def is_reworded(self, item: Waiting) -> bool:
        """Whether the turn on this message was ended by `interrupt`."""
        lane = self._lanes.get(item.conversation_id)
        return lane is not None and lane.reworded and lane.item is not None and lane.item.id == item.id

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
                item = lane.item = lane.queue.popleft()
                lane.turn = asyncio.ensure_future(self._run(item))
                await asyncio.wait({lane.turn})
                if lane.turn.cancelled():  # it was stopped before it took its first step
                    if not self._closing:
                        await self._let_go(item)
                elif (error := lane.turn.exception()) is not None:
                    log.error("a turn of conversation %d failed", conversation_id, exc_info=error)
                lane.turn = lane.item = None
                lane.reworded = False
        finally:
            lane.worker = None
            if self._lanes.get(conversation_id) is lane:
                del self._lanes[conversation_id]


def _same_person(one: Waiting, other: Waiting) -> bool:
    return (one.sender_id, one.sender_role, one.model) == (other.sender_id, other.sender_role, other.model)


def _may_interrupt(new: Waiting, running: Waiting) -> bool:
    return new.sender_role == "owner" or _same_person(new, running)
