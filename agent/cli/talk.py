"""One message and its turn at a terminal: events to a view, approvals to whoever answers them, Ctrl+C to Stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from agent.cli.safe import typed
from agent.cli.session import on_signals, stop_signals
from agent.core.questions import NOBODY
from agent.events import (
    Approval,
    ApprovalAsked,
    ApprovalChoice,
    ApprovalResolved,
    Event,
    Question,
    QuestionAsked,
    QuestionResolved,
    TurnFinished,
)

if TYPE_CHECKING:
    from agent.service import AgentService

BY = "terminal"


class View(Protocol):
    """Shows a turn."""

    def open(self) -> None:
        """The turn begins."""
        ...

    def close(self) -> None:
        """The turn is over, or broke off."""
        ...

    def show(self, event: Event) -> None:
        """Called for every event of the turn, in order; must not block for long."""
        ...

    async def decide(self, approval: Approval) -> ApprovalChoice:
        """Decide on an action. Cancelled when somebody else was faster. Raises KeyboardInterrupt to stop the turn."""
        ...

    async def reply(self, question: Question) -> str | None:
        """Answer what the model wants to know; None where nobody is there. As `decide` otherwise."""
        ...


async def talk(
    service: AgentService, conversation_id: int, text: str, view: View, *, model: str = ""
) -> TurnFinished | None:
    """Send `text`, show its turn, return its end; None only when the stream broke off without one."""
    finished: TurnFinished | None = None
    questions: dict[str, asyncio.Task[None]] = {}
    stopping: set[asyncio.Task[bool]] = set()

    def stop() -> None:
        task = asyncio.ensure_future(service.stop_turn(conversation_id))
        stopping.add(task)
        task.add_done_callback(stopping.discard)

    async def answer(approval: Approval) -> None:
        try:
            choice = await view.decide(approval)
        except (KeyboardInterrupt, EOFError):
            await service.resolve_approval(approval.id, "deny", BY)
            stop()
            return
        except Exception:
            await service.resolve_approval(approval.id, "deny", BY)
            raise
        await service.resolve_approval(approval.id, choice, BY)

    async def reply(question: Question) -> None:
        text = None
        try:
            text = await view.reply(question)
        except (KeyboardInterrupt, EOFError):
            stop()
        finally:
            await service.answer_question(question.id, text or "", BY if text else NOBODY)

    with on_signals(stop, *stop_signals()), _opened(view):
        async with contextlib.aclosing(service.converse(conversation_id, typed(text), model=model)) as events:
            async for event in events:
                view.show(event)
                if isinstance(event, ApprovalAsked):
                    questions[event.approval.id] = asyncio.create_task(answer(event.approval))
                elif isinstance(event, ApprovalResolved) and event.by != BY:
                    await _drop(questions.get(event.approval.id))
                elif isinstance(event, QuestionAsked):
                    questions[event.question.id] = asyncio.create_task(reply(event.question))
                elif isinstance(event, QuestionResolved) and event.by not in (BY, NOBODY):
                    await _drop(questions.get(event.question.id))
                elif isinstance(event, TurnFinished):
                    finished = event
        for question in questions.values():
            await _drop(question)
        if stopping:
            await asyncio.wait(stopping, timeout=2)
    return finished


@contextlib.contextmanager
def _opened(view: View) -> Iterator[None]:
    view.open()
    try:
        yield
    finally:
        view.close()


async def _drop(question: asyncio.Task[None] | None) -> None:
    if question is None:
        return
    question.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await question
