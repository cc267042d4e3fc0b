"""A failure in its place: what, why, what to do, and one button for it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from agent.events import Failure, TurnStatus
from desktop.chat.texts import SETTINGS_KINDS
from desktop.widgets import Banner, Button, Severity


class FailureCard(Banner):
    """`retry_requested`, `settings_requested(page)` where only the settings help, or `command_requested(text)` where a
    spending limit was reached: raise it for now, or go on with a model on this computer. Both ask again."""

    retry_requested = Signal()
    settings_requested = Signal(str)
    command_requested = Signal(str)

    def __init__(self, failure: Failure, status: TurnStatus, parent: QWidget | None = None) -> None:
        severity: Severity = "warn" if status in ("refused", "interrupted") else "error"
        self._in_settings = failure.kind in SETTINGS_KINDS
        super().__init__(severity, failure.title, object_name="failureCard", parent=parent)
        action = self.tr("Open settings") if self._in_settings else self.tr("Try again")
        self._budget = failure.kind == "budget"
        if self._budget:
            month = "this month" in failure.message
            action = self.tr("Raise this month's limit") if month else self.tr("Raise today's limit")
        hint = "" if self._budget else failure.hint
        message = " ".join(part for part in (failure.message, hint) if part)
        self.set_message(severity, failure.title, message, action)
        if self._budget:
            self._offer_local()
        self.action_triggered.connect(self._act)

    def _offer_local(self) -> None:
        """The second way out, below the first one."""
        self.action.setObjectName("raiseLimit")
        self.local = Button(self.tr("Use a model on this computer"), object_name="useLocalModel")
        self.local.clicked.connect(lambda: self.command_requested.emit("/local"))
        line = self.layout()
        assert isinstance(line, QHBoxLayout)
        at = line.indexOf(self.action)
        line.removeWidget(self.action)
        column = QVBoxLayout()
        column.setSpacing(8)
        for button in (self.action, self.local):
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column.addWidget(self.action)
        column.addWidget(self.local)
        line.insertLayout(at, column)

    def _act(self) -> None:
        if self._budget:
            self.command_requested.emit("/raise")
        elif self._in_settings:
            self.settings_requested.emit("models")
        else:
            self.retry_requested.emit()
