"""A conversation in which nothing was said yet: three things to try."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from desktop import theme
from desktop.widgets import TextLabel, identify

WIDEST = 560  # px of an example


class Example(QPushButton):
    """A question that is sent as it is when the button is pressed."""

    def __init__(self, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "example", f"{title}: {text}")
        self.question = text
        self.setProperty("card", "choice")
        self.setAutoDefault(False)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 9, 14, 9)
        column.setSpacing(1)
        for label in (TextLabel(title, "strong"), TextLabel(text, "secondary", wrap=True)):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            column.addWidget(label)

    def sizeHint(self) -> QSize:
        return QSize(theme.px(240), self.heightForWidth(max(self.width(), theme.px(240))))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.px(150), self.sizeHint().height())

    def heightForWidth(self, width: int) -> int:
        layout = self.layout()
        return layout.totalHeightForWidth(width) if layout is not None else 0


class Welcome(QScrollArea):
    """`example_chosen(text)`. `set_tools`: whether the model can use files and programs."""

    example_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "welcome", self.tr("New conversation"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._tools: bool | None = None
        self._mark = QLabel()
        title = TextLabel(self.tr("What can I do for you?"), "title", wrap=True)
        for label in (self._mark, title):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._examples = QVBoxLayout()
        self._examples.setSpacing(8)
        self._middle = QWidget()
        inside = QVBoxLayout(self._middle)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(10)
        inside.addWidget(self._mark)
        inside.addWidget(title)
        inside.addSpacing(14)
        inside.addLayout(self._examples)
        body = QWidget()
        body.setProperty("ground", "bg")
        column = QVBoxLayout(body)
        column.setContentsMargins(20, 20, 20, 20)
        column.addStretch(2)
        line = QHBoxLayout()
        line.addStretch(1)
        line.addWidget(self._middle, 100)
        line.addStretch(1)
        column.addLayout(line)
        column.addStretch(3)
        self.setWidget(body)
        self.set_tools(True)
        self._restyle()
        theme.on_change(self._restyle)

    def examples(self) -> list[Example]:
        """The buttons, from top to bottom."""
        items = (self._examples.itemAt(index) for index in range(self._examples.count()))
        widgets = [item.widget() for item in items if item is not None]
        return [widget for widget in widgets if isinstance(widget, Example)]

    def set_tools(self, tools: bool) -> None:
        """A model without tools gets questions that need none."""
        if tools == self._tools:
            return
        self._tools = tools
        for old in self.examples():
            self._examples.removeWidget(old)
            old.hide()
            old.deleteLater()
        for title, text in self._with_tools() if tools else self._without_tools():
            example = Example(title, text)
            example.clicked.connect(self._choose)
            self._examples.addWidget(example)

    def _choose(self) -> None:
        chosen = self.sender()
        assert isinstance(chosen, Example)
        self.example_chosen.emit(chosen.question)

    def _with_tools(self) -> list[tuple[str, str]]:
        return [
            (self.tr("Look around"), self.tr("List the files in your workspace and tell me what is there.")),
            (self.tr("Write something down"), self.tr("Write a packing list for two days by the sea into packing.md.")),
            (self.tr("Ask the computer"), self.tr("How much disk space is free on this computer?")),
        ]

    def _without_tools(self) -> list[tuple[str, str]]:
        return [
            (self.tr("Say hello"), self.tr("Hello! Who are you?")),
            (self.tr("Get an idea"), self.tr("Give me three ideas for a quick dinner.")),
            (self.tr("Have it explained"), self.tr("Explain in two sentences why the sky is blue.")),
        ]

    def _restyle(self, *_: object) -> None:
        self._middle.setMaximumWidth(theme.px(WIDEST))
        self._mark.setPixmap(theme.mark_pixmap(theme.px(40), "accent", self.devicePixelRatioF()))
