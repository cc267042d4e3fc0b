"""What the agent may spend without asking: the card of the limits."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Qt, QTimer, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox

from agent.settings import Settings
from desktop.widgets import Card, identify

SETTLE_MS = 300
"""Steps that follow each other faster are one change."""
MOST_USD = 9999.99


class AmountField(QDoubleSpinBox):
    """An amount in USD. `chosen(usd)` when the person has settled on one: by Enter, the arrows or leaving the field."""

    chosen = Signal(float)

    def __init__(self, object_name: str, accessible_name: str) -> None:
        super().__init__()
        self.setRange(0.0, MOST_USD)
        self.setDecimals(2)
        self.setPrefix("$")
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.lineEdit().setTextMargins(10, 0, 0, 0)  # the style sheet's padding does not move the editor inside
        identify(self, object_name, accessible_name)
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLE_MS)
        self._settling.timeout.connect(lambda: self.chosen.emit(self.value()))
        self.valueChanged.connect(lambda _usd: self._settling.start())

    def show_amount(self, usd: float) -> None:
        """What holds now; what the person is about to change is left alone."""
        if self._settling.isActive() or round(usd, 2) == self.value():
            return
        self.blockSignals(True)
        self.setValue(usd)
        self.blockSignals(False)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class LimitsCard(Card):
    """`changed({dotted key: value})` for a setting that the person changed."""

    changed = Signal(dict)

    def __init__(self) -> None:
        super().__init__(object_name="limits", accessible_name="")
        self.setAccessibleName(self.tr("Limits"))
        self.daily = AmountField("dailyLimit", self.tr("Spend at most, a day, in USD"))
        self.monthly = AmountField("monthlyLimit", self.tr("Spend at most, a month, in USD"))
        self.conversation = AmountField("conversationLimit", self.tr("Each conversation at most, a day, in USD"))
        self.conversation.setSpecialValueText(self.tr("no limit"))
        self.day_row = self.add_row(self.tr("Spend at most, a day"), "", self.daily, object_name="dayRow")
        self.month_row = self.add_row(self.tr("Spend at most, a month"), "", self.monthly, object_name="monthRow")
        self.add_row(
            self.tr("Each conversation at most, a day"),
            self.tr("“/limit 2” in a chat sets another one there. Channels: [budget.channels] in config.toml."),
            self.conversation,
            object_name="conversationRow",
        )
        for field in (self.daily, self.monthly):
            field.setToolTip(self.tr("$0.00 asks only models on this computer"))
        self._spent = (0.0, 0.0)
        self._limits = (0.0, 0.0)
        self.daily.chosen.connect(lambda usd: self.changed.emit({"budget.daily_usd": round(usd, 2)}))
        self.monthly.chosen.connect(lambda usd: self.changed.emit({"budget.monthly_usd": round(usd, 2)}))
        self.conversation.chosen.connect(
            lambda usd: self.changed.emit({"budget.conversation.daily_usd": round(usd, 2) or None})
        )

    def show_settings(self, settings: Settings) -> None:
        """The limits that hold now."""
        self.daily.show_amount(settings.budget.daily_usd)
        self.monthly.show_amount(settings.budget.monthly_usd)
        self.conversation.show_amount(settings.budget.conversation.daily_usd or 0.0)
        self._limits = settings.budget.daily_usd, settings.budget.monthly_usd
        self._show_spent()

    def show_spent(self, today: float, month: float) -> None:
        """USD spent today and this month, in local time."""
        self._spent = today, month
        self._show_spent()

    def _show_spent(self) -> None:
        words = self.tr("{amount} spent today"), self.tr("{amount} spent this month")
        for row, text, spent, limit in zip(
            (self.day_row, self.month_row), words, self._spent, self._limits, strict=True
        ):
            parts = [text.format(amount=_amount(spent))]
            if not limit:
                parts.append(self.tr("nothing more: only models on this computer answer"))
            elif spent >= limit:
                parts.append(self.tr("the limit is reached"))
            row.set_detail(" · ".join(parts))


def _amount(usd: float) -> str:
    return QCoreApplication.translate("limits", "less than $0.01") if 0 < usd < 0.01 else f"${usd:.2f}"
