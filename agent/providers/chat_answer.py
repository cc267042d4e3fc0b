"""Puts an answer of Chat Completions together, from stream chunks or from one whole object.

Source: https://platform.openai.com/docs/api-reference/chat-streaming, and what the compatible servers really send.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.providers.pieces import MAX_TOOL_CALLS, TextPieces, count, tool_call
from agent.providers.types import Completion, FinishReason, ReasoningDelta, TextDelta, Usage

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
}


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class ChatAnswer:
    """What arrived so far. `finish_reason` is the server's word, None while the answer goes on."""

    __slots__ = ("_by_index", "_calls", "_reasoning", "_refused", "_text", "_usage", "finish_reason", "model")

    def __init__(self) -> None:
        self._text = TextPieces()
        self._reasoning = TextPieces()
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._usage: Mapping[str, Any] | None = None
        self._refused = False
        self.finish_reason: str | None = None
        self.model = ""

    @property
    def ended(self) -> bool:
        """Whether a finish reason came."""
        return bool(self.finish_reason)

    @property
    def empty(self) -> bool:
        """Whether nothing arrived that a person or a tool could use."""
        return not (self._text.pieces or self._reasoning.pieces or self._calls)

    def fault(self, payload: Mapping[str, Any]) -> Any:
        """The error in place of an answer; vLLM sends one without the field."""
        error = payload.get("error")
        return error if error else payload if payload.get("object") == "error" else None

    def take(self, payload: Mapping[str, Any]) -> list[TextDelta | ReasoningDelta]:
        """Add a chunk or a whole answer; gives the pieces to show. Raises `TypeError` or the like on nonsense."""
        events: list[TextDelta | ReasoningDelta] = []
        usage = payload.get("usage")
        if usage:
            self._usage = usage
        choices = payload.get("choices")
        if not choices:
            return events
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message")
        if delta:
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            if reasoning and isinstance(reasoning, str):
                self._say(reasoning, True, events)
            content = delta.get("content")
            if content:
                if isinstance(content, str):
                    self._say(content, False, events)
                else:
                    self._parts(content, events)
            refusal = delta.get("refusal")
            if refusal:
                self._refused = True
                self._say(refusal, False, events)
            calls = delta.get("tool_calls")
            if calls:
                for piece in calls:
                    self._call(piece)
        finish = choice.get("finish_reason")
        if finish:
            self.finish_reason = finish
        if not self.model:
            self.model = payload.get("model") or ""
        return events

    def completion(self) -> Completion:
        """The finished answer."""
        finish = _FINISH.get((self.finish_reason or "").lower(), "stop")
        if self._refused:
            finish = "refusal"
        elif self._calls and finish == "stop":
            finish = "tool_calls"
        elif not self._calls and finish == "tool_calls":
            finish = "stop"
        return Completion(
            text=self._text.finish(),
            reasoning=self._reasoning.finish(),
            tool_calls=tuple(
                tool_call(call.id, call.name, "".join(call.arguments), cut_off=finish == "length")
                for call in self._calls
            ),
            finish_reason=finish,
            usage=_usage(self._usage),
            model=self.model,
        )

    def _say(self, piece: str, reasoning: bool, events: list[TextDelta | ReasoningDelta]) -> None:
        if reasoning:
            if shown := self._reasoning.add(piece):
                events.append(ReasoningDelta(shown))
        elif shown := self._text.add(piece):
            events.append(TextDelta(shown))

    def _parts(self, content: Any, events: list[TextDelta | ReasoningDelta]) -> None:
        """Content as a list: Mistral sends its thinking this way."""
        for part in content:
            kind = part.get("type")
            if kind == "text":
                if part.get("text"):
                    self._say(part["text"], False, events)
            elif kind == "thinking":
                thinking = part.get("thinking")
                pieces = thinking if isinstance(thinking, list) else [{"text": thinking}]
                for piece in pieces:
                    if piece.get("text"):
                        self._say(piece["text"], True, events)

    def _call(self, piece: Mapping[str, Any]) -> None:
        """One piece of a call. Pieces belong together by index; some servers leave it out or send 0 for all."""
        function = piece.get("function") or {}
        call_id = piece.get("id") or ""
        name = function.get("name") or ""
        index = piece.get("index")
        call: _Call | None = None
        if index is not None:
            call = self._by_index.get(index)
        elif self._calls and (not call_id or self._calls[-1].id == call_id):
            call = self._calls[-1]
        if call is None or (name and call_id and call.id and call.id != call_id):
            if len(self._calls) >= MAX_TOOL_CALLS:
                raise ValueError("too many tool calls")
            call = _Call()
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
        call.id = call.id or call_id
        call.name = call.name or name
        arguments = function.get("arguments")
        if arguments:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))


def _usage(usage: Mapping[str, Any] | None) -> Usage:
    if not usage:
        return Usage()
    prompt = usage.get("prompt_tokens_details") or {}
    output = usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=count(usage.get("prompt_tokens")),
        output_tokens=count(usage.get("completion_tokens")),
        cache_read_tokens=count(prompt.get("cached_tokens")) or count(usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        reasoning_tokens=count(output.get("reasoning_tokens")),
    )
