"""What the model wants to know: its question with the answers it offers, and room for one's own words."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from agent.events import Question
from desktop import theme
from desktop.settings.times import clock
from desktop.widgets import Button, TextLabel, identify
from desktop.widgets.buttons import plain

ONE_LINE = 48
"""Characters of all choices together that stand beside each other; longer ones stand below each other."""
SIDES = 34  # px of a button beside its text


class Choice(Button):
    """An answer that is offered; where there is no room for all of it, its tooltip and its spoken name have it."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        self._full = text
        super().__init__(text, object_name="questionChoice", accessible_name=text, parent=parent)
        self.setMinimumWidth(theme.px(72))

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        hint.setWidth(self.fontMetrics().horizontalAdvance(self._full) + theme.px(SIDES))
        return hint

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        room = self.width() - theme.px(SIDES) + 2
        shown = plain(self.fontMetrics().elidedText(self._full, Qt.TextElideMode.ElideRight, room))
        if shown != self.text():
            super(Button, self).setText(shown)
            self.setToolTip("" if shown == plain(self._full) else self._full)


class QuestionCard(QFrame):
    """`replied(question_id, text)`; `resolve` shows what was answered, by whomever."""

    replied = Signal(str, str)

    def __init__(self, question: Question, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.question = question
        identify(self, "questionCard", self.tr("A question to you: {text}").format(text=question.text))
        self.setProperty("card", "plain")
        self.text = TextLabel(question.text, "strong", wrap=True, selectable=True, object_name="questionWords")
        self.choices = [Choice(choice) for choice in question.choices]
        self.line = QLineEdit()
        hint = self.tr("Or in your own words") if question.choices else self.tr("Your answer")
        self.line.setPlaceholderText(hint)
        identify(self.line, "questionLine", hint)
        self.send = Button(self.tr("Answer"), object_name="questionSend")
        self.send.setEnabled(False)
        self.why = TextLabel(self._around(), "secondary", wrap=True, object_name="questionWhy")
        self.outcome = TextLabel("", "strong", wrap=True, selectable=True, object_name="questionOutcome")
        self._controls = QWidget()
        controls = QVBoxLayout(self._controls)
        controls.setContentsMargins(0, 2, 0, 2)
        controls.setSpacing(8)
        controls.addLayout(self._offered())
        own = QHBoxLayout()
        own.setSpacing(8)
        own.addWidget(self.line, 1)
        own.addWidget(self.send)
        controls.addLayout(own)
        column = QVBoxLayout(self)
        column.setContentsMargins(13, 11, 13, 11)
        column.setSpacing(8)
        for widget in (self.text, self._controls, self.why, self.outcome):
            column.addWidget(widget)
        self.outcome.hide()
        for button, choice in zip(self.choices, question.choices, strict=True):
            button.clicked.connect(lambda _checked=False, said=choice: self._reply(said))
        self.send.clicked.connect(lambda: self._reply(self.line.text()))
        self.line.returnPressed.connect(lambda: self._reply(self.line.text()))
        self.line.textChanged.connect(lambda text: self.send.setEnabled(bool(text.strip())))

    @property
    def is_open(self) -> bool:
        return not self._controls.isHidden()

    @property
    def first(self) -> QWidget:
        """What gets the focus."""
        return self.choices[0] if self.choices else self.line

    def resolve(self, answer: str, by: str) -> None:
        """It was answered, or nobody did."""
        self._controls.hide()
        self.why.hide()
        self.outcome.setText(self._outcome(answer, by))
        self.outcome.set_role("" if answer else "secondary")
        self.outcome.show()
        self.setAccessibleName(f"{self.question.text} {self.outcome.text()}")

    def _around(self) -> str:
        read = self.tr("Read before: {sources}.").format(sources=", ".join(self.question.sources))
        words = self.tr("Your next message answers it as well. Without an answer it goes on at {time}.")
        ends = words.format(time=clock(self.question.expires_at))
        return f"{read} {ends}" if self.question.sources else ends

    def _offered(self) -> QHBoxLayout | QVBoxLayout:
        """Short answers beside each other, else below each other."""
        beside = sum(map(len, self.question.choices)) <= ONE_LINE and len(self.choices) <= 4
        box: QHBoxLayout | QVBoxLayout = QHBoxLayout() if beside else QVBoxLayout()
        box.setSpacing(8)
        for button in self.choices:
            box.addWidget(button)
        if beside and self.choices:
            box.addStretch(1)
        return box

    def _reply(self, text: str) -> None:
        if not text.strip():
            return
        self._controls.setEnabled(False)
        self.replied.emit(self.question.id, text)

    def _outcome(self, answer: str, by: str) -> str:
        place = by.partition(":")[0]
        if answer:
            where = {"telegram": self.tr("on Telegram"), "terminal": self.tr("in the terminal")}.get(place, "")
            return f"✓ {answer}" + (f" ({where})" if where else "")
        return {
            "timeout": self.tr("Nobody answered in time."),
            "stopped": self.tr("Not answered: it was stopped."),
        }.get(place, self.tr("Nobody was there to answer."))
