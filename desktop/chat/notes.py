"""Quiet lines above the composer: the model is a tiny one, the model was not reached."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from desktop.widgets import Button, TextLabel, identify


class Note(QWidget):
    """One line with one thing to do about it."""

    triggered = Signal()

    def __init__(self, text: str, action: str, object_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, object_name, text)
        self.text = TextLabel(text, "secondary", wrap=True)
        self.action = Button(action, "link", object_name=f"{object_name}Action")
        self.action.setProperty("small", True)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        line.addWidget(self.text, 1)
        line.addWidget(self.action)
        self.action.clicked.connect(self.triggered)
