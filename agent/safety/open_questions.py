"""Questions that wait for a person: each is answered once, by the first valid answer, or by nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent.events import Event

TIMEOUT = "timeout"
STOPPED = "stopped"


class Waits(Protocol):
    """What a question has in any case; `expires_at` is a Unix time."""

    @property
    def id(self) -> str:
        """By which it is answered."""
        ...

    @property
    def expires_at(self) -> float:
        """An answer after it is too late."""
        ...


Q = TypeVar("Q", bound=Waits)
A = TypeVar("A")


@dataclass(slots=True)
class _Open(Generic[Q, A]):
    question: Q
    silence: A
    answer: asyncio.Future[A]


class OpenQuestions(Generic[Q, A]):
    """All open questions of a kind; lives on the loop."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._open: dict[str, _Open[Q, A]] = {}

    async def wait(
        self,
        question: Q,
        seconds: float,
        *,
        silence: A,
        withdrawn: A,
        asked: Event,
        resolved: Callable[[A], Event],
        note: Callable[[A], Awaitable[None]],
    ) -> A:
        """Tell that it is asked and wait for its answer: `silence` when nobody gives one in time, `withdrawn` when the
        asking task is cancelled. `note` writes the answer down before anything happens."""
        waiting = _Open(question, silence, asyncio.get_running_loop().create_future())
        self._open[question.id] = waiting
        answer = withdrawn
        try:
            self._publish(asked)
            try:
                answer = await asyncio.wait_for(waiting.answer, seconds)
            except TimeoutError:
                answer = silence
        finally:
            self._open.pop(question.id, None)
            self._publish(resolved(answer))
            await note(answer)
        return answer

    def resolve(self, question_id: str, answer: A) -> bool:
        """The first answer wins; False when it is decided, expired or unknown."""
        waiting = self._open.get(question_id)
        if waiting is None or waiting.answer.done():
            return False
        if time.time() > waiting.question.expires_at:  # the computer slept: the timer has not run out yet
            waiting.answer.set_result(waiting.silence)
            return False
        waiting.answer.set_result(answer)
        return True

    def get(self, question_id: str) -> Q | None:
        """One that waits."""
        waiting = self._open.get(question_id)
        return None if waiting is None or waiting.answer.done() else waiting.question

    def pending(self) -> tuple[Q, ...]:
        """Those that wait, oldest first."""
        return tuple(waiting.question for waiting in self._open.values() if not waiting.answer.done())
