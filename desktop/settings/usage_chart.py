"""Bars of what was spent: one a day, a segment for each model. Drawn by hand, readable by keyboard and by ear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from PySide6.QtCore import QEvent, QLocale, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from desktop import theme
from desktop.theme import Palette
from desktop.widgets import identify

MOST_SERIES = 6
"""Models with a colour of their own; the others are one."""
_HEIGHT = 168
_GAP = 2.0


@dataclass(frozen=True, slots=True)
class Day:
    """A day of local time and what each model cost on it, in USD, in the order of the series."""

    day: date
    costs: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.costs)


def colours(palette: Palette) -> tuple[QColor, ...]:
    """One for each series; neighbours differ in lightness as well as in hue."""
    names = ("accent", "dim", "focus", "ok", "warn", "edge", "text")
    return tuple(QColor(palette.color(name)) for name in names)


def amount(usd: float) -> str:
    """USD, to the cent."""
    return "<$0.01" if 0 < usd < 0.005 else f"${usd:,.2f}"


class UsageChart(QWidget):
    """`selected(index)` when another day is pointed at, -1 for none. Left and right go from day to day."""

    selected = Signal(int)

    def __init__(self, *, object_name: str) -> None:
        super().__init__()
        identify(self, object_name, self.tr("Cost by day"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.days: Sequence[Day] = ()
        self.series: Sequence[str] = ()
        self.current = -1

    def sizeHint(self) -> QSize:
        return QSize(theme.px(480), theme.px(_HEIGHT))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.px(240), theme.px(_HEIGHT))

    def show_days(self, days: Sequence[Day], series: Sequence[str]) -> None:
        """Replace what is drawn; the day that was pointed at stays, if it is still there."""
        self.days, self.series = days, series
        if self.current >= len(days):
            self.current = -1
        total = sum(day.total for day in days)
        dearest = max(days, key=lambda day: day.total, default=None)
        said = self.tr("{total} in {n} days.").format(total=amount(total), n=len(days))
        if dearest is not None and dearest.total:
            said += " " + self.tr("The dearest day was {day}.").format(day=self.describe(dearest))
        self.setAccessibleDescription(said)
        self.update()

    def describe(self, day: Day) -> str:
        """A day in words: what it cost, and which models."""
        parts = [f"{name} {amount(cost)}" for name, cost in zip(self.series, day.costs, strict=True) if cost]
        when = QLocale().toString(day.day, QLocale.FormatType.ShortFormat)  # type: ignore[call-overload]
        models = f" ({', '.join(parts)})" if parts else ""
        return f"{when}: {amount(day.total)}{models}"

    # --- pointing -----------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None or not self.days:
            super().keyPressEvent(event)
            return
        start = self.current if self.current >= 0 else len(self.days)
        self._point(min(max(start + step, 0), len(self.days) - 1), announce=True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._point(-1)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        index = self._at(event.position())
        self._point(index)
        if index >= 0:
            QToolTip.showText(event.globalPosition().toPoint(), self.describe(self.days[index]), self)
        else:
            QToolTip.hideText()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._point(-1)

    def _point(self, index: int, *, announce: bool = False) -> None:
        if index == self.current:
            return
        self.current = index
        if announce and index >= 0:
            self.setAccessibleDescription(self.describe(self.days[index]))
        self.selected.emit(index)
        self.update()

    def _at(self, place: QPointF) -> int:
        if not self.days:
            return -1
        index = int(place.x() / (self.width() / len(self.days)))
        return index if 0 <= index < len(self.days) else -1

    # --- drawing ------------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = theme.current()
        bottom = self.height() - 1.5
        painter.setPen(QPen(QColor(palette.line), 1))
        painter.drawLine(QPointF(0, bottom + 0.5), QPointF(self.width(), bottom + 0.5))
        highest = max((day.total for day in self.days), default=0.0)
        if highest > 0:
            self._bars(painter, bottom, highest, colours(palette))
        if self.hasFocus():
            painter.setPen(QPen(QColor(palette.focus), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)
        painter.end()

    def _bars(self, painter: QPainter, bottom: float, highest: float, inks: Sequence[QColor]) -> None:
        slot = self.width() / len(self.days)
        wide = min(slot * 0.82, float(theme.px(46)))
        room = bottom - theme.px(14)
        painter.setPen(Qt.PenStyle.NoPen)
        for index, day in enumerate(self.days):
            left = slot * index + (slot - wide) / 2
            low = bottom
            if index == self.current:
                painter.setBrush(QColor(theme.current().hover))
                painter.drawRoundedRect(QRectF(slot * index, 0, slot, bottom), 4, 4)
            for ink, cost in reversed(list(zip(inks, day.costs, strict=False))):
                if cost <= 0:
                    continue
                tall = max(cost / highest * room, 1.5)
                gap = _GAP if low < bottom and tall > 2 * _GAP else 0.0
                painter.setBrush(ink)
                painter.drawRoundedRect(QRectF(left, low - tall, wide, tall - gap), 2, 2)
                low -= tall
