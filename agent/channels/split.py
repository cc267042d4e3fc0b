"""Cuts a long answer into messages a channel accepts, where a reader would cut, so that each piece is whole Markdown.

What is open at a cut (a code fence with its language, bold, a quotation) is closed there and opened again after it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate
from typing import Literal, NamedTuple

from agent.channels.spans import LINK, open_markers

Unit = Literal["code_points", "utf16", "bytes"]

_FENCE = re.compile(r"^([ \t>]*)(`{3,}|~{3,})([^\n]*)$")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_BLANK_LINES = re.compile(r"(?:[ \t]*\r?\n)+")
_LINE = re.compile(r"\n")
_PARAGRAPH = re.compile(r"\n[ \t]*\r?\n")
_SENTENCE = re.compile(r"[.!?…][\"')\]*_”’]*(?=\s)|[。！？]")
_WORD = re.compile(r"\s+")
_BLOCK_START = re.compile(r"[ \t]*(?:>|(?:#{1,6}|[-+*]|\d{1,9}[.)])(?:\s|$)|`{3}|~{3}|\|)")
"""What in the middle of a line is text, and at the beginning of a piece would be a quotation, heading, list ..."""
_QUOTE = re.compile(r"(?:[ \t]*>[ \t]?)+")
_CLUSTER_CODE_POINTS = 64
"""No real character is longer; a longer run of marks is cut like anything else."""
_LONGEST_LINK = 2000
_LONGEST_SPAN = 8000
"""How far behind a cut the end of bold text is looked for."""
_ATTEMPTS = 8


def measure(text: str, unit: Unit) -> int:
    """The length as the channel counts it: code points (Discord), UTF-16 units (Telegram) or UTF-8 bytes."""
    if unit == "code_points":
        return len(text)
    if unit == "utf16":
        return len(text) + sum(1 for char in text if ord(char) > 0xFFFF)
    return len(text.encode("utf-8", "surrogatepass"))


def split(text: str, limit: int, unit: Unit, *, repeat_table_header: bool = False) -> list[str]:
    """Pieces of at most `limit` units each; a text that fits stays as it is, one with nothing to see gives none.

    Prefers the end of a paragraph, line, sentence or word, in this order, and does not cut inside a character that
    consists of several code points. A single code point that is larger than the limit is a piece all the same.
    """
    if limit < 1:
        raise ValueError("limit must be positive")
    rest = text.replace("\0", "")
    pieces: list[str] = []
    carried = 0
    while rest.strip():
        if measure(rest, unit) <= limit:
            pieces.append(rest)
            break
        cut = _cut(rest, carried, limit, unit, repeat_table_header)
        if cut.piece.strip():
            pieces.append(cut.piece)
        rest, carried = cut.opening + cut.rest, len(cut.opening)
        if not cut.rest.strip():
            break
    return pieces


class _Cut(NamedTuple):
    piece: str
    opening: str
    rest: str


class _Fence(NamedTuple):
    start: int
    """Where the opening line begins."""
    body: int
    """Where the code begins."""
    opening: str
    closing: str
    marker: str


def _cut(text: str, carried: int, limit: int, unit: Unit, repeat_table_header: bool) -> _Cut:
    """Cut off one piece. The first `carried` characters were opened again by the cut before this one."""
    room = limit
    for _ in range(_ATTEMPTS):
        at = _place(text, carried, _fitting(text, room, unit))
        if at <= carried:
            break
        cut = _at(text, at, repeat_table_header)
        over = measure(cut.piece, unit) - limit
        if over <= 0:
            if measure(cut.opening, unit) > limit // 2:
                break
            return cut
        room -= over
        if room <= 0:
            break
    at = max(_whole_characters(text, _fitting(text, limit, unit), carried), 1)
    return _Cut(text[:at], "", text[at:])


def _fitting(text: str, room: int, unit: Unit) -> int:
    """How many code points fit into that many units."""
    head = text[:room]
    if unit == "code_points":
        return len(head)
    sizes = (measure(char, unit) for char in head)
    return bisect_right(list(accumulate(sizes)), room)


def _place(text: str, carried: int, end: int) -> int:
    """The best index to cut at so that what is visible before it lies within `text[:end]`."""
    while end < len(text) and text[end].isspace():
        end += 1  # white space at a cut is dropped
    fences = _fences(text, end)

    def last(pattern: re.Pattern[str], share: float, *, begin: bool = False) -> int:
        """The last match outside of code that leaves at least that share of the room used."""
        found = 0
        for match in pattern.finditer(text, max(carried, int(end * share)), end):
            index = match.start() if begin else match.end()
            inside = any(fence.start < index and (stop is None or index < stop) for fence, stop in fences)
            if not inside and _harmless(text, index):
                found = index
        return found

    choices = [last(_PARAGRAPH, 0.3), last(_LINE, 0.5)]
    if fences and fences[-1][1] is None:
        fence = fences[-1][0]
        line = text.rfind("\n", 0, end) + 1
        choices.append(line if line > fence.body else fence.start)
    else:
        choices += [last(_SENTENCE, 0.5), last(_WORD, 0.3, begin=True), last(_LINE, 0), last(_WORD, 0, begin=True)]
    chosen = next((index for index in choices if index > carried), 0) or _whole_characters(text, end, carried)
    for link in LINK.finditer(text, carried, min(len(text), end + _LONGEST_LINK)):
        if link.start() < chosen < link.end() and link.start() > max(carried, end * 0.3):
            return link.start()
    return chosen


def _fences(text: str, end: int) -> list[tuple[_Fence, int | None]]:
    """The fenced code blocks that begin before `end`, each with the index after it (None when `end` is inside)."""
    found: list[tuple[_Fence, int | None]] = []
    current: _Fence | None = None
    position = 0
    while position < end:
        newline = text.find("\n", position)
        after = len(text) if newline < 0 else newline + 1
        line = text[position:after].rstrip("\r\n")
        match = _FENCE.match(line)
        if match and current is None and not (match[2][0] == "`" and "`" in match[3]):
            current = _Fence(position, after, line, match[1] + match[2], match[2])
        elif match and current and _closes(match, current):
            found.append((current, after if after <= end else None))
            current = None
        position = after
    if current is not None:
        found.append((current, None))
    return found


def _closes(match: re.Match[str], fence: _Fence) -> bool:
    return match[2][0] == fence.marker[0] and len(match[2]) >= len(fence.marker) and not match[3].strip()


def _at(text: str, at: int, repeat_table_header: bool) -> _Cut:
    """Cut there, closing what is open before and opening it again after."""
    fences = _fences(text, at)
    if fences and fences[-1][1] is None and fences[-1][0].start < at:
        return _in_fence(text, at, fences[-1][0])
    head, tail = text[:at].rstrip(), text[at:]
    begin = text.rfind("\n", 0, at) + 1
    newlines = text[len(head) : at].count("\n") + tail[: len(tail) - len(tail.lstrip())].count("\n")
    blank = _BLANK_LINES.match(tail)
    tail = tail[blank.end() :] if blank else tail if newlines else tail.lstrip(" \t")
    if newlines > 1:
        return _Cut(head, "", tail)
    if newlines and repeat_table_header and (header := _table_header(head, tail)):
        return _Cut(head, header, tail)
    block = max((match.end() for match in _PARAGRAPH.finditer(text, 0, at)), default=0)
    block = max(block, fences[-1][1] or 0) if fences else block
    stop = _PARAGRAPH.search(text, at, at + _LONGEST_SPAN)
    markers = open_markers(text[block : stop.start() if stop else at + _LONGEST_SPAN], at - block)
    quote = _QUOTE.match(text, begin, at) if not newlines else None
    opening = (quote[0] if quote else "") + "".join(markers)
    return _Cut(head + "".join(reversed(markers)), opening, tail)


def _in_fence(text: str, at: int, fence: _Fence) -> _Cut:
    head, tail = text[:at], text[at:]
    if not head.endswith("\n"):
        head += "\n"
    newline = tail.find("\n")
    first = (tail if newline < 0 else tail[:newline]).rstrip("\r")
    match = _FENCE.match(first)
    if match and text[at - 1] == "\n" and _closes(match, fence):
        return _Cut(head + fence.closing, "", tail[len(first) :].lstrip("\r\n"))
    return _Cut(head + fence.closing, fence.opening + "\n", tail)


def _table_header(head: str, rest: str) -> str:
    """The first two lines of the table that is cut between two rows."""
    if "|" not in rest.partition("\n")[0]:
        return ""
    block = head.rstrip("\r\n").split("\n")
    start = len(block)
    while start and "|" in block[start - 1]:
        start -= 1
    if len(block) - start < 3 or not _TABLE_RULE.match(block[start + 1]):
        return ""
    return f"{block[start]}\n{block[start + 1]}\n"


def _harmless(text: str, index: int) -> bool:
    """Whether the text from there on means the same at the beginning of a message."""
    if not _BLOCK_START.match(text, index):
        return True
    return not text[text.rfind("\n", 0, index) + 1 : index].strip()


def _whole_characters(text: str, index: int, carried: int) -> int:
    """The last index up to this one that is not inside a character; see https://unicode.org/reports/tr29/."""
    for place in range(index, max(carried, index - _CLUSTER_CODE_POINTS), -1):
        if place >= len(text) or not (_joined(text, place) or _BLOCK_START.match(text, place)):
            return place
    return index


def _joined(text: str, index: int) -> bool:
    """Whether the code points before and after the index belong to one character."""
    before, after = text[index - 1], text[index]
    if before == "\r":
        return after == "\n"
    if before == "\u200d" or after in "\u200d\u200c\uff9e\uff9f":
        return True
    code = ord(after)
    if 0x1F3FB <= code <= 0x1F3FF or 0xE0020 <= code <= 0xE007F or 0x1160 <= code <= 0x11FF:
        return True
    if 0x1F1E6 <= code <= 0x1F1FF:
        flags = 0
        while flags < index and 0x1F1E6 <= ord(text[index - 1 - flags]) <= 0x1F1FF:
            flags += 1
        return flags % 2 == 1
    return unicodedata.category(after) in ("Mn", "Me", "Mc")
