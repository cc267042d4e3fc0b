"""Discord: direct chats and the channels of servers, through the gateway and the REST interface.

A message counts as received when it is committed; what came while nobody listened is fetched (`discord_lanes`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from agent.channels.channel import Delivered, Draft, Mark, Needs, Outbound, Receive, ReportHealth
from agent.channels.discord_bot import DiscordBot
from agent.channels.discord_commands import register
from agent.channels.discord_draft import DiscordDraft
from agent.channels.discord_inbound import message_of
from agent.channels.discord_lanes import DiscordLanes
from agent.channels.discord_listener import DiscordListener
from agent.channels.discord_outbound import DiscordSender
from agent.channels.open_drafts import OpenDrafts
from agent.errors import ChannelError, StorageError
from agent.settings import DiscordSettings

log = logging.getLogger(__name__)

_EMOJI: Final[dict[Mark, str]] = {"seen": "👀", "done": "✅", "failed": "⚠️"}
_MOST_MARKS = 1000


class DiscordChannel:
    """Implements `agent.channels.channel.Channel`."""

    name = "discord"
    label = "Discord"

    def __init__(self, settings: DiscordSettings, needs: Needs) -> None:
        self._settings = settings
        self._needs = needs
        self._sender = DiscordSender(needs.notes)
        self._bot: DiscordBot | None = None
        self._partly_sent: dict[tuple[int, str], list[str]] = {}
        self._marks: dict[str, Mark] = {}
        self._drafts = OpenDrafts(needs.notes)

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        """See `Channel`."""
        report("connecting", "")
        bot = await self._connect()
        listener = DiscordListener(bot, self._needs, receive, report)
        self._bot = bot
        staying: asyncio.Task[None] | None = None
        try:
            await self._drafts.sweep(bot.delete)
            await self._expect_owners(bot, listener.lanes)  # before anything can arrive in these chats
            staying = asyncio.create_task(bot.stay())
            listener.lanes.spawn(self._register(bot))
            await asyncio.wait({staying, listener.lanes.failed}, return_when=asyncio.FIRST_COMPLETED)
            if listener.lanes.failed.done():
                listener.lanes.failed.result()
            await staying
        finally:
            self._bot = None
            await listener.lanes.stop()
            if staying is not None:
                staying.cancel()  # before the library is closed: it would go on without a loop
                await asyncio.gather(staying, return_exceptions=True)
            await bot.close()

    async def send(self, message: Outbound) -> Delivered:
        """See `Channel`. Called again after an error, it goes on with the piece that failed."""
        bot = self._connected()
        parts = await self._sender.parts(message)
        key = (message.outbox_id, message.text)
        sent = self._partly_sent.setdefault(key, []) if message.outbox_id else []
        await self._sender.send_rest(bot, message, parts, sent)
        self._partly_sent.pop(key, None)
        return Delivered(tuple(sent))

    def draft(self, chat_id: str) -> Draft:
        """See `Channel`."""
        return DiscordDraft(self._connected, self._sender, chat_id, self._drafts)

    async def mark(self, chat_id: str, transport_id: str, mark: Mark) -> None:
        """See `Channel`. Where reactions are not allowed there is none."""
        place = message_of(transport_id)
        before = self._marks.get(transport_id)
        if place is None or self._bot is None or before == mark:
            return
        self._marks[transport_id] = mark
        for old in list(self._marks)[:-_MOST_MARKS]:
            del self._marks[old]
        try:
            if before is None and mark != "seen":
                before = "seen"  # put there before a restart
            if before is not None:
                await self._bot.take_reaction_back(*place, _EMOJI[before])
            await self._bot.react(*place, _EMOJI[mark])
        except ChannelError:
            return  # the answer itself tells

    async def identify(self) -> str:
        """See `Channel`. Says too when the bot could not read what people write."""
        bot = await self._connect()
        try:
            bot.check_intents()
            return bot.address
        finally:
            await bot.close()

    async def _register(self, bot: DiscordBot) -> None:
        try:
            await register(bot, self._needs.notes)
        except (ChannelError, StorageError) as error:
            log.info("the slash commands are not registered: %s", error)  # typed ones work all the same

    async def _expect_owners(self, bot: DiscordBot, lanes: DiscordLanes) -> None:
        """Discord does not list a bot's chats: open those with the owners, once, to find what they write when it is
        off."""
        for owner in self._settings.owners:
            try:
                if await self._needs.notes.get(f"owner:{owner}") is None:
                    chat_id, newest = await bot.open_chat(owner)
                    await lanes.expect(chat_id, newest)
                    await self._needs.notes.set(f"owner:{owner}", chat_id)
            except (ChannelError, StorageError) as error:
                log.info("the direct chat with an owner on Discord cannot be opened yet: %s", error)

    async def _connect(self) -> DiscordBot:
        token = await self._needs.secret(self.name)
        if not token:
            raise ChannelError(
                "wrong_token",
                "There is no bot token for Discord yet.",
                hint="Make an application with a bot at discord.com/developers/applications and enter its token in"
                " Settings > Channels.",
            )
        return await DiscordBot.connect(token, self._settings)

    def _connected(self) -> DiscordBot:
        if self._bot is None:
            raise ChannelError("network", "Discord is not connected.")
        return self._bot
