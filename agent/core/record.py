"""The record of a turn: beginning, steps, effects and end, each committed before anything builds on it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Any, Literal, TypeVar

from agent.core import cutoff
from agent.core.budget import Budget
from agent.core.context import Transcripts
from agent.core.metering import Meter
from agent.core.unbroken import unbroken
from agent.errors import BudgetExceededError, StorageError, TrayClawError, UsageError
from agent.events import (
    ConversationChanged,
    Event,
    Failure,
    TurnFinished,
    TurnJoined,
    TurnNotice,
    TurnStarted,
    TurnStatus,
)
from agent.providers.types import NOTHING, Message, Usage, assistant
from agent.safety.quoting import quoted_sources
from agent.safety.taint import Taint
from agent.settings import SafetyMode, Settings
from agent.storage import conversations, effects, inbox, messages, outbox, receipts, turns, usage
from agent.storage.conversations import LOCAL
from agent.storage.database import Database, foreign_changes
from agent.storage.inbox import Waiting

log = logging.getLogger(__name__)

SAVE_AGAIN_SECONDS = 1.0
"""Between attempts to write while the disk is full or another program holds the database."""

BUDGET_COMMANDS = "Send /raise to raise the limit for now, or /local to go on with a model on the computer."
"""What a messenger says in place of buttons."""

T = TypeVar("T")


class Clock:
    """The time of a turn. It stands still while a person is asked: what they take to decide is not the turn's."""

    def __init__(self, seconds: float) -> None:
        self.limit = asyncio.timeout(seconds)
        self._open_questions = 0
        self._left = seconds

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Stand still; several questions may be open at once."""
        loop = asyncio.get_running_loop()
        if self._open_questions == 0:
            self._left = (self.limit.when() or loop.time()) - loop.time()
            self.limit.reschedule(None)
        self._open_questions += 1
        try:
            yield
        finally:
            self._open_questions -= 1
            if self._open_questions == 0 and not self.limit.expired():
                self.limit.reschedule(loop.time() + self._left)


@dataclass(slots=True)
class Turn:
    """A running turn. `added` waits for its commit; `partial` is the answer of the current step so far."""

    id: int
    item: Waiting
    model: str
    started: float
    clock: Clock
    steps_left: int
    added: list[Message] = field(default_factory=list)
    calls: list[Meter] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    answer: str = ""
    answered_by: str = ""
    usage: Usage = NOTHING
    cost_usd: float = 0.0
    taint: Taint = field(default_factory=Taint)
    begun: bool = False
    """The model was asked once."""
    preface: str = ""
    """Told to a messenger above the answer."""
    mode: SafetyMode | Literal[""] = ""
    """The conversation's own safety mode; empty: as the settings say."""
    joined: list[Waiting] = field(default_factory=list)
    """Other messages of the same person that this turn answers as well."""
    sections: tuple[str, ...] = ()
    """What stands after the system prompt in all of its requests."""


