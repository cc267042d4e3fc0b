"""An answer in Discord that grows: typing, then one message that is edited at a polite rate, then the final text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from agent.channels.channel import Delivered, Outbound
from agent.channels.delivery import AFTER_BREAK
from agent.channels.discord_bot import DiscordBot
from agent.channels.discord_outbound import DiscordSender
from agent.channels.discord_text import preview
from agent.channels.growing import Growing, Pace
from agent.channels.open_drafts import OpenDrafts

TYPING_SECONDS = 8.0
EDIT_SECONDS = 1.2
SLOWEST_EDIT_SECONDS = 6.0


class DiscordDraft:
    """Implements `agent.channels.channel.Draft`. `bot` gives the connection, or raises ChannelError (network)."""

    def __init__(self, bot: Callable[[], DiscordBot], sender: DiscordSender, chat_id: str, book: OpenDrafts) -> None:
        self._bot = bot
        self._sender = sender
        self._chat_id = chat_id
        self._sent: list[str] = []
        pace = Pace(EDIT_SECONDS, SLOWEST_EDIT_SECONDS, TYPING_SECONDS)
        self._growing: Growing[str] = Growing(_Screen(bot, chat_id), chat_id, book, pace)

    def update(self, text: str) -> None:
        """See `Draft`."""
        self._growing.update(text)

    async def finish(self, message: Outbound) -> Delivered:
        """See `Draft`. After an error it can be called again and goes on where it was."""
        growing = self._growing
        await growing.close()
        bot = self._bot()
        if growing.unsure and not message.note:
            message = replace(message, note=AFTER_BREAK)
        parts = await self._sender.parts(message)
        if not parts or not parts[0].text:
            await self.discard()
        elif not self._sent:
            first = parts[0]
            shown = await growing.settle(lambda shown: bot.edit(self._chat_id, shown, first.text, first.buttons))
            self._sent += [shown] if shown is not None else []
        await self._sender.send_rest(bot, message, parts, self._sent)
        return Delivered(tuple(self._sent))

    async def discard(self) -> None:
        """See `Draft`."""
        await self._growing.discard()


class _Screen:
    """Implements `agent.channels.growing.Screen`."""

    def __init__(self, bot: Callable[[], DiscordBot], chat_id: str) -> None:
        self._bot = bot
        self._chat_id = chat_id

    async def preview(self, text: str) -> str | None:
        return await asyncio.to_thread(preview, text) or None

    async def post(self, piece: str) -> str:
        return await self._bot().send(self._chat_id, piece)

    async def edit(self, message_id: str, piece: str) -> None:
        await self._bot().edit(self._chat_id, message_id, piece)

    async def delete(self, message_id: str) -> None:
        await self._bot().delete(self._chat_id, message_id)

    async def sign(self) -> None:
        await self._bot().show_typing(self._chat_id)
