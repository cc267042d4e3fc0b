"""A `ChatRequest` as the body of Anthropic's Messages.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.providers.hygiene import prepared
from agent.providers.types import ChatRequest, File, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolSpec

DEFAULT_MAX_TOKENS: Final = 8192
"""The protocol wants a limit. All models of the last years take this one; an answer that it cuts is continued."""
_EPHEMERAL: Final = {"type": "ephemeral"}
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_CHOICES: Final = {"required": {"type": "any"}, "none": {"type": "none"}}


def body(request: ChatRequest, origin: str, *, stream: bool) -> dict[str, Any]:
    """The request as a JSON object. Thinking goes back only where it came from `origin`."""
    history = prepared(request.messages)
    system = [message.text for message in history if message.role == "system" and message.text]
    made: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages(history, origin),
        "stream": stream,
    }
    if system:
        # What comes before the mark (tools and system text) is the same from turn to turn, and is read from the cache.
        made["system"] = [{"type": "text", "text": "\n\n".join(system), "cache_control": _EPHEMERAL}]
    if request.tools:
        made["tools"] = [_tool(tool) for tool in request.tools]
        if choice := _CHOICES.get(request.tool_choice):
            made["tool_choice"] = choice
    if request.temperature is not None:
        made["temperature"] = min(request.temperature, 1.0)
    output: dict[str, Any] = {}
    if request.response_schema is not None:
        output["format"] = {"type": "json_schema", "schema": dict(request.response_schema)}
    if request.effort == "none":
        made["thinking"] = {"type": "disabled"}
    elif request.effort is not None:
        made["thinking"] = {"type": "adaptive", "display": "summarized"}
        output["effort"] = request.effort
        made.pop("temperature", None)  # refused together with thinking
    if output:
        made["output_config"] = output
    made.update(request.extra)
    return made


def messages(history: Sequence[Message], origin: str) -> list[dict[str, Any]]:
    """People and models in turns; the results of one answer's calls come first in the message after it."""
    out: list[dict[str, Any]] = []
    for message in history:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, origin)
        if not blocks:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["content"].extend(blocks)
        else:
            out.append({"role": role, "content": blocks})
    _mark(out)
    return out


def _mark(out: list[dict[str, Any]]) -> None:
    """The end of the conversation so far is read from the cache the next time."""
    if out:
        last = out[-1]["content"][-1]
        if last["type"] in ("text", "image", "document", "tool_use", "tool_result"):
            last["cache_control"] = _EPHEMERAL


def _blocks(message: Message, origin: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text):
                if text.strip():  # "text content blocks must contain non-whitespace text"
                    blocks.append({"type": "text", "text": text})
            case Reasoning():
                if part.signature and part.origin == origin:
                    blocks.append(_thinking(part))
            case ToolCall():
                call = {"type": "tool_use", "id": fit(part.id), "name": fit(part.name)[:128]}
                blocks.append({**call, "input": dict(part.arguments)})
            case ToolResult():
                blocks.append(_result(part))
            case Image():
                blocks.append(_image(part))
            case File():
                blocks.append(_document(part))
    return blocks


def _thinking(part: Reasoning) -> dict[str, Any]:
    if not part.text and part.id == "redacted":
        return {"type": "redacted_thinking", "data": part.signature}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _result(part: ToolResult) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "tool_result", "tool_use_id": fit(part.call_id)}
    if part.images:
        said = [{"type": "text", "text": part.text}] if part.text.strip() else []
        made["content"] = [*said, *(_image(image) for image in part.images)]
    else:
        made["content"] = part.text
    if not part.ok:
        made["is_error"] = True
    return made


def _image(image: Image) -> dict[str, Any]:
    if image.media_type not in _PICTURES:
        return {"type": "text", "text": f"[a picture of the kind {image.media_type}, which cannot be shown]"}
    return {"type": "image", "source": _source(image.media_type, image.data)}


def _document(file: File) -> dict[str, Any]:
    if file.media_type == "application/pdf":
        return {"type": "document", "source": _source(file.media_type, file.data), "title": file.name}
    text = file.data.decode("utf-8", "replace")
    return {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
        "title": file.name,
    }


def _source(media_type: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def _tool(tool: ToolSpec) -> Mapping[str, Any]:
    return {"name": fit(tool.name), "description": tool.description, "input_schema": dict(tool.parameters)}


def fit(name: str) -> str:
    """Ids and names may hold letters, digits, dashes and underscores only; other providers make them of more."""
    return _UNFIT.sub("_", name) or "_"
