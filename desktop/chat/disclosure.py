"""A line that opens: a mark, what it is about, a fact at its end, and the details below."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from desktop import theme
from desktop.theme import icons
from desktop.widgets import ElidedLabel, GlyphButton, TextLabel


class Disclosure(QWidget):
    """The line itself; `toggled(bool)` when it is opened or closed by click, Space or Enter."""

    toggled = Signal(bool)

    def __init__(self, text: str, glyph: str, color: str = "dim", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._glyph_name, self._color = glyph, color
        self._open = False
        self._mark = QLabel()
        self.text = ElidedLabel(text, "dim", object_name="disclosureText")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.fact = TextLabel("", "secondary", object_name="disclosureFact")
        self.fact.setFont(theme.ui_font("secondary", tabular=True))
        self.button = GlyphButton("chevron-right", "", object_name="disclosureButton")
        self._name_button()
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 0, 3, 0)
        line.setSpacing(8)
        line.addWidget(self._mark)
        line.addWidget(self.text, 1)
        line.addWidget(self.fact)
        line.addWidget(self.button)
        self.button.clicked.connect(self.toggle)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._draw()

    @property
    def is_open(self) -> bool:
        return self._open

    def set_state(self, glyph: str, color: str, word: str) -> None:
        """The mark before the text and what it means in a word."""
        self._glyph_name, self._color = glyph, color
        self._mark.setAccessibleName(word)
        self._mark.setToolTip(word)
        self._draw()

    def set_text(self, text: str) -> None:
        self.text.setText(text)
        self._name_button()

    def toggle(self) -> None:
        self._open = not self._open
        self.button.set_glyph("chevron-down" if self._open else "chevron-right")
        self._name_button()
        self.toggled.emit(self._open)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.toggle()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange) and hasattr(self, "fact"):
            self.fact.setFont(theme.ui_font("secondary", tabular=True))
            self._draw()

    def _draw(self) -> None:
        size = theme.px(14)
        self._mark.setPixmap(icons.glyph_pixmap(self._glyph_name, size, self.devicePixelRatioF(), self._color))

    def _name_button(self) -> None:
        words = self.tr("Hide details: {text}") if self._open else self.tr("Show details: {text}")
        self.button.setAccessibleName(words.format(text=self.text.text()))
        self.button.setToolTip(self.tr("Hide details") if self._open else self.tr("Show details"))
