"""The tool that writes to people: to the chat it works for, and to others that are known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.errors import ToolArgumentsError, ToolError
from agent.safety.effects import Effect, one_line, visible
from agent.safety.grants import Rule
from agent.tools import enclosures
from agent.tools.tool import Outcome, Tool, ToolContext, tool

LONGEST = 20_000
"""Characters of one message."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A known conversation. `name` is what people call it ("Anna"), `place` where it is ("telegram", "desktop")."""

    conversation_id: int
    channel: str
    chat_id: str
    name: str
    place: str

    @property
    def key(self) -> str:
        """By which it is known for good: the transport's own ids."""
        return f"{self.channel}:{self.chat_id}"


class AddressBook(Protocol):
    """Knows the conversations. Blocks."""

    def find(self, wanted: str, context: ToolContext) -> Recipient:
        """The one that is meant. Raises `ToolError`, which names those that may be."""
        ...


class Post(Protocol):
    """Takes messages on their way."""

    async def send(self, context: ToolContext, to: Recipient, text: str, files: Sequence[Path]) -> Outcome:
        """It is committed when this returns. Raises `ToolError`, `StorageError`, `OSError`."""
        ...


def send_tool(book: AddressBook, post: Post) -> Tool:
    """The tool, on top of who knows people and who carries messages."""

    def describe(context: ToolContext, text: str, to: str = "here", files: Sequence[str] = ()) -> Effect:
        if len(text) > LONGEST:
            raise ToolArgumentsError(f"A message may have {LONGEST:,} characters; send the rest as a file.")
        if not text.strip() and not files:
            raise ToolArgumentsError("There is nothing to send.")
        if len(files) > enclosures.MOST:
            raise ToolArgumentsError(f"At most {enclosures.MOST} files go with a message.")
        recipient = book.find(to, context)
        places = tuple(context.workspace.place(file) for file in dict.fromkeys(files))
        readable = [place for place in places if not place.secret]  # the others are denied by the policy
        try:
            sizes, digest = enclosures.sizes_and_digest(place.path for place in readable)
        except OSError as error:
            raise ToolError(f"{error.filename}: {error.strerror}.") from error
        if sum(sizes) > enclosures.LARGEST:
            raise ToolError(f"The files have more than {enclosures.LARGEST // 1_000_000} MB together.")
        here = recipient.key == context.here
        name = "this conversation" if here else f"{one_line(recipient.name, 40)} ({recipient.place})"
        lines = [f"To {visible(recipient.name)} ({visible(recipient.key)}):", "", visible(text.strip())]
        for place, size in zip(readable, sizes, strict=True):
            lines.append(f"\nWith the file {visible(place.full or place.shown)} ({size:,} bytes)")
        what = f"{len(places)} files " if len(places) > 1 else f"{places[0].shown} " if places else ""
        words = f": {one_line(text, 50)}" if text.strip() else ""
        rule = Rule("recipient", "send", recipient.key, f"sending messages without files to {name}")
        return Effect(
            "send",
            f"Send {what}to {name}{words}",
            places,
            title=f"Send a message to {name}?",
            action="\n".join(lines),
            recipients=(recipient.key,),
            digest=digest,
            always=None if places else rule,
        )

    @tool("send", describe, seconds=60.0, also={"message": "text", "recipient": "to"}, deferred=True)
    async def send_message(context: ToolContext, text: str, to: str = "here", files: Sequence[str] = ()) -> Outcome:
        """Send files, or a message besides your answer, to this conversation or another one.

        Args:
            text: Markdown.
            to: "here", or like "telegram: Anna"; what is not known is answered with what is.
            files: Paths.
        """
        effect = context.effect
        if effect is None:
            raise LookupError("the call was not prepared")
        recipient = await asyncio.to_thread(book.find, to, context)
        if (recipient.key,) != effect.recipients:
            raise ToolError(f"{to!r} is somebody else now. Call again.")
        paths = [place.path for place in effect.places]
        return await post.send(context, recipient, text.strip() or ", ".join(path.name for path in paths), paths)

    return send_message
