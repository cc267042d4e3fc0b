"""Messages that show growing answers, remembered until they are finished: what a crash leaves is taken away again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from agent.channels.channel import Notes
from agent.errors import ChannelError, StorageError

log = logging.getLogger(__name__)

_KEY = "drafts"
_MOST_AT_ONCE = 4


class OpenDrafts:
    """Of one channel. A draft that could not be noted is shown all the same; only a crash would leave it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._open: dict[str, str] = {}
        self._writing = asyncio.Lock()

    async def opened(self, chat_id: str, message_id: str) -> None:
        """A message was sent that will be edited or taken away."""
        self._open[message_id] = chat_id
        await self._write()

    async def closed(self, message_id: str | None) -> None:
        """It has its final text, or is gone."""
        if message_id is not None and self._open.pop(message_id, None) is not None:
            await self._write()

    async def sweep(self, delete: Callable[[str, str], Awaitable[None]]) -> None:
        """At a start: `delete` (chat, message) what an earlier process left."""
        try:
            left: dict[str, str] = json.loads(await self._notes.get(_KEY) or "{}")
        except StorageError as error:
            log.info("open drafts cannot be read: %s", error)
            return
        gate = asyncio.Semaphore(_MOST_AT_ONCE)

        async def take_away(message_id: str, chat_id: str) -> None:
            async with gate:
                try:
                    await delete(chat_id, message_id)
                except ChannelError as error:
                    log.info("a draft from before could not be taken away: %s", error)

        await asyncio.gather(*(take_away(*one) for one in left.items() if one[0] not in self._open))
        if left:
            await self._write()

    async def _write(self) -> None:
        try:
            async with self._writing:
                await self._notes.set(_KEY, json.dumps(self._open))
        except StorageError as error:
            log.info("open drafts cannot be noted: %s", error)
