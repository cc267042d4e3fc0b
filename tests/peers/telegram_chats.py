"""What the fake Bot API keeps: users, chats, messages as the user sees them, calls and faults."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from tests.peers.telegram_html import Entity, utf16_length

COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,32}(?:@\w+)?(?=\s|$)")
MENTION = re.compile(r"(?<!\w)@\w{4,32}")


class ApiError(Exception):
    """The error answer of the Bot API."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters

    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            payload["parameters"] = self.parameters
        return payload


def bad_request(description: str) -> ApiError:
    return ApiError(400, f"Bad Request: {description}")


def too_many_requests(retry_after: int) -> ApiError:
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)


def bad_gateway() -> ApiError:
    return ApiError(502, "Bad Gateway")


def not_modified() -> ApiError:
    return bad_request(
        "message is not modified: specified new message content and reply markup are exactly the same as a current "
        "content and reply markup of the message"
    )


@dataclass(frozen=True)
class LostBefore:
    """The connection breaks before the call has an effect."""


@dataclass(frozen=True)
class LostAfter:
    """The call takes effect and the connection breaks before the answer: the client cannot know."""


@dataclass(frozen=True)
class Stalled:
    """The answer takes so many seconds longer."""

    seconds: float


Fault = ApiError | LostBefore | LostAfter | Stalled


@dataclass(frozen=True)
class RateLimit:
    """A token bucket for each chat. The service allows about one message a second and short bursts."""

    per_second: float = 1.0
    burst: int = 5


@dataclass
class Bucket:
    limit: RateLimit
    tokens: float
    updated: float

    def take(self, now: float) -> int:
        """Take one token; return 0, or the seconds to wait when there is none."""
        self.tokens = min(self.limit.burst, self.tokens + (now - self.updated) * self.limit.per_second)
        self.updated = now
        if self.tokens < 1:
            return max(1, -int(-(1 - self.tokens) // self.limit.per_second))
        self.tokens -= 1
        return 0


@dataclass
class User:
    id: int
    first_name: str
    username: str | None = None
    blocked: bool = False

    def payload(self) -> dict[str, Any]:
        payload = {"id": self.id, "is_bot": False, "first_name": self.first_name, "language_code": "en"}
        return {**payload, "username": self.username} if self.username else payload


@dataclass
class ChatMessage:
    """A message as it stands now."""

    message_id: int
    chat_id: int
    sender_id: int
    from_bot: bool
    text: str
    entities: list[Entity] = field(default_factory=list)
    at: int = field(default_factory=lambda: int(time.time()))
    """Unix seconds."""
    source: str = ""
    """What the bot sent, before parsing."""
    parse_mode: str | None = None
    reply_to: int | None = None
    markup: dict[str, Any] | None = None
    file: dict[str, Any] | None = None
    file_kind: str = "document"
    edited_at: int | None = None
    versions: list[str] = field(default_factory=list)
    """Every text the message had, the first one first."""
    deleted: bool = False
    topic: int | None = None
    album: str = ""
    location: dict[str, float] | None = None
    reactions: list[str] = field(default_factory=list)
    """Of the bot."""

    @property
    def edits(self) -> int:
        return len(self.versions) - 1

    @property
    def buttons(self) -> list[str]:
        """Labels of the inline keyboard."""
        return [button["text"] for row in (self.markup or {}).get("inline_keyboard", ()) for button in row]


@dataclass
class Chat:
    id: int
    kind: str
    title: str
    messages: list[ChatMessage] = field(default_factory=list)
    actions: list[tuple[str, float]] = field(default_factory=list)
    """Chat actions and when they came (`time.monotonic()` seconds)."""
    drafts: list[str] = field(default_factory=list)
    """Texts of sendMessageDraft, in order."""
    bucket: Bucket | None = None
    edit_bucket: Bucket | None = None

    def payload(self) -> dict[str, Any]:
        name = "first_name" if self.kind == "private" else "title"
        return {"id": self.id, "type": self.kind, name: self.title}


@dataclass(frozen=True)
class ApiCall:
    """A call the bot made; `status` is the HTTP status, 0 for a lost connection."""

    method: str
    parameters: dict[str, Any]
    at: float
    """`time.monotonic()` seconds."""
    status: int


def entities_in(text: str) -> list[Entity]:
    """The entities a client app finds in what a user typed: commands and mentions."""
    found = [
        (match.start(), {"type": kind, "offset": utf16_length(text[: match.start()]), "length": utf16_length(match[0])})
        for kind, pattern in (("bot_command", COMMAND), ("mention", MENTION))
        for match in pattern.finditer(text)
    ]
    return [entity for _, entity in sorted(found, key=lambda one: one[0])]
