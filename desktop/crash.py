"""Errors nobody expected: written to the log in full, told to the person in one line, never a silent end."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from agent.logs import scrubbed

log = logging.getLogger(__name__)

Report = Callable[[str], None]
"""Shows one line about an unexpected error. Called on the loop's thread."""

_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def install(loop: asyncio.AbstractEventLoop, report: Report) -> None:
    """Take over what Python, the loop and Qt would print to a terminal that nobody sees."""

    def told(kind: type[BaseException], error: BaseException | None) -> None:
        try:
            words = scrubbed(f"{kind.__name__}: {error}") if str(error or "") else kind.__name__
            loop.call_soon_threadsafe(report, words)
        except RuntimeError:
            pass  # the loop is closed: there is no window any more

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("unexpected error", exc_info=(kind, error, traceback))
        told(kind, error)

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            log.critical(
                "unexpected error in thread %s",
                arguments.thread.name if arguments.thread else "?",
                exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
            )
            told(arguments.exc_type, arguments.exc_value)

    def on_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            log.error("%s", context.get("message", "error in the event loop"), exc_info=error)
            told(type(error), error)
        else:
            log.error("%s", context.get("message", "error in the event loop"))

    sys.excepthook = hook
    threading.excepthook = thread_hook
    loop.set_exception_handler(on_loop)


def log_qt_messages() -> None:
    """Qt's own warnings go to the log."""
    qInstallMessageHandler(_qt_message)


def _qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    logging.getLogger("qt").log(_QT_LEVELS.get(kind, logging.WARNING), "%s%s", _category(context), text)


def _category(context: QMessageLogContext) -> str:
    category = context.category
    name = category.decode() if isinstance(category, bytes) else str(category or "")
    return "" if name in ("", "default") else f"{name}: "
