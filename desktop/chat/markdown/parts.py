"""What Markdown is made of once it is parsed: runs of text, code, tables, quotes. Plain data, compared by value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["p", "h1", "h2", "h3", "h4", "h5", "h6"]
Align = Literal["", "left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one style. `href` is the target of a link."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph, a heading or an item of a list. `marker` is "" or "•" or a number, `indent` counts list levels."""

    spans: tuple[Span, ...]
    kind: Kind = "p"
    indent: int = 0
    marker: str = ""
    close: bool = False
    """It stands close to the line before it: the next item of a tight list."""

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True, slots=True)
class TextPart:
    """Paragraphs, headings and lists that follow each other."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class CodePart:
    """A code block; `language` as its fence names it."""

    language: str
    code: str
    indent: int = 0


@dataclass(frozen=True, slots=True)
class TablePart:
    """A table; `aligns` has one entry a column."""

    aligns: tuple[Align, ...]
    header: tuple[tuple[Span, ...], ...]
    rows: tuple[tuple[tuple[Span, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class QuotePart:
    """What stands behind ">"."""

    parts: tuple[Part, ...]
    indent: int = 0


@dataclass(frozen=True, slots=True)
class RulePart:
    """A line across."""


Part = TextPart | CodePart | TablePart | QuotePart | RulePart
