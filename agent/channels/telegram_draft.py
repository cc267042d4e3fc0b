"""An answer in Telegram that grows: typing, then one message that is edited at a polite rate, then the final text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.channels.channel import Delivered, Outbound
from agent.channels.telegram_bot import TelegramBot
from agent.channels.telegram_text import Piece, message_pieces, preview, with_note
from agent.errors import ChannelError

TYPING_SECONDS = 4.5
FIRST_CHARS = 20
FIRST_SECONDS = 0.7
"""The first text is shown when it is that long, or that old."""
EDIT_SECONDS = 1.0
SLOWEST_EDIT_SECONDS = 4.0
_TROUBLE_SECONDS = 3.0
_LONGEST_SECONDS = 3600.0


class TelegramDraft:
    """Implements `agent.channels.channel.Draft`. `bot` gives the connection, or raises ChannelError (network)."""

    def __init__(self, bot: Callable[[], TelegramBot], chat_id: str) -> None:
        self._bot = bot
        self._chat_id = chat_id
        self._text = ""
        self._shown = Piece("", "")
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
        parts = await asyncio.to_thread(message_pieces, message.text)
        if not parts:
            await self.discard()
        elif self._message_id is not None and not self._sent:
            try:
                await bot.edit(self._chat_id, self._message_id, parts[0])
                self._sent.append(self._message_id)
            except ChannelError as error:
                if error.kind != "not_found":
                    raise
                self._message_id = None
        await send_rest(bot, self._chat_id, parts, self._sent, message.note)
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
        """Let what is under way end: a message whose number is not known could not be edited any more."""
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
            piece = await asyncio.to_thread(preview, self._text)
            pause = min(EDIT_SECONDS + edits / 20, SLOWEST_EDIT_SECONDS)
            try:
                if piece.plain and piece != self._shown:
                    await self._show(piece)
                    edits += 1
            except ChannelError as error:
                if not error.retryable:
                    return
                pause = error.retry_after or _TROUBLE_SECONDS
            if await self._closes_within(pause):
                return

    async def _show(self, piece: Piece) -> None:
        if self._message_id is None:
            self._message_id = await self._bot().send(self._chat_id, piece)
        else:
            await self._bot().edit(self._chat_id, self._message_id, piece)
        self._shown = piece

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


async def send_rest(bot: TelegramBot, chat_id: str, parts: list[Piece], sent: list[str], note: str) -> None:
    """Send the pieces that are not in `sent` yet and add their numbers to it; the note goes above the first of them."""
    rest = parts[len(sent) :]
    if rest and note and (noted := with_note(note, rest[0])) is not None:
        rest[0] = noted
    elif rest and note:
        await bot.send(chat_id, Piece("", note))
    for piece in rest:
        sent.append(await bot.send(chat_id, piece))  # noqa: PERF401 - what was sent counts even if the next one fails
