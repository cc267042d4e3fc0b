"""A `ChatRequest` as the body of OpenAI's Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.providers.types import ChatRequest, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolSpec

NO_RESULT = "No result: this call was interrupted before it ran."


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where a provider differs from OpenAI's reference."""

    max_tokens_field: str = "max_tokens"
    stream_options: bool = True
    """Whether usage has to be asked for, and may be; the others send it anyway."""
    reasoning_back: bool = False
    """Whether the thinking of former answers goes back as `reasoning_content`; a refusal is the price elsewhere."""
    call_extra: Mapping[str, Any] = field(default_factory=dict)
    """Goes with the first tool call of an answer, back to the server."""
    models_key_header: str = ""
    """The list of models wants the key in this header instead of `Authorization`."""


def body(request: ChatRequest, quirks: Quirks) -> dict[str, Any]:
    """The request as a JSON object, streaming."""
    made: dict[str, Any] = {
        "model": request.model,
        "messages": messages(request.messages, quirks),
        "stream": True,
    }
    if quirks.stream_options:
        made["stream_options"] = {"include_usage": True}
    if request.tools:
        made["tools"] = [_tool(tool) for tool in request.tools]
    if request.max_tokens is not None:
        made[quirks.max_tokens_field] = request.max_tokens
    if request.temperature is not None:
        made["temperature"] = request.temperature
    made.update(request.extra)
    return made


def encode(made: dict[str, Any]) -> bytes:
    """Compact UTF-8. Lone surrogates, which UTF-8 cannot hold and servers refuse, become U+FFFD."""
    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return without_surrogates(text).encode()


def without_surrogates(text: str) -> str:
    """Joins surrogate pairs that were kept apart and replaces lone ones by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def messages(history: Sequence[Message], quirks: Quirks) -> list[dict[str, Any]]:
    """The messages, with exactly one result for each tool call: a server refuses anything else."""
    out: list[dict[str, Any]] = []
    waiting: list[str] = []  # calls of the last assistant message that still lack a result
    for message in history:
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult) and part.call_id in waiting:
                    waiting.remove(part.call_id)
                    out.append({"role": "tool", "tool_call_id": part.call_id, "content": part.text})
            continue
        out.extend({"role": "tool", "tool_call_id": call_id, "content": NO_RESULT} for call_id in waiting)
        waiting = []
        if message.role == "assistant":
            made = _assistant(message, quirks)
            waiting = [call["id"] for call in made.get("tool_calls", ())]
            if waiting or made["content"]:
                out.append(made)
        else:
            out.append({"role": message.role, "content": _content(message)})
    out.extend({"role": "tool", "tool_call_id": call_id, "content": NO_RESULT} for call_id in waiting)
    return out


def _assistant(message: Message, quirks: Quirks) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if calls := message.tool_calls:
        made["tool_calls"] = [_call(call) for call in calls]
        made["tool_calls"][0].update(quirks.call_extra)
    if quirks.reasoning_back:
        made["reasoning_content"] = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    return made


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.parts):
        return message.text
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text) and part.text:
            parts.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            url = f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
            parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _call(call: ToolCall) -> dict[str, Any]:
    # Not `raw_arguments`: a server refuses the whole history for one call that is not valid JSON.
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
