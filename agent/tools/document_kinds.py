"""How each kind of document becomes text; runs in the child process of `documents` only."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

MOST_UNPACKED = 200_000_000
"""Bytes of all parts together."""
LARGEST_PART = 60_000_000
MOST_PARTS = 10_000
MOST_CELLS = 200_000
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def extract(data: bytes, kind: str, limit: int) -> str:
    """The text, cut at `limit` characters. Raises `ValueError` with words for a person, and what parsers raise."""
    pieces: list[str] = []
    room = limit
    readers = {"pdf": _pdf, "docx": _docx, "xlsx": _xlsx, "pptx": _pptx}
    for piece in readers[kind](data):
        pieces.append(piece[:room])
        room -= len(piece) + 1
        if room <= 0:
            pieces.append("(the document goes on; its text is cut here)")
            break
    text = "\n".join(pieces).strip()
    if not text:
        raise ValueError("The document holds no text; it may consist of pictures (a scan).")
    return text


def _pdf(data: bytes) -> Iterator[str]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise ValueError("The PDF is protected by a password.")
    for number, page in enumerate(reader.pages, start=1):
        text = page.extract_text().strip()
        if text:
            yield f"[page {number}]\n{text}\n"


class _Package:
    """A zip of XML parts, opened with a limit on everything."""

    def __init__(self, data: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        if len(self._zip.infolist()) > MOST_PARTS:
            raise ValueError("The document has too many parts.")
        self.names = set(self._zip.namelist())
        self._room = MOST_UNPACKED

    def part(self, name: str) -> Any:
        """The root of an XML part. What the directory says of its size is not believed."""
        from defusedxml.ElementTree import fromstring

        with self._zip.open(name) as file:
            data = file.read(min(LARGEST_PART, self._room) + 1)
        self._room -= len(data)
        if len(data) > LARGEST_PART or self._room < 0:
            raise ValueError("The document unpacks to too much data.")
        return fromstring(data, forbid_dtd=True)

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Id -> (type, part) of what a part refers to inside the package."""
        folder, base = posixpath.split(name)
        where = posixpath.join(folder, "_rels", base + ".rels")
        if where not in self.names:
            return {}
        return {
            one.get("Id", ""): (
                one.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/" + folder, unquote(one.get("Target", "")))).lstrip("/"),
            )
            for one in self.part(where)
            if one.get("TargetMode") != "External"
        }


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _attribute(element: Any, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _all(element: Any, name: str) -> Iterator[Any]:
    return (one for one in element.iter() if _local(one) == name)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(rows: list[list[str]]) -> Iterator[str]:
    width = max((len(row) for row in rows), default=0)
    for index, row in enumerate(rows):
        yield _row(row + [""] * (width - len(row)))
        if index == 0:
            yield "|" + " --- |" * width
    yield ""


# --- Word ---------------------------------------------------------------------------------------------------------
def _docx(data: bytes) -> Iterator[str]:
    package = _Package(data)
    main = next((part for kind, part in package.relations("").values() if kind == "officeDocument"), "")
    root = package.part(main or "word/document.xml")
    for body in _all(root, "body"):
        yield from _blocks(body)


def _blocks(parent: Any) -> Iterator[str]:
    for child in parent:
        match _local(child):
            case "p":
                text = _paragraph(child)
                if text:
                    yield text
            case "tbl":
                rows = [
                    [" ".join(_blocks(cell)) for cell in row if _local(cell) == "tc"]
                    for row in child
                    if _local(row) == "tr"
                ]
                yield from _table(rows)
            case "sdt" | "sdtContent" | "customXml" | "ins":
                yield from _blocks(child)


def _paragraph(paragraph: Any) -> str:
    text = _runs(paragraph).strip()
    if not text:
        return ""
    style = next((_attribute(one, "val") for one in _all(paragraph, "pStyle")), "").replace(" ", "").lower()
    heading = re.fullmatch(r"heading([1-6])", style)
    if heading or style == "title":
        return f"\n{'#' * (int(heading[1]) if heading else 1)} {text}\n"
    for numbering in _all(paragraph, "numPr"):
        level = next((_attribute(one, "val") for one in _all(numbering, "ilvl")), "0")
        return f"{'  ' * min(int(level) if level.isdecimal() else 0, 9)}- {text}"
    return f"- {text}" if style.startswith("list") else f"{text}\n"


_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def _runs(element: Any) -> str:
    pieces: list[str] = []
    for child in element:
        name = _local(child)
        if name == "t":
            pieces.append(child.text or "")
        elif name in _BREAKS:
            pieces.append(_BREAKS[name])
        elif name not in ("pPr", "rPr", "del", "Fallback"):
            pieces.append(_runs(child))
    return "".join(pieces)


# --- Excel --------------------------------------------------------------------------------------------------------
def _xlsx(data: bytes) -> Iterator[str]:
    package = _Package(data)
    main = next((part for kind, part in package.relations("").values() if kind == "officeDocument"), "xl/workbook.xml")
    parts = package.relations(main)
    strings: list[str] = []
    for kind, part in parts.values():
        if kind == "sharedStrings":
            strings = ["".join(_texts(one)) for one in package.part(part)]
    cells = MOST_CELLS
    for sheet in _all(package.part(main), "sheet"):
        kind, part = parts.get(sheet.get(_REL + "id", "") or _attribute(sheet, "id"), ("", ""))
        if kind != "worksheet":
            continue
        yield f"## {sheet.get('name', '')}\n"
        rows = []
        for row in _all(package.part(part), "row"):
            values = _cells(row, strings)
            cells -= len(values) + 1
            if cells < 0:
                break
            if any(values):
                rows.append(values)
        yield from _table(rows)
        if cells < 0:
            yield f"(more than {MOST_CELLS:,} cells; the rest is left out)"
            return


def _cells(row: Any, strings: list[str]) -> list[str]:
    values: list[str] = []
    for cell in row:
        column = _column(cell.get("r", ""))
        if column is not None and len(values) < column < 1_000:
            values += [""] * (column - len(values))
        values.append(_value(cell, strings))
    return values


def _column(reference: str) -> int | None:
    """0 for "A7", 27 for "AB1"."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    if not letters:
        return None
    number = 0
    for letter in letters[0]:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _value(cell: Any, strings: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return "".join(_texts(cell))
    value = next((one.text or "" for one in cell if _local(one) == "v"), "")
    if kind == "s":
        return strings[int(value)] if value.isdecimal() and int(value) < len(strings) else ""
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    return value


def _texts(element: Any) -> Iterator[str]:
    """All text but phonetic hints."""
    for child in element:
        if _local(child) == "t":
            yield child.text or ""
        elif _local(child) != "rPh":
            yield from _texts(child)


# --- PowerPoint ---------------------------------------------------------------------------------------------------
def _pptx(data: bytes) -> Iterator[str]:
    package = _Package(data)
    main = next(
        (part for kind, part in package.relations("").values() if kind == "officeDocument"), "ppt/presentation.xml"
    )
    parts = package.relations(main)
    number = 0
    for slide in _all(package.part(main), "sldId"):
        _, part = parts.get(slide.get(_REL + "id", ""), ("", ""))
        if part not in package.names:
            continue
        number += 1
        root = package.part(part)
        shapes = [(_holder(shape), _shape(shape)) for shape in _all(root, "sp")]
        title = next((text for holder, text in shapes if holder in ("title", "ctrTitle") and text), "")
        yield f"## Slide {number}{': ' if title else ''}{' '.join(title.split())}\n"
        yield from (
            text for holder, text in shapes if text and holder not in ("title", "ctrTitle", "sldNum", "dt", "ftr")
        )
        for table in _all(root, "tbl"):
            yield from _table([[_shape(cell) for cell in _all(row, "tc")] for row in _all(table, "tr")])
        for kind, notes in package.relations(part).values():
            if kind == "notesSlide" and notes in package.names:
                said = [_shape(one) for one in _all(package.part(notes), "sp") if _holder(one) == "body"]
                if any(said):
                    yield "Notes: " + "\n".join(said)
        yield ""


def _holder(shape: Any) -> str:
    return next((one.get("type", "body") for one in _all(shape, "ph")), "")


def _shape(shape: Any) -> str:
    return "\n".join(line for line in (_runs(paragraph).strip() for paragraph in _all(shape, "p")) if line)
