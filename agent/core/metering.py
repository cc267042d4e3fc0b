"""One call of a model as it is paid for: what it may cost, what came of it, and its row for the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from agent.errors import ProviderError, ProviderErrorKind
from agent.providers.directory import Resolved
from agent.providers.pricing import Price
from agent.providers.types import (
    ChatRequest,
    Completion,
    File,
    Finished,
    Image,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from agent.storage import usage as usage_rows
from agent.views import Purpose

EVERYTHING: Final = "all"
_CHARS_PER_TOKEN = 3.5
_IMAGE_TOKENS = 1500
_BYTES_PER_FILE_TOKEN = 25
"""A page of a PDF file is some 50 kB and costs up to 2,000 tokens."""
_MESSAGE_TOKENS = 4
"""Around each message, for its role."""
_ANSWER_TOKENS = 1000
"""Reserved for an answer whose length nobody limited."""
_MOST_ANSWER_TOKENS = 16_000
"""Hardly any answer is longer than this, thinking included."""
_MOST_INPUT = 1.5
"""How far the estimate of the input may be below the truth: code and rare scripts have more tokens than prose."""
_FREE = Price(0.0, known=True)
_TURNED_AWAY: Final = frozenset[ProviderErrorKind](
    ("auth", "permission", "quota", "rate_limit", "overloaded", "context_length", "invalid_request", "not_found")
) | {"too_large"}
"""Said within an answer as well (a stream that begins with an error): before any work, and unpaid."""

_schema_tokens: dict[tuple[str, str], float] = {}


@dataclass(slots=True, eq=False)
class Meter:
    """One call under way. Without a word of the provider, its usage is estimated from the texts."""

    purpose: Purpose
    target: Resolved
    conversation_id: int | None
    channel: str
    input_estimate: int
    max_tokens: int | None
    started_at: float
    reserved: float = 0.0
    most: float = 0.0
    """What it can cost at worst, in USD."""
    output_tokens: float = 0.0
    usage: Usage | None = None
    outcome: str = "stopped"
    charged: bool = True
    """Whether the provider has probably worked for it."""
    seconds: float = 0.0
    price: Price = field(default=_FREE)
    row_id: int | None = None
    """Its place in the database, as soon as it is in a transaction."""

    def heard(self, event: StreamEvent) -> None:
        """Take note of what came."""
        if isinstance(event, TextDelta | ReasoningDelta):
            self.output_tokens += text_tokens(event.text)
        elif isinstance(event, Finished):
            self.usage = event.completion.usage.whole()
            if not _says_something(self.usage):
                self.output_tokens = max(self.output_tokens, _answer_tokens(event.completion))

    def failed(self, error: BaseException) -> None:
        """Take note of how it ended, when that was no answer."""
        self.outcome = getattr(error, "kind", "error")
        if isinstance(error, ProviderError):
            self.charged = error.reached or (error.answering and error.kind not in _TURNED_AWAY)

    def estimate(self) -> Usage:
        """What it will probably use."""
        return Usage(self.input_estimate, self.max_tokens or _ANSWER_TOKENS)

    def worst(self) -> Usage:
        """What it will use at most."""
        return Usage(round(self.input_estimate * _MOST_INPUT), self.max_tokens or _MOST_ANSWER_TOKENS)

    def tokens(self) -> Usage:
        """What the provider said, else what the texts suggest; nothing for a call that was turned away."""
        if self.usage is not None and _says_something(self.usage):
            return self.usage
        if not self.charged and not self.output_tokens:
            return Usage()
        return Usage(self.input_estimate, round(self.output_tokens))

    def row(self) -> usage_rows.Call:
        """This call for the record."""
        return usage_rows.Call(
            self.target.provider_name,
            self.target.model,
            self.purpose,
            self.started_at,
            self.seconds,
            self.outcome,
            self.tokens(),
            self.price.usd,
            self.price.known,
            self.channel,
        )

    def scopes(self) -> Iterator[str]:
        """What its cost counts for."""
        yield EVERYTHING
        if self.channel:
            yield f"channel:{self.channel}"
        if self.conversation_id is not None:
            yield f"conversation:{self.conversation_id}"


def text_tokens(text: str) -> float:
    """About how many tokens a text is: a character of a wide script is one, of others three or four make one."""
    if text.isascii():
        return len(text) / _CHARS_PER_TOKEN
    narrow = len(text.encode("latin-1", "ignore"))
    return narrow / _CHARS_PER_TOKEN + (len(text) - narrow)


def input_tokens(request: ChatRequest) -> int:
    """About how many tokens a request has, rather too many than too few. Cheap: it is made for every call."""
    tokens = sum(_tool_tokens(tool) for tool in request.tools)
    for message in request.messages:
        tokens += _MESSAGE_TOKENS
        for part in message.parts:
            match part:
                case Text(text) | Reasoning(text):
                    tokens += text_tokens(text)
                case ToolResult():
                    tokens += text_tokens(part.text) + len(part.images) * _IMAGE_TOKENS
                case ToolCall():
                    tokens += text_tokens(part.raw_arguments)
                case Image():
                    tokens += _IMAGE_TOKENS
                case File():
                    tokens += len(part.data) / _BYTES_PER_FILE_TOKEN
    return round(tokens)


def _tool_tokens(tool: ToolSpec) -> float:
    key = tool.name, tool.description
    found = _schema_tokens.get(key)
    if found is None:
        found = text_tokens(tool.name + tool.description + json.dumps(tool.parameters)) + _MESSAGE_TOKENS
        _schema_tokens[key] = found
    return found


def _says_something(usage: Usage) -> bool:
    return bool(usage.input_tokens or usage.output_tokens)


def _answer_tokens(completion: Completion) -> float:
    said = text_tokens(completion.text) + text_tokens(completion.reasoning)
    return said + sum(text_tokens(call.name) + text_tokens(call.raw_arguments) for call in completion.tool_calls)
