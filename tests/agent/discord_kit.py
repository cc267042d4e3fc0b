"""The small agent of `channel_kit`, with its Discord channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.channels.access import Access
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Button, Channel, Draft, Inbound, Needs, Role
from agent.channels.delivery import Delivery
from agent.channels.discord import DiscordChannel
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.settings import ChannelsSettings, DiscordSettings, Settings
from agent.storage import conversations, outbox
from agent.storage.channel_notes import ChannelNotes
from agent.storage.database import Database
from tests.agent.channel_kit import OWNER, Kit
from tests.peers.discord_api import DiscordApi


class DiscordKit(Kit):
    """In groups everybody is a member, as in one that the owner enabled; there only what is addressed is answered."""

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            self.database, lambda name: self.supervisor.channel(name), self.publish, first_retry=0.05
        )
        self.access = Access(self.database, lambda: self.settings, self.publish, self._tell)
        kind = ChannelKind("discord", "Discord", self.make_discord, lambda: self.token is not None)
        self.supervisor = Supervisor(
            {"discord": kind}, self.receive, self.publish, self.delivery.resume, first_retry=0.05
        )
        self.dropped: list[Inbound] = []

    def make_discord(self) -> DiscordChannel:
        async def secret(_: str) -> str | None:
            return self.token

        async def knows(sender: str) -> bool:
            return await self.access.role("discord", sender) is not None

        notes = ChannelNotes(self.database, "discord")
        needs = Needs(secret, knows, notes, AttachmentFolder(lambda: self.workspace))
        return DiscordChannel(self.settings.channels.discord, needs)

    async def receive(self, inbound: Inbound) -> None:
        if self.before_commit is not None:
            await self.before_commit(inbound)
        role: Role | None = await self.access.admit(inbound)
        if role is None and not inbound.direct and not inbound.bot:
            role = "member"
        if role is None or not inbound.addressed:
            self.dropped.append(inbound)
            return
        if not await self.commit(inbound, role):
            return
        self.received.append(inbound)
        self.changes.pulse()
        if text := self.answer(inbound):
            await self.reply(inbound.chat_id, text)

    async def reply(
        self,
        chat_id: str,
        text: str,
        draft: Draft | None = None,
        *,
        files: tuple[Path, ...] = (),
        buttons: tuple[Button, ...] = (),
    ) -> int:
        """Commit an answer and hand it to delivery; its outbox id."""

        def work(db: object) -> int:
            conversation = conversations.ensure(db, "discord", chat_id)  # type: ignore[arg-type]
            return outbox.add(db, conversation, "discord", chat_id, None, text, files=files, buttons=buttons)  # type: ignore[arg-type]

        outbox_id = await self.database.write(work)
        self.delivery.put(outbox_id, draft)
        return outbox_id

    async def ready(self) -> Channel:
        await self.until(lambda: self.supervisor.channel("discord") is not None, "the connection")
        channel = self.supervisor.channel("discord")
        assert channel is not None
        return channel


def settings_for(api: DiscordApi, *owners: int) -> Settings:
    discord = DiscordSettings(enabled=True, api_base=api.api_base, gateway_url=api.gateway_url, owners=owners)
    return Settings(channels=ChannelsSettings(discord=discord))


@asynccontextmanager
async def connected(
    folder: Path, api: DiscordApi, *, start: bool = True, **fields: object
) -> AsyncIterator[DiscordKit]:
    """The agent with its Discord channel started; user 4242 owns it."""
    database = await asyncio.to_thread(Database.open, folder / "trayclaw.db")
    kit = DiscordKit(api, database, settings_for(api, OWNER), api.token, folder / "workspace", **fields)  # type: ignore[arg-type]
    try:
        await kit.delivery.recover()
        await kit.access.start()
        if start:
            kit.supervisor.start("discord")
            await kit.ready()
        yield kit
    finally:
        await kit.stop()
        await asyncio.to_thread(database.close)
