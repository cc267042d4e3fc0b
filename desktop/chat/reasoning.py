"""The model's thinking: one quiet line that opens."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop.chat.disclosure import Disclosure
from desktop.chat.markdown.view import MarkdownView
from desktop.widgets import identify


class Reasoning(QWidget):
    """`append` as it comes; it is rendered only when somebody opens it."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "reasoning", self.tr("Thinking of the model"))
        self._text = text
        self._view: MarkdownView | None = None
        self.line = Disclosure(self.tr("Thinking"), "more", "faint")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addWidget(self.line)
        self.line.toggled.connect(self._toggle)

    @property
    def text(self) -> str:
        return self._text

    def append(self, text: str) -> None:
        """More of it."""
        self._text += text
        if self._view is not None:
            self._view.append(text)

    def _toggle(self, is_open: bool) -> None:
        if self._view is None:
            self._view = MarkdownView()
            self._view.setContentsMargins(34, 0, 12, 8)
            self._view.append(self._text)
            self._column.addWidget(self._view)
        self._view.setVisible(is_open)
