"""What the fake Discord keeps: users, servers, channels, messages as people see them, calls and faults."""

import datetime
import itertools
import re
import time
from dataclasses import dataclass, field
from typing import Any

EPOCH_MS = 1_420_070_400_000
MENTION = re.compile(r"<@!?(\d+)>")
TEXT, DIRECT, THREAD = 0, 1, 11
"""Types of channels."""
SUPPRESS_EMBEDS = 1 << 2
EPHEMERAL = 1 << 6

_counter = itertools.count()


def snowflake() -> int:
    """A new id: the milliseconds since Discord's epoch, and a number."""
    return (int(time.time() * 1000) - EPOCH_MS) << 22 | next(_counter) & 0x3FFFFF


class ApiError(Exception):
    """The error answer of the service."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more

    def payload(self) -> dict[str, Any]:
        return {"message": str(self), "code": self.code, **self.more}


def invalid(field_name: str, code: str, message: str) -> ApiError:
    errors = {field_name: {"_errors": [{"code": code, "message": message}]}}
    return ApiError(400, 50035, "Invalid Form Body", errors=errors)


def unknown(what: str, code: int) -> ApiError:
    return ApiError(404, code, f"Unknown {what}")


@dataclass(frozen=True)
class TooMany:
    """429 with the seconds to wait. `by_edge`: the network in front of the service answers, in plain text."""

    retry_after: float
    everywhere: bool = False
    by_edge: bool = False


@dataclass(frozen=True)
class LostBefore:
    """The connection breaks before the call has an effect."""


@dataclass(frozen=True)
class LostAfter:
    """The call takes effect and the connection breaks before the answer: the client cannot know."""


@dataclass(frozen=True)
class FailedAfter:
    """The call takes effect and is answered by a status of 5xx all the same."""

    status: int = 502


Fault = ApiError | TooMany | LostBefore | LostAfter | FailedAfter


@dataclass(frozen=True)
class RateLimit:
    """How many calls of a route in one channel are served within `per` seconds."""

    limit: int = 1000
    per: float = 1.0


@dataclass
class Bucket:
    remaining: int
    resets_at: float
    """`time.monotonic()` seconds."""


@dataclass
class User:
    id: int
    name: str
    bot: bool = False

    def payload(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "username": self.name if self.bot else self.name.lower().replace(" ", "_"),
            "global_name": None if self.bot else self.name,
            "discriminator": "0",
            "avatar": None,
            "bot": self.bot,
        }


@dataclass
class File:
    id: int
    name: str
    data: bytes
    media_type: str


@dataclass
class Message:
    """A message as it stands now."""

    id: int
    channel_id: int
    author: User
    text: str
    files: list[File] = field(default_factory=list)
    reply_to: int | None = None
    components: list[dict[str, Any]] = field(default_factory=list)
    flags: int = 0
    nonce: str | None = None
    allowed_mentions: dict[str, Any] | None = None
    edited_at: str | None = None
    versions: list[str] = field(default_factory=list)
    """Every text the message had, the first one first."""
    reactions: list[str] = field(default_factory=list)
    """Those of the bot, as they stand."""
    deleted: bool = False
    kind: int = 0

    @property
    def edits(self) -> int:
        return len(self.versions) - 1

    @property
    def buttons(self) -> list[str]:
        return [button["label"] for row in self.components for button in row["components"]]


@dataclass
class Channel:
    id: int
    kind: int
    name: str = ""
    guild_id: int | None = None
    parent_id: int | None = None
    person: User | None = None
    """Of a direct channel."""
    messages: list[Message] = field(default_factory=list)
    typing: list[float] = field(default_factory=list)
    """When the bot showed that it types (`time.monotonic()` seconds)."""
    closed: bool = False
    """The person takes no messages of the bot, or the bot may not see the channel."""
    reactions_closed: bool = False
    hidden: bool = False
    """A thread that the bot is not told of until somebody writes there."""

    def payload(self) -> dict[str, Any]:
        last = str(self.messages[-1].id) if self.messages else None
        found: dict[str, Any] = {"id": str(self.id), "type": self.kind, "last_message_id": last, "flags": 0}
        if self.kind == DIRECT:
            assert self.person is not None
            return {**found, "recipients": [self.person.payload()]}
        found.update(guild_id=str(self.guild_id), name=self.name, parent_id=None, position=0, permission_overwrites=[])
        if self.kind == THREAD:
            metadata = {"archived": False, "auto_archive_duration": 1440, "archive_timestamp": now(), "locked": False}
            found.update(
                parent_id=str(self.parent_id),
                owner_id="1",
                message_count=len(self.messages),
                member_count=1,
                thread_metadata=metadata,
            )
        return found


@dataclass
class Guild:
    id: int
    name: str
    channels: list[Channel] = field(default_factory=list)

    def payload(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "name": self.name,
            "unavailable": False,
            "member_count": 2,
            "owner_id": "1",
            "roles": [{"id": str(self.id), "name": "@everyone", "permissions": "0", "position": 0, "colors": {}}],
            "emojis": [],
            "members": [],
            "features": [],
            "preferred_locale": "en-US",
            "channels": [one.payload() for one in self.channels if one.kind == TEXT],
            "threads": [one.payload() for one in self.channels if one.kind == THREAD and not one.hidden],
        }


@dataclass
class Interaction:
    """A pressed button or a slash command. `answer` is the type of the callback."""

    id: int
    token: str
    kind: int
    channel: Channel
    at: float
    """`time.monotonic()` seconds."""
    answer: int | None = None
    answered_at: float = 0.0
    ephemeral: bool = False
    deleted: bool = False
    """The answer was removed by the bot."""

    @property
    def shows_thinking(self) -> bool:
        return self.answer == 5 and not self.deleted


@dataclass(frozen=True)
class ApiCall:
    """A call that the bot made: "POST /channels/{channel}/messages"; `status` is 0 for a lost connection."""

    route: str
    path: str
    body: Any
    at: float
    status: int


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def sent_at(message_id: int) -> str:
    return datetime.datetime.fromtimestamp(((message_id >> 22) + EPOCH_MS) / 1000, datetime.UTC).isoformat()
