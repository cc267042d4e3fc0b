"""An answer in Slack that grows: a status in assistant threads, then one message that is edited at a polite rate, then
the final text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.channels.channel import Delivered, Outbound
from agent.channels.delivery import AFTER_BREAK
from agent.channels.slack_bot import SlackBot
from agent.channels.slack_inbound import place
from agent.channels.slack_text import Piece, message_pieces, preview, with_buttons
from agent.errors import ChannelError

FIRST_CHARS = 20
FIRST_SECONDS = 0.7
"""The first text is shown when it is that long, or that old."""
EDIT_SECONDS = 1.5
SLOWEST_EDIT_SECONDS = 5.0
"""Slack takes some 50 edits a minute of all chats together."""
STATUS = "is thinking…"
_STATUS_SECONDS = 60.0
"""Slack removes a status by itself after two minutes."""
_TROUBLE_SECONDS = 3.0
_LONGEST_SECONDS = 3600.0


class SlackDraft:
    """Implements `agent.channels.channel.Draft`. `bot` gives the connection, or raises ChannelError (network)."""

    def __init__(self, bot: Callable[[], SlackBot], chat_id: str, *, has_status: bool) -> None:
        self._bot = bot
        self._channel, self._thread = place(chat_id)
        self._text = ""
        self._shown: Piece | None = None
        self._ts: str | None = None
        self._unsure = False
        self._sent: list[str] = []
        self._grown = asyncio.Event()
        self._closing = asyncio.Event()
        self._has_status = has_status
        self._tasks = [asyncio.create_task(self._stream())]
        if has_status:
            self._tasks.append(asyncio.create_task(self._show_status()))

    def update(self, text: str) -> None:
        """See `Draft`."""
        self._text = text
        self._grown.set()

    async def finish(self, message: Outbound) -> Delivered:
        """See `Draft`. After an error it can be called again and goes on where it was."""
        await self._close()
        bot = self._bot()
        pieces = await asyncio.to_thread(pieces_of, message)
        note = message.note or (AFTER_BREAK if self._unsure else "")
        if not pieces:
            await self.discard()
        elif self._ts is not None and not self._sent:
            first = pieces[0]._replace(note=note)
            try:
                await bot.edit(self._channel, self._ts, first.text, first.blocks)
                self._sent.append(f"{self._channel}:{self._ts}")
            except ChannelError as error:
                if error.kind != "not_found":
                    raise
                self._ts = None
        await send_rest(bot, self._channel, self._thread, pieces, self._sent, note, message.files)
        return Delivered(tuple(self._sent))

    async def discard(self) -> None:
        """See `Draft`."""
        await self._close()
        try:
            if self._ts is not None:
                await self._bot().delete(self._channel, self._ts)
                self._ts = None
            elif self._has_status:
                await self._bot().show_status(self._channel, self._thread, "")
        except ChannelError:
            return  # it stays in the chat as far as it got

    async def _close(self) -> None:
        """Let what is under way end: a message whose `ts` is not known could not be edited any more."""
        self._closing.set()
        self._grown.set()
        await asyncio.gather(*self._tasks)

    async def _show_status(self) -> None:
        for _ in range(int(_LONGEST_SECONDS / _STATUS_SECONDS)):
            if self._ts is None:
                try:
                    await self._bot().show_status(self._channel, self._thread, STATUS)
                except ChannelError:
                    return
            if await self._closes_within(_STATUS_SECONDS):
                return

    async def _stream(self) -> None:
        edits = 0
        while await self._something_to_show():
            piece = await asyncio.to_thread(preview, self._text)
            pause = min(EDIT_SECONDS + edits / 20, SLOWEST_EDIT_SECONDS)
            try:
                if piece is not None and piece != self._shown:
                    await self._show(piece)
                    edits += 1
            except ChannelError as error:
                if self._ts is None and error.uncertain:
                    self._unsure = True
                    return  # it may stand there and cannot be edited: the answer says so
                if not error.retryable:
                    return
                pause = error.retry_after or _TROUBLE_SECONDS
            if await self._closes_within(pause):
                return

    async def _show(self, piece: Piece) -> None:
        if self._ts is None:
            self._ts = await self._bot().post(self._channel, self._thread, piece)
        else:
            await self._bot().edit(self._channel, self._ts, piece.text, piece.blocks)
        self._shown = piece

    async def _something_to_show(self) -> bool:
        """Wait for new text; False when the draft is being closed."""
        await self._grown.wait()
        self._grown.clear()
        if self._ts is None and len(self._text) < FIRST_CHARS and await self._closes_within(FIRST_SECONDS):
            return False
        return not self._closing.is_set()

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False


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
