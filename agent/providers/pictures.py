"""Pictures and documents for a model that cannot read them: left out, and said so in their place."""

from __future__ import annotations

import re
from dataclasses import replace

from agent.errors import ProviderError
from agent.providers.types import ChatRequest, File, Image, Message, Part, Text, ToolResult

_REFUSED = re.compile(r"image|vision|multimodal|multi-modal|input_file|document|modalit|media[ _]type", re.I)


def are_refused(error: ProviderError, request: ChatRequest) -> bool:
    """Whether the error may well be about what is not text in the request."""
    if error.status not in (400, 404, 415, 422) and error.kind != "invalid_request":
        return False
    return bool(_REFUSED.search(str(error))) and any(_has(message) for message in request.messages)


def left_out(request: ChatRequest) -> ChatRequest:
    """The same request in words alone."""
    if not any(_has(message) for message in request.messages):
        return request
    return replace(request, messages=[_in_words(message) if _has(message) else message for message in request.messages])


def _has(message: Message) -> bool:
    return any(
        isinstance(part, Image | File) or (isinstance(part, ToolResult) and part.images) for part in message.parts
    )


def _in_words(message: Message) -> Message:
    parts: list[Part] = []
    for part in message.parts:
        match part:
            case Image():
                parts.append(Text("[picture left out: this model cannot see pictures]"))
            case File():
                parts.append(Text(f"[{part.name} left out: this model cannot read such files]"))
            case ToolResult() if part.images:
                note = "[picture left out: this model cannot see pictures]"
                parts.append(replace(part, text=f"{part.text}\n{note}".strip(), images=()))
            case _:
                parts.append(part)
    return replace(message, parts=tuple(parts))
