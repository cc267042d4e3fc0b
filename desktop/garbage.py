"""Collects cyclic garbage on Qt's thread only.

Python collects in whatever thread allocates. A widget or timer that is collected in a worker thread is destroyed there,
behind the back of Qt's event loop, which then calls into freed memory ("Timers cannot be stopped from another thread").
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, Qt, QTimer

INTERVAL_MS = 2000


class GarbageCollector(QObject):
    """Takes over from Python's automatic collection as long as it lives."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.VeryCoarseTimer)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(collect_due)
        self._timer.start()

    @staticmethod
    def settle() -> None:
        """Call when what lives for ever is loaded: later collections skip it, which keeps them short."""
        gc.collect()
        gc.freeze()


def collect_due() -> None:
    """Collect those generations that Python itself would have collected by now."""
    counts, thresholds = gc.get_count(), gc.get_threshold()
    for generation in (2, 1, 0):
        if counts[generation] > thresholds[generation]:
            gc.collect(generation)
            return
