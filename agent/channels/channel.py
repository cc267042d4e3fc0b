"""What a channel is: it receives messages from people and sends answers, and knows nothing of models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.events import ChannelState
from agent.providers.types import Image

Role = Literal["owner", "paired", "member"]


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as the transport delivered it. Ids are the transport's immutable ones, as text.

    `transport_id` is unique within the channel: a message that comes twice has the same one.
    `direct` is False in groups. `reply_to` is what a pairing code or refusal is sent to.
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


@dataclass(frozen=True, slots=True)
class Outbound:
    """An answer to deliver: Markdown for one chat. `outbox_id` is its place in the durable outbox, 0 for none.

    `note` is shown above the text: that the person may have got it before.
    """

    outbox_id: int
    chat_id: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The transport's ids of the messages that carry an answer."""

    transport_ids: tuple[str, ...] = field(default=())


Receive = Callable[[Inbound], Awaitable[None]]
"""Returns once the message is committed (or recognised as a repeat): then the transport may be told."""

ReportHealth = Callable[[ChannelState, str], None]


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

    async def identify(self) -> str:
        """Whom the token belongs to, for the Test button. Raises ChannelError."""
        ...
