"""Who may talk to the agent: the owners in the settings and the people they paired; everybody else gets one code.

In a group nobody is answered until an owner enables it there by `/enable`; then its members are, when they address the
agent. The database is asked at each message, because another process (`trayclaw pair`) may decide as well.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from agent.channels.channel import Inbound, Role
from agent.channels.floods import Floods
from agent.errors import ChannelError, StorageError, UsageError
from agent.events import Event, PairingAsked, PairingResolved
from agent.settings import ChannelSettings, Settings
from agent.storage import groups, people
from agent.storage.database import Database
from agent.storage.people import StoredRequest
from agent.views import Group, PairingRequest, Person

log = logging.getLogger(__name__)

CODE_SECONDS = 3600.0
MOST_PENDING = 3
"""Open requests of one channel; who comes after them hears nothing."""
WRONG_CODES = 5
"""So many codes that nobody was given may be tried within `CODE_SECONDS`; after that none is looked at."""
LOOK_SECONDS = 2.0
"""While requests are open, how often the database is asked whether another process decided one."""

TOO_MANY = "You write faster than I can answer. What you write in the next minute is not taken; write it again then."
ENABLED = (
    "I answer in this group from now on, when somebody mentions me or replies to me. "
    "For members I only look at files of the workspace and at web pages. `/disable` ends it."
)
DISABLED = "I do not answer in this group any more."

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # https://www.crockford.com/base32.html
_CODE_CHARS = 8  # 40 bits
_MISREAD = str.maketrans("OIL", "011")
_NAME_CHARS = 80

Tell = Callable[[str, str, str], Awaitable[None]]
"""Sends a text (channel, chat id, Markdown) beside the outbox. Raises ChannelError."""


class Access:
    """Decides, asks and remembers. Without `tell` (a command beside the running app) nobody is written to."""

    def __init__(
        self,
        database: Database,
        settings: Callable[[], Settings],
        publish: Callable[[Event], None],
        tell: Tell | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._publish = publish
        self._tell = tell
        self._open: dict[str, PairingRequest] = {}
        self._greeted: set[str] = set()
        self._decided = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._floods = Floods()
        self._wrong: list[float] = []

    async def start(self) -> None:
        """Take up the requests that were open when the app ended."""
        stored = await self._database.read(lambda db: people.requests(db, time.time()))
        self._open = {one.request.code: one.request for one in stored if one.state == "pending"}
        if any(one.state != "denied" for one in stored):
            self._watch()

    async def stop(self) -> None:
        """End what runs in the background."""
        tasks = [*self._asking, *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def role(self, channel: str, sender_id: str) -> Role | None:
        """What this sender may do; None for strangers."""
        if sender_id in self._owners(channel):
            return "owner"
        if sender_id in self._allowed(channel):
            return "paired"
        paired = await self._database.read(lambda db: people.is_paired(db, channel, sender_id))
        return "paired" if paired else None

    async def admit(self, inbound: Inbound) -> Role | None:
        """The sender's role, None for what is not answered: other programs, strangers, groups that are not enabled,
        what is not meant for the agent there, and more messages than a person writes.

        A stranger in a direct chat is sent a pairing code, once an hour; nothing else happens.
        """
        if inbound.bot:
            return None  # two programs that answer each other never end
        role = await self.role(inbound.channel, inbound.sender_id)
        if inbound.direct:
            if role is None and self._tell is not None and not inbound.pressed and not inbound.edits:
                await self._ask(inbound, self._tell)
        else:
            role = await self._in_group(inbound, role)
        if role is None:
            return None
        if role == "owner":
            return role  # whatever they wrote while this was off comes at once, and what it costs is theirs
        verdict = self._floods.judge(inbound.channel, inbound.sender_id, role)
        if verdict == "tell":
            self._say(inbound, TOO_MANY)
        return role if verdict == "take" else None

    async def groups(self) -> list[Group]:
        """Those that an owner enabled."""
        return await self._database.read(groups.every)

    async def disable_group(self, channel: str, group_id: str) -> bool:
        """Nobody is answered there any more; False when it was not enabled."""
        return await self._database.write(lambda db: groups.disable(db, channel, group_id))

    async def _in_group(self, inbound: Inbound, role: Role | None) -> Role | None:
        """What a sender may do in a group: who is no owner is a member there, also one who is paired."""
        command = inbound.text.strip().partition("@")[0].lower()
        channel, group = inbound.channel, inbound.group_id or inbound.chat_id
        if role == "owner" and inbound.addressed and command == "/enable":
            await self._database.write(lambda db: groups.enable(db, channel, group, inbound.title, inbound.sender_id))
            self._say(inbound, ENABLED)
            return None
        if not await self._database.read(lambda db: groups.is_enabled(db, channel, group)):
            return None
        if role == "owner" and inbound.addressed and command == "/disable":
            await self.disable_group(channel, group)
            self._say(inbound, DISABLED)
            return None
        section = getattr(self._settings().channels, channel, None)
        if not inbound.addressed and not (isinstance(section, ChannelSettings) and not section.group_mention):
            return None
        return "owner" if role == "owner" else "member"

    def _say(self, inbound: Inbound, words: str) -> None:
        """Beside the outbox, without waiting for it."""
        if self._tell is not None:
            task = asyncio.create_task(self._say_now(self._tell, inbound, words))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _say_now(self, tell: Tell, inbound: Inbound, words: str) -> None:
        try:
            await tell(inbound.channel, inbound.chat_id, words)
        except ChannelError as error:
            log.info("%s could not be told: %s", inbound.channel, error)

    async def requests(self) -> list[PairingRequest]:
        """Those that wait for a decision."""
        stored = await self._database.read(lambda db: people.requests(db, time.time()))
        return [one.request for one in stored if one.state == "pending"]

    async def decide(self, code: str, approve: bool) -> Person | None:
        """Let somebody in (returned), or not (None). Raises UsageError for an unknown or expired code."""
        tidy = _tidy(code)
        now = time.time()
        self._wrong = [at for at in self._wrong if now - at < CODE_SECONDS]
        if len(self._wrong) >= WRONG_CODES:
            raise UsageError(
                "Too many wrong codes were tried.",
                title="No code is looked at for now",
                hint="Wait an hour, or let the person in under Settings > Channels.",
            )
        stored = await self._database.write(lambda db: people.decide(db, tidy, approve, now))
        if stored is None:
            self._wrong.append(now)
            raise UsageError(
                f"There is no open request with the code {code}.",
                title="This code is not known",
                hint="It may have expired; codes are valid for one hour. `trayclaw pair list` shows the open ones.",
            )
        request = stored.request
        self._resolved(request, approve)
        self._decided.set()
        self._watch()
        return Person(request.channel, request.user_id, request.name, "paired", now) if approve else None

    async def people(self) -> list[Person]:
        """Owners first, then the paired."""
        owners = [
            Person(channel, owner, "", "owner", 0.0)
            for channel in type(self._settings().channels).model_fields
            for owner in self._owners(channel)
        ]
        return owners + await self._database.read(people.everybody)

    async def revoke(self, channel: str, user_id: str) -> bool:
        """Take a paired person's access away; False when they had none. Owners are removed in the settings."""
        return await self._database.write(lambda db: people.remove(db, channel, user_id))

    def _owners(self, channel: str) -> tuple[str, ...]:
        section = getattr(self._settings().channels, channel, None)
        return tuple(map(str, section.owners)) if isinstance(section, ChannelSettings) else ()

    def _allowed(self, channel: str) -> tuple[str, ...]:
        """Whom the settings let in without a code (e-mail, where strangers are not written to)."""
        return tuple(getattr(getattr(self._settings().channels, channel, None), "allowed_senders", ()))

    async def _ask(self, inbound: Inbound, tell: Tell) -> None:
        now = time.time()
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARS))
        code = f"{code[:4]}-{code[4:]}"
        name = " ".join(inbound.sender_name.split())[:_NAME_CHARS]
        request = PairingRequest(code, inbound.channel, inbound.sender_id, name, now, now + CODE_SECONDS)
        if not await self._database.write(lambda db: people.ask(db, request, inbound.chat_id, MOST_PENDING)):
            return
        self._open[code] = request
        self._publish(PairingAsked(code, request.channel, request.user_id, name, request.expires_at))
        self._watch()
        task = asyncio.create_task(self._send_code(request, inbound.chat_id, tell))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _send_code(self, request: PairingRequest, chat_id: str, tell: Tell) -> None:
        try:
            await tell(request.channel, chat_id, _invitation(request.code))
        except ChannelError as error:
            log.warning("a pairing code could not be sent on %s: %s", request.channel, error)
            await self._forget(request)
            self._resolved(request, approved=False)  # their next message asks again

    def _watch(self) -> None:
        if self._tell is not None and (self._watcher is None or self._watcher.done()):
            self._watcher = asyncio.create_task(self._look(self._tell), name="pairing")

    async def _look(self, tell: Tell) -> None:
        """Greet whom another process or the window let in; ends when nothing is open."""
        while True:
            self._decided.clear()
            known = tuple(self._open.values())
            try:
                stored = await self._database.read(lambda db: people.requests(db, time.time()))
            except StorageError as error:
                log.warning("open pairing requests cannot be read: %s", error)
            else:
                states = {one.request.code: one.state for one in stored}
                for request in known:
                    if states.get(request.code) != "pending":
                        self._resolved(request, approved=states.get(request.code) == "approved")
                for one in stored:
                    if one.state == "approved" and one.request.code not in self._greeted:
                        await self._greet(one, tell)
                if not self._open and all(one.state == "denied" or one.request.code in self._greeted for one in stored):
                    return
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._decided.wait()
            except TimeoutError:
                continue

    async def _greet(self, stored: StoredRequest, tell: Tell) -> None:
        request = stored.request
        try:
            await tell(request.channel, stored.chat_id, "You are connected. Write me whatever you need.")
        except ChannelError as error:
            log.info("%s cannot be greeted yet: %s", request.channel, error)
            if error.retryable:
                return
        self._greeted.add(request.code)
        await self._forget(request)

    async def _forget(self, request: PairingRequest) -> None:
        try:
            await self._database.write(lambda db: people.forget_request(db, request.code))
        except StorageError as error:
            log.warning("a pairing request cannot be removed: %s", error)

    def _resolved(self, request: PairingRequest, approved: bool) -> None:
        if self._open.pop(request.code, None) is not None or self._tell is None:
            self._publish(PairingResolved(request.code, request.channel, request.user_id, approved))


def _tidy(code: str) -> str:
    """A code as people type it: lower case, without the dash, O for 0."""
    chars = "".join(char for char in code.upper() if char.isalnum()).translate(_MISREAD)
    return f"{chars[:4]}-{chars[4:]}"


def _invitation(code: str) -> str:
    return (
        "Hello! I am a personal assistant and answer only people whom my owner has let in.\n\n"
        f"Your code is **{code}**, valid for one hour.\n\n"
        "The owner can approve this code in TrayClaw > Settings > Channels, or with:\n"
        f"`trayclaw pair approve {code}`"
    )
