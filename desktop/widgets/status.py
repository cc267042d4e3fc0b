"""The state of a thing as a word with a shape and a colour, never by colour alone."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from desktop.theme.fonts import px
from desktop.theme.manager import theme
from desktop.widgets.naming import identify

Status = Literal["ok", "busy", "warn", "bad", "off"]  # disc, half disc, triangle, square, ring

_GAP = 6


class StatusDot(QLabel):
    """`StatusDot("ok", "Ready")`. The accessible name is the word, prefixed where `subject` is given."""

    def __init__(
        self,
        status: Status = "off",
        word: str = "",
        *,
        subject: str = "",
        object_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._status: Status = status
        self._subject = subject
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", "dim")
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        identify(self, object_name)
        self.set_status(status, word)

    @property
    def status(self) -> Status:
        return self._status

    def set_status(self, status: Status, word: str) -> None:
        self._status = status
        self.setText(word)
        self.setAccessibleName(f"{self._subject}: {word}" if self._subject else word)
        self._make_room()
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange, QEvent.Type.LayoutDirectionChange):
            self._make_room()

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        p, size = theme.palette, px(8)
        left = self.width() - size if self._mirrored() else 0
        box = QRectF(left + 0.5, (self.height() - size) / 2 + 0.5, size - 1, size - 1)
        colors = {"ok": p.ok, "busy": p.accent, "warn": p.warn, "bad": p.bad, "off": p.faint}
        color = QColor(colors[self._status])
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(color, 1.5 if self._status in ("off", "busy") else 1))
            painter.setBrush(color if self._status in ("ok", "warn", "bad") else Qt.BrushStyle.NoBrush)
            if self._status == "bad":
                painter.drawRect(box)
            elif self._status == "warn":
                top = QPointF(box.center().x(), box.top() - 0.5)
                painter.drawPolygon(QPolygonF([top, box.bottomRight(), box.bottomLeft()]))
            else:
                painter.drawEllipse(box)
            if self._status == "busy":
                painter.setBrush(color)
                painter.drawPie(box, 90 * 16, 180 * 16)

    def _mirrored(self) -> bool:
        return self.layoutDirection() == Qt.LayoutDirection.RightToLeft

    def _make_room(self) -> None:
        room = px(8) + _GAP
        self.setContentsMargins(*((0, 0, room, 0) if self._mirrored() else (room, 0, 0, 0)))
