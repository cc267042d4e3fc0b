"""The people of one channel, as the chaos run meets them: what they say, what they see, what goes wrong there."""

from __future__ import annotations

import asyncio
import email
import email.policy
import itertools
import random
from collections import defaultdict
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Protocol, Self

from tests.peers import discord_api, discord_world, mail_servers, slack_api, slack_chats
from tests.peers.telegram_api import TelegramApi
from tests.peers.telegram_chats import LostAfter, LostBefore, Stalled, bad_gateway, too_many_requests


class Town(Protocol):
    """`async with` gives a running service. `settings` is its part of config.toml, `secrets` the keys by variable."""

    name: str
    settings: str
    secrets: dict[str, str]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def say(self, conversation: int, text: str) -> None:
        """Somebody writes in a conversation, 0 to the number of them."""
        ...

    async def shown(self, conversation: int) -> list[str]:
        """What the agent wrote there, as it stands now, in order."""
        ...

    async def trouble(self, rng: random.Random) -> str:
        """Something goes wrong with the service; what, in a word."""
        ...


class _Peer:
    """A service that is a context manager in this process."""

    name = ""
    settings = ""
    secrets: dict[str, str]

    def __init__(self, api: AbstractAsyncContextManager[Any]) -> None:
        self._open = AsyncExitStack()
        self._manager = api

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._manager)
        self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def _ready(self) -> None:
        """It listens: the settings can be written."""


def _fail(api: Any, where: str, fault: object) -> bool:
    """A fault for the next call there, unless some wait already: while the program is down they would pile up."""
    if len(api._faults[where.lower() if where.lower() in api._faults else where]) >= 2:
        return False
    api.fail(where, fault)
    return True


class TelegramTown(_Peer):
    """Everybody in a direct chat of their own."""

    name = "telegram"

    def __init__(self, conversations: int) -> None:
        self.api = TelegramApi("700700:chaos-token", rate_limit=None)
        self._people = [1001 + number for number in range(conversations)]
        self.secrets = {"TRAYCLAW_KEY_TELEGRAM": self.api.token}
        super().__init__(self.api)

    def _ready(self) -> None:
        for person in self._people:
            self.api.add_user(person)
        self.settings = (
            f'[channels.telegram]\nenabled = true\napi_base = "{self.api.root_url}"\nowners = {self._people}\n'
        )

    async def say(self, conversation: int, text: str) -> None:
        await self.api.say(self._people[conversation], text)

    async def shown(self, conversation: int) -> list[str]:
        return [one.text for one in self.api.transcript(self._people[conversation]) if one.from_bot]

    async def trouble(self, rng: random.Random) -> str:
        kind = rng.choice(("429", "502", "lost before", "lost after", "stalled poll"))
        fault = {
            "429": too_many_requests(1),
            "502": bad_gateway(),
            "lost before": LostBefore(),
            "lost after": LostAfter(),
            "stalled poll": Stalled(5.0),
        }[kind]
        where = "getUpdates" if kind == "stalled poll" else rng.choice(("sendMessage", "*"))
        return kind if _fail(self.api, where, fault) else "nothing"


class DiscordTown(_Peer):
    """Everybody in a direct channel of their own."""

    name = "discord"

    def __init__(self, conversations: int) -> None:
        self.api = discord_api.DiscordApi()
        self._people = [900_000_000_000_000_001 + number for number in range(conversations)]
        self.secrets = {"TRAYCLAW_KEY_DISCORD": self.api.token}
        super().__init__(self.api)

    def _ready(self) -> None:
        self._channels = [self.api.dm(person) for person in self._people]
        self.settings = (
            f'[channels.discord]\nenabled = true\napi_base = "{self.api.api_base}"\n'
            f'gateway_url = "{self.api.gateway_url}"\nowners = {self._people}\n'
        )

    async def say(self, conversation: int, text: str) -> None:
        await self.api.say(self._people[conversation], text)

    async def shown(self, conversation: int) -> list[str]:
        found = self.api.transcript(self._channels[conversation])
        return [one.text for one in found if one.author is self.api.bot]

    async def trouble(self, rng: random.Random) -> str:
        kind = rng.choice(("429", "lost before", "lost after", "gateway cut"))
        if kind == "gateway cut":
            self.api.gateway.cut()
            return kind
        fault = {
            "429": discord_world.TooMany(1.0),
            "lost before": discord_world.LostBefore(),
            "lost after": discord_world.LostAfter(),
        }[kind]
        return kind if _fail(self.api, "POST /channels/{channel}/messages", fault) else "nothing"


