"""An answer in Telegram that grows: typing, then one message that is edited at a polite rate, then the final text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.channels.channel import Delivered, Outbound
from agent.channels.open_drafts import OpenDrafts
from agent.channels.telegram_bot import TelegramBot
from agent.channels.telegram_text import Piece, fits_caption, message_pieces, preview, with_note
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

    def __init__(self, bot: Callable[[], TelegramBot], chat_id: str, book: OpenDrafts) -> None:
        self._bot = bot
        self._chat_id = chat_id
        self._book = book
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
        if not parts or message.files:
            await self.discard()  # with a file it is one message of its own
        elif self._message_id is not None and not self._sent:
            try:
                last = len(parts) == 1 and not message.files
                await bot.edit(self._chat_id, self._message_id, parts[0], message.buttons if last else ())
                self._sent.append(self._message_id)
            except ChannelError as error:
                if error.kind != "not_found":
                    raise
                await self._book.closed(self._message_id)
                self._message_id = None
            await self._book.closed(self._message_id)
        await send_rest(bot, message, parts, self._sent)
        return Delivered(tuple(self._sent))

    async def discard(self) -> None:
        """See `Draft`."""
        await self._close()
        if self._message_id is not None:
            try:
                await self._bot().delete(self._chat_id, self._message_id)
            except ChannelError:
                return  # it stays in the chat as far as it got
            finally:
                await self._book.closed(self._message_id)
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
            await self._book.opened(self._chat_id, self._message_id)
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


async def send_rest(bot: TelegramBot, message: Outbound, parts: list[Piece], sent: list[str]) -> None:
    """Send the pieces and files that are not in `sent` yet and add their numbers to it. The note goes above the first
    of them, the buttons below the last, and in a group the first refers to what it answers."""
    chat_id, files = message.chat_id, message.files
    whole = len(parts) + len(files)
    if len(files) == 1 and len(parts) == 1 and fits_caption(parts[0]) and not sent and not message.note:
        sent.append(await bot.send_file(chat_id, files[0], parts[0], message.buttons))
        return
    rest = parts[len(sent) :]
    if rest and message.note and (noted := with_note(message.note, rest[0])) is not None:
        rest[0] = noted
    elif message.note and len(sent) < whole:
        await bot.send(chat_id, Piece("", message.note))
    group, _, number = message.reply_to.partition(":")
    asked = number if chat_id.startswith("-") and group == chat_id.partition(":")[0] and number.isdigit() else ""
    for piece in rest:
        buttons = message.buttons if len(sent) == whole - 1 else ()
        sent.append(await bot.send(chat_id, piece, buttons, "" if sent else asked))
    for path in files[max(len(sent) - len(parts), 0) :]:
        buttons = message.buttons if len(sent) == whole - 1 else ()
        sent.append(await bot.send_file(chat_id, path, Piece("", ""), buttons))
