"""What the fake Slack keeps: people, conversations, messages as people see them, files, calls and faults."""

import mimetypes
from dataclasses import dataclass, field
from typing import Any

TEAM = "T0TEAM"


class ApiError(Exception):
    """`{"ok": false, "error": ...}`; with `status` 429 and `retry_after`, or 5xx, without a body of Slack's."""

    def __init__(self, code: str, status: int = 200, retry_after: int | None = None, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.fields = fields


def too_many_requests(retry_after: int) -> ApiError:
    return ApiError("ratelimited", 429, retry_after)


def unavailable() -> ApiError:
    return ApiError("", 503)


@dataclass(frozen=True)
class LostBefore:
    """The connection breaks before the call has an effect."""


@dataclass(frozen=True)
class LostAfter:
    """The call takes effect and the connection breaks before the answer: the client cannot know."""


Fault = ApiError | LostBefore | LostAfter


@dataclass
class Person:
    id: str
    name: str
    is_bot: bool = False

    def payload(self) -> dict[str, Any]:
        profile = {"display_name": self.name, "real_name": f"{self.name} Example"}
        return {"id": self.id, "team_id": TEAM, "name": self.name.lower(), "is_bot": self.is_bot, "profile": profile}


@dataclass
class File:
    id: str
    name: str
    data: bytes
    url: str
    media_type: str = ""
    size: int | None = None
    """What Slack says, where that is not what it is."""
    uploaded: bool = True

    def payload(self) -> dict[str, Any]:
        media_type = self.media_type or mimetypes.guess_type(self.name)[0] or "application/octet-stream"
        return {
            "id": self.id,
            "name": self.name,
            "title": self.name,
            "mimetype": media_type,
            "filetype": self.name.rpartition(".")[2],
            "mode": "hosted",
            "size": len(self.data) if self.size is None else self.size,
            "url_private": self.url,
            "url_private_download": self.url,
            "file_access": "visible",
        }


@dataclass
class Message:
    channel: str
    ts: str
    sender: str
    text: str
    thread_ts: str = ""
    from_bot: bool = False
    """Of the app under test."""
    bot_id: str = ""
    """Of any app."""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    reactions: list[str] = field(default_factory=list)
    edited_ts: str = ""
    versions: list[str] = field(default_factory=list)
    deleted: bool = False
    unfurl: bool = True

    @property
    def shown(self) -> str:
        """The mrkdwn that is seen: of the blocks where there are any."""
        if not self.blocks:
            return self.text
        parts = []
        for block in self.blocks:
            if block["type"] == "section":
                parts.append(block["text"]["text"])
            elif block["type"] == "context":
                parts += [element["text"] for element in block["elements"]]
        return "\n\n".join(parts)

    @property
    def buttons(self) -> list[str]:
        return [one["text"]["text"] for block in self.blocks if block["type"] == "actions" for one in block["elements"]]

    @property
    def edits(self) -> int:
        return len(self.versions) - 1

    def payload(self, parent: "Message | None" = None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": "message",
            "user": self.sender,
            "text": self.text,
            "ts": self.ts,
            "team": TEAM,
        }
        if self.blocks:
            found["blocks"] = self.blocks
        if self.bot_id:
            found |= {"bot_id": self.bot_id, "bot_profile": {"id": self.bot_id, "name": "another bot"}}
        if self.thread_ts:
            found["thread_ts"] = self.thread_ts
            if parent is not None and self.thread_ts != self.ts:
                found["parent_user_id"] = parent.sender
        if self.files:
            found |= {"files": [file.payload() for file in self.files], "subtype": "file_share", "upload": False}
        if self.edited_ts:
            found["edited"] = {"user": self.sender, "ts": self.edited_ts}
        return found


@dataclass
class Conversation:
    id: str
    name: str = ""
    person: str = ""
    """Of a direct chat."""
    has_bot: bool = True
    archived: bool = False
    messages: list[Message] = field(default_factory=list)
    assistants: set[str] = field(default_factory=set)
    statuses: list[tuple[str, str]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "im" if self.person else "channel"

    def find(self, ts: str) -> Message | None:
        return next((one for one in self.messages if one.ts == ts and not one.deleted), None)

    def payload(self) -> dict[str, Any]:
        if self.person:
            return {"id": self.id, "is_im": True, "user": self.person, "is_archived": False}
        return {"id": self.id, "name": self.name, "is_channel": True, "is_archived": self.archived}


@dataclass
class Call:
    method: str
    parameters: dict[str, Any]
    at: float
    error: str = ""
