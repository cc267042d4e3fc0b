"""What a channel is: it receives messages from people and sends answers, and knows nothing of models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from agent.events import ChannelState
from agent.providers.types import Image

Role = Literal["owner", "paired", "member"]


Mark = Literal["seen", "done", "failed"]
"""A receipt on a person's message: it is being worked on, it was answered, it could not be."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message and lies in the workspace. `size` in bytes."""

    name: str
    media_type: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press below a message: pressing it is the same as writing `command` ("/allow 3F2A9C")."""

    label: str
    command: str
    style: Literal["", "primary", "danger"] = ""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as the transport delivered it. Ids are the transport's immutable ones, as text.

    `transport_id` is unique within the channel: a message that comes twice has the same one. `chat_id` names the
    conversation, a thread or topic included; `direct` is False in groups, whose own id is `group_id` then (what an
    owner enables). `addressed`: the agent is meant, by a mention, a reply to it or a command; always true in a direct
    chat. `bot`: another program wrote it. `edits` is the transport id of the message whose text this one replaces;
    its own id is that one, a colon and what tells this wording from others.
    `pressed`: a button was pressed, `text` is its command. `files` are on the disk already.
    """

    channel: str
    transport_id: str
    chat_id: str
    sender_id: str
    sender_name: str
    text: str
    title: str = ""
    direct: bool = True
    images: tuple[Image, ...] = ()
    sent_at: float = 0.0
    group_id: str = ""
    addressed: bool = True
    bot: bool = False
    edits: str = ""
    pressed: bool = False
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Outbound:
    """An answer to deliver: Markdown for one chat. `outbox_id` is its place in the durable outbox, 0 for none.

    `note` is shown above the text: that the person may have got it before. `files` are sent with it, `buttons` below
    its last piece (where the transport has none, their commands are in the text). `reply_to` is the transport id of the
    message that it answers.
    """

    outbox_id: int
    chat_id: str
    text: str
    note: str = ""
    files: tuple[Path, ...] = ()
    buttons: tuple[Button, ...] = ()
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The transport's ids of the messages that carry an answer."""

    transport_ids: tuple[str, ...] = field(default=())


Receive = Callable[[Inbound], Awaitable[None]]
"""Returns once the message is committed (or recognised as a repeat): then the transport may be told."""

ReportHealth = Callable[[ChannelState, str], None]


class Notes(Protocol):
    """What a channel must remember beyond the life of the process (positions, threads), by keys of its own."""

    async def get(self, key: str) -> str | None:
        """The value, None where there is none."""
        ...

    async def set(self, key: str, value: str) -> None:
        """Committed when it returns."""
        ...


class Files(Protocol):
    """Where files that people send are put."""

    async def take(self, name: str, media_type: str, pieces: AsyncIterator[bytes], *, limit: int) -> Attachment:
        """Stream a file to the disk under a name that is safe on every system. Raises `ChannelError` (rejected) for
        one of more than `limit` bytes; nothing of it is left then."""
        ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What the agent gives a connector. `secret` finds a token or password by the name of its key ("discord",
    "slack-app"), None when there is none; `knows` tells whether a sender may talk to the agent: files of strangers
    are not fetched."""

    secret: Callable[[str], Awaitable[str | None]]
    knows: Callable[[str], Awaitable[bool]]
    notes: Notes
    files: Files


class Draft(Protocol):
    """An answer that is shown while it grows (edited in place where the transport can)."""

    def update(self, text: str) -> None:
        """The whole text so far; called often, must return at once; the channel paces itself."""
        ...

    async def finish(self, message: Outbound) -> Delivered:
        """Deliver the final text, re-using the draft's message. Raises ChannelError like `Channel.send`."""
        ...

    async def discard(self) -> None:
        """The turn ended without an answer to send: remove or close the draft."""
        ...


class Channel(Protocol):
    """A connector. `run` is its whole life; the supervisor cancels it to stop."""

    name: str
    label: str

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        """Connect, report health, receive until cancelled. Raises ChannelError when trying again is useless
        (wrong token) or after the connection was lost (the supervisor tries again)."""
        ...

    async def send(self, message: Outbound) -> Delivered:
        """Deliver one answer, split and marked up for the transport. Raises ChannelError (retryable or final)."""
        ...

    def draft(self, chat_id: str) -> Draft:
        """Begin to show that an answer is coming (typing, then growing text)."""
        ...

    async def mark(self, chat_id: str, transport_id: str, mark: Mark) -> None:
        """Show on a person's message how far it is, where the transport can (a reaction). Never raises."""
        ...

    async def identify(self) -> str:
        """Whom the token belongs to, for the Test button. Raises ChannelError."""
        ...
