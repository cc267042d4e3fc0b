"""Run as a program: the whole application, with a person at its settings who types a key and presses "Save & test".

    python tests/e2e/drive_settings.py PROVIDER KEY

Prints the status that the provider's row shows at the end, and quits.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from agent.paths import Paths
from desktop import __main__ as program
from desktop import tasks
from desktop.app import Application
from desktop.platform.single_instance import SingleInstance


def find(name: str) -> QWidget | None:
    """The visible widget of that object name."""
    for window in QApplication.topLevelWidgets():
        for widget in [window, *window.findChildren(QWidget, name)]:
            if widget.objectName() == name and widget.isVisible():
                return widget
    return None


async def appeared(name: str) -> QWidget:
    async with asyncio.timeout(20):
        while (widget := find(name)) is None or not widget.isEnabled():
            await asyncio.sleep(0.02)
    return widget


async def click(name: str) -> None:
    QTest.mouseClick(await appeared(name), Qt.MouseButton.LeftButton)


async def choose(name: str) -> None:
    """The entry of that name in the menu that is open."""
    async with asyncio.timeout(20):
        while not isinstance(menu := QApplication.activePopupWidget(), QMenu):
            await asyncio.sleep(0.02)
    action = menu.findChild(QAction, name)
    assert action is not None
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())


async def person(application: Application, provider: str, key: str) -> None:
    try:
        async with asyncio.timeout(20):
            while application.bridge.state.phase != "running":
                await asyncio.sleep(0.02)
        application.open_settings("models")
        await appeared("starterRow")
        await click(f"providerMore-{provider}")
        await choose("replace")
        QTest.keyClicks(await appeared(f"providerKey-{provider}_input"), key)
        await click(f"providerKey-{provider}_save")
        status = await appeared(f"providerStatus-{provider}")
        async with asyncio.timeout(20):
            while not status.text() or status.status == "busy":
                await asyncio.sleep(0.02)
        print(status.text(), flush=True)
    finally:
        application.quit()


def main() -> int:
    paths = Paths.locate()
    program.logs.configure(paths)
    qt = program.make_qt_application()
    instance = SingleInstance(paths)
    instance.claim()
    application = Application(qt, paths, instance, background=True)
    application.starting.connect(lambda: tasks.run(person(application, sys.argv[1], sys.argv[2])))
    return program.run(qt, application)


if __name__ == "__main__":
    sys.exit(main())
