"""What a tool of an MCP server gave back, as an outcome: text, pictures, links, structured data."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.providers.types import Image
from agent.safety.effects import one_line
from agent.tools.clip import clip
from agent.tools.tool import Outcome

if TYPE_CHECKING:
    from mcp_types import CallToolResult

MOST_PICTURES = 4
LARGEST_PICTURE = 5_000_000
"""Bytes."""
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def source_of(server: str) -> str:
    """What a turn is tainted by."""
    return f"the MCP server {server}"


def outcome(result: CallToolResult, server: str, max_chars: int) -> Outcome:
    """The text clipped to `max_chars`. Blocks while large pictures are decoded."""
    texts: list[str] = []
    pictures: list[Image] = []
    for block in result.content:
        texts += _texts(block, max_chars, pictures)
    if result.structured_content is not None and not _told(result.structured_content, texts):
        texts.append(json.dumps(result.structured_content, ensure_ascii=False, indent=1))
    text = clip("\n".join(texts), max_chars)
    if not text and not pictures:
        text = "The tool failed and said nothing." if result.is_error else "The tool gave nothing back."
    return Outcome(text, ok=not result.is_error, source=source_of(server), images=tuple(pictures))


def _texts(block: Any, max_chars: int, pictures: list[Image]) -> Iterator[str]:
    match block.type:
        case "text":
            yield clip(block.text, max_chars)
        case "image":
            picture = _picture(block.mime_type, block.data) if len(pictures) < MOST_PICTURES else None
            if picture is None:
                yield f"[a picture that cannot be shown: {one_line(block.mime_type, 40)}]"
            else:
                pictures.append(picture)
                yield "[a picture]"
        case "audio":
            yield f"[sound that cannot be played: {one_line(block.mime_type, 40)}]"
        case "resource_link":
            words = (block.title or block.name, block.description or "", block.mime_type or "")
            yield f"[a resource: {one_line(block.uri, 500)}] {one_line('; '.join(filter(None, words)), 300)}"
        case "resource":
            held = block.resource
            yield f"[the resource {one_line(held.uri, 500)}]"
            if hasattr(held, "text"):
                yield clip(held.text, max_chars)
            else:
                yield f"[{len(held.blob) * 3 // 4:,} bytes of {one_line(held.mime_type or 'data', 40)}]"


def _picture(media_type: str, data: str) -> Image | None:
    if media_type not in _PICTURES or len(data) > LARGEST_PICTURE * 4 // 3 + 4:
        return None
    try:
        return Image(media_type, base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return None


def _told(structured: Any, texts: list[str]) -> bool:
    """Whether the text says the same, as servers do for clients that know no structured content. Those that give back
    something else than an object wrap it as `result`."""
    wrapped = structured["result"] if isinstance(structured, dict) and structured.keys() == {"result"} else structured
    for text in texts:
        if text == wrapped:
            return True
        try:
            if json.loads(text) in (structured, wrapped):
                return True
        except (ValueError, RecursionError):
            continue
    return False
