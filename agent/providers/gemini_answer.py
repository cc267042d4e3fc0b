"""Puts an answer of Gemini together; a stream is a row of answers with a piece of it each.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from agent.providers.pieces import MAX_TOOL_CALLS, TextPieces, count, text_of, tool_call
from agent.providers.types import (
    Completion,
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    Usage,
)

_FILTERED: Final = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
)
_GARBLED: Final = ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE")

_Events = list[TextDelta | ReasoningDelta]


class _Run:
    """A row of pieces of the same kind: text or thought."""

    __slots__ = ("signature", "text", "thought")

    def __init__(self, *, thought: bool) -> None:
        self.thought = thought
        self.text = TextPieces()
        self.signature = ""


class GeminiAnswer:
    """What arrived so far."""

    __slots__ = ("_calls", "_finish", "_message", "_model", "_origin", "_parts", "_usage")

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._parts: list[_Run | tuple[Mapping[str, Any], str]] = []  # a call comes with its signature
        self._calls = 0
        self._finish = ""
        self._message = ""
        self._model = ""
        self._usage: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """Whether a finish reason came."""
        return bool(self._finish)

    @property
    def empty(self) -> bool:
        """Whether nothing arrived that a person or a tool could use."""
        return not any(not isinstance(part, _Run) or part.text.pieces for part in self._parts)

    def fault(self, payload: Mapping[str, Any]) -> Any:
        """The error in place of an answer: its own, a question that was blocked, or a call that failed to form."""
        if payload.get("error"):
            return payload["error"]
        candidates = payload.get("candidates")
        if not candidates:
            reason = (payload.get("promptFeedback") or {}).get("blockReason")
            return {"type": "content_filter", "message": f"The question was blocked ({reason})."} if reason else None
        first = candidates[0]
        if first.get("finishReason") in _GARBLED and self.empty and not (first.get("content") or {}).get("parts"):
            said = first.get("finishMessage") or "The model tried to call a tool and garbled the call."
            return {"type": "tool_use_failed", "message": said}
        return None

    def take(self, payload: Mapping[str, Any]) -> _Events:
        """Add a piece or a whole answer; gives the pieces to show. Raises `TypeError` or the like on nonsense."""
        events: _Events = []
        self._model = self._model or text_of(payload.get("modelVersion"))
        usage = payload.get("usageMetadata")
        if isinstance(usage, Mapping):
            self._usage.update(usage)
        candidates = payload.get("candidates")
        if not candidates:
            return events
        candidate = candidates[0]
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._part(part, events)
        self._finish = text_of(candidate.get("finishReason")) or self._finish
        self._message = text_of(candidate.get("finishMessage")) or self._message
        return events

    def completion(self) -> Completion:
        """The finished answer."""
        cut = self._finish == "MAX_TOKENS"
        parts: list[Part] = []
        for part in self._parts:
            if isinstance(part, _Run):
                text = part.text.finish()
                if part.thought:
                    if text:
                        parts.append(Reasoning(text, None, self._origin))
                    continue
                if text:
                    parts.append(Text(text))
                if part.signature:
                    parts.append(Reasoning("", part.signature, self._origin))
            else:
                call, signature = part
                arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
                made = tool_call(text_of(call.get("id")), text_of(call.get("name")), arguments, cut_off=cut)
                parts.append(
                    ToolCall(made.id, made.name, made.arguments, made.raw_arguments, made.truncated, signature or None)
                )
        calls = tuple(part for part in parts if isinstance(part, ToolCall))
        finish: FinishReason = "length" if cut else "content_filter" if self._finish in _FILTERED else "stop"
        return Completion(
            text="".join(part.text for part in parts if isinstance(part, Text)),
            reasoning="".join(part.text for part in parts if isinstance(part, Reasoning)),
            tool_calls=calls,
            finish_reason="tool_calls" if calls and finish == "stop" else finish,
            usage=_usage(self._usage),
            model=self._model,
            parts=tuple(parts),
            note=self._message if finish == "content_filter" else "",
        )

    def _part(self, part: Mapping[str, Any], events: _Events) -> None:
        signature = text_of(part.get("thoughtSignature"))
        call = part.get("functionCall")
        if call is not None:
            self._calls += 1
            if self._calls > MAX_TOOL_CALLS:
                raise ValueError("too many tool calls")
            self._parts.append((dict(call), signature))
            return
        if "text" not in part:
            return  # code that ran at the server, pictures: nothing that is shown here
        thought = bool(part.get("thought"))
        run = self._parts[-1] if self._parts else None
        if not isinstance(run, _Run) or run.thought != thought:
            run = _Run(thought=thought)
            self._parts.append(run)
        run.signature = signature or run.signature
        text = text_of(part["text"])
        if text and (shown := run.text.add(text)):
            events.append(ReasoningDelta(shown) if thought else TextDelta(shown))


def _usage(usage: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount")),
        output_tokens=count(usage.get("candidatesTokenCount")),
        cache_read_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=count(usage.get("thoughtsTokenCount")),
        reasoning_apart=True,
    )
