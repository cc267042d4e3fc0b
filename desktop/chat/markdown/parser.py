"""CommonMark with tables and strike-through, as markdown-it reads it, turned into parts. HTML stays text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from desktop.chat.markdown.parts import (
    Align,
    CodePart,
    Kind,
    Line,
    Part,
    QuotePart,
    RulePart,
    Span,
    TablePart,
    TextPart,
)

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block. `start` is its first line, `items` the first lines of a list's items."""

    kind: str
    start: int
    parts: tuple[Part, ...]
    items: tuple[int, ...] = ()
    markup: str = ""
    closed: bool = True
    """False for a code block whose closing fence is not there yet."""


def parse(text: str) -> list[Block]:
    """The top-level blocks of `text`, in order."""
    tokens = _reader().parse(text)
    lines = text.split("\n")
    blocks: list[Block] = []
    first = 0
    for position, token in enumerate(tokens):
        if token.level or token.nesting > 0:
            continue
        own = tokens[first : position + 1]
        first = position + 1
        head = own[0]
        start, end = head.map or (0, 0)
        items = tuple(one.map[0] for one in own if one.type == "list_item_open" and one.level == 1 and one.map)
        closed = head.type != "fence" or _closes(lines[start + 1 : end], head.markup)
        builder = _Builder()
        builder.read(own)
        kind = head.type.removesuffix("_open")
        blocks.append(Block(kind, start, tuple(builder.finish()), items, head.markup, closed))
    return blocks


def prepare() -> None:
    """Import what `parse` needs. Slow the first time: call it in a thread."""
    _reader()


@cache
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _closes(lines: Sequence[str], markup: str) -> bool:
    last = lines[-1].strip() if lines else ""
    return len(last) >= len(markup) and set(last) == {markup[0]}


class _Builder:
    """Collects parts; text that follows text goes into one part."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._lines: list[Line] = []
        self._lists: list[int | None] = []  # the next number of each open list; None for bullets
        self._marker = ""
        self._tight = False

    def finish(self) -> list[Part]:
        self._flush()
        return self._parts

    def read(self, tokens: Sequence[Token]) -> None:
        position = 0
        kind: Kind = "p"
        while position < len(tokens):
            token = tokens[position]
            match token.type:
                case "heading_open":
                    kind = cast("Kind", token.tag)
                case "paragraph_open":
                    kind, self._tight = "p", token.hidden
                case "inline":
                    self._add_line(spans(token.children or ()), kind)
                case "bullet_list_open":
                    self._lists.append(None)
                case "ordered_list_open":
                    self._lists.append(int(token.attrGet("start") or 1) if token.attrGet("start") != 0 else 0)
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "list_item_open":
                    self._begin_item()
                case "list_item_close":
                    if self._marker:
                        self._add_line((), "p")
                case "fence" | "code_block":
                    self._add_part(CodePart(_language(token.info), token.content.rstrip("\n"), len(self._lists)))
                case "hr":
                    self._add_part(RulePart())
                case "blockquote_open" | "table_open":
                    end = _matching(tokens, position)
                    inner = tokens[position + 1 : end]
                    self._add_part(self._quote(inner) if token.type == "blockquote_open" else _table(inner))
                    position = end
                case _:
                    pass
            position += 1

    def _quote(self, tokens: Sequence[Token]) -> QuotePart:
        inner = _Builder()
        inner.read(tokens)
        return QuotePart(tuple(inner.finish()), len(self._lists))

    def _begin_item(self) -> None:
        number = self._lists[-1]
        if number is None:
            self._marker = "•"
        else:
            self._marker = str(number)
            self._lists[-1] = number + 1

    def _add_line(self, found: tuple[Span, ...], kind: Kind) -> None:
        marker, self._marker = self._marker, ""
        if marker == "•" and found:
            found = _task(found)
        self._lines.append(Line(found, kind, len(self._lists), marker, close=bool(self._lists) and self._tight))

    def _add_part(self, part: Part) -> None:
        if self._marker:
            self._add_line((), "p")
        self._flush()
        self._parts.append(part)

    def _flush(self) -> None:
        if self._lines:
            self._parts.append(TextPart(tuple(self._lines)))
            self._lines = []


def spans(tokens: Sequence[Token]) -> tuple[Span, ...]:
    """The inline content of a block. Pictures are never loaded: their words link to them."""
    found: list[Span] = []
    style: dict[str, Any] = {}
    hrefs: list[str] = []
    for token in tokens:
        match token.type:
            case "text" | "text_special" | "html_inline":
                _add(found, Span(token.content, **style))
            case "code_inline":
                _add(found, Span(token.content, **{**style, "code": True}))
            case "softbreak":
                _add(found, Span(" ", **style))
            case "hardbreak":
                _add(found, Span("\u2028", **style))
            case "strong_open" | "em_open" | "s_open":
                style[_STYLES[token.type[:-5]]] = True
            case "strong_close" | "em_close" | "s_close":
                style.pop(_STYLES[token.type[:-6]], None)
            case "link_open":
                hrefs.append(str(token.attrGet("href") or ""))
                style["href"] = hrefs[-1]
            case "link_close":
                hrefs.pop()
                style["href"] = hrefs[-1] if hrefs else ""
            case "image":
                source = str(token.attrGet("src") or "")
                _add(found, Span(token.content or source, **{**style, "href": style.get("href") or source}))
            case _:
                pass
    return tuple(found)


_STYLES = {"strong": "bold", "em": "italic", "s": "strike"}


def _add(found: list[Span], span: Span) -> None:
    if not span.text:
        return
    if found and replace(found[-1], text="") == replace(span, text=""):
        span = replace(span, text=found.pop().text + span.text)
    found.append(span)


def _task(found: tuple[Span, ...]) -> tuple[Span, ...]:
    """`[ ]` and `[x]` at the start of an item as boxes."""
    head = found[0]
    for source, box in (("[ ] ", "☐ "), ("[x] ", "☑ "), ("[X] ", "☑ ")):
        if head.text.startswith(source):
            return (replace(head, text=box + head.text[len(source) :]), *found[1:])
    return found


def _table(tokens: Sequence[Token]) -> TablePart:
    rows: list[tuple[tuple[Span, ...], ...]] = []
    row: list[tuple[Span, ...]] = []
    aligns: list[Align] = []
    for token in tokens:
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            rows.append(tuple(row))
        elif token.type == "th_open":
            aligns.append(cast("Align", str(token.attrGet("style") or "").removeprefix("text-align:")))
        elif token.type == "inline":
            row.append(spans(token.children or ()))
    return TablePart(tuple(aligns), rows[0] if rows else (), tuple(rows[1:]))


def _matching(tokens: Sequence[Token], position: int) -> int:
    level = tokens[position].level
    close = tokens[position].type.replace("_open", "_close")
    ends = (at for at in range(position + 1, len(tokens)) if tokens[at].level == level and tokens[at].type == close)
    return next(ends, len(tokens))


def _language(info: str) -> str:
    return info.split()[0] if info.split() else ""
