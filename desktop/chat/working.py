"""What the agent is at, and for how long, while there is nothing else to see."""

from __future__ import annotations

import time

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QHBoxLayout, QWidget

from desktop.chat.texts import duration
from desktop.widgets import StatusDot, TextLabel, identify

QUIET_SECONDS = 2
"""So long no seconds are counted."""


class Working(QWidget):
    """Counts seconds from its start, once a second."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "working", self.tr("Working"))
        self._began = time.monotonic()
        self._word = self.tr("Thinking…")
        self.dot = StatusDot("busy", self._word, object_name="workingWord")
        self.seconds = TextLabel("", "faint", object_name="workingSeconds")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 4, 0, 4)
        line.setSpacing(8)
        line.addWidget(self.dot)
        line.addWidget(self.seconds)
        line.addStretch(1)
        self._timer = QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self._count)
        self._timer.start()

    def say(self, word: str) -> None:
        """What it is at now."""
        if word != self._word:
            self._word = word
            self.dot.set_status("busy", word)

    def _count(self) -> None:
        passed = time.monotonic() - self._began
        if passed >= QUIET_SECONDS:
            self.seconds.setText(duration(int(passed)) if passed >= 10 else self.tr("{n} s").format(n=int(passed)))
