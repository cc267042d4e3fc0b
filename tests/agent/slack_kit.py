"""`channel_kit` for Slack: the real channel parts around a Slack that tests drive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.channels.access import Access
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Button, Draft, Inbound, Needs, Role
from agent.channels.delivery import Delivery
from agent.channels.slack import SlackChannel
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.providers.types import user
from agent.settings import ChannelsSettings, Settings, SlackSettings
from agent.storage import conversations, inbox, outbox
from agent.storage.channel_notes import ChannelNotes
from agent.storage.database import Database
from tests.agent.channel_kit import Kit
from tests.peers.slack_api import SlackApi

OWNER = "U0ADA"
DIRECT = "D0ADA"
GENERAL = "C0GENERAL"


@dataclass
class SlackKit(Kit):
    slack: SlackApi | None = None

    def __post_init__(self) -> None:
        assert self.slack is not None
        self.tokens: dict[str, str | None] = {"slack": self.slack.token, "slack-app": self.slack.app_token}
        self.delivery = Delivery(
            self.database, lambda name: self.supervisor.channel(name), self.publish, first_retry=0.05
        )
        self.access = Access(self.database, lambda: self.settings, self.publish, self._tell)
        self.supervisor = Supervisor(
            {"slack": ChannelKind("slack", "Slack", self.make_channel, lambda: True)},
            self.receive,
            self.publish,
            self.delivery.resume,
            first_retry=0.05,
        )

    async def admit(self, inbound: Inbound) -> Role | None:
        """The rules of groups and of other programs are not the connector's."""
        if inbound.direct and not inbound.bot:
            return await self.access.admit(inbound)
        return await self.access.role(inbound.channel, inbound.sender_id)

    def make_channel(self) -> SlackChannel:  # type: ignore[override]
        async def secret(key: str) -> str | None:
            return self.tokens[key]

        async def knows(sender: str) -> bool:
            return await self.access.role("slack", sender) is not None

        notes = ChannelNotes(self.database, "slack")
        needs = Needs(secret, knows, notes, AttachmentFolder(lambda: self.workspace))
        return SlackChannel(self.settings.channels.slack, needs)

    async def commit(self, inbound: Inbound, role: str) -> bool:
        """Whether it is new."""

        def work(db: object) -> int | None:
            conversation = conversations.ensure(db, "slack", inbound.chat_id, inbound.title)  # type: ignore[arg-type]
            return inbox.add(
                db,  # type: ignore[arg-type]
                conversation_id=conversation,
                channel="slack",
                transport_id=inbound.transport_id,
                chat_id=inbound.chat_id,
                sender_id=inbound.sender_id,
                sender_name=inbound.sender_name,
                sender_role=role,
                message=user(inbound.text, *inbound.images),
                model="",
                owner="test",
            )

        return await self.database.write(work) is not None

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
            conversation = conversations.ensure(db, "slack", chat_id)  # type: ignore[arg-type]
            return outbox.add(db, conversation, "slack", chat_id, None, text, files=files, buttons=buttons)  # type: ignore[arg-type]

        outbox_id = await self.database.write(work)
        self.delivery.put(outbox_id, draft)
        return outbox_id

    async def ready(self) -> SlackChannel:  # type: ignore[override]
        await self.until(lambda: self.supervisor.channel("slack") is not None, "the connection")
        channel = self.supervisor.channel("slack")
        assert isinstance(channel, SlackChannel)
        return channel


def settings_for(api: SlackApi, *owners: str) -> Settings:
    return Settings(channels=ChannelsSettings(slack=SlackSettings(enabled=True, api_base=api.api_base, owners=owners)))


@asynccontextmanager
async def connected(folder: Path, api: SlackApi, *, start: bool = True, **fields: object) -> AsyncIterator[SlackKit]:
    """The agent with its Slack channel started; U0ADA owns it."""
    database = await asyncio.to_thread(Database.open, folder / "trayclaw.db")
    kit = SlackKit(None, database, settings_for(api, OWNER), "", folder / "workspace", slack=api, **fields)  # type: ignore[arg-type]
    try:
        await kit.delivery.recover()
        await kit.access.start()
        if start:
            kit.supervisor.start("slack")
            await kit.ready()
        yield kit
    finally:
        await kit.stop()
        await asyncio.to_thread(database.close)
