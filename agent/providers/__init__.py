"""Language models: one vocabulary, one adapter a protocol, a router that picks and retries."""

from __future__ import annotations

from typing import Any

from agent.errors import UsageError
from agent.providers.types import (
    ChatRequest,
    Completion,
    File,
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
from agent.providers.wire import KeySource

PROTOCOLS = ("chat-completions", "anthropic-messages", "responses", "gemini", "starter")
"""What this version speaks."""

__all__ = [
    "PROTOCOLS",
    "ChatRequest",
    "Completion",
    "File",
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
    if protocol == "anthropic-messages":
        from agent.providers.anthropic_messages import AnthropicMessages

        return AnthropicMessages(base_url, api_key, **options)
    if protocol == "responses":
        from agent.providers.responses import Responses

        return Responses(base_url, api_key, **options)
    if protocol == "gemini":
        from agent.providers.gemini import Gemini

        return Gemini(base_url, api_key, **options)
    if protocol == "starter":
        from agent.providers.starter import Starter

        return Starter(**options)
    raise UsageError(
        f"This version does not speak “{protocol}”.",
        title="Unknown protocol",
        hint=f"It speaks: {', '.join(PROTOCOLS)}.",
    )
