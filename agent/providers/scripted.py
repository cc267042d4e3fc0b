"""A provider that says what it was told to: for tests, demonstrations and screenshots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from agent.errors import ProviderError
from agent.providers.types import (
    ChatRequest,
    Completion,
    Finished,
    FinishReason,
    ModelInfo,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `chunks` is how many characters come at once; `delay` seconds pass before each piece.

    `error` is raised after `text`: with an empty text, before anything came.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: FinishReason | None = None
    usage: Usage = field(default_factory=lambda: Usage(10, 5))
    error: Exception | None = None
    chunks: int = 8
    delay: float = 0.0
    notice: str = ""
    model: str = ""


def call(name: str, arguments: Mapping[str, Any] | str = "{}", call_id: str = "") -> ToolCall:
    """A tool call; arguments as text are raw, as a model may have written them."""
    raw = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
    try:
        parsed = json.loads(raw)
    except ValueError:
        parsed = None
    return ToolCall(call_id or f"call_{name}", name, parsed if isinstance(parsed, dict) else {}, raw)


Scripted = Reply | str | Exception
Script = Iterable[Scripted] | Callable[[ChatRequest], Scripted]


@dataclass
class ScriptedProvider:
    """Plays replies in order, or asks a function for each. `requests` holds what was asked, `closed` how often streams
    were closed early, `disposed` whether `aclose` was called. Raises `ProviderError` when the script is over."""

    script: Script = ()
    supports_tools: bool = True
    models: Sequence[ModelInfo] = (ModelInfo("scripted"),)
    requests: list[ChatRequest] = field(default_factory=list)
    closed: int = 0
    disposed: bool = False

    def __post_init__(self) -> None:
        self._next: Callable[[ChatRequest], Scripted] | None = self.script if callable(self.script) else None
        self._replies = iter(()) if callable(self.script) else iter(self.script)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """The next reply, piece by piece."""
        self.requests.append(request)
        reply = self._reply(request)
        finished = False
        try:
            if reply.notice:
                yield Notice(reply.notice)
            for piece in _pieces(reply.reasoning, reply.chunks):
                await asyncio.sleep(reply.delay)
                yield ReasoningDelta(piece)
            for piece in _pieces(reply.text, reply.chunks):
                await asyncio.sleep(reply.delay)
                yield TextDelta(piece)
            await asyncio.sleep(reply.delay)
            finished = True
        finally:
            self.closed += not finished
        if reply.error is not None:
            raise reply.error
        yield Finished(
            Completion(
                text=reply.text,
                reasoning=reply.reasoning,
                tool_calls=tuple(reply.tool_calls),
                finish_reason=reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop"),
                usage=reply.usage,
                model=reply.model or request.model,
            )
        )

    async def complete(self, request: ChatRequest) -> Completion:
        """The next reply in one piece."""
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.completion
        raise AssertionError("a stream ends with Finished or raises")

    async def list_models(self) -> list[ModelInfo]:
        """The models it was given."""
        return list(self.models)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.disposed = True

    def _reply(self, request: ChatRequest) -> Reply:
        if self._next is not None:
            found: Scripted | None = self._next(request)
        else:
            found = next(self._replies, None)
        if found is None:
            raise ProviderError("server", "The script is over.", provider="scripted")
        if isinstance(found, str):
            return Reply(found)
        return Reply(error=found) if isinstance(found, Exception) else found


def _pieces(text: str, size: int) -> Iterable[str]:
    return (text[at : at + size] for at in range(0, len(text), size))
