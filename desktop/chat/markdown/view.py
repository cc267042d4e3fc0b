"""A Markdown text that may still grow, shown a bounded amount of work at a time."""

from __future__ import annotations

import time
from collections import deque

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop import theme
from desktop.chat.markdown.column import PartColumn
from desktop.chat.markdown.parts import Part
from desktop.chat.markdown.stream import MarkdownStream
from desktop.widgets import identify

UPDATE_MS = 33
"""Pieces that come faster are drawn together: 30 updates a second."""
WORK_SECONDS = 0.004
"""No more work in one go, so that nothing on the loop waits longer than a frame."""
MOST_WIDGETS = 1
"""Made in one go: Qt styles and lays them out afterwards, which takes longer than making them."""


class MarkdownView(QWidget):
    """`append` text as it comes and `close_text` at its end; or `load` all of it and call `work` until it is False."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "answerText", self.tr("Answer"))
        self._stream = MarkdownStream()
        self._pieces: list[str] = []
        self._ready: deque[Part] = deque()  # final, and not shown yet
        self._closed = False
        self._finished = False
        self.column = PartColumn()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.column)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._update)
        theme.on_change(self.restyle)

    @property
    def source(self) -> str:
        """The Markdown so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def settled(self) -> bool:
        """Everything that came is shown."""
        return self._finished or not (self._closed or self._timer.isActive())

    def load(self, text: str) -> None:
        """All of it, at once; `work` shows it."""
        self._pieces = [text]
        self._stream.feed(text)
        self._stream.close()
        self._closed = True

    def append(self, text: str) -> None:
        """More of it."""
        self._pieces.append(text)
        self._stream.feed(text)
        if not self._timer.isActive():
            self._timer.start(UPDATE_MS)

    def close_text(self) -> None:
        """Nothing follows."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            self._timer.start(0)

    def work(self, seconds: float = WORK_SECONDS) -> bool:
        """Show more of what came, for about so long; whether something is left to do."""
        if self._finished:
            return False
        ends = time.perf_counter() + seconds
        most = self.column.made + MOST_WIDGETS
        while True:
            while self._ready:
                self.column.add(self._ready.popleft())
                if time.perf_counter() > ends or self.column.made >= most:
                    return True
            step = self._stream.step()
            if step.code:
                self.column.append_code(step.code)
            self._ready.extend(step.done)
            if not step.done and not step.more:
                break
            if time.perf_counter() > ends:
                return True
        self.column.set_tail(step.tail)
        if self._closed:
            self._finished = True
            self.column.finish()
            self._timer.stop()
        return False

    def restyle(self, *_: object) -> None:
        """Another palette or text size."""
        self.column.restyle()

    def _update(self) -> None:
        if self.work():
            self._timer.start(0)
