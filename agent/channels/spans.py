"""Finds which inline Markdown (bold, italic, struck, code) is open at a place inside a paragraph."""

from __future__ import annotations

import re
from typing import NamedTuple

LINK = re.compile(r"!?\[[^\]\n]*\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:[ \t]+\"[^\"\n]*\")?\)")

_TOKEN = re.compile(r"\\.|(?P<code>`+)|(?P<run>\*+|_+|~~)", re.DOTALL)


class _Opener(NamedTuple):
    start: int
    marker: str


def open_markers(paragraph: str, at: int) -> list[str]:
    """The markers that are open at that index and closed later, outermost first.

    Follows the delimiter rules of https://spec.commonmark.org/0.31.2/#emphasis-and-strong-emphasis, but lets a
    marker at the very end of the paragraph close even after a space, as models write it.
    """
    openers: list[_Opener] = []
    found: list[tuple[int, str]] = []
    position = 0
    while match := _TOKEN.search(paragraph, position):
        position = match.end()
        if code := match["code"]:
            end = re.search(rf"(?<!`){code}(?!`)", paragraph[position:])
            if end:
                if match.end() < at <= position + end.start():
                    found.append((match.start(), code))
                position += end.end()
        elif run := match["run"]:
            before = paragraph[match.start() - 1] if match.start() else " "
            after = paragraph[match.end()] if match.end() < len(paragraph) else " "
            opens, closes = _flanks(run[0], before, after, not paragraph[match.end() :].strip())
            left = len(run)
            while closes and left and openers and (opener := _matching(openers, run[0], left)) is not None:
                del openers[openers.index(opener) :]
                left -= len(opener.marker)
                if opener.start + len(opener.marker) < at <= match.start():
                    found.append((opener.start, opener.marker))
            if opens and 0 < left <= 3:
                sizes = (2, 1) if left == 3 else (left,)
                start = match.end() - left
                for size in sizes:
                    openers.append(_Opener(start, run[0] * size))
                    start += size
    return [marker for _, marker in sorted(found)]


def _matching(openers: list[_Opener], char: str, left: int) -> _Opener | None:
    for opener in reversed(openers):
        if opener.marker[0] == char:
            return opener if len(opener.marker) <= left else None
    return None


def _flanks(char: str, before: str, after: str, at_end: bool) -> tuple[bool, bool]:
    """Whether a run of delimiters between these two characters may open and may close."""
    punctuation_before, punctuation_after = _is_punctuation(before), _is_punctuation(after)
    left = not after.isspace() and (not punctuation_after or before.isspace() or punctuation_before)
    right = not before.isspace() and (not punctuation_before or after.isspace() or punctuation_after)
    if char == "_":
        return left and (not right or punctuation_before), right and (not left or punctuation_after)
    return left, right or at_end


def _is_punctuation(char: str) -> bool:
    return not char.isalnum() and not char.isspace()
