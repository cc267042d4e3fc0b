"""A `ChatRequest` as the body of OpenAI's Responses, without state at the server.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from agent.providers.hygiene import prepared
from agent.providers.types import ChatRequest, File, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolSpec


def body(request: ChatRequest, origin: str, *, stream: bool) -> dict[str, Any]:
    """The request as a JSON object. Thinking goes back, encrypted, only where it came from `origin`."""
    history = prepared(request.messages)
    instructions = [message.text for message in history if message.role == "system" and message.text]
    made: dict[str, Any] = {
        "model": request.model,
        "input": items(history, origin),
        "stream": stream,
        "store": False,  # a conversation stays on this computer
        "include": ["reasoning.encrypted_content"],
    }
    if instructions:
        made["instructions"] = "\n\n".join(instructions)
    if request.tools:
        made["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice != "auto":
            made["tool_choice"] = request.tool_choice
    if request.max_tokens is not None:
        made["max_output_tokens"] = max(request.max_tokens, 16)  # fewer are refused
    if request.temperature is not None:
        made["temperature"] = request.temperature
    if request.response_schema is not None:
        made["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": dict(request.response_schema)}}
    if request.effort is not None:
        made["reasoning"] = {"effort": request.effort, "summary": "auto"}
    made.update(request.extra)
    return made


def items(history: Sequence[Message], origin: str) -> list[dict[str, Any]]:
    """The conversation as input items: thinking, texts and calls one by one, in their order."""
    out: list[dict[str, Any]] = []
    for message in history:
        if message.role == "system":
            continue
        if message.role == "user":
            out.append({"role": "user", "content": _content(message)})
            continue
        for part in message.parts:
            match part:
                case ToolResult():
                    out.append({"type": "function_call_output", "call_id": part.call_id, "output": _output(part)})
                case ToolCall():
                    arguments = json.dumps(dict(part.arguments), ensure_ascii=False)
                    call = {"type": "function_call", "call_id": part.id, "name": part.name}
                    out.append({**call, "arguments": arguments})
                case Text(text) if text:
                    out.append({"role": "assistant", "content": text})
                case Reasoning() if part.signature and part.id and part.origin == origin:
                    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                    thought = {"type": "reasoning", "id": part.id, "summary": summary}
                    out.append({**thought, "encrypted_content": part.signature})
        if out and out[-1].get("type") == "reasoning":  # refused without what it led to
            out.pop()
    return out


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image | File) for part in message.parts):
        return message.text
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text) if text:
                parts.append({"type": "input_text", "text": text})
            case Image():
                parts.append(_image(part))
            case File():
                parts.append(
                    {"type": "input_file", "filename": part.name, "file_data": _data_url(part.media_type, part.data)}
                )
    return parts


def _output(result: ToolResult) -> str | list[dict[str, Any]]:
    if not result.images:
        return result.text
    said = [{"type": "input_text", "text": result.text}] if result.text else []
    return [*said, *(_image(image) for image in result.images)]


def _image(image: Image) -> dict[str, Any]:
    return {"type": "input_image", "detail": "auto", "image_url": _data_url(image.media_type, image.data)}


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _tool(tool: ToolSpec) -> dict[str, Any]:
    # Not strict: that wants every parameter to be required.
    made = {"type": "function", "name": tool.name, "description": tool.description}
    return {**made, "parameters": dict(tool.parameters), "strict": False}
