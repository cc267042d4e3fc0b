"""Language models: one vocabulary, one adapter a protocol, a router that picks and retries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agent.errors import UsageError
from agent.providers.types import (
    ChatRequest,
    Completion,
    Finished,
    Image,
    Message,
    ModelInfo,
    Notice,
    Provider,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    assistant,
    system,
    tool_result,
    user,
)

KeySource = Callable[[], Awaitable[str | None]]

PROTOCOLS = ("chat-completions", "starter")
"""What this version speaks."""

__all__ = [
    "PROTOCOLS",
    "ChatRequest",
    "Completion",
    "Finished",
    "Image",
    "Message",
    "ModelInfo",
    "Notice",
    "Provider",
    "Reasoning",
    "ReasoningDelta",
    "StreamEvent",
    "Text",
    "TextDelta",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "Usage",
    "assistant",
    "connect",
    "system",
    "tool_result",
    "user",
]


def connect(protocol: str, base_url: str, api_key: str | KeySource | None = None, **options: Any) -> Provider:
    """A provider that speaks `protocol`; nothing is sent yet. `options` are those of the adapter.

    The key may be a function that is asked for it before each request. Raises `UsageError` for an unknown protocol.
    """
    if protocol == "chat-completions":
        from agent.providers.chat_completions import ChatCompletions

        return ChatCompletions(base_url, api_key, **options)
    if protocol == "starter":
        from agent.providers.starter import Starter

        return Starter(**options)
    raise UsageError(
        f"This version does not speak “{protocol}”.",
        title="Unknown protocol",
        hint=f"It speaks: {', '.join(PROTOCOLS)}.",
    )