class SlackTown(_Peer):
    """Everybody in a direct conversation of their own."""

    name = "slack"

    def __init__(self, conversations: int) -> None:
        self.api = slack_api.SlackApi()
        self._people = [f"U0CHAOS{number:04d}" for number in range(conversations)]
        self.secrets = {"TRAYCLAW_KEY_SLACK": self.api.token, "TRAYCLAW_KEY_SLACK_APP": self.api.app_token}
        super().__init__(self.api)

    def _ready(self) -> None:
        self._channels = [self.api.add_person(person) for person in self._people]
        owners = ", ".join(f'"{person}"' for person in self._people)
        self.settings = f'[channels.slack]\nenabled = true\napi_base = "{self.api.api_base}"\nowners = [{owners}]\n'

    async def say(self, conversation: int, text: str) -> None:
        await self.api.say(self._people[conversation], text)

    async def shown(self, conversation: int) -> list[str]:
        found = self.api.transcript(self._channels[conversation])
        return [one.shown for one in found if one.from_bot]

    async def trouble(self, rng: random.Random) -> str:
        kind = rng.choice(("429", "lost before", "lost after", "socket cut"))
        if kind == "socket cut":
            self.api.sockets.drop()
            return kind
        fault = {
            "429": slack_chats.too_many_requests(1),
            "lost before": slack_chats.LostBefore(),
            "lost after": slack_chats.LostAfter(),
        }[kind]
        return kind if _fail(self.api, "chat.postMessage", fault) else "nothing"


class MailTown:
    """One person with a thread for each conversation, over real Dovecot and Postfix."""

    name = "email"

    def __init__(self, conversations: int) -> None:
        self._conversations = conversations
        self._servers = mail_servers.mail_servers()
        self._numbers = itertools.count(1)
        self._said: defaultdict[int, list[str]] = defaultdict(list)
        self.secrets = {"TRAYCLAW_KEY_EMAIL": mail_servers.PASSWORDS[mail_servers.AGENT]}
        self.settings = ""

    async def __aenter__(self) -> Self:
        self.servers = await asyncio.to_thread(self._servers.__enter__)
        self.settings = (
            f'[network]\nca_file = "{self.servers.ca_file}"\n'
            f'[channels.email]\nenabled = true\nconsent = true\nimap_host = "localhost"\n'
            f'imap_port = {self.servers.imaps}\nsmtp_host = "localhost"\nsmtp_port = {self.servers.smtps}\n'
            f'username = "{mail_servers.AGENT}"\nowners = ["{mail_servers.ADA}"]\n'
            f'authentication_results = "{mail_servers.AUTHSERV}"\n'
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._servers.__exit__, kind, error, trace)

    async def say(self, conversation: int, text: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"] = mail_servers.ADA, mail_servers.AGENT
        mail["Subject"] = f"Thread {conversation}"
        mail["Message-ID"] = f"<{next(self._numbers)}.{conversation}@friend.test>"
        if before := self._said[conversation]:
            mail["In-Reply-To"], mail["References"] = before[-1], " ".join(before)
        mail["Date"] = email.utils.localtime()
        mail.set_content(text)
        self._said[conversation].append(mail["Message-ID"])
        await asyncio.to_thread(self.servers.deliver, mail)

    async def shown(self, conversation: int) -> list[str]:
        return self._by_thread(await asyncio.to_thread(self.servers.mails, mail_servers.ADA))[conversation]

    def _by_thread(self, mails: list[bytes]) -> defaultdict[int, list[str]]:
        found: defaultdict[int, list[str]] = defaultdict(list)
        for raw in mails:
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            assert isinstance(mail, EmailMessage)
            body = mail.get_body(("plain",))
            thread = str(mail["Subject"]).rpartition(" ")[2]
            if body is not None and thread.isdigit():
                found[int(thread)].append(body.get_content())
        return found

    async def trouble(self, rng: random.Random) -> str:
        if rng.random() > 0.1:
            return "nothing"
        if rng.random() < 0.5:
            await asyncio.to_thread(self.servers.stop_dovecot)
            await asyncio.to_thread(self.servers.start_dovecot)
            return "imap server restarted"
        await asyncio.to_thread(self.servers.stop_postfix)
        await asyncio.to_thread(self.servers.start_postfix)
        return "smtp server restarted"


TOWNS = {"telegram": TelegramTown, "discord": DiscordTown, "slack": SlackTown, "email": MailTown}
