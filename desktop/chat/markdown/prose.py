"""Text that wraps, can be selected and is as high as it needs to be: paragraphs, headings and lists in one document."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor, QTextOption, QWheelEvent
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QWidget

from desktop import theme
from desktop.chat.links import open_link
from desktop.chat.markdown import formats
from desktop.chat.markdown.parts import Line, Span
from desktop.widgets import identify


class FittedText(QTextBrowser):
    """A read-only document that never scrolls: the page does."""

    def __init__(self, object_name: str, accessible_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, object_name, accessible_name)
        self.setProperty("bare", True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.anchorClicked.connect(open_link)
        document = self.document()
        document.setDocumentMargin(0)
        document.setIndentWidth(theme.px(formats.LIST_INDENT))
        self._height = 0
        document.documentLayout().documentSizeChanged.connect(self.fit)

    def fit(self) -> None:
        """Take the height of the text."""
        height = ceil(self.document().size().height())
        if height != self._height:
            self._height = height
            self.updateGeometry()

    def sizeHint(self) -> QSize:
        return QSize(ceil(self.document().idealWidth()), self._height)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self._height)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class Prose(FittedText):
    """Shows lines; when they change, those that stayed the same at the beginning are not touched."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("prose", "", parent)
        self.setAccessibleName(self.tr("Text"))
        self._lines: list[Line] = []
        self._ends: list[int] = []  # where each line ends in the document

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines)

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show these, rewriting from the first that differs."""
        same = 0
        for old, new in zip(self._lines, lines, strict=False):
            if old is not new and old != new:
                break
            same += 1
        if same == len(self._lines) == len(lines):
            return
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        cursor.setPosition(self._ends[same - 1] if same else 0)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        del self._lines[same:], self._ends[same:]
        for line in lines[same:]:
            self._write(cursor, line)
            self._lines.append(line)
            self._ends.append(cursor.position())
        cursor.endEditBlock()
        if any(span.href for line in lines for span in line.spans):
            self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # its links are reached by Tab
        self.fit()

    def restyle(self) -> None:
        """Write everything again in the current palette and text size."""
        lines, self._lines, self._ends = self._lines, [], []
        self.document().setIndentWidth(theme.px(formats.LIST_INDENT))
        self.clear()
        self.set_lines(lines)

    def _write(self, cursor: QTextCursor, line: Line) -> None:
        first = not self._lines
        block = formats.block_format(line, first)
        empty = formats.marker_format(line)
        if first:
            block.setObjectIndex(-1)
            cursor.setBlockFormat(block)
            cursor.setBlockCharFormat(empty)
        else:
            cursor.insertBlock(block, empty)
        if formats.has_marker(line):
            cursor.createList(formats.list_format(line))
        write_spans(cursor, line.spans, line)


def write_spans(cursor: QTextCursor, spans: Sequence[Span], line: Line) -> None:
    """Insert spans in the formats of their line."""
    for span in spans:
        cursor.insertText(span.text, formats.char_format(span, line.kind))


class PlainText(FittedText):
    """Text as it was typed, no wider than it must be."""

    def __init__(self, text: str, object_name: str, accessible_name: str, parent: QWidget | None = None) -> None:
        super().__init__(object_name, accessible_name, parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._text = text
        self.restyle()

    def restyle(self) -> None:
        """Write it again in the current palette and text size."""
        self.clear()
        block = QTextBlockFormat()
        block.setLineHeight(formats.LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(block)
        cursor.insertText(self._text, self._format())
        self.fit()

    def natural_width(self) -> int:
        """The width of its longest line, in px."""
        metrics = self.fontMetrics()
        lines = self._text.split("\n")[:200]
        return max((metrics.horizontalAdvance(line[:400]) for line in lines), default=0) + 4

    def _format(self) -> QTextCharFormat:
        return formats.char_format(Span(""))
