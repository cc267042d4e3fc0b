"""Text: a label in one of the type roles, and one that elides."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QStyle, QStyleOption, QWidget

from desktop.theme.style import set_property
from desktop.widgets.naming import identify


class TextLabel(QLabel):
    """Plain text in a type role: title, heading, strong, dim, secondary, faint, code, ok, warn or bad."""

    def __init__(
        self,
        text: str = "",
        role: str = "",
        *,
        wrap: bool = False,
        selectable: bool = False,
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names and errors come from outside: never markup
        self.setWordWrap(wrap)
        if selectable:
            self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        if role:
            self.setProperty("role", role)
        identify(self, object_name, accessible_name)

    def set_role(self, role: str) -> None:
        set_property(self, "role", role)


class ElidedLabel(QLabel):
    """One line that ends in "…" where it does not fit; the tooltip then has all of it."""

    def __init__(
        self,
        text: str = "",
        role: str = "",
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._mode = mode
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        if role:
            self.setProperty("role", role)
        identify(self, object_name, accessible_name)

    def setText(self, text: str) -> None:
        super().setText(text)
        self._update_tooltip()

    def set_role(self, role: str) -> None:
        set_property(self, "role", role)

    def elided(self) -> str:
        """The text as drawn."""
        line = " ".join(self.text().split())
        return self.fontMetrics().elidedText(line, self._mode, self.contentsRect().width())

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.text()) + 2, metrics.height())

    def minimumSizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("…") * 3, metrics.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._update_tooltip()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOption()
        option.initFrom(self)
        with QPainter(self) as painter:
            self.style().drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option, painter, self)
            self.style().drawItemText(
                painter,
                self.contentsRect(),
                int(self.alignment()) | int(Qt.TextFlag.TextSingleLine),
                self.palette(),
                self.isEnabled(),
                self.elided(),
                self.foregroundRole(),
            )

    def _update_tooltip(self) -> None:
        self.setToolTip(self.text() if self.elided().endswith("…") and not self.text().endswith("…") else "")
