"""Puts an answer of Anthropic's Messages together, from stream events or from one whole object.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from agent.providers.pieces import MAX_TOOL_CALLS, TextPieces, count, text_of, tool_call
from agent.providers.types import Completion, FinishReason, Part, Reasoning, ReasoningDelta, Text, TextDelta, Usage

_FINISH: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
REDACTED: Final = "redacted"
"""The `id` of thinking that came encrypted only."""

_Events = list[TextDelta | ReasoningDelta]


class _Block:
    """A content block: its kind and what came of it. Kinds that mean nothing here are skipped."""

    __slots__ = ("id", "kind", "name", "signature", "text", "whole_input")

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.kind = start.get("type")
        self.id = text_of(start.get("id"))
        self.name = text_of(start.get("name"))
        self.signature = text_of(start.get("signature") or start.get("data"))
        self.text = TextPieces()
        self.whole_input = start.get("input")


class AnthropicAnswer:
    """What arrived so far."""

    __slots__ = ("_blocks", "_by_index", "_calls", "_explanation", "_model", "_origin", "_stop", "_usage", "ended")

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._blocks: list[_Block] = []
        self._by_index: dict[Any, _Block] = {}
        self._calls = 0
        self._usage: dict[str, Any] = {}
        self._stop = ""
        self._explanation = ""
        self._model = ""
        self.ended = False

    @property
    def empty(self) -> bool:
        """Whether nothing arrived that a person or a tool could use."""
        return not any(block.kind == "tool_use" or block.text.pieces for block in self._blocks)

    def fault(self, payload: Mapping[str, Any]) -> Any:
        """The error in place of an answer."""
        return payload.get("error") or {} if payload.get("type") == "error" else payload.get("error")

    def take(self, payload: Mapping[str, Any]) -> _Events:
        """Add an event or a whole message; gives the pieces to show. Raises `TypeError` or the like on nonsense."""
        events: _Events = []
        match payload.get("type"):
            case "content_block_delta":
                block = self._by_index.get(payload.get("index"))
                if block is not None:
                    self._delta(block, payload["delta"], events)
            case "content_block_start":
                self._start(payload.get("index"), payload["content_block"], events)
            case "message_start":
                message = payload["message"]
                # A second one, where another model took over, stands in place of what came before it.
                self._blocks, self._by_index, self._calls = [], {}, 0
                self._model = text_of(message.get("model"))
                self._count(message.get("usage"))
            case "message_delta":
                self._finish(payload["delta"])
                self._count(payload.get("usage"))
            case "message_stop":
                self.ended = True
            case "message":
                self._model = text_of(payload.get("model"))
                for index, block in enumerate(payload["content"]):
                    self._start(index, block, events)
                self._finish(payload)
                self._count(payload.get("usage"))
                self.ended = True
        return events

    def completion(self) -> Completion:
        """The finished answer."""
        finish = _FINISH.get(self._stop, "stop")
        parts: list[Part] = []
        for block in self._blocks:
            match block.kind:
                case "text":
                    if text := block.text.finish():
                        parts.append(Text(text))
                case "thinking":
                    if (text := block.text.finish()) or block.signature:
                        parts.append(Reasoning(text, block.signature or None, self._origin))
                case "redacted_thinking":
                    parts.append(Reasoning("", block.signature, self._origin, REDACTED))
                case "tool_use":
                    raw = block.text.finish()
                    if not raw and block.whole_input is not None and finish != "length":
                        raw = json.dumps(block.whole_input, ensure_ascii=False)
                    parts.append(tool_call(block.id, block.name, raw, cut_off=finish == "length"))
        return Completion(
            text="".join(part.text for part in parts if isinstance(part, Text)),
            reasoning="".join(part.text for part in parts if isinstance(part, Reasoning)),
            tool_calls=tuple(part for part in parts if not isinstance(part, Text | Reasoning)),  # type: ignore[misc]
            finish_reason="tool_calls" if finish == "stop" and self._calls else finish,
            usage=_usage(self._usage),
            model=self._model,
            parts=tuple(parts),
            note=self._explanation,
        )

    def _start(self, index: Any, start: Mapping[str, Any], events: _Events) -> None:
        block = _Block(start)
        self._blocks.append(block)
        self._by_index[index] = block
        if block.kind == "tool_use":
            self._calls += 1
            if self._calls > MAX_TOOL_CALLS:
                raise ValueError("too many tool calls")
        elif block.kind == "text":
            self._say(block, text_of(start.get("text")), events)
        elif block.kind == "thinking":
            self._think(block, text_of(start.get("thinking")), events)

    def _delta(self, block: _Block, delta: Mapping[str, Any], events: _Events) -> None:
        match delta.get("type"):
            case "text_delta":
                self._say(block, text_of(delta.get("text")), events)
            case "thinking_delta":
                self._think(block, text_of(delta.get("thinking")), events)
            case "signature_delta":
                block.signature = text_of(delta.get("signature"))
            case "input_json_delta" if block.kind == "tool_use":
                block.text.add(text_of(delta.get("partial_json")))

    def _say(self, block: _Block, text: str, events: _Events) -> None:
        if text and (shown := block.text.add(text)):
            events.append(TextDelta(shown))

    def _think(self, block: _Block, text: str, events: _Events) -> None:
        if text and (shown := block.text.add(text)):
            events.append(ReasoningDelta(shown))

    def _finish(self, said: Mapping[str, Any]) -> None:
        self._stop = text_of(said.get("stop_reason")) or self._stop
        details = said.get("stop_details")
        if isinstance(details, Mapping):
            self._explanation = text_of(details.get("explanation"))

    def _count(self, usage: Any) -> None:
        """The figures of `message_delta` are sums, and stand in place of the first ones."""
        if isinstance(usage, Mapping):
            self._usage.update({name: value for name, value in usage.items() if value is not None})


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=count(usage.get("cache_creation_input_tokens")),
        reasoning_tokens=count(details.get("thinking_tokens")) if isinstance(details, Mapping) else 0,
        cache_apart=True,
    )
