"""Qt's combo box and spin box, with what their style sheet cannot reach."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QComboBox, QSizePolicy, QSpinBox, QStyledItemDelegate, QWidget

from desktop.widgets.naming import identify


class ComboBox(QComboBox):
    """A choice whose list opens below it. The wheel scrolls the page, not the choice, until it has the focus."""

    def __init__(
        self,
        items: Iterable[str] = (),
        *,
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setItemDelegate(QStyledItemDelegate(self))  # the default one ignores ::item rules
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.addItems(list(items))
        identify(self, object_name, accessible_name)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class SpinBox(QSpinBox):
    """A whole number from `low` to `high`."""

    def __init__(
        self,
        low: int = 0,
        high: int = 99,
        *,
        suffix: str = "",
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setRange(low, high)
        self.setSuffix(suffix)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.lineEdit().setTextMargins(10, 0, 0, 0)  # the style sheet's padding does not move the editor inside
        identify(self, object_name, accessible_name)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()
