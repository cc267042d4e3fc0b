"""A conversation as the strictest provider accepts it. The stored messages are left as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.providers.types import Message, ToolResult

NO_RESULT: Final = "No result: this call was interrupted before it ran."


def prepared(history: Sequence[Message]) -> list[Message]:
    """The messages with exactly one result for each tool call, in the order of the calls."""
    out: list[Message] = []
    waiting: dict[str, ToolResult] = {}  # results of the last assistant message's calls

    def close() -> None:
        out.extend(Message("tool", (result,)) for result in waiting.values())
        waiting.clear()

    answered: set[str] = set()
    for message in history:
        if message.role == "notice":
            continue
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult) and part.call_id in waiting and part.call_id not in answered:
                    answered.add(part.call_id)
                    waiting[part.call_id] = part
            continue
        close()
        answered.clear()
        if message.role == "assistant":
            for call in message.tool_calls:
                waiting[call.id] = ToolResult(call.id, call.name, NO_RESULT, ok=False)
        out.append(message)
    close()
    return out
