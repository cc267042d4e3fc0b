"""An answer that is shown while it grows: a sign that something comes, then one message edited at a polite rate.

What a transport does about it is a `Screen`; the draft of a channel adds how the final text takes the message's place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent.channels.open_drafts import OpenDrafts
from agent.errors import ChannelError

FIRST_CHARS = 20
FIRST_SECONDS = 0.7
"""The first text is shown when it is that long, or that old."""
_TROUBLE_SECONDS = 3.0
_LONGEST_SECONDS = 3600.0

P = TypeVar("P")


class Screen(Protocol[P]):
    """A chat, as a growing answer uses it. All methods raise `ChannelError`; `P` is a text ready for the transport."""

    async def preview(self, text: str) -> P | None:
        """What is shown of an answer that has come so far; None for nothing yet."""
        ...

    async def post(self, piece: P) -> str:
        """Send a message; its id."""
        ...

    async def edit(self, message_id: str, piece: P) -> None:
        """Show something else in it."""
        ...

    async def delete(self, message_id: str) -> None:
        """Take it away."""
        ...

    async def sign(self) -> None:
        """Show that an answer is coming."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two edits at first and at last, and between two signs (0: none)."""

    edit: float
    slowest: float
    sign: float


class Growing(Generic[P]):
    """Shows what `update` was given last. `message_id` is the message that shows it, None while there is none.

    `unsure`: the connection broke when it was sent; it may stand there and cannot be edited.
    """

    def __init__(self, screen: Screen[P], chat_id: str, book: OpenDrafts, pace: Pace) -> None:
        self.message_id: str | None = None
        self.unsure = False
        self._screen = screen
        self._chat_id = chat_id
        self._book = book
        self._pace = pace
        self._text = ""
        self._shown: P | None = None
        self._grown = asyncio.Event()
        self._closing = asyncio.Event()
        self._tasks = [asyncio.create_task(self._stream())]
        if pace.sign:
            self._tasks.append(asyncio.create_task(self._show_signs()))

    def update(self, text: str) -> None:
        """The whole text so far."""
        self._text = text
        self._grown.set()

    async def close(self) -> None:
        """Let what is under way end: a message whose id is not known could not be edited any more."""
        self._closing.set()
        self._grown.set()
        await asyncio.gather(*self._tasks)

    async def settle(self, edit: Callable[[str], Awaitable[None]]) -> str | None:
        """Give the message its final text by `edit`, which takes its id; its id, None when there is none (any more).

        Raises what `edit` raises, but for a message that somebody took away; then it can be called again.
        """
        await self.close()
        if self.message_id is None:
            return None
        message_id = self.message_id
        try:
            await edit(message_id)
        except ChannelError as error:
            if error.kind != "not_found":
                raise
            self.message_id = None
        await self._book.closed(message_id)
        return self.message_id

    async def discard(self) -> None:
        """Take the message away; it stays as far as it got where that does not work."""
        await self.close()
        if self.message_id is None:
            return
        try:
            await self._screen.delete(self.message_id)
        except ChannelError:
            return
        finally:
            await self._book.closed(self.message_id)
        self.message_id = None

    async def _show_signs(self) -> None:
        for _ in range(int(_LONGEST_SECONDS / self._pace.sign)):
            pause = self._pace.sign
            try:
                await self._screen.sign()
            except ChannelError as error:
                if not error.retryable:
                    return
                pause = max(pause, error.retry_after or 0.0)
            if await self._closes_within(pause):
                return

    async def _stream(self) -> None:
        edits = 0
        while await self._something_to_show():
            piece = await self._screen.preview(self._text)
            began = time.monotonic()
            try:
                if piece is not None and piece != self._shown:
                    await self._show(piece)
                    edits += 1
                # Some libraries sit out a rate limit within the call: one that took long asks for a slower pace.
                slower = max(self._pace.edit + edits / 20, 2 * (time.monotonic() - began))
                pause = min(slower, self._pace.slowest)
            except ChannelError as error:
                if self.message_id is None and error.uncertain:
                    self.unsure = True
                    return
                if not error.retryable:
                    return
                pause = error.retry_after or _TROUBLE_SECONDS
            if await self._closes_within(pause):
                return

    async def _show(self, piece: P) -> None:
        if self.message_id is None:
            self.message_id = await self._screen.post(piece)
            await self._book.opened(self._chat_id, self.message_id)
        else:
            await self._screen.edit(self.message_id, piece)
        self._shown = piece

    async def _something_to_show(self) -> bool:
        """Wait for new text; False when the draft is being closed."""
        await self._grown.wait()
        self._grown.clear()
        if self.message_id is None and len(self._text) < FIRST_CHARS and await self._closes_within(FIRST_SECONDS):
            return False
        return not self._closing.is_set()

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False
