"""What requests and answers of all protocols are made of: bodies, texts that come in pieces, tool calls."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from agent.providers.types import ToolCall

MAX_TOOL_CALLS: Final = 2048
"""In one answer; a server that sends more is not answering."""


def without_surrogates(text: str) -> str:
    """Joins surrogate pairs that were kept apart and replaces lone ones by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode(made: Mapping[str, Any]) -> bytes:
    """A request's body: compact UTF-8. Lone surrogates, which UTF-8 cannot hold and servers refuse, become U+FFFD."""
    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return without_surrogates(text).encode()


class TextPieces:
    """A text that comes in pieces; an emoji that was escaped as two surrogates may be cut between two of them."""

    __slots__ = ("_held", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._held = ""

    def add(self, piece: str) -> str:
        """What of it can be shown now; possibly nothing."""
        if self._held or not piece.isascii():
            piece = self._whole(self._held + piece)
            if not piece:
                return ""
        self.pieces.append(piece)
        return piece

    def finish(self) -> str:
        """The whole text. A half character at its end becomes U+FFFD."""
        if self._held:
            self._held = ""
            self.pieces.append("\ufffd")
        return "".join(self.pieces)

    def _whole(self, piece: str) -> str:
        self._held = ""
        if "\ud800" <= piece[-1] <= "\udbff":
            self._held = piece[-1]
            piece = piece[:-1]
        try:
            piece.encode()
        except UnicodeEncodeError:
            return without_surrogates(piece)
        return piece


def tool_call(call_id: str, name: str, raw: str, *, cut_off: bool, signature: str | None = None) -> ToolCall:
    """A call from its pieces. `cut_off`: the length limit ended the answer, so a broken call is a truncated one."""
    if not raw.isascii():
        raw = without_surrogates(raw)
    arguments: Any = None
    if raw.strip():
        try:
            arguments = json.loads(raw)
        except (ValueError, RecursionError):
            arguments = None
    complete = isinstance(arguments, dict)
    return ToolCall(
        id=call_id or f"call_{uuid.uuid4().hex[:24]}",
        name=name,
        arguments=arguments if complete else {},
        raw_arguments=raw,
        truncated=cut_off and not complete,
        signature=signature,
    )


def text_of(value: Any) -> str:
    """A text field of a server's answer. Raises `TypeError` for anything else but nothing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def count(value: Any) -> int:
    """A number of tokens; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
