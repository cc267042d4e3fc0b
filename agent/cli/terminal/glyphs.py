"""The few signs the terminal chat draws with, and their plain forms where the terminal cannot show them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs."""

    prompt: str
    done: str
    failed: str
    arrow: str
    dot: str
    ellipsis: str
    spinner: tuple[str, ...]


UNICODE = Glyphs("❯", "✓", "✗", "→", "·", "…", tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"))
ASCII = Glyphs(">", "ok", "failed", "->", "|", "...", tuple("|/-\\"))


def glyphs_for(stream: TextIO = sys.stdout) -> Glyphs:
    """The set that this stream can encode."""
    try:
        "❯✓✗→·…⠋".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
