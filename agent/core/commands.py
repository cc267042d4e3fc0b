"""The words that every channel understands without a model: /new, /stop, /model, /undo and the others of `HELP`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.channels.channel import Role
from agent.core.asking import ChatQuestions
from agent.core.spending import Spending
from agent.errors import PolicyRefusedError, UsageError
from agent.settings import SafetyMode
from agent.storage import conversations
from agent.storage.database import Database
from agent.views import LimitView, Person, UndoReport


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
    spending: Spending
    local_model: Callable[[], Awaitable[str]]
    ask_again: Callable[[int], Awaitable[bool]]
    undo: Callable[[int], Awaitable[UndoReport]]
    questions: Callable[[], ChatQuestions]
    pair: Callable[[str, bool], Awaitable[Person | None]]

    async def answer(self, conversation_id: int, command: Command, role: Role, sender: str = "chat") -> str:
        """Do it, and say what was done in Markdown; `sender` is who wrote it ("telegram:4242"). Raises `RefusedError`
        for what only an owner may do."""
        if role == "member" and command.name not in ("help", "start", "status", "answer"):
            raise PolicyRefusedError("In a group only the owner may do that.", hint="Ask them.")
        if command.name in ("undo", "allow", "deny", "approvals", "pair", "mode") and role != "owner":
            raise PolicyRefusedError("Only the owner may decide about what is done, or undo it.", hint="Ask them.")
        spends = command.name == "raise" or (command.name == "limit" and command.argument)
        if spends and role != "owner":
            raise PolicyRefusedError(
                "Only the owner may change what may be spent.", hint="Ask them, or go on with /local, which is free."
            )
        match command.name:
            case "limit":
                return await self._limit(conversation_id, command.argument)
            case "raise":
                raised = await self.spending.raise_limit(conversation_id)
                said = ", ".join(f"${limit.limit:.2f} {limit.label}" for limit in raised)
                return f"The limit is now {said}." + await self._again(conversation_id)
            case "local":
                chosen = await self.local_model()
                await self.database.write(lambda db: conversations.set_model(db, conversation_id, chosen))
                return f"This conversation now uses `{chosen}`, which costs nothing." + await self._again(
                    conversation_id
                )
            case "allow" | "deny":
                return self.questions().answer(command.argument, "chat", allow=command.name == "allow")
            case "pair":
                return await self._pair(command.argument)
            case "queue":
                return await self._queue(conversation_id, command.argument.lower())
            case "mode":
                return await self._mode(conversation_id, command.argument.lower())
            case "usage":
                return await self._limit(conversation_id, "")
            case "enable" | "disable":
                return "That is for groups: write it where I am a member and should answer."
            case "answer":
                return self.questions().reply(command.argument, sender, owner=role == "owner")
            case "approvals":
                return self.questions().waiting()
            case "undo":
                return undone(await self.undo(conversation_id))
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

    async def _again(self, conversation_id: int) -> str:
        return " I am asking again." if await self.ask_again(conversation_id) else ""

    async def _limit(self, conversation_id: int, wanted: str) -> str:
        if wanted:
            await self.spending.set_conversation_limit(conversation_id, amount(wanted))
        limits = await self.spending.limits(conversation_id)
        lines = [f"- ${limit.spent:.2f} of ${limit.limit:.2f} {limit.label}{_raised(limit)}" for limit in limits]
        return "\n".join(["Spent:", *lines])

    async def _pair(self, argument: str) -> str:
        verb, _, code = argument.rpartition(" ")
        if verb not in ("", "approve", "deny") or not code:
            raise UsageError("Which code?", hint="Write `/pair CODE` or `/pair deny CODE`.")
        person = await self.pair(code, verb != "deny")
        return f"{person.name or person.user_id} may talk to me now." if person else "They may not talk to me."

    async def _queue(self, conversation_id: int, wanted: str) -> str:
        if wanted not in (*QUEUE_WORDS, "default"):
            listed = "\n".join(f"- `/queue {name}`: {words}" for name, words in QUEUE_WORDS.items())
            return f"What should a message do that comes while I work on another?\n{listed}"
        chosen = "" if wanted == "default" else wanted
        await self.database.write(lambda db: conversations.set_modes(db, conversation_id, queue=chosen))
        return f"In this conversation a new message {QUEUE_WORDS[wanted]}." if chosen else "As the settings say again."

    async def _mode(self, conversation_id: int, wanted: str) -> str:
        if wanted not in (*MODES, "default"):
            return "Write `/mode careful`, `/mode balanced`, `/mode autonomous` or `/mode default`."
        chosen = "" if wanted == "default" else wanted
        await self.database.write(lambda db: conversations.set_modes(db, conversation_id, safety=chosen))
        return f"This conversation is {chosen} now." if chosen else "As the settings say again."

    async def _model(self, conversation_id: int, wanted: str) -> str:
        if not wanted:
            return await self.status(conversation_id)
        chosen = "" if wanted == "default" else self.check_model(wanted)
        await self.database.write(lambda db: conversations.set_model(db, conversation_id, chosen))
        return (
            f"This conversation now uses `{chosen}`." if chosen else "This conversation uses the default model again."
        )


QUEUE_WORDS = {
    "queue": "waits for its turn",
    "steer": "is taken into account at my next step",
    "collect": "is answered together with the others that wait",
    "interrupt": "ends what I am doing",
}
MODES: tuple[SafetyMode, ...] = ("careful", "balanced", "autonomous")

HELP = """\
- `/new`: start afresh, without what was said before
- `/stop`: stop what I am doing here, also in the background
- `/model NAME`: use another model in this conversation (`provider/model`, or `default`)
- `/status`: the model, what runs, what was spent today
- `/limit`: the spending limits; `/limit 2` gives this conversation $2 a day, `/limit off` takes that away
- `/raise`: raise the limit that was reached, for today or this month only
- `/local`: go on with a model on the computer, which costs nothing
- `/approvals`: the questions that wait; `/allow CODE` and `/deny CODE` answer one
- `/answer CODE 2`: answer what I asked you, by the number of a choice or in your own words
- `/undo`: take back what the last turn here did to files
- `/usage`: what was spent here, today and this month
- `/queue`: what a message does that comes while I work on another
- `/mode`: how much I do in this conversation without asking
- `/pair CODE`: let somebody in who was given that code
- `/enable`, `/disable` in a group: whether I answer there
- `/help`: this list"""

_NAMES = (
    *("new", "stop", "model", "status", "limit", "raise", "local", "undo", "allow", "deny", "approvals"),
    *("usage", "queue", "mode", "pair", "enable", "disable", "answer", "help", "start"),
)


def amount(text: str) -> float | None:
    """USD as a person writes them; None for "off". Raises `UsageError`."""
    if text.lower() == "off":
        return None
    try:
        usd = float(text.lstrip("$").replace(",", "."))
    except ValueError:
        usd = -1.0
    if not 0 <= usd < 1e6:
        hint = "Write `/limit 2.50` or `/limit off`."
        raise UsageError(f"“{text}” is no amount.", title="That is no amount", hint=hint)
    return usd


def undone(report: UndoReport) -> str:
    """What came of an undo, in Markdown."""
    head = "Undone:" if report.done else "Nothing was touched, for this has changed since:"
    lines = [f"- `{step.what}`: {step.outcome}{f' ({step.detail})' if step.detail else ''}" for step in report.steps]
    return "\n".join([head, *lines[:40]])


def _raised(limit: LimitView) -> str:
    return f" (raised by ${limit.raised:.2f})" if limit.raised else ""


def parse(text: str) -> Command | None:
    """The command in a message, or None; `/start` is what Telegram sends first."""
    head, _, rest = text.strip().partition(" ")
    if not head.startswith("/"):
        return None
    name = head[1:].partition("@")[0].lower()
    return Command(name, rest.strip()) if name in _NAMES else None
