"""Joins the channels to the agent: who is let in, what is shown while an answer grows, how answers leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from agent.channels.access import Access
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Channel, Inbound, Needs, Outbound, Role
from agent.channels.delivery import Delivery
from agent.channels.live import LiveAnswers
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.errors import ChannelError, UsageError
from agent.events import ChannelChanged, Event, EventBus, SettingsChanged
from agent.keys import SecretStore
from agent.settings import ChannelsSettings, Settings
from agent.storage.channel_notes import ChannelNotes
from agent.storage.database import Database
from agent.views import ChannelHealth

log = logging.getLogger(__name__)

Accept = Callable[[Inbound, Role], Awaitable[object]]

LABELS: Final = {"telegram": "Telegram", "email": "E-mail"}
CHANNEL_NAMES: Final = tuple(LABELS)
OTHER_SECRETS: Final = ("email-oauth",)
"""Of channels that know more than one; each begins with the name of its channel."""


class Connectors:
    """All channels of one agent. `open` starts them, `close` ends them."""

    def __init__(
        self,
        database: Database,
        secrets: SecretStore,
        settings: Callable[[], Settings],
        accept: Accept,
        events: EventBus,
        workspace: Callable[[], Path],
    ) -> None:
        self.access = Access(database, settings, events.publish, self._tell)
        self._secrets = secrets
        self._settings = settings
        self._accept = accept
        self._events = events
        self._with_token: set[str] = set()
        self._database = database
        self._files = AttachmentFolder(workspace)
        kinds = {
            name: ChannelKind(name, label, partial(self._make, name), partial(self._is_configured, name))
            for name, label in LABELS.items()
        }
        self._supervisor = Supervisor(kinds, self._receive, events.publish, self._ready)
        self._delivery = Delivery(database, self._supervisor.channel, events.publish)
        self._live = LiveAnswers(database, self._supervisor.channel, self._delivery)
        self._unsubscribe: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take up what was left at the last end and start the enabled channels in the background."""
        self._unsubscribe = [self._events.subscribe(self._live.on_event), self._events.subscribe(self._on_event)]
        await self._delivery.recover()
        await self.access.start()
        for name in CHANNEL_NAMES:
            if getattr(self._settings().channels, name).enabled:
                self._supervisor.start(name)
        if self._settings().channels.model_fields_set:
            self._look_for_tokens()

    async def close(self) -> None:
        """Disconnect; what is not delivered stays in the outbox."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for task in self._tasks:
            task.cancel()
        await self.access.stop()
        await self._live.stop()
        await self._delivery.stop()
        await self._supervisor.stop_all()

    def start(self, name: str) -> None:
        """Connect in the background. Raises `UsageError` for an unknown name."""
        self._supervisor.start(name)

    async def stop(self, name: str) -> None:
        """Disconnect. Raises `UsageError` for an unknown name."""
        await self._supervisor.stop(name)

    async def restart(self, name: str) -> None:
        """Connect anew with the settings and the token as they are now."""
        await self._supervisor.restart(name)

    async def follow(self, before: ChannelsSettings, now: ChannelsSettings) -> None:
        """Start, stop or connect anew what a change of the settings asks for."""
        for name in CHANNEL_NAMES:
            was, wanted = getattr(before, name), getattr(now, name)
            if not wanted.enabled:
                if was.enabled:
                    await self._supervisor.stop(name)
            elif not was.enabled or was.model_dump(exclude={"owners"}) != wanted.model_dump(exclude={"owners"}):
                await self._supervisor.restart(name)

    def is_running(self, name: str) -> bool:
        """Whether it is connected or tries to be."""
        return any(one.name == name and one.state != "stopped" for one in self.health())

    def health(self) -> tuple[ChannelHealth, ...]:
        """All channels and how they are."""
        return self._supervisor.health()

    def deliver(self, outbox_id: int) -> None:
        """Something was put into the outbox: send it."""
        self._delivery.put(outbox_id)

    def look_for_tokens(self) -> None:
        """Ask the keyring which channels have a token; `ChannelChanged` tells. At the start that is only done for those
        that config.toml names: a keyring that is locked asks the person, and its library takes 17 MiB."""
        if not self._tasks:
            self._look_for_tokens()

    async def identify(self, name: str, token: str | None) -> str:
        """Whom a token belongs to, the stored one if none is given. Raises `ChannelError`."""
        return await self._make(name, token).identify()

    def _make(self, name: str, given: str | None = None) -> Channel:
        """A connector; `given` is a token to try in place of the stored one."""

        async def secret(key: str) -> str | None:
            return given if given is not None and key == name else await self._secrets.get(f"channel:{key}")

        async def knows(sender_id: str) -> bool:
            return await self.access.role(name, sender_id) is not None

        needs = Needs(secret, knows, ChannelNotes(self._database, name), self._files)
        channels = self._settings().channels
        match name:
            case "telegram":
                from agent.channels.telegram import TelegramChannel

                return TelegramChannel(channels.telegram, needs)
            case "email":
                from agent.channels.email import EmailChannel

                return EmailChannel(channels.email, needs, self._settings().network)
            case _:
                raise UsageError(f"There is no channel {name!r}.")

    async def _receive(self, inbound: Inbound) -> None:
        role = await self.access.admit(inbound)
        if role is not None:
            await self._accept(inbound, role)

    async def _tell(self, name: str, chat_id: str, text: str) -> None:
        channel = self._supervisor.channel(name)
        if channel is None:
            raise ChannelError("network", f"{LABELS[name]} is not connected.")
        await channel.send(Outbound(0, chat_id, text))

    def _ready(self, name: str) -> None:
        self._delivery.resume(name)

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, SettingsChanged):
            return
        unsure = bool(self._settings().channels.model_fields_set - self._with_token)
        named = any(key.startswith("channels.") for key in event.keys) or not event.keys
        if any(key.startswith("keys.") for key in event.keys) or (unsure and named):
            self._look_for_tokens()

    def _is_configured(self, name: str) -> bool:
        return name in self._with_token

    def _look_for_tokens(self) -> None:
        task = asyncio.create_task(self._find_tokens())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_tokens(self) -> None:
        found = await self._secrets.known(f"channel:{name}" for name in (*CHANNEL_NAMES, *OTHER_SECRETS))
        self._with_token = {user.partition(":")[2].partition("-")[0] for user in found}
        for one in self.health():
            self._events.publish(ChannelChanged(one.name, one.state, one.detail))
