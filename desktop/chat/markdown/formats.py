"""How Markdown looks: character and block formats of the current palette and text size."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtGui import (
    QColor,
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextFormat,
    QTextListFormat,
)

from desktop import theme
from desktop.chat.markdown.parts import Kind, Line, Span

LINE_HEIGHT = 122  # percent of the font's own: 13.5 px text on 20 px lines
GAP, CLOSE_GAP = 10, 4  # px between paragraphs, between items of a tight list
HEADING_GAP = 18  # px above a heading
LIST_INDENT = 24  # px a level
_HEADINGS: dict[Kind, float] = {"h1": 18, "h2": 16, "h3": 14.5, "h4": 13.5, "h5": 13.5, "h6": 13.5}  # px


def char_format(span: Span, kind: Kind = "p") -> QTextCharFormat:
    """The format of a span in a paragraph or heading."""
    plain = (span.bold, span.italic, span.strike, span.code)
    shared = _char_format(kind, plain, theme.current().name, theme.px(100))
    if not span.href:
        return shared
    found = QTextCharFormat(shared)
    found.setAnchor(True)
    found.setAnchorHref(span.href)
    found.setToolTip(span.href)
    found.setForeground(QColor(theme.current().link))
    found.setFontUnderline(True)
    return found


def block_format(line: Line, first: bool) -> QTextBlockFormat:
    """The format of a line's block; the first of a document has no space above."""
    found = QTextBlockFormat()
    found.setLineHeight(LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    if not first:
        gap = HEADING_GAP if line.kind != "p" else CLOSE_GAP if line.close else GAP
        found.setTopMargin(gap)
    if line.kind != "p":
        found.setHeadingLevel(int(line.kind[1]))
    if line.indent and not has_marker(line):
        found.setIndent(line.indent)
    return found


def marker_format(line: Line) -> QTextCharFormat:
    """The format of a block itself, in which Qt draws its bullet or number. Between that and the text is the width of
    one space and no more, so that bullets take the font with the wide one."""
    found = QTextCharFormat(char_format(Span(""), line.kind))
    if line.marker == "•":
        font = theme.mono_font("body")
        found.setFont(font, QTextCharFormat.FontPropertiesInheritanceBehavior.FontPropertiesSpecifiedOnly)
    return found


def has_marker(line: Line) -> bool:
    """Whether a bullet or number is drawn: a task has its box instead."""
    return bool(line.marker) and not line.text.startswith(("☐ ", "☑ "))


def list_format(line: Line) -> QTextListFormat:
    """The format of the list that holds this one item."""
    found = QTextListFormat()
    found.setIndent(line.indent)
    if line.marker == "•":
        styles = (QTextListFormat.Style.ListDisc, QTextListFormat.Style.ListCircle, QTextListFormat.Style.ListSquare)
        found.setStyle(styles[min(line.indent, 3) - 1])
    else:
        found.setStyle(QTextListFormat.Style.ListDecimal)
        found.setStart(int(line.marker))
    return found


@lru_cache(maxsize=256)
def _char_format(kind: Kind, style: tuple[bool, bool, bool, bool], palette: str, scale: int) -> QTextCharFormat:
    bold, italic, strike, code = style
    found = QTextCharFormat()
    font = theme.mono_font() if code else theme.ui_font()
    if kind != "p":
        size = _HEADINGS[kind]
        font.setPointSizeF(theme.points(size if not code else size * 0.9))
    if bold or kind != "p":
        font.setWeight(QFont.Weight.DemiBold)
    font.setItalic(italic)
    found.setFont(font, QTextCharFormat.FontPropertiesInheritanceBehavior.FontPropertiesSpecifiedOnly)
    found.setFontStrikeOut(strike)
    found.setForeground(QColor(theme.current().text))
    if code:
        found.setBackground(QColor(theme.current().selection))
        found.setProperty(QTextFormat.Property.UserProperty, True)
    return found
