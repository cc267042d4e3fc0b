"""Think, act, answer: the loop of a turn and of a subagent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from agent.errors import ProviderError, TurnLimitError
from agent.providers.types import (
    Completion,
    Finished,
    Message,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    tool_result,
)


class Thinker(Protocol):
    """Who thinks. `added` is what it has said and been shown, `answer` its last words, `partial` the answer of the
    current step so far, `steps_left` how often it may ask the model."""

    added: list[Message]
    answer: str
    partial: list[str]
    steps_left: int


Act = Callable[[Sequence[ToolCall]], Awaitable[Sequence[ToolResult]]]


async def think_and_act(thinker: Thinker, ask: Callable[[], Awaitable[Completion]], act: Act) -> None:
    """Ask the model, run the tools it wants, show it the results, until it answers.

    Raises `ProviderError`, and `TurnLimitError` when there are no steps left.
    """
    allowed = thinker.steps_left
    while thinker.steps_left > 0:
        thinker.steps_left -= 1
        completion = await ask()
        thinker.added.append(completion.message())
        thinker.answer = completion.text or thinker.answer
        thinker.partial.clear()
        if not completion.tool_calls:
            if not completion.text:
                raise _nothing_said(completion)
            return
        results = await act(completion.tool_calls)
        thinker.added.extend(tool_result(result) for result in results)
    hint = 'Write "go on", or raise turn.max_steps.'
    raise TurnLimitError(f"The task was not done after {allowed} steps.", hint=hint)


async def listen(
    thinker: Thinker, stream: AsyncGenerator[StreamEvent, None], tell: Callable[[StreamEvent], None]
) -> Completion:
    """The answer of one call of the model; every piece is told as it comes. Raises `ProviderError`."""
    async with aclosing(stream):
        async for event in stream:
            if isinstance(event, Finished):
                return event.completion
            if isinstance(event, TextDelta):
                thinker.partial.append(event.text)
            tell(event)
    raise ProviderError("bad_response", "The answer broke off.", retryable=True, hint="Ask again.")


def _nothing_said(completion: Completion) -> ProviderError:
    """Why an answer is empty, as well as the provider told."""
    if completion.finish_reason in ("refusal", "content_filter"):
        why = completion.note or "It gave no reason."
        return ProviderError(
            "content_filter",
            f"The model declined to answer. {why}",
            title="The model declined to answer",
            hint="Say it in other words, or choose another model.",
        )
    if completion.finish_reason == "length":
        return ProviderError(
            "bad_response",
            "The model used all the room for its answer without saying anything.",
            title="The answer was empty",
            hint="Ask for less at once, or choose another model.",
        )
    return ProviderError("bad_response", "The model gave an empty answer.", hint="Ask again.")
