"""The small agent of `channel_kit` with an e-mail channel at real mail servers. Ada owns it, Bob may write to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from agent.channels.access import Access
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Channel, Draft, Needs
from agent.channels.delivery import Delivery
from agent.channels.email import EmailChannel
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.settings import ChannelsSettings, EmailSettings, NetworkSettings, Settings
from agent.storage import conversations, outbox
from agent.storage.channel_notes import ChannelNotes
from agent.storage.database import Database
from tests.agent.channel_kit import Kit
from tests.peers.mail_servers import ADA, AGENT, AUTHSERV, BOB, PASSWORDS, MailServers


def settings_for(servers: MailServers, **values: Any) -> Settings:
    given = {
        "enabled": True,
        "consent": True,
        "owners": (ADA,),
        "allowed_senders": (BOB,),
        "username": AGENT,
        "imap_host": servers.host,
        "imap_port": servers.imaps,
        "smtp_host": servers.host,
        "smtp_port": servers.smtps,
        "authentication_results": AUTHSERV,
        "poll_seconds": 5.0,
        **values,
    }
    return Settings(
        channels=ChannelsSettings(email=EmailSettings(**given)), network=NetworkSettings(ca_file=str(servers.ca_file))
    )


@dataclass
class EmailKit(Kit):
    """`token` is the password of the mailbox."""

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            self.database, lambda name: self.supervisor.channel(name), self.publish, first_retry=0.05
        )
        self.access = Access(self.database, lambda: self.settings, self.publish, self._tell)
        self.supervisor = Supervisor(
            {"email": ChannelKind("email", "E-mail", self.make_channel, lambda: self.token is not None)},
            self.receive,
            self.publish,
            self.delivery.resume,
            first_retry=0.05,
        )

    def make_channel(self) -> EmailChannel:  # type: ignore[override]
        async def secret(name: str) -> str | None:
            return self.token if name == "email" else f"refresh-{self.token}"

        async def knows(sender: str) -> bool:
            return await self.access.role("email", sender) is not None

        notes = ChannelNotes(self.database, "email")
        needs = Needs(secret, knows, notes, AttachmentFolder(lambda: self.workspace))
        return EmailChannel(self.settings.channels.email, needs, self.settings.network)

    async def reply(self, chat_id: str, text: str, draft: Draft | None = None, **more: Any) -> int:
        def work(db: Any) -> int:
            conversation = conversations.ensure(db, "email", chat_id)
            return outbox.add(db, conversation, "email", chat_id, None, text, **more)

        outbox_id = await self.database.write(work)
        self.delivery.put(outbox_id, draft)
        return outbox_id

    async def ready(self) -> Channel:
        await self.until(lambda: self.supervisor.channel("email") is not None, "the connection", timeout=40.0)
        channel = self.supervisor.channel("email")
        assert channel is not None
        return channel

    async def heard(self, count: int, timeout: float = 40.0) -> None:
        await self.until(lambda: len(self.received) >= count, f"{count} message(s)", timeout=timeout)

    def detail(self) -> str:
        return self.supervisor.health()[0].detail


@asynccontextmanager
async def at(folder: Path, servers: MailServers, *, start: bool = True, **fields: Any) -> AsyncIterator[EmailKit]:
    """The agent with its mailbox. `settings` are those of the channel; a folder that was used before is a restart."""
    settings = settings_for(servers, **fields.pop("settings", {}))
    database = await asyncio.to_thread(Database.open, folder / "trayclaw.db")
    kit = EmailKit(servers, database, settings, PASSWORDS[AGENT], folder / "workspace", **fields)  # type: ignore[arg-type]
    try:
        await kit.delivery.recover()
        await kit.access.start()
        if start:
            kit.supervisor.start("email")
            await kit.ready()
        yield kit
    finally:
        await kit.stop()
        await asyncio.to_thread(database.close)


def mail(text: str = "Hello", subject: str = "Question", sender: str = f"Ada <{ADA}>", **headers: str) -> EmailMessage:
    """As a person's program makes it; `in_reply_to="<1@x>"` is In-Reply-To."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = AGENT
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-").title()] = value
    message.set_content(text)
    return message


async def deliver(servers: MailServers, message: EmailMessage | bytes, **how: str) -> None:
    await asyncio.to_thread(lambda: servers.deliver(message, **how))


async def mails(servers: MailServers, user: str, count: int) -> list[EmailMessage]:
    """What lies in a mailbox, once there are so many."""
    raw = await asyncio.to_thread(servers.wait_for_mails, user, count)
    found = [message_from_bytes(one, policy=policy.default) for one in raw]
    return [one for one in found if isinstance(one, EmailMessage)]


def changed(settings: Settings, **values: Any) -> Settings:
    """Other settings of the channel."""
    email = settings.channels.email.model_copy(update=values)
    return settings.model_copy(update={"channels": settings.channels.model_copy(update={"email": email})})
