"""A message in its place: what is wrong or worth knowing, and one thing to do about it."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from desktop.theme import icons
from desktop.theme.fonts import px
from desktop.theme.style import set_property
from desktop.widgets.buttons import Button, GlyphButton
from desktop.widgets.labels import TextLabel
from desktop.widgets.naming import identify

Severity = Literal["info", "warn", "error"]

_LOOK = {"info": ("info", "info", "dim"), "warn": ("amber", "warning", "warn"), "error": ("rose", "error", "bad")}


class Banner(QFrame):
    """An inline message; `action_triggered` when its one button is pressed, `closed` after its cross.

    A `strip` runs along the edge of a window and takes as little height as it can: no frame, all in one line.
    """

    action_triggered = Signal()
    closed = Signal()

    def __init__(
        self,
        severity: Severity = "info",
        title: str = "",
        text: str = "",
        action: str = "",
        *,
        closable: bool = False,
        strip: bool = False,
        object_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        identify(self, object_name)
        self._severity: Severity = severity
        self._glyph = QLabel()
        self.title = TextLabel("", "strong", wrap=not strip)
        self.text = TextLabel("", "secondary", wrap=True, selectable=True)
        self.action = Button("", object_name=f"{object_name}_action" if object_name else "")
        self.close_button = GlyphButton("cross", self.tr("Dismiss"))
        line = QHBoxLayout(self)
        line.setSpacing(12)
        if strip:
            line.setContentsMargins(20, 4, 12, 4)
            line.addWidget(self._glyph)
            line.addWidget(self.title)
            line.addWidget(self.text, 1)
            line.addWidget(self.action)
            line.addWidget(self.close_button)
        else:
            texts = QVBoxLayout()
            texts.setSpacing(2)
            texts.addWidget(self.title)
            texts.addWidget(self.text)
            texts.addStretch(1)
            line.setContentsMargins(14, 12, 12, 12)
            line.addWidget(self._glyph, 0, Qt.AlignmentFlag.AlignTop)
            line.addLayout(texts, 1)
            line.addWidget(self.action, 0, Qt.AlignmentFlag.AlignVCenter)
            line.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        set_property(self, "strip", strip)
        self.close_button.setVisible(closable)  # only now: without a parent it would be a window of its own
        self.action.clicked.connect(self.action_triggered)
        self.close_button.clicked.connect(self._close)
        self.set_message(severity, title, text, action)

    @property
    def severity(self) -> Severity:
        return self._severity

    def set_message(self, severity: Severity, title: str, text: str = "", action: str = "") -> None:
        """Replaces everything the banner says."""
        self._severity = severity
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.action.setText(action)
        self.action.setVisible(bool(action))
        words = {"info": self.tr("Note"), "warn": self.tr("Warning"), "error": self.tr("Error")}
        self.setAccessibleName(f"{words[severity]}: {title}")
        self.setAccessibleDescription(text)
        set_property(self, "card", _LOOK[severity][0])
        self._draw_glyph()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange) and hasattr(self, "_glyph"):
            self._draw_glyph()

    def _draw_glyph(self) -> None:
        _card, name, color = _LOOK[self._severity]
        self._glyph.setPixmap(icons.glyph_pixmap(name, px(18), self.devicePixelRatioF(), color))

    def _close(self) -> None:
        self.hide()
        self.closed.emit()
