"""The foot of an answer: how it ended, time, tokens, cost, model; and a button that copies the answer."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from agent.events import TurnStatus
from agent.providers.types import Usage
from desktop import theme
from desktop.chat.copy_button import CopyButton
from desktop.chat.texts import receipt
from desktop.widgets import Button, ElidedLabel, identify


class Ending(QWidget):
    """Stands below every finished turn. `receipt_requested` and `undo_requested` where it did something,
    `resend_requested` where the answer did not arrive."""

    resend_requested = Signal()
    receipt_requested = Signal()
    undo_requested = Signal()

    def __init__(
        self,
        status: TurnStatus,
        seconds: float,
        usage: Usage,
        cost_usd: float,
        model: str,
        answer: Callable[[], str],
        *,
        acted: bool = False,
        undone: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        identify(self, "ending", self.tr("About this answer"))
        words = {"stopped": self.tr("Stopped"), "interrupted": self.tr("Interrupted")}
        self._facts = " · ".join(
            part for part in (words.get(status, ""), receipt(seconds, usage, cost_usd, model)) if part
        )
        self.facts = ElidedLabel(self._facts, "faint", object_name="endingFacts")
        self.facts.setFont(theme.ui_font("secondary", tabular=True))
        self.copy = CopyButton(answer, object_name="copyAnswer", accessible_name=self.tr("Copy the answer"))
        self.receipt = Button(self.tr("Receipt"), "link", object_name="showReceipt")
        self.undo = Button(self.tr("Undo"), "link", object_name="undoTurn")
        self.receipt.setAccessibleDescription(self.tr("What this turn did"))
        self.undo.setAccessibleDescription(self.tr("Take back what this turn did to files"))
        self.resend = Button(self.tr("Send again"), "link", object_name="resendAnswer")
        self.resend.clicked.connect(self.resend_requested)
        self.resend.hide()
        self._restyle()
        theme.on_change(self._restyle)
        self.receipt.clicked.connect(self.receipt_requested)
        self.undo.clicked.connect(self.undo_requested)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(12)
        line.addWidget(self.facts, 0)
        line.addWidget(self.resend)
        line.addWidget(self.copy)
        line.addWidget(self.receipt)
        line.addWidget(self.undo)
        line.addStretch(1)
        self.receipt.setVisible(acted)
        self.undo.setVisible(acted and not undone)
        self.facts.setVisible(bool(self._facts))
        self.copy.setVisible(bool(answer()))

    def _restyle(self, *_: object) -> None:
        for button in (self.receipt, self.undo, self.resend):
            button.setFont(theme.ui_font("secondary"))

    def set_undone(self) -> None:
        """It was taken back."""
        self.undo.hide()

    def set_delivery(self, state: str) -> None:
        """How far the answer got on its way to a messenger."""
        words = {
            "waiting": self.tr("not delivered yet"),
            "failed": self.tr("could not be delivered"),
            "uncertain": self.tr("perhaps not delivered"),
            "sent": self.tr("delivered"),
        }.get(state, "")
        self.facts.setText(" · ".join(part for part in (self._facts, words) if part))
        self.resend.setVisible(state == "failed")
        self.facts.set_role("bad" if state == "failed" else "faint")
        self.facts.setVisible(bool(self.facts.text()))
