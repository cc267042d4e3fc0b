"""Hands messages over in order within a channel, those first that came while nobody listened.

Discord has no acknowledgement: what was handed to a program is gone. So the place of the last message that was
committed is kept for each channel, and what came after it is fetched when a new session begins.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.channels.channel import Notes
from agent.channels.patience import Patience
from agent.errors import ChannelError

if TYPE_CHECKING:
    import discord

log = logging.getLogger(__name__)

MOST_MISSED = 1000
"""Messages of one channel that are fetched after a break."""
MOST_DIRECT = 200
"""Direct chats that are looked at after a break, those that wrote last."""
AT_ONCE = 4
AGAIN_SECONDS = 5.0

_DIRECT = "direct"

Take = Callable[["discord.Message"], Awaitable[None]]
"""Returns when the message is committed."""
Matters = Callable[["discord.Message"], Awaitable[bool]]
"""Whether the channel of a message is one where the agent may be needed, and so to be remembered."""
Fetch = Callable[[str, int, int, bool], AsyncIterator["discord.Message"]]
"""The messages of a channel after one, oldest first, up to a number; and whether it is a direct chat."""


@dataclass(slots=True)
class _Lane:
    """`session`: the last one for which it was looked at what was missed. `position`: the last message that was
    committed, `kept` in the notes when somebody the agent knows is there. `broken`: a message could not be handed over,
    so none after it is."""

    session: int = -1
    position: int | None = None
    kept: bool = False
    broken: bool = False
    tail: asyncio.Task[None] | None = None


class DiscordLanes:
    """One for each connection. `failed` gets the error of a defect in handing over; the connection ends then."""

    def __init__(self, notes: Notes, patience: Patience, fetch: Fetch, matters: Matters, take: Take) -> None:
        self._notes = notes
        self._patience = patience
        self._fetch = fetch
        self._matters = matters
        self._take = take
        self._session = 0
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._fetching = asyncio.Semaphore(AT_ONCE)
        self._remembering = asyncio.Lock()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def new_session(self) -> None:
        """Messages may have been missed: look before the next one of each channel, in direct chats at once."""
        self._session += 1
        self.spawn(self._look_at_direct())

    def look(self, chat_id: str, parent_id: str, newest: int, *, direct: bool) -> None:
        """A channel whose newest message is that one: fetch what was missed. A thread has a parent."""
        self.after(chat_id, lambda: self._catch_up(chat_id, parent_id, newest, direct))

    async def expect(self, chat_id: str, position: int) -> None:
        """A direct chat in which somebody may write who never did: look there after that message from now on."""
        if await self._position(chat_id) is None:
            await self._note(chat_id, position)
            await self._patience.surely(lambda: self._remember(chat_id))

    def put(self, message: discord.Message, chat_id: str, parent_id: str, *, direct: bool) -> None:
        """Hand a message over after those before it in its channel."""
        self.after(chat_id, lambda: self._next(message, chat_id, parent_id, direct))

    def after(self, chat_id: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something after all that came before it in its channel."""
        lane = self._lane(chat_id)
        before = lane.tail

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait({before})
            if lane.broken:
                return  # all of them are fetched again
            try:
                await work()
            except BaseException:
                lane.broken = True
                raise

        lane.tail = self.spawn(in_turn())

    async def stop(self) -> None:
        """End what is under way; it is fetched again after the next start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.failed.cancel()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do something that `stop` ends and whose defects end the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _lane(self, chat_id: str) -> _Lane:
        return self._lanes.setdefault(chat_id, _Lane())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def _next(self, message: discord.Message, chat_id: str, parent_id: str, direct: bool) -> None:
        lane = self._lane(chat_id)
        await self._catch_up(chat_id, parent_id, message.id, direct)
        if lane.position is not None and message.id <= lane.position:
            return
        if not lane.kept and await self._matters(message):
            # First of all: a crash after the commit must not leave a channel that nobody looks at again.
            await self._note(chat_id, message.id - 1)
            if direct:
                await self._patience.surely(lambda: self._remember(chat_id))
            lane.kept = True
        await self._commit(lane, message, chat_id)

    async def _commit(self, lane: _Lane, message: discord.Message, chat_id: str) -> None:
        await self._take(message)
        lane.position = message.id
        if lane.kept:
            await self._note(chat_id, message.id)

    async def _note(self, chat_id: str, position: int) -> None:
        await self._patience.surely(lambda: self._notes.set(f"at:{chat_id}", str(position)))

    async def _catch_up(self, chat_id: str, parent_id: str, newest: int, direct: bool) -> None:
        lane, session = self._lane(chat_id), self._session
        if lane.session == session:
            return
        if lane.position is None:
            lane.position = await self._position(chat_id)
            lane.kept = lane.position is not None
        start = lane.position
        if start is None and parent_id:  # a thread that began meanwhile in a channel that is remembered
            start = await self._position(parent_id)
            lane.kept = start is not None
        if start is not None and newest > start:
            for message in await self._missed(chat_id, start, direct):
                await self._commit(lane, message, chat_id)
        lane.session = session

    async def _missed(self, chat_id: str, start: int, direct: bool) -> list[discord.Message]:
        while True:
            try:
                async with self._fetching:
                    found = [message async for message in self._fetch(chat_id, start, MOST_MISSED, direct)]
            except ChannelError as error:
                if not error.retryable:
                    log.info("what was written in a channel of Discord meanwhile cannot be read: %s", error)
                    return []
                await asyncio.sleep(error.retry_after or AGAIN_SECONDS)
            else:
                if len(found) == MOST_MISSED:
                    log.warning("more than %d messages came in a channel of Discord meanwhile", MOST_MISSED)
                return found

    async def _look_at_direct(self) -> None:
        for chat_id in await self._patience.surely(self._direct_chats):
            self.look(chat_id, "", 1 << 63, direct=True)

    async def _position(self, chat_id: str) -> int | None:
        noted = await self._patience.surely(lambda: self._notes.get(f"at:{chat_id}"))
        return int(noted) if noted else None

    async def _direct_chats(self) -> list[str]:
        return [str(one) for one in json.loads(await self._notes.get(_DIRECT) or "[]")]

    async def _remember(self, chat_id: str) -> None:
        async with self._remembering:
            known = [one for one in await self._direct_chats() if one != chat_id]
            await self._notes.set(_DIRECT, json.dumps([*known, chat_id][-MOST_DIRECT:]))
