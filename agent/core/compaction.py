"""Makes a conversation that has become too long for its model fit: notes take the place of its older part.

Nothing is removed from the database; `conversations.summary` says what a model is shown instead of the messages up to
`summary_upto`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.core.budget import Budget
from agent.core.context import Transcripts, summary_message
from agent.core.record import Turn
from agent.errors import ProviderError, TrayClawError
from agent.providers.router import Router
from agent.providers.types import ChatRequest, Image, Message, Part, Text, ToolCall, ToolResult, system, user
from agent.storage import conversations, messages
from agent.storage.database import Database

log = logging.getLogger(__name__)

LEFT_OUT: Final = "The older part of this conversation is left out here."
_RESULT_CHARS = 1500
"""What is kept of a tool result when room is short: its beginning and its end."""
_NOTE_CHARS = 600
"""What the notes are made from of each single message."""
_CHARS_PER_TOKEN = 3
_RECENT_SHARE = 0.4
_WORTH_IT = 0.8
"""Asking again makes sense when this share of the request, or less, is left."""


@dataclass(frozen=True, slots=True)
class Compactor:
    """Called by the router when a model refuses a request for its length."""

    database: Database
    router: Router
    budget: Budget
    transcripts: Transcripts
    history_limit: Callable[[], int]
    instructions: str

    async def shrink(self, turn: Turn, request: ChatRequest, error: ProviderError) -> ChatRequest | None:
        """The same request with less in it; None when there is nothing left to leave out."""
        conversation = turn.item.conversation_id
        history = await self.transcripts.get(conversation, self.history_limit())
        prompt = request.messages[0]
        size = sum(_size(message) for message in request.messages)
        room = min(size // 2, _allowed_chars(str(error)) or size)
        cut = _cut(history, int(room * _RECENT_SHARE))
        older, recent = history[:cut], history[cut:]
        shown = [*recent, *turn.added]
        made: list[Message] = [prompt]
        if older:
            notes = await self._notes(turn, older, room)
            if notes:
                kept = len(recent)
                await self.database.write(
                    lambda db: conversations.set_summary(
                        db, conversation, notes, messages.last_before(db, conversation, kept)
                    )
                )
                self.transcripts.forget(conversation)
            made.append(summary_message(notes) if notes else user(LEFT_OUT))
        made.extend(_shortened(message) for message in shown)
        if sum(_size(message) for message in made) > size * _WORTH_IT:
            return None
        return replace(request, messages=made)

    async def _notes(self, turn: Turn, older: Sequence[Message], room: int) -> str:
        """Notes on these messages; empty when they could not be made: the turn goes on without them."""
        text = _transcript(older)
        if len(text) > room:  # the beginning holds what was asked for, the end what came of it
            text = f"{text[: room // 3]}\n[…]\n{text[-room // 3 :]}"
        reference = self.router.reference_for("compaction", turn.model)
        item = turn.item
        account = self.budget.account("compaction", item.conversation_id, item.channel, turn.calls.append)
        request = ChatRequest("", (system(self.instructions), user(text)))
        try:
            completion = await self.router.complete(reference, request, account)
        except TrayClawError as error:
            log.info("conversation %d could not be summarised: %s", item.conversation_id, error)
            return ""
        return completion.text.strip()


def _allowed_chars(complaint: str) -> int:
    """What the model takes, as it said so itself ("... maximum context length is 8192 tokens ..."); 0 if it did not."""
    numbers = [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]{2,8}", complaint)]
    plausible = [number for number in numbers if number >= 500]
    return min(plausible) * _CHARS_PER_TOKEN if plausible else 0


def _cut(history: Sequence[Message], recent_chars: int) -> int:
    """Where the recent part begins: at a person's message, within `recent_chars` where one is, else at the last one."""
    persons = [position for position, message in enumerate(history) if message.role == "user"]
    if not persons:
        return 0
    total = 0
    best = persons[-1]
    for position in range(len(history) - 1, -1, -1):
        total += _size(_shortened(history[position]))
        if total > recent_chars:
            break
        if history[position].role == "user":
            best = min(best, position)
    return best


def _shortened(message: Message) -> Message:
    """The same message with its tool results cut to their ends."""
    if message.role != "tool" or _size(message) <= _RESULT_CHARS:
        return message
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult) and (len(part.text) > _RESULT_CHARS or part.images):
            half = _RESULT_CHARS // 2
            text = part.text
            if len(text) > _RESULT_CHARS:
                text = f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"
            part = replace(part, text=text, images=())
        parts.append(part)
    return replace(message, parts=tuple(parts))


def _size(message: Message) -> int:
    """Characters, a picture counted as what it costs."""
    total = 0
    for part in message.parts:
        match part:
            case Text(text) | ToolResult(text=text):
                total += len(text)
            case ToolCall():
                total += len(part.raw_arguments)
            case Image():
                total += 4000
    return total


def _transcript(history: Sequence[Message]) -> str:
    """The conversation as a text to take notes from."""
    lines = []
    for message in history:
        for part in message.parts:
            match part:
                case Text(text) if text.strip():
                    who = "Person" if message.role == "user" else "You"
                    lines.append(f"{who}: {_clip(text)}")
                case ToolCall():
                    lines.append(f"You called {part.name}: {_clip(part.raw_arguments)}")
                case ToolResult():
                    lines.append(f"Result of {part.name}: {_clip(part.text)}")
                case Image():
                    lines.append("[a picture]")
    return "\n".join(lines)


def _clip(text: str) -> str:
    return text if len(text) <= _NOTE_CHARS else f"{text[: _NOTE_CHARS * 2 // 3]} […] {text[-_NOTE_CHARS // 3 :]}"
