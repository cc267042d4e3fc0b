"""An answer in Telegram that grows: typing, then one message that is edited at a polite rate, then the final text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.channels.channel import Delivered, Outbound
from agent.channels.delivery import AFTER_BREAK
from agent.channels.growing import Growing, Pace
from agent.channels.open_drafts import OpenDrafts
from agent.channels.telegram_bot import TelegramBot
from agent.channels.telegram_text import Piece, fits_caption, message_pieces, preview, with_note

TYPING_SECONDS = 4.5
EDIT_SECONDS = 1.0
SLOWEST_EDIT_SECONDS = 4.0


class TelegramDraft:
    """Implements `agent.channels.channel.Draft`. `bot` gives the connection, or raises ChannelError (network)."""

    def __init__(self, bot: Callable[[], TelegramBot], chat_id: str, book: OpenDrafts) -> None:
        self._bot = bot
        self._chat_id = chat_id
        self._sent: list[str] = []
        pace = Pace(EDIT_SECONDS, SLOWEST_EDIT_SECONDS, TYPING_SECONDS)
        self._growing: Growing[Piece] = Growing(_Screen(bot, chat_id), chat_id, book, pace)

    def update(self, text: str) -> None:
        """See `Draft`."""
        self._growing.update(text)

    async def finish(self, message: Outbound) -> Delivered:
        """See `Draft`. After an error it can be called again and goes on where it was."""
        growing = self._growing
        await growing.close()
        bot = self._bot()
        parts = await asyncio.to_thread(message_pieces, message.text)
        if not parts or message.files:
            await self.discard()  # with a file it is one message of its own
        elif not self._sent:
            buttons = message.buttons if len(parts) == 1 else ()
            shown = await growing.settle(lambda shown: bot.edit(self._chat_id, shown, parts[0], buttons))
            self._sent += [shown] if shown is not None else []
        note = message.note or (AFTER_BREAK if growing.unsure else "")
        await send_rest(bot, message, parts, self._sent, note)
        return Delivered(tuple(self._sent))

    async def discard(self) -> None:
        """See `Draft`."""
        await self._growing.discard()


class _Screen:
    """Implements `agent.channels.growing.Screen`."""

    def __init__(self, bot: Callable[[], TelegramBot], chat_id: str) -> None:
        self._bot = bot
        self._chat_id = chat_id

    async def preview(self, text: str) -> Piece | None:
        piece = await asyncio.to_thread(preview, text)
        return piece if piece.plain else None

    async def post(self, piece: Piece) -> str:
        return await self._bot().send(self._chat_id, piece)

    async def edit(self, message_id: str, piece: Piece) -> None:
        await self._bot().edit(self._chat_id, message_id, piece)

    async def delete(self, message_id: str) -> None:
        await self._bot().delete(self._chat_id, message_id)

    async def sign(self) -> None:
        await self._bot().show_typing(self._chat_id)


async def send_rest(bot: TelegramBot, message: Outbound, parts: list[Piece], sent: list[str], note: str) -> None:
    """Send the pieces and files that are not in `sent` yet and add their numbers to it. The note goes above the first
    of them, the buttons below the last, and in a group the first refers to what it answers."""
    chat_id, files = message.chat_id, message.files
    whole = len(parts) + len(files)
    if len(files) == 1 and len(parts) == 1 and fits_caption(parts[0]) and not sent and not note:
        sent.append(await bot.send_file(chat_id, files[0], parts[0], message.buttons))
        return
    rest = parts[len(sent) :]
    if rest and note and (noted := with_note(note, rest[0])) is not None:
        rest[0] = noted
    elif note and len(sent) < whole:
        await bot.send(chat_id, Piece("", note))
    group, _, number = message.reply_to.partition(":")
    asked = number if chat_id.startswith("-") and group == chat_id.partition(":")[0] and number.isdigit() else ""
    for piece in rest:
        buttons = message.buttons if len(sent) == whole - 1 else ()
        sent.append(await bot.send(chat_id, piece, buttons, "" if sent else asked))
    for path in files[max(len(sent) - len(parts), 0) :]:
        buttons = message.buttons if len(sent) == whole - 1 else ()
        sent.append(await bot.send_file(chat_id, path, Piece("", ""), buttons))
