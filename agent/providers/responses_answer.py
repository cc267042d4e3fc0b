"""Puts an answer of OpenAI's Responses together, from stream events or from one whole object.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

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

_CUT: Final[Mapping[str, FinishReason]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDS: Final = ("response.completed", "response.incomplete")
_THOUGHTS: Final = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")

_Events = list[TextDelta | ReasoningDelta]


class _Item:
    """An output item: a message, thinking, or a call. Others mean nothing here."""

    __slots__ = ("id", "kind", "name", "secret", "text")

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.kind = item.get("type")
        self.id = text_of(item.get("call_id") or item.get("id"))
        self.name = text_of(item.get("name"))
        self.secret = text_of(item.get("encrypted_content"))
        self.text = TextPieces()


class ResponsesAnswer:
    """What arrived so far."""

    __slots__ = ("_by_index", "_calls", "_items", "_origin", "_refused", "_response", "ended")

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._items: list[_Item] = []
        self._by_index: dict[Any, _Item] = {}
        self._calls = 0
        self._refused = False
        self._response: Mapping[str, Any] = {}
        self.ended = False

    @property
    def empty(self) -> bool:
        """Whether nothing arrived that a person or a tool could use."""
        queued = self._response.get("status") in ("queued", "in_progress")
        return not (self._calls or queued or any(item.text.pieces for item in self._items))

    def fault(self, payload: Mapping[str, Any]) -> Any:
        """The error in place of an answer."""
        kind = payload.get("type")
        if kind == "error":
            return payload.get("error") or payload
        if kind == "response.failed":
            return payload["response"].get("error") or {}
        if payload.get("status") == "failed" or (kind is None and payload.get("error")):
            return payload.get("error") or {}
        return None

    def take(self, payload: Mapping[str, Any]) -> _Events:
        """Add an event or a whole response; gives the pieces to show. Raises `TypeError` or the like on nonsense."""
        events: _Events = []
        kind = payload.get("type")
        if kind == "response.output_text.delta":
            self._say(self._item(payload, "message"), text_of(payload.get("delta")), events)
        elif kind in _THOUGHTS:
            self._think(self._item(payload, "reasoning"), text_of(payload.get("delta")), events)
        elif kind == "response.function_call_arguments.delta":
            self._item(payload, "function_call").text.add(text_of(payload.get("delta")))
        elif kind == "response.refusal.delta":
            self._refused = True
            self._say(self._item(payload, "message"), text_of(payload.get("delta")), events)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._known(payload.get("output_index"), payload["item"], events, done=kind.endswith("done"))
        elif kind in _ENDS:
            self._whole(payload["response"], events)
        elif kind is None and "output" in payload:
            self._whole(payload, events)
        return events

    def completion(self) -> Completion:
        """The finished answer."""
        details = self._response.get("incomplete_details")
        finish: FinishReason = "stop"
        if self._response.get("status") == "incomplete" and isinstance(details, Mapping):
            finish = _CUT.get(text_of(details.get("reason")), "length")
        if self._refused:
            finish = "refusal"
        parts: list[Part] = []
        for item in self._items:
            text = item.text.finish()
            match item.kind:
                case "message":
                    if text:
                        parts.append(Text(text))
                case "reasoning":
                    if text or item.secret:
                        parts.append(Reasoning(text, item.secret or None, self._origin, item.id))
                case "function_call":
                    parts.append(tool_call(item.id, item.name, text, cut_off=finish == "length"))
        calls = tuple(part for part in parts if isinstance(part, ToolCall))
        return Completion(
            text="".join(part.text for part in parts if isinstance(part, Text)),
            reasoning="".join(part.text for part in parts if isinstance(part, Reasoning)),
            tool_calls=calls,
            finish_reason="tool_calls" if calls and finish == "stop" else finish,
            usage=_usage(self._response.get("usage")),
            model=text_of(self._response.get("model")),
            parts=tuple(parts),
        )

    def _item(self, payload: Mapping[str, Any], kind: str) -> _Item:
        """The item of a piece; some servers do not announce it."""
        index = payload.get("output_index")
        item = self._by_index.get(index)
        return item if item is not None else self._add(index, {"type": kind, "id": payload.get("item_id")})

    def _add(self, index: Any, described: Mapping[str, Any]) -> _Item:
        item = _Item(described)
        if item.kind == "function_call":
            self._calls += 1
            if self._calls > MAX_TOOL_CALLS:
                raise ValueError("too many tool calls")
        self._items.append(item)
        self._by_index[index] = item
        return item

    def _known(self, index: Any, described: Mapping[str, Any], events: _Events, *, done: bool) -> None:
        """An item was announced, or is complete: what was missed of it is added."""
        item = self._by_index.get(index)
        if item is None:
            item = self._add(index, described)
        if not done:
            return
        item.id = text_of(described.get("call_id") or described.get("id")) or item.id
        item.name = text_of(described.get("name")) or item.name
        item.secret = text_of(described.get("encrypted_content")) or item.secret
        if item.text.pieces:
            return
        match item.kind:
            case "message":
                for part in described.get("content") or ():
                    refused = part.get("type") == "refusal"
                    self._refused = self._refused or refused
                    self._say(item, text_of(part.get("refusal" if refused else "text")), events)
            case "reasoning":
                thoughts = described.get("summary") or described.get("content") or ()
                for part in thoughts:
                    self._think(item, text_of(part.get("text")), events)
            case "function_call":
                item.text.add(text_of(described.get("arguments")))

    def _whole(self, response: Mapping[str, Any], events: _Events) -> None:
        self._response = response
        self.ended = True
        for index, described in enumerate(response.get("output") or ()):
            self._known(index, described, events, done=True)

    def _say(self, item: _Item, text: str, events: _Events) -> None:
        if text and (shown := item.text.add(text)):
            events.append(TextDelta(shown))

    def _think(self, item: _Item, text: str, events: _Events) -> None:
        if text and (shown := item.text.add(text)):
            events.append(ReasoningDelta(shown))


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    before = usage.get("input_tokens_details") or {}
    after = usage.get("output_tokens_details") or {}
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=count(before.get("cached_tokens")),
        cache_write_tokens=count(before.get("cache_write_tokens")),
        reasoning_tokens=count(after.get("reasoning_tokens")),
    )
