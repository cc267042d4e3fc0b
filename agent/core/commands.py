"""The words that every channel understands without a model: /new /stop /model /status /help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.storage import conversations
from agent.storage.database import Database


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was typed."""

    name: str
    argument: str


@dataclass(frozen=True, slots=True)
class CommandDesk:
    """Answers commands. None of them waits for a running turn."""

    database: Database
    stop: Callable[[int], Awaitable[bool]]
    forget: Callable[[int], None]
    status: Callable[[int], Awaitable[str]]
    check_model: Callable[[str], str]

    async def answer(self, conversation_id: int, command: Command) -> str:
        """Do it, and say what was done in Markdown."""
        match command.name:
            case "new":
                await self.stop(conversation_id)
                await self.database.write(lambda db: conversations.start_afresh(db, conversation_id))
                self.forget(conversation_id)
                return "A fresh start: I no longer look at what was said before. It stays in the conversation."
            case "stop":
                return "Stopped." if await self.stop(conversation_id) else "Nothing is running here."
            case "model":
                return await self._model(conversation_id, command.argument)
            case "status":
                return await self.status(conversation_id)
            case _:
                return HELP

    async def _model(self, conversation_id: int, wanted: str) -> str:
        if not wanted:
            return await self.status(conversation_id)
        chosen = "" if wanted == "default" else self.check_model(wanted)
        await self.database.write(lambda db: conversations.set_model(db, conversation_id, chosen))
        return (
            f"This conversation now uses `{chosen}`." if chosen else "This conversation uses the default model again."
        )


HELP = """\
- `/new`: start afresh, without what was said before
- `/stop`: stop what I am doing here
- `/model NAME`: use another model in this conversation (`provider/model`, or `default`)
- `/status`: the model, what runs, what was spent today
- `/help`: this list"""

_NAMES = ("new", "stop", "model", "status", "help", "start")


def parse(text: str) -> Command | None:
    """The command in a message, or None; `/start` is what Telegram sends first."""
    head, _, rest = text.strip().partition(" ")
    if not head.startswith("/"):
        return None
    name = head[1:].partition("@")[0].lower()
    return Command(name, rest.strip()) if name in _NAMES else None
