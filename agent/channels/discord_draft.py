"""An answer in Discord that grows: typing, then one message that is edited at a polite rate, then the final text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from agent.channels.channel import Delivered, Outbound
from agent.channels.discord_bot import DiscordBot
from agent.channels.discord_outbound import DiscordSender
from agent.channels.discord_text import preview
from agent.errors import ChannelError

TYPING_SECONDS = 8.0
FIRST_CHARS = 20
FIRST_SECONDS = 0.7
"""The first text is shown when it is that long, or that old."""
EDIT_SECONDS = 1.2
SLOWEST_EDIT_SECONDS = 6.0
_TROUBLE_SECONDS = 3.0
_LONGEST_SECONDS = 3600.0


class DiscordDraft:
    """Implements `agent.channels.channel.Draft`. `bot` gives the connection, or raises ChannelError (network)."""

    def __init__(self, bot: Callable[[], DiscordBot], sender: DiscordSender, chat_id: str) -> None:
        self._bot = bot
        self._sender = sender
        self._chat_id = chat_id
        self._text = ""
        self._shown = ""
        self._message_id: str | None = None
        self._sent: list[str] = []
        self._grown = asyncio.Event()
        self._closing = asyncio.Event()
        self._tasks = [asyncio.create_task(self._type()), asyncio.create_task(self._stream())]

    def update(self, text: str) -> None:
        """See `Draft`."""
        self._text = text
        self._grown.set()

    async def finish(self, message: Outbound) -> Delivered:
        """See `Draft`. After an error it can be called again and goes on where it was."""
        await self._close()
        bot = self._bot()
        parts = await self._sender.parts(message)
        if not parts or not parts[0].text:
            await self.discard()
        elif self._message_id is not None and not self._sent:
            try:
                await bot.edit(self._chat_id, self._message_id, parts[0].text, parts[0].buttons)
                self._sent.append(self._message_id)
            except ChannelError as error:
                if error.kind != "not_found":
                    raise
                self._message_id = None
        await self._sender.send_rest(bot, message, parts, self._sent)
        return Delivered(tuple(self._sent))

    async def discard(self) -> None:
        """See `Draft`."""
        await self._close()
        if self._message_id is not None:
            try:
                await self._bot().delete(self._chat_id, self._message_id)
            except ChannelError:
                return  # it stays in the chat as far as it got
            self._message_id = None

    async def _close(self) -> None:
        """Let what is under way end: a message whose id is not known could not be edited any more."""
        self._closing.set()
        self._grown.set()
        await asyncio.gather(*self._tasks)

    async def _type(self) -> None:
        for _ in range(int(_LONGEST_SECONDS / TYPING_SECONDS)):
            pause = TYPING_SECONDS
            try:
                await self._bot().show_typing(self._chat_id)
            except ChannelError as error:
                if not error.retryable:
                    return
                pause = max(pause, error.retry_after or 0.0)
            if await self._closes_within(pause):
                return

    async def _stream(self) -> None:
        edits = 0
        while await self._something_to_show():
            text = await asyncio.to_thread(preview, self._text)
            began = time.monotonic()
            pause = EDIT_SECONDS
            try:
                if text and text != self._shown:
                    await self._show(text)
                    edits += 1
                # The library sits out a rate limit within the call: one that took long asks for a slower pace.
                slower = max(EDIT_SECONDS + edits / 20, 2 * (time.monotonic() - began))
                pause = min(slower, SLOWEST_EDIT_SECONDS)
            except ChannelError as error:
                if not error.retryable:
                    return
                pause = error.retry_after or _TROUBLE_SECONDS
            if await self._closes_within(pause):
                return

    async def _show(self, text: str) -> None:
        if self._message_id is None:
            self._message_id = await self._bot().send(self._chat_id, text)
        else:
            await self._bot().edit(self._chat_id, self._message_id, text)
        self._shown = text

    async def _something_to_show(self) -> bool:
        """Wait for new text; False when the draft is being closed."""
        await self._grown.wait()
        self._grown.clear()
        if self._message_id is None and len(self._text) < FIRST_CHARS and await self._closes_within(FIRST_SECONDS):
            return False
        return not self._closing.is_set()

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False
