"""Looking at a file: text with line numbers however large it is, pictures as such, documents for their own reader."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from agent.errors import ToolError
from agent.providers.types import Image
from agent.tools import documents, textfile
from agent.tools.tool import Outcome

LONGEST_LINE = 2_000
LARGEST_PICTURE = 3_700_000
"""Bytes: providers take 5 MB once it is in base64."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """A file whose text another process takes out."""

    kind: str
    data: bytes = field(repr=False)


def look(path: Path, first: int, limit: int, room: int) -> str | Outcome | Document:
    """What a file shows: numbered lines, a picture, or a document. Raises `ToolError`, `OSError`."""
    with textfile.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8_192)
        picture = _picture(head)
        kind = _document(head, path)
        if picture:
            if size > LARGEST_PICTURE:
                raise ToolError(
                    f"{path.name} is a picture of {size:,} bytes; more than {LARGEST_PICTURE:,} cannot be shown."
                )
            data = head + file.read(LARGEST_PICTURE)
            return Outcome(f"{path.name}: a picture ({picture}, {len(data):,} bytes).", images=(Image(picture, data),))
        if kind:
            if size > documents.LARGEST:
                raise ToolError(
                    f"{path.name} has {size:,} bytes; documents of more than {documents.LARGEST:,} are not read."
                )
            return Document(kind, head + file.read(documents.LARGEST))
        if size > textfile.LARGEST:
            return _window(file, head, path.name, first, limit, room)
        return numbered(textfile.decode(head + file.read(textfile.LARGEST), path.name).text, first, limit, room)


def numbered(text: str, first: int, limit: int, room: int) -> str:
    """The lines of a text from `first` on, with their numbers, and how to go on."""
    if not text:
        return "(the file is empty)"
    lines = re.split(r"\r\n|\r|\n", text)  # as editors count them; splitlines() knows more kinds
    if not lines[-1]:
        lines.pop()
    if first > len(lines):
        raise ToolError(f"The file has {len(lines)} lines; there is no line {first}.")
    shown: list[str] = []
    for number, line in enumerate(lines[first - 1 : first - 1 + limit], start=first):
        cut = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}... ({len(line):,} characters)"
        room -= len(cut) + len(str(number)) + 2
        if room < 0 and shown:
            break
        shown.append(f"{number}\t{cut}")
    last = first + len(shown) - 1
    if last < len(lines):
        shown.append(f"(lines {first}-{last} of {len(lines)}; go on with offset={last + 1})")
    return "\n".join(shown)


def _window(file: BinaryIO, head: bytes, name: str, first: int, limit: int, room: int) -> str:
    """The same for a file that is too large for memory. Lines end with a line feed there."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ToolError(f"{name} is a large file in UTF-16, which is not read in parts.")
    textfile.decode(head, name)  # refuses binary files
    _skip_lines(file, first - 1)
    shown: list[str] = []
    number = first
    while number < first + limit:
        data = file.readline(LONGEST_LINE * 4)
        if not data:
            break
        whole = data.endswith(b"\n")
        while not whole:
            rest = file.readline(_BLOCK)
            whole = not rest or rest.endswith(b"\n")
            data = data if len(data) > LONGEST_LINE * 4 else data + rest[:1]
        try:
            line = data.rstrip(b"\r\n").decode("utf-8")
        except UnicodeDecodeError:
            line = data.rstrip(b"\r\n").decode("cp1252" if len(data) < LONGEST_LINE * 4 else "utf-8", "replace")
        cut = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}... (the line goes on)"
        room -= len(cut) + len(str(number)) + 2
        if room < 0 and shown:
            break
        shown.append(f"{number}\t{cut.removeprefix(chr(0xFEFF)) if number == 1 else cut}")
        number += 1
    if not shown:
        raise ToolError(f"There is no line {first} in the file.")
    shown.append(f"(lines {first}-{number - 1} of a large file; go on with offset={number})")
    return "\n".join(shown)


def _skip_lines(file: BinaryIO, count: int) -> None:
    position = 0
    file.seek(0)
    while count > 0:
        block = file.read(_BLOCK)
        if not block:
            return
        found = block.count(b"\n")
        if found < count:
            count -= found
            position += len(block)
            continue
        at = -1
        for _ in range(count):
            at = block.index(b"\n", at + 1)
        position += at + 1
        count = 0
    file.seek(position)


def _picture(head: bytes) -> str:
    """The media type of a picture by its first bytes; empty for anything else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


def _document(head: bytes, path: Path) -> str:
    if head.startswith(b"%PDF-"):
        return "pdf"
    kind = path.suffix.lower()[1:].removesuffix("m") if head.startswith(b"PK\x03\x04") else ""
    kind = kind if kind.endswith("x") else kind + "x"
    return kind if kind in documents.KINDS else ""
