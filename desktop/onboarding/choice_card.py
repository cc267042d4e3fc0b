"""One of several ways to choose from: a title, what it means, and a fact at the foot."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from desktop import theme
from desktop.widgets import Status, StatusDot, TextLabel, identify

HEIGHT = 172  # px at 100 %, more where the text needs it


class ChoiceCard(QPushButton):
    """A large radio button: one of its siblings is always chosen; arrows move, Space chooses."""

    def __init__(self, title: str, text: str, fact: str, *, object_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, object_name, title)
        self.setProperty("card", "choice")
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setMinimumHeight(theme.px(HEIGHT))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.title = TextLabel(title, "strong")
        self.meaning = TextLabel(text, "secondary", wrap=True)
        self.fact = StatusDot("off", "")
        self.plain_fact = TextLabel(fact, "secondary", wrap=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 18, 18, 18)
        column.setSpacing(6)
        column.addWidget(self.title)
        column.addWidget(self.meaning)
        column.addStretch(1)
        column.addWidget(self.fact)
        column.addWidget(self.plain_fact)
        for label in (self.title, self.meaning, self.fact, self.plain_fact):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.fact.hide()
        self._describe()

    def set_text(self, text: str) -> None:
        """What it means, as far as it is known."""
        self.meaning.setText(text)
        self._describe()

    def set_fact(self, text: str, status: Status | None = None) -> None:
        """The line at the foot; with a status it gets a dot."""
        self.fact.setVisible(status is not None)
        self.plain_fact.setVisible(status is None)
        if status is None:
            self.plain_fact.setText(text)
        else:
            self.fact.set_status(status, text)
        self._describe()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.setMinimumHeight(theme.px(HEIGHT))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.px(150), theme.px(HEIGHT))

    def _describe(self) -> None:
        fact = self.fact.text() if not self.fact.isHidden() else self.plain_fact.text()
        self.setAccessibleDescription(" ".join(part for part in (self.meaning.text(), fact) if part))
