"""What happens at Discord, as it concerns the agent: messages, edits, commands, buttons, and the connection itself."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from typing import TYPE_CHECKING

from agent.channels.channel import Inbound, Needs, Receive, ReportHealth
from agent.channels.discord_bot import DiscordBot
from agent.channels.discord_commands import command_of
from agent.channels.discord_errors import translated
from agent.channels.discord_inbound import edit_id, fetch, from_message, is_for_people, place_of, quoted, transport_id
from agent.channels.discord_lanes import DiscordLanes
from agent.channels.patience import Patience
from agent.errors import ChannelError

if TYPE_CHECKING:
    import discord

log = logging.getLogger(__name__)

COMMIT_SECONDS = 2.0
"""Discord calls an interaction failed after three; one that is not committed by then is acknowledged all the same."""

MOST_BREAKS = 5
BREAKS_WITHIN_SECONDS = 60.0
BREAKS_PAUSE_SECONDS = 120.0
"""The library opens the next connection at once. After that many within that time there is a pause: Discord allows
1,000 sessions a day."""


class DiscordListener:
    """The handlers of one connection, by the names that discord.py gives to events.

    Files are fetched only of senders that the agent knows: strangers get no download out of us.
    """

    def __init__(self, bot: DiscordBot, needs: Needs, receive: Receive, report: ReportHealth) -> None:
        self._bot = bot
        self._needs = needs
        self._receive = receive
        self._report = report
        self._patience = Patience("Discord", report, self._report_ready)
        self._breaks: list[float] = []
        self._is_alone = False
        self.lanes = DiscordLanes(needs.notes, self._patience, bot.after, self._matters, self._take)
        for handler in (
            *(self.on_connect, self.on_resumed, self.on_disconnect, self.on_guild_available, self.on_guild_join),
            *(self.on_message, self.on_raw_message_edit, self.on_interaction),
        ):
            bot.client.event(handler)

    async def on_connect(self) -> None:
        """A new session."""
        self.lanes.new_session()
        self._report_ready()

    async def on_resumed(self) -> None:
        """The session goes on; what came meanwhile was sent after all."""
        self._report_ready()

    async def on_disconnect(self) -> None:
        """The socket is closed."""
        self._report("degraded", "The connection to Discord is lost. Connecting again.")
        now = time.monotonic()
        self._breaks = [*(at for at in self._breaks if now - at < BREAKS_WITHIN_SECONDS), now]
        if len(self._breaks) >= MOST_BREAKS and not self.lanes.failed.done():
            words = "Discord closes every connection."
            self.lanes.failed.set_exception(ChannelError("network", words, retry_after=BREAKS_PAUSE_SECONDS))

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """The channels of a server are known: somebody may have written there while nobody listened."""
        if self._is_alone:
            self._report_ready()
        for channel in guild.channels:
            newest = getattr(channel, "last_message_id", None)
            if newest is not None:
                self.lanes.look(str(channel.id), "", newest, direct=False)
        for thread in guild.threads:
            if thread.last_message_id is not None:
                self.lanes.look(str(thread.id), str(thread.parent_id), thread.last_message_id, direct=False)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Somebody invited the bot: it can be talked to now."""
        self._report_ready()

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        place = place_of(message.channel, message.guild, "")
        parent = place.group_id if place.group_id != place.chat_id else ""
        self.lanes.put(message, place.chat_id, parent, direct=not place.group_id)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        """Somebody changed a message; the previews that Discord adds to links come here too."""
        if event.message.edited_at is not None and self._is_heard(event.message):
            self.lanes.after(str(event.channel_id), lambda: self._take_edit(event.message))

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Somebody used a command or pressed a button. The answer comes as a message of its own."""
        pressed = interaction.type.name == "component"
        if interaction.channel is None or not (pressed or interaction.type.name == "application_command"):
            return
        committing = self.lanes.spawn(self._take_interaction(interaction, pressed))
        await asyncio.wait({committing}, timeout=COMMIT_SECONDS)
        try:
            async with translated():
                await interaction.response.defer(ephemeral=True)
            await asyncio.wait({committing})
            if not pressed:
                async with translated():  # "is thinking" would stay for a quarter of an hour
                    await interaction.delete_original_response()
            elif interaction.message is not None and await self._knows(str(interaction.user.id)):
                await self._bot.remove_buttons(str(interaction.channel.id), str(interaction.message.id))
        except ChannelError as error:
            log.info("an interaction on Discord was not closed: %s", error)

    def _report_ready(self) -> None:
        self._is_alone = not self._bot.client.guilds
        hint = f" is in no server yet. Invite it: {self._bot.invitation}" if self._is_alone else ""
        self._report("ready", f"{self._bot.address}{hint}")

    async def _commit(self, inbound: Inbound) -> None:
        await self._patience.surely(lambda: self._receive(inbound))

    async def _knows(self, sender_id: str) -> bool:
        return await self._patience.surely(lambda: self._needs.knows(sender_id))

    async def _take_interaction(self, interaction: discord.Interaction, pressed: bool) -> None:
        text = await self._patience.surely(lambda: command_of(interaction, self._needs.notes))
        if not text:
            return
        name = interaction.user.display_name
        in_server = interaction.guild_id is not None
        place = place_of(interaction.channel, interaction.guild if in_server else None, name, in_server=in_server)
        await self._commit(
            Inbound(
                channel="discord",
                transport_id=f"{place.chat_id}:i{interaction.id}",
                chat_id=place.chat_id,
                sender_id=str(interaction.user.id),
                sender_name=name,
                text=text,
                title=place.title,
                direct=not place.group_id,
                sent_at=interaction.created_at.timestamp(),
                group_id=place.group_id,
                bot=interaction.user.bot,
                pressed=pressed,
            )
        )

    def _is_heard(self, message: discord.Message) -> bool:
        return message.author.id != self._bot.me.id and is_for_people(message)

    async def _matters(self, message: discord.Message) -> bool:
        if not self._is_heard(message):
            return False
        inbound = from_message(message, self._bot.me.id)
        return inbound.addressed or await self._knows(inbound.sender_id)

    async def _take(self, message: discord.Message) -> None:
        """Hand a message over; returns when it is committed."""
        if not self._is_heard(message):
            return
        inbound = from_message(message, self._bot.me.id)
        known = await self._knows(inbound.sender_id)
        if known:
            carried = await fetch(self._bot, message, self._needs.files)
            quote = "" if inbound.text.startswith("/") else await self._quote(message)
            text = "\n\n".join(part for part in (quote, inbound.text, carried.unread) if part)
            inbound = dataclasses.replace(inbound, text=text, images=carried.images, files=carried.files)
        if inbound.text or inbound.images or inbound.files or not known:
            await self._commit(inbound)

    async def _take_edit(self, message: discord.Message) -> None:
        inbound = from_message(message, self._bot.me.id)
        if inbound.text:
            await self._commit(dataclasses.replace(inbound, transport_id=edit_id(message), edits=transport_id(message)))

    async def _quote(self, message: discord.Message) -> str:
        return await self._patience.surely(lambda: quoted(message, self._bot.me.id, self._needs.knows))
