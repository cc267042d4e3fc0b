"""The application's loop for tests: it rests between the parts of a test, and while a coroutine processes Qt's events.

pytest-qt processes them between fixtures and test, when no loop counts as running; a screenshot does it inside a
coroutine, and a task cannot be entered while another one is being executed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import qasync
from PySide6.QtWidgets import QApplication

RETRY_SECONDS = 0.005


class PatientLoop(qasync.QEventLoop):
    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self.set_default_executor(ThreadPoolExecutor(4))  # as the application does

    def _add_callback(self, handle: asyncio.Handle, delay: float = 0) -> asyncio.Handle:
        self._timer.add_callback(_Patient(self._timer, handle), delay)
        return handle


class _Patient:
    """A handle that comes back later."""

    def __init__(self, timer: Any, handle: asyncio.Handle) -> None:
        self._timer = timer
        self._handle = handle

    @property
    def _cancelled(self) -> bool:
        return self._handle.cancelled()

    def _run(self) -> None:
        if asyncio._get_running_loop() is None or asyncio.current_task() is not None:
            self._timer.add_callback(self, RETRY_SECONDS)
        else:
            self._handle._run()
