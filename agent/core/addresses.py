"""Whom a message can be sent to: conversations in the database, of the window and of channels that are switched on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.errors import ToolError
from agent.safety.effects import one_line
from agent.storage import conversations
from agent.storage.conversations import LOCAL
from agent.storage.database import Database
from agent.tools.send_message import Recipient
from agent.tools.tool import ToolContext
from agent.views import Conversation

MOST_NAMED = 12
"""Conversations that a refusal names."""
_MOST_KNOWN = 2_000
DESKTOP = "desktop"
"""What the channel of the window and the terminal is called here."""
_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Addresses:
    """Implements `AddressBook`. `switched_on` tells whether a channel is."""

    database: Database
    switched_on: Callable[[str], bool]

    def find(self, wanted: str, context: ToolContext) -> Recipient:
        """The one that is meant: "here", "telegram: Anna", "desktop: Taxes", a name that only one has, "#12", or the
        transport's id ("telegram:4242"). Only an owner's turn reaches others, and is told their names."""
        name = " ".join(wanted.split())
        if name.casefold() in ("", "here"):
            return self._here(context)
        if context.sender_role != "owner":
            raise ToolError('Only this conversation can be written to: "here".')
        found = self.database.read_here(lambda db: conversations.find(db, "", _MOST_KNOWN))
        known = [one for one in found if one.channel == LOCAL or self.switched_on(one.channel)]
        known.sort(key=lambda one: one.channel == LOCAL)  # people first
        found = _meant(name, known)
        if len(found) == 1:
            return _recipient(found[0])
        if found:
            raise ToolError(f"{one_line(name)!r} could be {_listed(found)}. Name one by its number.")
        near = [one for one in known if name.rpartition(":")[2].strip().casefold() in one.title.casefold()]
        others = f" There are: {_listed(near or known)}." if known else " There is none but this one."
        raise ToolError(f"There is no conversation {one_line(name)!r}.{others}")

    def _here(self, context: ToolContext) -> Recipient:
        own = self.database.read_here(lambda db: conversations.get(db, context.conversation_id))
        if own is None:
            raise ToolError("This conversation was removed.")
        return _recipient(own)


def _meant(name: str, known: Sequence[Conversation]) -> list[Conversation]:
    """Those that a name stands for exactly; nothing is guessed."""
    folded = name.casefold()
    channel, colon, rest = (part.strip() for part in folded.partition(":"))
    return [
        one
        for one in known
        if folded in (f"#{one.id}", _folded(one.title))
        or (colon and channel == _channel(one) and rest in (_folded(one.title), f"#{one.id}", one.chat_id.casefold()))
    ]


def _channel(one: Conversation) -> str:
    return DESKTOP if one.channel == LOCAL else one.channel


def _name(one: Conversation) -> str:
    return one.title or ("untitled" if one.channel == LOCAL else one.chat_id)


def _folded(title: str) -> str:
    return " ".join(title.split()).casefold()


def _listed(found: Sequence[Conversation]) -> str:
    names = [f"#{one.id} {_channel(one)}: {one_line(_name(one), _NAME_CHARS)}" for one in found[:MOST_NAMED]]
    return ", ".join(names) + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")


def _recipient(one: Conversation) -> Recipient:
    return Recipient(one.id, one.channel, one.chat_id, _name(one), _channel(one))
