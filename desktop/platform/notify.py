"""Tells the person something while the window is not in front: by the desktop's notifications, else by the task bar."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QApplication, QWidget

from desktop.tray import Tray


class Notifier:
    """One notification at a time, as the tray shows them; a click on it calls what came with the latest."""

    def __init__(self, tray: Tray) -> None:
        self._tray = tray
        self._clicked: Callable[[], None] | None = None
        tray.message_clicked.connect(self._click)

    def tell(self, title: str, text: str, *, window: QWidget | None, clicked: Callable[[], None] | None = None) -> None:
        """Show `title` and `text` (plain), by the first way that works here."""
        self._clicked = clicked
        if self._tray.show_message(title, text):
            return
        if window is not None:
            QApplication.alert(window)

    def _click(self) -> None:
        if self._clicked is not None:
            self._clicked()
