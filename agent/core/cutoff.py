"""Tool calls that the end of a turn cut off: what the model is told of them, so that it repeats nothing unknowingly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.providers.types import Message, ToolCall, ToolResult, tool_result

NOT_RUN = "Not run: the turn ended before."
_WORDS = {
    "done": "This was done before the turn ended.",
    "denied": "Denied.",
    "failed": "Ended before it was complete; a part of it may have happened.",
    "begun": "It had begun when the turn ended; nobody knows how far it came. Look before you repeat it.",
}


def results(said: Sequence[Message], receipt: Sequence[Mapping[str, Any]]) -> list[Message]:
    """A result for each call in a turn's messages that has none, by the effects of that turn."""
    open_calls: dict[str, ToolCall] = {}
    for message in said:
        open_calls |= {call.id: call for call in message.tool_calls}
        for part in message.parts:
            if isinstance(part, ToolResult):
                open_calls.pop(part.call_id, None)
    found = {row["call_id"]: row for row in receipt}
    return [_result(call, found.get(call.id)) for call in open_calls.values()]


def _result(call: ToolCall, effect: Mapping[str, Any] | None) -> Message:
    words = NOT_RUN
    if effect is not None:
        words = " ".join(filter(None, (_WORDS[effect["state"]], effect["detail"].get("text", ""))))
    done = effect is not None and effect["state"] == "done"
    return tool_result(ToolResult(call.id, call.name, words, ok=done))
