"""Joins the channels to the agent: who is let in, what is shown while an answer grows, how answers leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.channels import wakefulness
from agent.channels.access import Access
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Channel, Inbound, Needs, Outbound, Role
from agent.channels.delivery import Delivery
from agent.channels.live import LiveAnswers
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.errors import ChannelError, StorageError, UsageError
from agent.events import ChannelChanged, Event, EventBus, SettingsChanged
from agent.keys import SecretStore
from agent.settings import ChannelSettings, ChannelsSettings, Settings
from agent.storage.channel_notes import ChannelNotes
from agent.storage.database import Database, foreign_changes
from agent.views import ChannelHealth

log = logging.getLogger(__name__)

Accept = Callable[[Inbound, Role], Awaitable[object]]

FOLLOW_SECONDS = 3.0
"""Between looks at what other processes wrote."""
LABELS: Final = {"telegram": "Telegram", "discord": "Discord", "slack": "Slack", "email": "E-mail"}
CHANNEL_NAMES: Final = tuple(LABELS)
KEYS: Final = {name: (name,) for name in CHANNEL_NAMES} | {
    "slack": ("slack", "slack-app"),
    "email": ("email", "email-oauth"),
}
"""The names of the tokens or passwords that each channel knows."""
ONE_IS_ENOUGH: Final = ("email",)
"""The others need all of theirs."""
CHANNEL_KEYS: Final = tuple(key for keys in KEYS.values() for key in keys)


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
        self._looking: asyncio.Task[None] | None = None
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
        self._keep(wakefulness.watch(self._supervisor.wake))
        self._keep(self._follow_others())
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
            elif not was.enabled or _place(was) != _place(wanted):
                await self._supervisor.restart(name)

    def is_connected(self, name: str) -> bool:
        """Whether messages leave now."""
        return self._supervisor.channel(name) is not None

    def health(self) -> tuple[ChannelHealth, ...]:
        """All channels and how they are."""
        return self._supervisor.health()

    def deliver(self, outbox_id: int) -> None:
        """Something was put into the outbox: send it."""
        self._delivery.put(outbox_id)

    def look_for_tokens(self) -> None:
        """Ask the keyring which channels have a token; `ChannelChanged` tells. At the start that is only done for those
        that config.toml names: a keyring that is locked asks the person, and its library takes 17 MiB."""
        if self._looking is None or self._looking.done():
            self._look_for_tokens()

    async def identify(self, name: str, given: Mapping[str, str]) -> str:
        """Whom the tokens belong to, the stored ones where none are given. Raises `ChannelError`."""
        return await self._make(name, given).identify()

    def _make(self, name: str, given: Mapping[str, str] = MappingProxyType({})) -> Channel:
        """A connector; `given` are tokens to try in place of the stored ones, by the names of their keys."""

        async def secret(key: str) -> str | None:
            return given[key] if key in given else await self._secrets.get(f"channel:{key}")

        async def knows(sender_id: str) -> bool:
            return await self.access.role(name, sender_id) is not None

        needs = Needs(secret, knows, ChannelNotes(self._database, name), self._files)
        channels = self._settings().channels
        match name:
            case "telegram":
                from agent.channels.telegram import TelegramChannel

                return TelegramChannel(channels.telegram, needs)
            case "discord":
                from agent.channels.discord import DiscordChannel

                return DiscordChannel(channels.discord, needs)
            case "slack":
                from agent.channels.slack import SlackChannel

                return SlackChannel(channels.slack, needs)
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

    async def _follow_others(self) -> None:
        """Deliver what another process (`trayclaw channels resend`) put into the outbox."""
        seen: int | None = None
        while True:
            try:
                now = await self._database.write(foreign_changes)
            except StorageError as error:
                log.info("the outbox cannot be looked at: %s", error)
            else:
                if seen is not None and now != seen:
                    for health in self.health():
                        if health.state == "ready":
                            self._delivery.resume(health.name)
                seen = now
            await asyncio.sleep(FOLLOW_SECONDS)

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
        self._looking = self._keep(self._find_tokens())

    def _keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _find_tokens(self) -> None:
        users = await self._secrets.known(f"channel:{key}" for key in CHANNEL_KEYS)
        found = {user.partition(":")[2] for user in users}
        self._with_token = {name for name in KEYS if has_keys(name, found)}
        for one in self.health():
            self._events.publish(ChannelChanged(one.name, one.state, one.detail, one.configured))


def has_keys(name: str, found: Collection[str]) -> bool:
    """Whether a channel has what it needs, if these keys are stored."""
    there = [key in found for key in KEYS[name]]
    return any(there) if name in ONE_IS_ENOUGH else all(there)


def missing_key(name: str, found: Collection[str]) -> str:
    """The first key that a channel lacks, if these are stored; empty when it has what it needs."""
    return "" if has_keys(name, found) else next(key for key in KEYS[name] if key not in found)


def _place(section: ChannelSettings) -> dict[str, object]:
    """Where a channel connects to: what a change of makes it connect anew."""
    return section.model_dump(exclude={"enabled", "owners"})