@dataclass(slots=True)
class TurnRecorder:
    """Writes turns down and tells that it did. `closing`: what is cut off now is left for the next start."""

    database: Database
    transcripts: Transcripts
    settings: Callable[[], Settings]
    publish: Callable[[Event], None]
    owner: str
    budget: Budget
    closing: bool = False

    async def begin(self, item: Waiting) -> tuple[Turn | None, bool]:
        """Commit that the work begins, and whether a stop came meanwhile; no turn when the message was dealt with
        already, or removed. Raises `StorageError` only while closing or for what can never be saved."""
        return await self._surely(item.conversation_id, 0, lambda: unbroken(self._begin(item)))

    async def _begin(self, item: Waiting) -> Turn | None:
        default = self.settings().model.default

        def begin(db: Connection) -> tuple[int, str, int, list[str], SafetyMode | Literal[""]] | None:
            conversation = conversations.get(db, item.conversation_id)
            if conversation is None or not inbox.claim(db, item.id, self.owner):
                return None
            model = item.model or conversation.model or default
            turn_id = turns.begin(db, item.conversation_id, item.id, model)
            messages.append(db, item.conversation_id, turn_id, [item.message])
            earlier = turns.earlier_sources(db, item.conversation_id, turn_id)
            return turn_id, model, foreign_changes(db), earlier, conversation.safety_mode

        begun = await self.database.write(begin)
        if begun is None:
            return None
        turn_id, model, changes, earlier, mode = begun
        if self.transcripts.notice(changes):
            self.budget.forget()
        self.transcripts.append(item.conversation_id, [item.message])
        self.publish(TurnStarted(item.conversation_id, turn_id, model, item.id))
        limits = self.settings().turn
        turn = Turn(turn_id, item, model, time.monotonic(), Clock(limits.max_seconds), limits.max_steps)
        turn.taint.background.extend(earlier)
        _take_note(turn, item.message.text)
        turn.mode = mode
        return turn

    async def join(self, turn: Turn, items: Sequence[Waiting]) -> None:
        """Give a running turn more messages of its person. They count as worked on until the turn ends, so that a crash
        loses none. A stop that comes meanwhile counts after it."""

        def commit(db: Connection) -> list[Waiting]:
            self._put_down(db, turn)
            claimed = [item for item in items if inbox.claim(db, item.id, self.owner)]
            messages.append(db, turn.item.conversation_id, turn.id, [item.message for item in claimed])
            return claimed

        conversation = turn.item.conversation_id
        claimed, stopped = await self._surely(conversation, turn.id, lambda: unbroken(self.database.write(commit)))
        self._saved(turn)
        turn.joined += claimed
        self.transcripts.append(conversation, [item.message for item in claimed])
        for item in claimed:
            _take_note(turn, item.message.text)
            self.publish(TurnJoined(conversation, turn.id, item.id))
        if stopped:
            raise asyncio.CancelledError

    async def save(self, turn: Turn) -> None:
        """Commit a step before its tools run; a stop that comes meanwhile counts after it."""

        def commit(db: Connection) -> None:
            if not turns.is_running(db, turn.id, turn.item.id):  # what it cost is put down at its end
                raise UsageError("The conversation was removed while this was worked on.", title="It is gone")
            self._put_down(db, turn)

        conversation = turn.item.conversation_id
        _, stopped = await self._surely(conversation, turn.id, lambda: unbroken(self.database.write(commit)))
        self._saved(turn)
        if stopped:
            raise asyncio.CancelledError

    def _put_down(self, db: Connection, turn: Turn) -> None:
        """What has come since the last commit."""
        messages.append(db, turn.item.conversation_id, turn.id, turn.added)
        for meter in turn.calls:
            meter.row_id = usage.add(db, turn.item.conversation_id, turn.id, meter.row())

    def _saved(self, turn: Turn) -> None:
        """After the commit: what is kept in memory follows."""
        self.transcripts.append(turn.item.conversation_id, turn.added)
        self.budget.saved(turn.calls)
        for meter in turn.calls:
            turn.usage += meter.tokens()
            turn.cost_usd += meter.price.usd
        turn.added, turn.calls = [], []

    async def finish(self, turn: Turn, status: TurnStatus, failure: Failure | None, *, reworded: bool = False) -> None:
        """Commit how the turn ended, its answer and its delivery in one transaction, then tell everybody. `reworded`:
        its person asks it otherwise, so that nothing of it is sent."""
        if turn.partial:
            turn.answer = "".join(turn.partial)
            turn.added.append(assistant(turn.answer))
        seconds = time.monotonic() - turn.started
        outbox_id: int | None = None
        receipt: list[Mapping[str, Any]] = []
        try:
            outbox_id, receipt = await self._commit_end(turn, status, failure, seconds, reworded)
        except Exception as error:
            log.error("turn %d could not be saved: %s", turn.id, error, exc_info=not isinstance(error, TrayClawError))
            status, failure = "failed", describe(error)
            if not self.closing:  # else it is left as it is, for the next start
                turn.answer, turn.added = "", []  # one of them may be what cannot be saved
                with contextlib.suppress(Exception):
                    outbox_id, receipt = await self._commit_end(turn, status, failure, seconds, reworded)
        self.publish(
            TurnFinished(
                conversation_id=turn.item.conversation_id,
                turn_id=turn.id,
                status=status,
                text=turn.answer,
                model=turn.answered_by or turn.model,
                usage=turn.usage,
                cost_usd=turn.cost_usd,
                seconds=seconds,
                failure=failure,
                effects=tuple(receipt),
                inbox_id=turn.item.id,
                outbox_id=outbox_id,
            )
        )
        for item in turn.joined:
            self.publish(ConversationChanged(item.conversation_id))

    async def _commit_end(
        self, turn: Turn, status: TurnStatus, failure: Failure | None, seconds: float, reworded: bool
    ) -> tuple[int | None, list[Mapping[str, Any]]]:
        """The row in the outbox and the receipt. Raises whatever keeps it from being saved for good."""
        item = turn.item
        leave_for_next_start = status == "interrupted" and item.channel != LOCAL
        reply = "" if item.channel == LOCAL or reworded else _reply(turn.answer, status, failure)
        if reply and turn.preface:
            reply = f"*{turn.preface}*\n\n{reply}"

        def commit(db: Connection) -> tuple[int | None, list[Mapping[str, Any]], list[Message]]:
            if not turns.is_running(db, turn.id, item.id):  # the conversation was removed meanwhile
                for meter in turn.calls:
                    meter.row_id = usage.add(db, None, None, meter.row())
                return None, [], []
            self._put_down(db, turn)
            receipt = effects.of_turn(db, turn.id)
            if leave_for_next_start:
                return None, receipt, []
            cut_off: list[Message] = []
            if status != "answered":
                cut_off = cutoff.results(messages.of_turns(db, [turn.id])[turn.id], receipt)
                messages.append(db, item.conversation_id, turn.id, cut_off)
            turns.finish(db, turn.id, status, model=turn.answered_by or None, seconds=seconds, failure=failure)
            turns.set_sources(db, turn.id, turn.taint.sources)
            model = turn.answered_by or turn.model
            sealed = receipts.body(turn.id, status, model, turn.taint.sources, receipt, turn.cost_usd)
            receipts.append(db, turn.id, sealed)
            inbox.finish(db, item.id)
            for other in turn.joined:
                turns.close_joined(db, other, status)
            if turn.answer:
                conversations.touch(db, item.conversation_id, turn.answer)
            if not reply:
                return None, receipt, cut_off
            added = outbox.add(db, item.conversation_id, item.channel, item.chat_id, turn.id, reply)
            return added, receipt, cut_off

        save = functools.partial(self.database.write, commit)
        outbox_id, receipt, cut_off = await self._surely(item.conversation_id, turn.id, save)
        turn.added.extend(cut_off)
        self._saved(turn)
        return outbox_id, receipt

    def tell_unbegun(self, item: Waiting, failure: Failure | None) -> None:
        """A message that no turn can be made of: whoever waits for its end is told that there is none."""
        status: TurnStatus = "failed" if failure else "stopped"
        self.publish(
            TurnFinished(item.conversation_id, 0, status, "", "", NOTHING, 0.0, 0.0, failure, inbox_id=item.id)
        )

    async def effect_begins(
        self, turn: Turn, call_id: str, tool: str, kind: str, summary: str, detail: Mapping[str, Any]
    ) -> int:
        """Commit that an effect is about to happen; its id."""

        def begin(db: Connection) -> int:
            return effects.begin(db, turn.id, call_id, tool, kind, summary, detail)

        conversation = turn.item.conversation_id
        effect_id, stopped = await self._surely(conversation, turn.id, lambda: unbroken(self.database.write(begin)))
        if stopped:  # it was put down and will not happen
            await self.effect_ended(turn, effect_id, "denied", 0.0, {"text": "Stopped before it began."})
            raise asyncio.CancelledError
        return effect_id

    async def effect_ended(
        self, turn: Turn, effect_id: int, state: effects.State, seconds: float, detail: Mapping[str, Any]
    ) -> None:
        """Commit how an effect went; `seconds` is how long it took."""

        def end(db: Connection) -> None:
            effects.end(db, effect_id, state, seconds, detail)

        await self._surely(turn.item.conversation_id, turn.id, lambda: self.database.write(end))

    async def _surely(self, conversation_id: int, turn_id: int, work: Callable[[], Awaitable[T]]) -> T:
        """Do it again while the database cannot take it: an answer waits for space rather than being lost."""
        told = False
        while True:
            try:
                return await work()
            except StorageError as error:
                if not error.retryable or self.closing:
                    raise
                if not told:
                    log.error("conversation %d waits for the database: %s", conversation_id, error)
                    words = f"{error.title}: this waits until it can be saved. {error.hint}"
                    self.publish(TurnNotice(conversation_id, turn_id, words))
                told = True
            await asyncio.sleep(SAVE_AGAIN_SECONDS)


def describe(error: BaseException) -> Failure:
    """An error as a person sees it; what was not raised on purpose is not shown word for word."""
    if isinstance(error, TrayClawError):
        return Failure(error.kind, error.title, str(error), error.hint, error.exit_code)
    return Failure(
        "unexpected", "Something unexpected happened", "TrayClaw has a mistake here.", "The log file has the details."
    )


def _take_note(turn: Turn, text: str) -> None:
    """A person said it, with what they quote in it."""
    turn.taint.saw(text)
    for source in quoted_sources(text):
        turn.taint.read(source, "")


def _reply(answer: str, status: TurnStatus, failure: Failure | None) -> str:
    """What a messenger is sent: the answer, or in words what went wrong and what to do."""
    if failure is not None:
        hint = BUDGET_COMMANDS if failure.kind == BudgetExceededError.kind else failure.hint
        problem = f"**{failure.title}.** {failure.message} {hint}".strip()
        return f"{answer}\n\n{problem}" if answer else problem
    if status == "stopped":
        return f"{answer}\n\n*(stopped)*" if answer else "Stopped."
    return answer
