"""A table: lines between its rows, columns as wide as their text, sideways scrolling where that is too wide."""

from __future__ import annotations

from math import ceil

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QResizeEvent,
    QTextCursor,
    QTextFrameFormat,
    QTextLength,
    QTextTable,
    QTextTableCellFormat,
    QTextTableFormat,
    QWheelEvent,
)
from PySide6.QtWidgets import QTextEdit, QWidget

from desktop import theme
from desktop.chat.markdown import formats
from desktop.chat.markdown.parts import Line, Span, TablePart
from desktop.chat.markdown.prose import FittedText, write_spans

_ALIGN = {
    "": Qt.AlignmentFlag.AlignLeft,
    "left": Qt.AlignmentFlag.AlignLeft,
    "center": Qt.AlignmentFlag.AlignHCenter,
    "right": Qt.AlignmentFlag.AlignRight,
}
MOST_COLUMN = 320  # px; wider text wraps inside its cell


class TableCard(FittedText):
    """Shows a table; `set_table` with more rows writes it again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("table", "", parent)
        self.setAccessibleName(self.tr("Table"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setLineWrapMode(QTextEdit.LineWrapMode.FixedPixelWidth)
        self._part: TablePart | None = None
        self._wanted = 0
        self.horizontalScrollBar().rangeChanged.connect(self.updateGeometry)

    def set_table(self, part: TablePart) -> None:
        """Show this one."""
        if part == self._part:
            return
        self._part = part
        self.clear()
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        rows = (part.header, *part.rows)
        columns = max(1, len(part.header))
        table = cursor.insertTable(len(rows), columns, self._format(columns))
        for number, row in enumerate(rows):
            for column, spans in enumerate(row[:columns]):
                self._write(table, number, column, spans, part)
        cursor.endEditBlock()
        self._wanted = self._natural_width(part)
        self._take_width()

    def restyle(self) -> None:
        """Write it again in the current palette and text size."""
        part, self._part = self._part, None
        if part is not None:
            self.set_table(part)

    def sizeHint(self) -> QSize:
        bar = self.horizontalScrollBar()
        return QSize(self._wanted, self._height + (bar.sizeHint().height() if bar.maximum() > 0 else 0))

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._take_width()
        super().resizeEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if abs(event.angleDelta().x()) > abs(event.angleDelta().y()):
            super(FittedText, self).wheelEvent(event)
        else:
            event.ignore()

    def _take_width(self) -> None:
        width = self.viewport().width()
        needed = min(self._wanted, max(width, self._least_width()))
        self.setLineWrapColumnOrWidth(max(1, needed))
        self.fit()

    def _least_width(self) -> int:
        return len(self._part.header) * theme.px(110) if self._part else 0

    def _natural_width(self, part: TablePart) -> int:
        metrics = self.fontMetrics()
        wide = 0
        for column in range(len(part.header)):
            cells = [row[column] for row in (part.header, *part.rows[:100]) if column < len(row)]
            text = max((metrics.horizontalAdvance("".join(span.text for span in cell)) for cell in cells), default=0)
            wide += min(round(text * 1.08), theme.px(MOST_COLUMN)) + 26
        return wide

    @staticmethod
    def _format(columns: int) -> QTextTableFormat:
        look = QTextTableFormat()
        look.setBorder(0)
        look.setCellSpacing(0)
        look.setCellPadding(0)
        look.setBorderCollapse(True)
        look.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
        look.setHeaderRowCount(1)
        look.setColumns(columns)
        return look

    def _write(self, table: QTextTable, row: int, column: int, spans: tuple[Span, ...], part: TablePart) -> None:
        cell = table.cellAt(row, column)
        look = QTextTableCellFormat()
        look.setPadding(6)
        look.setLeftPadding(0 if column == 0 else 10)
        look.setRightPadding(10)
        look.setBottomBorder(1)
        look.setBottomBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        palette = theme.current()
        look.setBottomBorderBrush(QBrush(QColor(palette.edge if row == 0 else palette.line)))
        cell.setFormat(look)
        cursor = cell.firstCursorPosition()
        kind = Line((), "p")
        block = formats.block_format(kind, first=True)
        block.setAlignment(_ALIGN.get(part.aligns[column] if column < len(part.aligns) else "", _ALIGN[""]))
        cursor.setBlockFormat(block)
        if row == 0:
            spans = tuple(Span(one.text, True, one.italic, one.strike, one.code, one.href) for one in spans)
        write_spans(cursor, spans, kind)

    def fit(self) -> None:
        height = ceil(self.document().size().height())
        if height != self._height:
            self._height = height
            self.updateGeometry()
