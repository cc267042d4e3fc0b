"""Makes foreign text harmless for a terminal: a model, a web page or a stranger's name must not move the cursor."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""C0 but tab and newline, DEL, C1, and the marks that reorder text."""


def visible(text: str, *, one_line: bool = False) -> str:
    """The text with every control character written out (ESC becomes \\x1b); on one line if asked for."""
    text = text.replace("\r\n", "\n")
    if one_line:
        text = " ".join(text.split())
    return _CONTROL.sub(_written, text)


def typed(text: str) -> str:
    """What a person typed, without the surrogates by which Python marks bytes that do not fit the terminal's encoding.

    Most often those bytes are UTF-8 in a terminal that claims to be something else; then the text is recovered.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
