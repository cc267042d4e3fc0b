"""Entry point of the tray application: one a user and data folder, on Qt's event loop, which is the agent's too."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PySide6.QtWidgets import QApplication

from agent import logs
from agent.cli import remote
from agent.errors import StorageError
from agent.paths import Paths
from desktop import crash, theme
from desktop.app import Application
from desktop.platform import autostart, panel
from desktop.platform.single_instance import SingleInstance

log = logging.getLogger(__name__)

THREADS = 16
LAST_RESORT_SECONDS = 4.7
"""A thread that hangs (a keyring that asks, a dead network drive) must not keep a person from quitting."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the person quits; 0 then, and 0 at once when a running application was raised instead."""
    arguments = sys.argv[1:] if argv is None else argv
    paths = Paths.locate()
    logs.configure(paths)
    background = autostart.FLAG in arguments
    if remote.send(paths, "ping" if background else "show"):
        return 0
    crash.log_qt_messages()
    qt = make_qt_application()
    instance = SingleInstance(paths)
    try:
        if not instance.claim():
            remote.send(paths, "show")
            return 0
    except StorageError as error:
        log.warning("no local socket, later starts will not find this one: %s", error)
    return run(qt, Application(qt, paths, instance, background=background))


def make_qt_application() -> QApplication:
    """Qt with TrayClaw's name and look."""
    QApplication.setApplicationName("trayclaw")
    QApplication.setApplicationDisplayName("TrayClaw")
    QApplication.setDesktopFileName("trayclaw")
    qt = QApplication([sys.argv[0]])
    qt.setQuitOnLastWindowClosed(False)
    panel.remember_system_scheme()
    theme.apply(qt, "system")
    qt.setWindowIcon(theme.app_icon())
    return qt


def run(qt: QApplication, application: Application) -> int:
    """Run the application on a loop of its own until it ends; its exit code."""
    os.environ.pop("QT_API", None)  # names a binding for other programs; qasync takes the one that is imported
    import qasync  # type: ignore[import-untyped]  # it ships no types

    def new_loop() -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = qasync.QEventLoop(qt)
        # qasync's own pool has ten threads and waits at exit for the slowest.
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="worker"))
        crash.install(loop, application.report_crash)
        return loop

    application.stopping.connect(_leave_in_any_case)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(application.run())


def _leave_in_any_case() -> None:
    def leave() -> None:
        log.warning("a thread did not end in time: leaving without it")
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(LAST_RESORT_SECONDS, leave)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
