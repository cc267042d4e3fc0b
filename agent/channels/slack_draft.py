"""An answer in Slack that grows: a status in assistant threads, then one message that is edited at a polite rate, then
the final text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.channels.channel import Delivered, Outbound
from agent.channels.delivery import AFTER_BREAK
from agent.channels.growing import Growing, Pace
from agent.channels.open_drafts import OpenDrafts
from agent.channels.slack_bot import SlackBot
from agent.channels.slack_inbound import place
from agent.channels.slack_text import Piece, message_pieces, preview, with_buttons
from agent.errors import ChannelError

EDIT_SECONDS = 1.5
SLOWEST_EDIT_SECONDS = 5.0
"""Slack takes some 50 edits a minute of all chats together."""
STATUS = "is thinking…"
STATUS_SECONDS = 60.0
"""Slack removes a status by itself after two minutes."""


class SlackDraft:
    """Implements `agent.channels.channel.Draft`. `bot` gives the connection, or raises ChannelError (network)."""

    def __init__(self, bot: Callable[[], SlackBot], chat_id: str, book: OpenDrafts, *, has_status: bool) -> None:
        self._bot = bot
        self._channel, self._thread = place(chat_id)
        self._has_status = has_status
        self._sent: list[str] = []
        pace = Pace(EDIT_SECONDS, SLOWEST_EDIT_SECONDS, STATUS_SECONDS if has_status else 0.0)
        self._screen = _Screen(bot, self._channel, self._thread)
        self._growing: Growing[Piece] = Growing(self._screen, chat_id, book, pace)

    def update(self, text: str) -> None:
        """See `Draft`."""
        self._growing.update(text)

    async def finish(self, message: Outbound) -> Delivered:
        """See `Draft`. After an error it can be called again and goes on where it was."""
        growing = self._growing
        await growing.close()
        bot = self._bot()
        pieces = await asyncio.to_thread(pieces_of, message)
        note = message.note or (AFTER_BREAK if growing.unsure else "")
        if not pieces:
            await self.discard()
        elif not self._sent:
            first = pieces[0]  # without the note: what is edited again is no second message
            shown = await growing.settle(lambda shown: bot.edit(self._channel, shown, first.text, first.blocks))
            self._sent += [f"{self._channel}:{shown}"] if shown is not None else []
        await send_rest(bot, self._channel, self._thread, pieces, self._sent, note, message.files)
        return Delivered(tuple(self._sent))

    async def discard(self) -> None:
        """See `Draft`."""
        shown = self._screen.posted
        await self._growing.discard()
        if self._has_status and not shown:
            try:
                await self._bot().show_status(self._channel, self._thread, "")
            except ChannelError:
                return  # it goes by itself


class _Screen:
    """Implements `agent.channels.growing.Screen`."""

    def __init__(self, bot: Callable[[], SlackBot], channel: str, thread: str) -> None:
        self.posted = False
        self._bot = bot
        self._channel, self._thread = channel, thread

    async def preview(self, text: str) -> Piece | None:
        return await asyncio.to_thread(preview, text)

    async def post(self, piece: Piece) -> str:
        ts = await self._bot().post(self._channel, self._thread, piece)
        self.posted = True  # Slack takes the status away
        return ts

    async def edit(self, message_id: str, piece: Piece) -> None:
        await self._bot().edit(self._channel, message_id, piece.text, piece.blocks)

    async def delete(self, message_id: str) -> None:
        await self._bot().delete(self._channel, message_id)

    async def sign(self) -> None:
        if not self.posted:
            await self._bot().show_status(self._channel, self._thread, STATUS)


def pieces_of(message: Outbound) -> list[Piece]:
    """The messages that carry an answer and its buttons. Takes milliseconds of CPU."""
    return with_buttons(message_pieces(message.text), message.buttons)


async def send_rest(
    bot: SlackBot,
    channel: str,
    thread: str,
    pieces: list[Piece],
    sent: list[str],
    note: str,
    files: tuple[Path, ...],
) -> None:
    """Send the pieces and then the files that are not in `sent` yet, and add their ids to it; the note goes above the
    first of them."""
    before = len(sent)
    for number, piece in enumerate(pieces[before:]):
        noted = piece._replace(note=note) if number == 0 else piece
        sent.append(f"{channel}:{await bot.post(channel, thread, noted)}")
    if note and before >= len(pieces) and files[before - len(pieces) :]:
        await bot.post(channel, thread, Piece((), note))
    for path in files[max(0, len(sent) - len(pieces)) :]:
        sent.append(f"{channel}:{await bot.upload(channel, thread, path)}")  # noqa: PERF401 - what was sent counts
