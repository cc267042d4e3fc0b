"""A failure in its place: what, why, what to do, and one button for it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from agent.events import Failure, TurnStatus
from desktop.chat.texts import SETTINGS_KINDS
from desktop.widgets import Banner, Severity


class FailureCard(Banner):
    """`retry_requested`, or `settings_requested(page)` where only the settings help."""

    retry_requested = Signal()
    settings_requested = Signal(str)

    def __init__(self, failure: Failure, status: TurnStatus, parent: QWidget | None = None) -> None:
        severity: Severity = "warn" if status in ("refused", "interrupted") else "error"
        self._in_settings = failure.kind in SETTINGS_KINDS
        self._page = "general" if failure.kind == "budget" else "models"
        super().__init__(severity, failure.title, object_name="failureCard", parent=parent)
        action = self.tr("Open settings") if self._in_settings else self.tr("Try again")
        message = " ".join(part for part in (failure.message, failure.hint) if part)
        self.set_message(severity, failure.title, message, action)
        self.action_triggered.connect(self._act)

    def _act(self) -> None:
        if self._in_settings:
            self.settings_requested.emit(self._page)
        else:
            self.retry_requested.emit()
