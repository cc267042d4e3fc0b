"""The on/off switch: a check box (keyboard, screen reader) drawn as a switch."""

from __future__ import annotations

from PySide6.QtCore import Property, QEasingCurve, QPoint, QPropertyAnimation, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox, QSizePolicy, QWidget

from desktop.theme.fonts import px
from desktop.theme.manager import theme
from desktop.theme.motion import reduced_motion
from desktop.theme.tokens import ANIMATION_MS
from desktop.widgets.naming import identify


class ToggleSwitch(QCheckBox):
    """A switch that acts at once. Space toggles; `toggled(bool)` as with every check box."""

    def __init__(
        self, checked: bool = False, *, object_name: str = "", accessible_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._knob = 1.0 if checked else 0.0
        self.setChecked(checked)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._slide = QPropertyAnimation(self, b"knob", self)
        self._slide.setDuration(ANIMATION_MS)
        self._slide.setEasingCurve(QEasingCurve.Type.OutCubic)
        self.toggled.connect(self._move_knob)
        identify(self, object_name, accessible_name)

    def _get_knob(self) -> float:
        return self._knob

    def _set_knob(self, position: float) -> None:
        self._knob = position
        self.update()

    knob = Property(float, _get_knob, _set_knob)

    def sizeHint(self) -> QSize:
        return QSize(px(32) + 6, px(18) + 6)  # 3 px on each side for the focus ring

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def checkStateSet(self) -> None:
        super().checkStateSet()
        if self.signalsBlocked():  # set from outside: nobody is told, but the knob must follow
            self._slide.stop()
            self._set_knob(float(self.isChecked()))

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    def paintEvent(self, event: QPaintEvent) -> None:
        p = theme.palette
        track = QRectF(self.rect()).adjusted(3.5, 3.5, -3.5, -3.5)
        radius = track.height() / 2
        on, live = self.isChecked(), self.isEnabled()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            fill = p.accent if on else p.selection
            edge = p.accent if on else p.edge
            if not live:
                fill, edge = (p.disabled, p.disabled) if on else (p.bg, p.line)
            painter.setPen(QPen(QColor(edge), 1))
            painter.setBrush(QColor(fill))
            painter.drawRoundedRect(track, radius, radius)
            inset = 2.5
            size = track.height() - 2 * inset
            at = self._knob
            if self.layoutDirection() == Qt.LayoutDirection.RightToLeft:
                at = 1 - at
            x = track.left() + inset + at * (track.width() - 2 * inset - size)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor((p.on_accent if on else p.dim) if live else p.line))
            painter.drawEllipse(QRectF(x, track.top() + inset, size, size))
            if self.hasFocus():
                painter.setPen(QPen(QColor(p.focus), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                ring = QRectF(self.rect()).adjusted(1, 1, -1, -1)
                painter.drawRoundedRect(ring, ring.height() / 2, ring.height() / 2)

    def _move_knob(self, on: bool) -> None:
        self._slide.stop()
        if reduced_motion() or not self.isVisible():
            self._set_knob(float(on))
            return
        self._slide.setStartValue(self._knob)
        self._slide.setEndValue(float(on))
        self._slide.start()
