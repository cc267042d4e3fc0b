"""A quiet button that copies a text and says that it did."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from desktop import theme
from desktop.widgets import Button

COPIED_MS = 1500


class CopyButton(Button):
    """`text` is asked for when the button is pressed."""

    def __init__(
        self, text: Callable[[], str], *, object_name: str, accessible_name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__("", "link", object_name=object_name, accessible_name=accessible_name, parent=parent)
        self._source = text
        self.setText(self.tr("Copy"))
        self._copied = QTimer(self)
        self._copied.setSingleShot(True)
        self._copied.setInterval(COPIED_MS)
        self._copied.timeout.connect(lambda: self.setText(self.tr("Copy")))
        self.clicked.connect(self._copy)
        self._restyle()
        theme.on_change(self._restyle)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._source())
        self.setText(self.tr("Copied"))
        self._copied.start()

    def _restyle(self, *_: object) -> None:
        self.setFont(theme.ui_font("secondary"))
