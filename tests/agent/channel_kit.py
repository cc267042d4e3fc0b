"""A small agent around the real channel parts: every admitted message is committed and answered as the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.channels.access import Access
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Channel, Draft, Inbound, Needs, Outbound, Role
from agent.channels.delivery import Delivery
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.channels.telegram import TelegramChannel
from agent.errors import ChannelError
from agent.events import ChannelChanged, DeliveryChanged, Event
from agent.providers.types import user
from agent.settings import ChannelsSettings, Settings, TelegramSettings
from agent.storage import conversations, inbox, outbox
from agent.storage.channel_notes import ChannelNotes
from agent.storage.database import Database
from tests.peers.changes import Changes
from tests.peers.telegram_api import TelegramApi

OWNER = 4242


class MemoryNotes:
    """A channel's notes that are gone with the test."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value


@dataclass
class Kit:
    api: TelegramApi
    database: Database
    settings: Settings
    token: str | None
    workspace: Path
    events: list[Event] = field(default_factory=list)
    received: list[Inbound] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    before_commit: Callable[[Inbound], Awaitable[None]] | None = None
    answer: Callable[[Inbound], str] = lambda inbound: f"You said: {inbound.text}"

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            self.database, lambda name: self.supervisor.channel(name), self.publish, first_retry=0.05
        )
        self.access = Access(self.database, lambda: self.settings, self.publish, self._tell)
        self.supervisor = Supervisor(
            {"telegram": ChannelKind("telegram", "Telegram", self.make_channel, lambda: self.token is not None)},
            self.receive,
            self.publish,
            self.delivery.resume,
            first_retry=0.05,
        )

    def make_channel(self) -> TelegramChannel:
        async def secret(_: str) -> str | None:
            return self.token

        async def knows(sender: str) -> bool:
            return await self.access.role("telegram", sender) is not None

        notes = ChannelNotes(self.database, "telegram")
        needs = Needs(secret, knows, notes, AttachmentFolder(lambda: self.workspace))
        return TelegramChannel(self.settings.channels.telegram, needs)

    def publish(self, event: Event) -> None:
        self.events.append(event)
        self.changes.pulse()

    async def _tell(self, channel: str, chat_id: str, text: str) -> None:
        connected = self.supervisor.channel(channel)
        if connected is None:
            raise ChannelError("network", "not connected")
        await connected.send(Outbound(0, chat_id, text))

    async def receive(self, inbound: Inbound) -> None:
        if self.before_commit is not None:
            await self.before_commit(inbound)
        role = await self.admit(inbound)
        if role is None or not await self.commit(inbound, role):
            return
        self.received.append(inbound)
        self.changes.pulse()
        if text := self.answer(inbound):
            await self.reply(inbound.chat_id, text)

    async def admit(self, inbound: Inbound) -> Role | None:
        return await self.access.admit(inbound)

    async def commit(self, inbound: Inbound, role: str) -> bool:
        """Whether it is new."""

        def work(db: object) -> int | None:
            conversation = conversations.ensure(db, inbound.channel, inbound.chat_id, inbound.title)  # type: ignore[arg-type]
            return inbox.add(
                db,  # type: ignore[arg-type]
                conversation_id=conversation,
                channel=inbound.channel,
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

    async def reply(self, chat_id: str, text: str, draft: Draft | None = None) -> int:
        """Commit an answer and hand it to delivery; its outbox id."""

        def work(db: object) -> int:
            conversation = conversations.ensure(db, "telegram", chat_id)  # type: ignore[arg-type]
            return outbox.add(db, conversation, "telegram", chat_id, None, text)  # type: ignore[arg-type]

        outbox_id = await self.database.write(work)
        self.delivery.put(outbox_id, draft)
        return outbox_id

    async def ready(self) -> Channel:
        await self.until(lambda: self.supervisor.channel("telegram") is not None, "the connection")
        channel = self.supervisor.channel("telegram")
        assert channel is not None
        return channel

    async def until(self, predicate: Callable[[], object], what: str, timeout: float = 8.0) -> None:
        await self.changes.until(predicate, timeout, what=what)

    def states(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, ChannelChanged)]

    def deliveries(self, outbox_id: int) -> list[str]:
        return [one.state for one in self.events if isinstance(one, DeliveryChanged) and one.outbox_id == outbox_id]

    async def delivered(self, outbox_id: int, state: str = "sent") -> None:
        await self.until(lambda: state in self.deliveries(outbox_id), f"answer {outbox_id} {state}")

    async def row(self, outbox_id: int) -> dict[str, object]:
        read = await self.database.read(
            lambda db: db.execute("SELECT * FROM outbox WHERE id = ?", (outbox_id,)).fetchone()
        )
        return dict(read)

    async def stop(self) -> None:
        await self.delivery.stop()
        await self.access.stop()
        await self.supervisor.stop_all()


def settings_for(api: TelegramApi, *owners: int) -> Settings:
    telegram = TelegramSettings(enabled=True, api_base=api.root_url, owners=owners)
    return Settings(channels=ChannelsSettings(telegram=telegram))


@asynccontextmanager
async def connected(folder: Path, api: TelegramApi, *, start: bool = True, **fields: object) -> AsyncIterator[Kit]:
    """The agent with its Telegram channel started; user 4242 owns it."""
    database = await asyncio.to_thread(Database.open, folder / "trayclaw.db")
    kit = Kit(api, database, settings_for(api, OWNER), api.token, folder / "workspace", **fields)  # type: ignore[arg-type]
    try:
        await kit.delivery.recover()
        await kit.access.start()
        if start:
            kit.supervisor.start("telegram")
            await kit.ready()
        yield kit
    finally:
        await kit.stop()
        await asyncio.to_thread(database.close)
