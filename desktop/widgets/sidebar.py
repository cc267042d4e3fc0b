"""The navigation at the side of a window: pages at the top, a few at the foot."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from desktop.theme.fonts import px, ui_font
from desktop.theme.manager import theme
from desktop.widgets.buttons import plain
from desktop.widgets.naming import identify

_EDGE = 10  # px between the button's edge and its text


class NavButton(QPushButton):
    """One entry: a name and, at the end, a short fact ("3", "next 18:00")."""

    def __init__(self, text: str, trailing: str = "", *, checkable: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(plain(text), parent)
        self._trailing = trailing
        self.setProperty("kind", "nav")
        self.setCheckable(checkable)
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)

    def set_trailing(self, trailing: str) -> None:
        self._trailing = trailing
        self.setAccessibleDescription(trailing)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        if self._trailing:
            hint.setWidth(hint.width() + self.fontMetrics().horizontalAdvance(self._trailing) + _EDGE)
        return hint

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._trailing:
            with QPainter(self) as painter:
                painter.setFont(ui_font(tabular=True))
                painter.setPen(QColor(theme.palette.dim))
                box: QRect = self.rect().adjusted(_EDGE, 0, -_EDGE, 0)
                side = Qt.AlignmentFlag.AlignTrailing | Qt.AlignmentFlag.AlignVCenter
                painter.drawText(box, side, self._trailing)


class SideBar(QFrame):
    """`selected(key)` when the person goes to another entry; Up and Down move, Tab leaves the bar."""

    selected = Signal(str)

    def __init__(
        self, *, object_name: str = "", accessible_name: str = "", width: int = 208, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        identify(self, object_name, accessible_name)
        self.setProperty("side", True)
        self._width = width
        self._entries: dict[str, NavButton] = {}
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(2)
        self._top, self._foot = QVBoxLayout(), QVBoxLayout()
        for part in (self._top, self._foot):
            part.setSpacing(2)
        column.addLayout(self._top)
        column.addStretch(1)
        column.addLayout(self._foot)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self._group.buttonToggled.connect(self._toggled)

    def add(self, key: str, text: str, *, footer: bool = False, trailing: str = "") -> NavButton:
        """Appends an entry; the first one becomes the current one without a signal."""
        entry = NavButton(text, trailing)
        entry.setObjectName(f"{self.objectName()}_{key}" if self.objectName() else key)
        self._entries[key] = entry
        if not self._group.buttons():
            entry.setChecked(True)
        self._group.addButton(entry)
        (self._foot if footer else self._top).addWidget(entry)
        return entry

    def current(self) -> str:
        """The key of the current entry, "" while there is none."""
        return next((key for key, entry in self._entries.items() if entry.isChecked()), "")

    def select(self, key: str) -> None:
        """Goes to an entry; emits `selected` if it was not the current one. Raises KeyError for an unknown key."""
        self._entries[key].setChecked(True)

    def entry(self, key: str) -> NavButton:
        return self._entries[key]

    def set_trailing(self, key: str, trailing: str) -> None:
        self._entries[key].set_trailing(trailing)

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        hint.setWidth(max(hint.width(), px(self._width)))
        return hint

    def _toggled(self, button: QPushButton, on: bool) -> None:
        if on:
            self.selected.emit(next(key for key, entry in self._entries.items() if entry is button))
