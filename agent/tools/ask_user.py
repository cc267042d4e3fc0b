"""The tool that asks the person, in whatever channel they are."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from agent.errors import ToolArgumentsError
from agent.safety.effects import Effect, one_line, visible
from agent.safety.open_questions import TIMEOUT
from agent.tools.tool import Outcome, Tool, ToolContext, tool

LONGEST_QUESTION = 2_000
MOST_CHOICES = 8
LONGEST_CHOICE = 100


class Reply(Protocol):
    """What came back; `text` is empty when nothing did, and `by` says why."""

    @property
    def text(self) -> str: ...

    @property
    def by(self) -> str: ...


class Ask(Protocol):
    """Puts a question to the person and waits for the answer."""

    def __call__(
        self,
        text: str,
        choices: tuple[str, ...],
        *,
        asker: str,
        conversation_id: int,
        turn_id: int,
        call_id: str,
        sources: tuple[str, ...],
    ) -> Awaitable[Reply]: ...


def ask_tool(ask: Ask) -> Tool:
    """The tool, on top of whatever asks."""

    def describe(context: ToolContext, question: str, choices: Sequence[str] = ()) -> Effect:
        if not question.strip():
            raise ToolArgumentsError("The question is empty.")
        offered = _choices(choices)
        if len(question) > LONGEST_QUESTION:
            raise ToolArgumentsError(f"The question has more than {LONGEST_QUESTION} characters.")
        action = visible("\n".join((question.strip(), *(f"- {choice}" for choice in offered))))
        return Effect("ask", f"Ask: {one_line(question, 70)}", title="Ask the person?", action=action)

    @tool("ask", describe, seconds=None)
    async def ask_user(context: ToolContext, question: str, choices: Sequence[str] = ()) -> Outcome:
        """Ask the person and wait for the answer, when only they can decide or know it.

        Args:
            question: One question.
            choices: Answers to offer; they may also answer in their own words.
        """
        reply = await ask(
            visible(question.strip()),
            _choices(choices),
            asker=context.asker,
            conversation_id=context.conversation_id,
            turn_id=context.turn_id,
            call_id=context.call_id,
            sources=context.sources,
        )
        if reply.text:
            return Outcome(f"The person answered: {reply.text}", detail={"answered_by": reply.by})
        why = "Nobody answered in time." if reply.by == TIMEOUT else "Nobody is there to answer."
        text = f"{why} Go on with what is certain and say what is open."
        return Outcome(text, ok=False, detail={"answered_by": reply.by})

    return ask_user


def _choices(given: Sequence[str]) -> tuple[str, ...]:
    """Without repetitions. Raises `ToolArgumentsError` for too many or too long ones."""
    found = tuple(dict.fromkeys(visible(" ".join(choice.split())) for choice in given if choice.strip()))
    if len(found) > MOST_CHOICES:
        raise ToolArgumentsError(f"At most {MOST_CHOICES} choices can be offered.")
    if any(len(choice) > LONGEST_CHOICE for choice in found):
        raise ToolArgumentsError(f"A choice may have {LONGEST_CHOICE} characters.")
    return found
