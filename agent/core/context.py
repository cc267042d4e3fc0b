"""What the model is shown: the system prompt and a window of the conversation."""

from __future__ import annotations

import asyncio
import platform
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from agent.providers.types import ChatRequest, Message, ToolSpec, system, user
from agent.storage import conversations, messages
from agent.storage.database import Database

_KEPT_CONVERSATIONS = 256


class Transcripts:
    """The recent messages of the conversations in use, so that a turn need not read them again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[int, list[Message]] = OrderedDict()
        self._notes: dict[int, Message] = {}
        self._forgotten = 0
        self._foreign_changes: int | None = None

    def notes(self, conversation_id: int) -> tuple[Message, ...]:
        """What stands for the part of the conversation before its window: one message, or none. Call `get` first."""
        found = self._notes.get(conversation_id)
        return () if found is None else (found,)

    async def get(self, conversation_id: int, limit: int) -> list[Message]:
        """The window on a conversation: at most `limit` messages, beginning with one of a person.

        The window moves in steps of half its size rather than by one message, so that the beginning of the request
        stays the same from turn to turn and prompt caches hold. A turn that alone is longer stays whole.
        """
        history = self._kept.get(conversation_id)
        if history is None:
            forgotten = self._forgotten
            found, notes = await self._database.read(
                lambda db: (messages.context(db, conversation_id, limit), conversations.summary(db, conversation_id))
            )
            if forgotten != self._forgotten:  # what was read may be what was to be forgotten
                return await self.get(conversation_id, limit)
            history = self._kept.setdefault(conversation_id, found)
            if notes:
                self._notes[conversation_id] = summary_message(notes)
            while len(self._kept) > _KEPT_CONVERSATIONS:
                self._notes.pop(self._kept.popitem(last=False)[0], None)
        self._kept.move_to_end(conversation_id)
        if len(history) > limit:
            del history[: _cut(history, len(history) - limit // 2)]
        return history

    def append(self, conversation_id: int, added: Sequence[Message]) -> None:
        """Keep in step with what was committed."""
        history = self._kept.get(conversation_id)
        if history is not None:
            history.extend(added)

    def forget(self, conversation_id: int) -> None:
        """Read it again next time."""
        self._forgotten += 1
        self._kept.pop(conversation_id, None)
        self._notes.pop(conversation_id, None)

    def notice(self, foreign_changes: int) -> bool:
        """Read everything again when another process has written since the last time (`database.foreign_changes`);
        whether it has."""
        if foreign_changes == self._foreign_changes:
            return False
        self._foreign_changes = foreign_changes
        self._forgotten += 1
        self._kept.clear()
        self._notes.clear()
        return True


def summary_message(notes: str) -> Message:
    """Notes on what was said before, as a model is shown them: not as the system's words, for they quote others."""
    return user(f"[Notes on the older part of this conversation, which is left out here]\n{notes}")


def _cut(history: Sequence[Message], wanted: int) -> int:
    """Where a window can begin: at the first message of a person from there on, else at the last one before."""
    persons = [position for position, message in enumerate(history) if message.role == "user"]
    later = [position for position in persons if position >= wanted]
    return later[0] if later else persons[-1] if persons else len(history)


class Prompt:
    """The system prompt. It holds the date and not the time of day, so that it stays the same for prompt caches."""

    def __init__(self, full: str, short: str, summary: str = "", title: str = "", errand: str = "") -> None:
        self._full = full
        self._errand = errand
        self._short = short
        self.summary = summary
        """What a model is told that takes notes on a long conversation."""
        self.title = title
        """What a model is told that finds a title."""
        self._filled: tuple[str, Path, Message] | None = None

    @classmethod
    async def load(cls) -> Prompt:
        """Read the texts from the resources."""
        import resources

        def read() -> list[str]:
            names = ("system", "starter", "summary", "title", "subagent")
            return [resources.path(f"prompts/{name}.md").read_text(encoding="utf-8").strip() for name in names]

        return cls(*await asyncio.to_thread(read))

    def message(self, workspace: Path, *, tools: bool) -> Message:
        """The first message of a request; the short text for models that cannot use tools."""
        if not tools:
            return system(self._short)
        date = _today()
        if self._filled is None or self._filled[:2] != (date, workspace):
            text = self._full.format(workspace=workspace, date=date, system=_computer())
            self._filled = (date, workspace, system(text))
        return self._filled[2]

    def errand(self, workspace: Path) -> Message:
        """The first message of a subagent's requests."""
        return system(self._errand.format(workspace=workspace, date=_today(), system=_computer()))


def _today() -> str:
    return datetime.now().astimezone().strftime("%A, %d %B %Y, time zone %Z (UTC%z)")


def _computer() -> str:
    return f"{platform.system()} {platform.release()}".strip()


def with_sections(prompt: Message, sections: Iterable[str]) -> Message:
    """The system prompt with texts after it that stay the same from turn to turn as well (the list of skills)."""
    return system("\n\n".join((prompt.text, *filter(None, sections))))


def request(model: str, prompt: Message, history: Sequence[Message], tools: Sequence[ToolSpec]) -> ChatRequest:
    """The call of a model on a conversation."""
    return ChatRequest(model=model, messages=(prompt, *history), tools=tools)
