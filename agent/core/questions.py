"""Questions of the model to the person it works for: asked durably, answered once, in any channel."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from agent.events import Event, Question, QuestionAsked, QuestionResolved
from agent.safety.open_questions import STOPPED, TIMEOUT, OpenQuestions

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered, and by whom: a person's place ("desktop", "telegram:4242"); empty with "timeout", "stopped" or
    "nobody"."""

    text: str
    by: str


class QuestionDesk:
    """All that the model wants to know at the moment; `seconds` says how long a new question waits."""

    def __init__(
        self,
        publish: Callable[[Event], None],
        seconds: Callable[[], float],
        on_asked: Callable[[Question], Awaitable[None]],
        on_answered: Callable[[str, str, str], Awaitable[None]],
    ) -> None:
        self._seconds = seconds
        self._on_asked = on_asked
        self._on_answered = on_answered
        self._open: OpenQuestions[Question, Reply] = OpenQuestions(publish)

    async def ask(
        self,
        text: str,
        choices: tuple[str, ...],
        *,
        asker: str,
        conversation_id: int,
        turn_id: int,
        call_id: str,
        sources: tuple[str, ...] = (),
    ) -> Reply:
        """Ask and wait. When the asking task is cancelled the question is withdrawn."""
        seconds = self._seconds()
        expires_at = time.time() + seconds
        number = secrets.token_hex(8)
        question = Question(number, conversation_id, turn_id, call_id, text, choices, expires_at, asker, sources)
        await self._on_asked(question)
        return await self._open.wait(
            question,
            seconds,
            silence=Reply("", TIMEOUT),
            withdrawn=Reply("", STOPPED),
            asked=QuestionAsked(question),
            resolved=lambda reply: QuestionResolved(question, reply.text, reply.by),
            note=partial(self._note, number),
        )

    def answer(self, question_id: str, text: str, by: str) -> bool:
        """The first answer wins; False for one that says nothing, or when the question is over. The number of a choice
        stands for it. `by` "nobody" needs no text: there is no person to ask."""
        question = self._open.get(question_id)
        if question is None:
            return False
        said = meant(question, text)
        return bool(said or by == NOBODY) and self._open.resolve(question_id, Reply(said, by))

    def of(self, conversation_id: int, sender: str, *, owner: bool) -> Question | None:
        """The oldest question in a conversation that this sender may answer: who is asked, or an owner."""
        return next(
            (
                question
                for question in self._open.pending()
                if question.conversation_id == conversation_id and (owner or question.asker == sender)
            ),
            None,
        )

    def pending(self) -> tuple[Question, ...]:
        """Questions that wait, oldest first."""
        return self._open.pending()

    async def _note(self, question_id: str, reply: Reply) -> None:
        await self._on_answered(question_id, reply.text, reply.by)


def meant(question: Question, text: str) -> str:
    """What somebody answered: a choice, written out or by its number, else their own words."""
    said = text.strip()
    for choice in question.choices:
        if choice.casefold() == said.casefold():
            return choice
    number = said.rstrip(".)")
    if number.isascii() and number.isdigit() and 1 <= int(number) <= len(question.choices):
        return question.choices[int(number) - 1]
    return said
