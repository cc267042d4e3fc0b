"""What must be saved before all else is tried until the database takes it; meanwhile the channel says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.channels.channel import ReportHealth
from agent.errors import StorageError

log = logging.getLogger(__name__)

SAVE_AGAIN_SECONDS = 5.0

T = TypeVar("T")


class Patience:
    """For one connection of a channel; `well` reports that it is ready (again)."""

    def __init__(self, label: str, report: ReportHealth, well: Callable[[], None]) -> None:
        self._label = label
        self._report = report
        self._well = well

    async def surely(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that the database does not refuse."""
        failed = False
        while True:
            try:
                result = await work()
            except StorageError as error:
                log.error("a message from %s waits: %s", self._label, error)
                self._report("degraded", f"New messages cannot be saved: {error}")
                failed = True
                await asyncio.sleep(SAVE_AGAIN_SECONDS)
            else:
                if failed:
                    self._well()
                return result
