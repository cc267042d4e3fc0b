"""A `ChatRequest` as the body of Gemini's generateContent.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, Final

from agent.providers.hygiene import prepared
from agent.providers.types import (
    ChatRequest,
    Effort,
    File,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made.

See https://ai.google.dev/gemini-api/docs/thought-signatures
"""
_EARLIER = re.compile(r"gemini-[12]\b")
_BUDGETS: Final = {"none": 0, "low": 1024, "medium": 8192, "high": 24576}
_LEVELS: Final = {"none": "minimal", "low": "low", "medium": "medium", "high": "high"}
_MODES: Final = {"required": "ANY", "none": "NONE"}


def body(request: ChatRequest, origin: str) -> dict[str, Any]:
    """The request as a JSON object. Thought signatures go back only where they came from `origin`."""
    history = prepared(request.messages)
    system = [message.text for message in history if message.role == "system" and message.text]
    made: dict[str, Any] = {"contents": contents(history, origin, signed=not _EARLIER.search(request.model))}
    if system:
        made["systemInstruction"] = {"parts": [{"text": "\n\n".join(system)}]}
    if request.tools:
        made["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        if mode := _MODES.get(request.tool_choice):
            made["toolConfig"] = {"functionCallingConfig": {"mode": mode}}
    config: dict[str, Any] = {}
    if request.max_tokens is not None:
        config["maxOutputTokens"] = request.max_tokens
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.response_schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = dict(request.response_schema)
    if request.effort is not None:
        config["thinkingConfig"] = _thinking(request.model, request.effort)
    if config:
        made["generationConfig"] = config
    made.update(request.extra)
    return made


def contents(history: Sequence[Message], origin: str, *, signed: bool) -> list[dict[str, Any]]:
    """People and models in turns; all results of one answer's calls stand together. `signed`: calls need signatures."""
    out: list[dict[str, Any]] = []
    for message in history:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message, origin, signed=signed)
        if not parts:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["parts"].extend(parts)
        else:
            out.append({"role": role, "parts": parts})
    return out


def _parts(message: Message, origin: str, *, signed: bool) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    calls = 0
    for part in message.parts:
        match part:
            case Text(text) if text:
                parts.append({"text": text})
            case Reasoning() if part.signature and part.origin == origin and parts and "text" in parts[-1]:
                parts[-1]["thoughtSignature"] = part.signature  # it came with that text
            case ToolCall():
                call = {"functionCall": {"id": part.id, "name": part.name, "args": dict(part.arguments)}}
                # Of several calls in one answer, the first one carries the signature.
                signature = part.signature or (NO_SIGNATURE if signed and not calls else None)
                parts.append({**call, "thoughtSignature": signature} if signature else call)
                calls += 1
            case ToolResult():
                said = {"result": part.text} if part.ok else {"error": part.text}
                parts.append({"functionResponse": {"id": part.call_id, "name": part.name, "response": said}})
                parts.extend(_inline(image.media_type, image.data) for image in part.images)
            case Image():
                parts.append(_inline(part.media_type, part.data))
            case File():
                parts.append(_inline(part.media_type, part.data))
    return parts


def _inline(media_type: str, data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters.get("properties"):  # one without parameters is declared without a schema
        made["parametersJsonSchema"] = dict(tool.parameters)
    return made


def _thinking(model: str, effort: Effort) -> dict[str, Any]:
    """Levels since Gemini 3, a number of tokens before."""
    if _EARLIER.search(model):
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}
    return {"thinkingLevel": _LEVELS[effort], "includeThoughts": effort != "none"}
