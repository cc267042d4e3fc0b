"""Notices that config.toml was changed by somebody else: another terminal, an editor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.errors import ConfigError

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

State = tuple[int, int, int] | None


class FileWatch:
    """Calls `changed` when the file is another one than it was. Looking costs one `stat` every two seconds."""

    def __init__(self, path: Path, changed: Callable[[], Awaitable[object]]) -> None:
        self._path = path
        self._changed = changed
        self._known = self._state()

    def accept(self) -> None:
        """The file as it is now is known: this process wrote it."""
        self._known = self._state()

    async def run(self) -> None:
        """Look until cancelled. A mistake in the file is logged, once, and the settings stay as they were."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            state = await asyncio.to_thread(self._state)
            if state == self._known:
                continue
            self._known = state
            try:
                await self._changed()
            except ConfigError as error:
                log.warning("the settings were changed and cannot be used: %s", error)

    def _state(self) -> State:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
