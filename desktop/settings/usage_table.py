"""The parts of the page "Usage & limits": the three figures, the legend of the chart, the table of models."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from agent.views import UsageRow
from desktop import theme
from desktop.settings.usage_chart import amount, colours
from desktop.widgets import Card, ElidedLabel, TextLabel, identify


class Figure(Card):
    """An amount under a word, with what it is measured against."""

    def __init__(self, title: str, *, object_name: str) -> None:
        super().__init__(object_name=object_name, accessible_name=title)
        self._title = title
        self.value = TextLabel("", "heading")
        self.beside = TextLabel("", "secondary", wrap=True)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(TextLabel(title, "secondary"))
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.value, 0, Qt.AlignmentFlag.AlignBottom)
        line.addWidget(self.beside, 1, Qt.AlignmentFlag.AlignBottom)
        column.addLayout(line)
        self.add_widget(inside)

    def show_figure(self, value: str, beside: str, role: str = "secondary") -> None:
        """`role` is that of the words beside: "warn" and "bad" for a limit that is near or reached."""
        self.value.setText(value)
        self.beside.setText(beside)
        self.beside.set_role(role)
        self.setAccessibleDescription(f"{self._title}: {value} {beside}")


class Swatch(QWidget):
    """The colour of a series."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index
        self.setFixedSize(theme.px(10), theme.px(10))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours(theme.current())[self._index]))
        painter.drawRoundedRect(self.rect(), 3, 3)
        painter.end()


class Legend(QWidget):
    """What the colours of the chart mean."""

    def __init__(self) -> None:
        super().__init__()
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(6)

    def show_series(self, names: Sequence[str]) -> None:
        while (item := self._line.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for index, name in enumerate(names):
            self._line.addWidget(Swatch(index))
            label = ElidedLabel(name.rpartition("/")[2], "secondary")
            label.setToolTip(name)
            label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
            self._line.addWidget(label)
            self._line.addSpacing(10)
        self._line.addStretch(1)
        self.setAccessibleDescription(", ".join(names))


class UsageTable(QFrame):
    """A row for each model, the dearest first."""

    def __init__(self) -> None:
        super().__init__()
        identify(self, "usageTable", self.tr("Usage by model"))
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(0)
        self._grid.setVerticalSpacing(0)
        self._grid.setColumnStretch(0, 1)
        self.rows: list[tuple[str, ...]] = []

    def show_rows(self, found: Sequence[UsageRow]) -> None:
        """Replace what is shown."""
        heads = (self.tr("Model"), self.tr("Calls"), self.tr("Tokens in"), self.tr("out"), self.tr("cached"))
        self.rows = [_cells(row) for row in found]
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for line, cells in enumerate(((*heads, self.tr("Cost")), *self.rows)):
            self._grid.setRowMinimumHeight(line, theme.px(32))
            for column, text in enumerate(cells):
                self._grid.addWidget(self._cell(text, line, column), line, column)
        self.setAccessibleDescription("; ".join(", ".join(row) for row in self.rows))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setPen(QColor(theme.current().line))
        for line in range(len(self.rows)):
            below = self._grid.cellRect(line, 0).bottom()
            painter.drawLine(0, below, self.width(), below)
        painter.end()

    def _cell(self, text: str, line: int, column: int) -> QLabel:
        label: QLabel = ElidedLabel(text, "secondary") if line and not column else TextLabel(text, "secondary")
        if line:
            label.setProperty("role", "")
        if column:
            label.setContentsMargins(8, 0, 8 if column < 5 else 2, 0)
            label.setMinimumWidth(theme.px(72))
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return label


def _cells(row: UsageRow) -> tuple[str, ...]:
    usage = row.usage
    cached = f"{usage.cache_read_tokens / usage.input_tokens:.0%}" if usage.cache_read_tokens else "–"
    return (
        row.group,
        f"{row.calls:,}",
        f"{usage.input_tokens:,}",
        f"{usage.output_tokens:,}",
        cached,
        amount(row.cost_usd),
    )
