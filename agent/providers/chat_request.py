"""A `ChatRequest` as the body of OpenAI's Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from agent.providers.hygiene import prepared
from agent.providers.quirks import Quirks
from agent.providers.types import ChatRequest, File, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolSpec


def body(request: ChatRequest, quirks: Quirks, *, stream: bool = True) -> dict[str, Any]:
    """The request as a JSON object."""
    made: dict[str, Any] = {
        "model": request.model,
        "messages": messages(request.messages, quirks),
        "stream": stream,
    }
    if stream and quirks.stream_options:
        made["stream_options"] = {"include_usage": True}
    if request.tools:
        made["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice != "auto":
            made["tool_choice"] = quirks.required_choice if request.tool_choice == "required" else request.tool_choice
        if quirks.parallel_calls is not None:
            made["parallel_tool_calls"] = quirks.parallel_calls
    if request.max_tokens is not None:
        made[quirks.max_tokens_field] = request.max_tokens
    if request.temperature is not None:
        made["temperature"] = request.temperature
    if request.response_schema is not None:
        schema = {"name": "answer", "schema": dict(request.response_schema), "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.effort is not None:
        made["reasoning_effort"] = request.effort
    made.update(request.extra)
    return made


def messages(history: Sequence[Message], quirks: Quirks) -> list[dict[str, Any]]:
    """The messages, with exactly one result for each tool call: a server refuses anything else."""
    out: list[dict[str, Any]] = []
    seen: list[Image] = []  # pictures that tools gave back: a tool's message holds text alone
    for message in prepared(history):
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult):
                    out.append({"role": "tool", "tool_call_id": part.call_id, "content": part.text})
                    seen.extend(part.images)
            continue
        if seen:
            out.append(_shown(seen))
            seen = []
        if message.role == "assistant":
            made = _assistant(message, quirks)
            if made["content"] or made.get("tool_calls"):
                out.append(made)
        else:
            role = quirks.system_role if message.role == "system" else message.role
            out.append({"role": role, "content": _content(message)})
    if seen:
        out.append(_shown(seen))
    return out


def _shown(images: Sequence[Image]) -> dict[str, Any]:
    note = {"type": "text", "text": "The pictures that the tools gave back:"}
    return {"role": "user", "content": [note, *(_image(image) for image in images)]}


def _assistant(message: Message, quirks: Quirks) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if calls := message.tool_calls:
        made["tool_calls"] = [_call(call) for call in calls]
    if quirks.reasoning_back:
        made[quirks.reasoning_field] = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    return made


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image | File) for part in message.parts):
        return message.text
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text) and part.text:
            parts.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            parts.append(_image(part))
        elif isinstance(part, File):
            file = {"filename": part.name, "file_data": _data_url(part.media_type, part.data)}
            parts.append({"type": "file", "file": file})
    return parts


def _image(image: Image) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": _data_url(image.media_type, image.data)}}


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _call(call: ToolCall) -> dict[str, Any]:
    # Not `raw_arguments`: a server refuses the whole history for one call that is not valid JSON.
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
