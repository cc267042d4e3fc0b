"""Above the conversation: its title, the model that answers in it, what was spent today."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from desktop import theme
from desktop.state import AppState, model_label
from desktop.widgets import ElidedLabel, PillButton, identify

HEIGHT = 46  # px


class Fact(QLabel):
    """A value in the outline of a pill: nothing to press."""

    def __init__(self, object_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, object_name)
        self.setProperty("role", "secondary")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setContentsMargins(11, 4, 11, 4)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: QPaintEvent) -> None:
        palette = theme.current()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(palette.line), 1))
            painter.setBrush(QColor(palette.panel))
            box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
            painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
        super().paintEvent(event)


class Header(QFrame):
    """`model_menu_requested` when the pill with the model is pressed, `options_requested` for the other options."""

    model_menu_requested = Signal()
    options_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "chatHeader", self.tr("Conversation"))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.title = ElidedLabel("", "strong", object_name="conversationTitle")
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.model = PillButton("", chevron=True, object_name="modelPill")
        self.options = PillButton(self.tr("Options"), chevron=True, object_name="optionsPill")
        self.options.setAccessibleDescription(self.tr("How messages wait here and what happens without asking"))
        self.spent = Fact("spentToday")
        line = QHBoxLayout(self)
        line.setContentsMargins(20, 0, 20, 0)
        line.setSpacing(8)
        line.addWidget(self.title, 1)
        line.addWidget(self.model)
        line.addWidget(self.options)
        line.addWidget(self.spent)
        self.options.clicked.connect(self.options_requested)
        self.model.clicked.connect(self.model_menu_requested)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), max(HEIGHT, self.model.sizeHint().height() + 18))

    def show_title(self, title: str) -> None:
        """What the conversation is called."""
        self.title.setText(title)

    def show_model(self, model: str) -> None:
        """`provider/model`, or "starter"."""
        label = model_label(model)
        metrics = self.model.fontMetrics()
        self.model.setText(metrics.elidedText(label, Qt.TextElideMode.ElideMiddle, theme.px(180)))
        self.model.setToolTip(model)
        self.model.setAccessibleName(self.tr("Model: {model}").format(model=label))

    def show_state(self, state: AppState) -> None:
        """The money."""
        self.spent.setText(state.money)
        self.spent.setAccessibleName(self.tr("Spent: {money}").format(money=state.money))
        self.spent.setToolTip(self.tr("${spent:.2f} this month").format(spent=state.spent_month))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        with QPainter(self) as painter:
            painter.fillRect(0, self.height() - 1, self.width(), 1, QColor(theme.current().line))
