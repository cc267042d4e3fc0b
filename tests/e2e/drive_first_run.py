"""Run as a program: the whole application, with a person at its first run: says hello, opens the chat, asks for a long
text and stops it with Esc. Prints what they saw as one JSON object and stays, until somebody quits it.

    python tests/e2e/drive_first_run.py HELLO LONG
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QLabel, QTextBrowser, QWidget

from agent.paths import Paths
from desktop import __main__ as program
from desktop import tasks
from desktop.app import Application
from desktop.platform.single_instance import SingleInstance
from tests.e2e.drive_settings import appeared, click, find

ANSWER_SECONDS = 120.0
"""A cold start on a busy machine: the library and the model file are read first."""
ENOUGH_CHARS = 20


async def watched(read: Callable[[], str], over: Callable[[], bool]) -> list[str]:
    """What a text showed, one entry a change, until `over`."""
    seen = [""]
    async with asyncio.timeout(ANSWER_SECONDS):
        while not over():
            if (text := read()) != seen[-1]:
                seen.append(text)
            await asyncio.sleep(0.01)
    return seen[1:]


def shown(name: str) -> str:
    """The text that the visible widget of that name shows; of an answer, all its paragraphs."""
    widget = find(name)
    if widget is None:
        return ""
    if isinstance(widget, QLabel | QAbstractButton):
        return widget.text()
    browsers = [widget] if isinstance(widget, QTextBrowser) else widget.findChildren(QTextBrowser)
    return "\n".join(browser.toPlainText() for browser in browsers)


def write(line: QWidget, text: str) -> None:
    QTest.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)


async def say_hello(hello: str) -> dict[str, object]:
    await click("wayStarter")
    await click("welcomeContinue")
    write(await appeared("helloText"), hello)
    send = await appeared_at_all("helloSend")
    async with asyncio.timeout(20):
        while send.isEnabled():
            await asyncio.sleep(0.005)
    seen = await watched(lambda: shown("helloAnswer"), over=lambda: send.isEnabled())
    return {"hello_while_running": seen, "hello": shown("helloAnswer"), "hello_status": shown("helloStatus")}


async def ask_and_stop(question: str) -> dict[str, object]:
    await click("welcomeContinue")  # "Open TrayClaw"
    line = await appeared("message")
    await appeared_at_all("ending")  # of the first answer: the conversation goes on in the chat window
    story = LastAnswer(find("timeline"))
    write(line, question)
    await appeared("stop")
    seen = await watched(story.text, over=lambda: len(story.text()) >= ENOUGH_CHARS or find("stop") is None)
    running = find("stop") is not None
    pressed = time.monotonic()
    QTest.keyClick(line, Qt.Key.Key_Escape)
    async with asyncio.timeout(20):
        while find("stop") is not None:
            await asyncio.sleep(0.005)
    seconds = time.monotonic() - pressed
    await asyncio.sleep(0.2)  # what would still come now would come after the stop
    kept = story.text()
    await asyncio.sleep(0.5)
    return {
        "asked": story.question(),
        "was_running": running,
        "while_running": seen,
        "stop_seconds": seconds,
        "kept": kept,
        "grew_after_stop": story.text() != kept,
        "ending": story.ending(),
    }


class LastAnswer:
    """The answer to the newest message that a timeline shows."""

    def __init__(self, timeline: QWidget | None) -> None:
        assert timeline is not None
        self._timeline = timeline
        self._before = len(self._turns())

    def _turns(self) -> list[QWidget]:
        turns = [turn for turn in self._timeline.findChildren(QWidget, "turn") if turn.isVisible()]
        return sorted(turns, key=lambda turn: turn.y())

    def _parts(self, name: str) -> list[QWidget]:
        turns = self._turns()[self._before :]
        return [part for turn in turns[-1:] for part in turn.findChildren(QWidget, name) if part.isVisible()]

    def question(self) -> str:
        return "\n".join(part.toPlainText() for part in self._parts("questionText") if isinstance(part, QTextBrowser))

    def text(self) -> str:
        browsers = [browser for part in self._parts("answerText") for browser in part.findChildren(QTextBrowser)]
        return "\n".join(browser.toPlainText() for browser in browsers)

    def ending(self) -> str:
        return " ".join(part.text() for part in self._parts("endingFacts") if isinstance(part, QLabel))


async def appeared_at_all(name: str) -> QWidget:
    async with asyncio.timeout(20):
        while (widget := find(name)) is None:
            await asyncio.sleep(0.02)
    return widget


async def person(application: Application) -> None:
    try:
        await appeared("welcomeWindow")
        windows = {"chat_at_first": application.window.isVisible()}
        seen = windows | await say_hello(sys.argv[1]) | await ask_and_stop(sys.argv[2])
        print(json.dumps(seen), flush=True)
    except BaseException:
        application.quit()
        raise


def main() -> int:
    paths = Paths.locate()
    program.logs.configure(paths)
    qt = program.make_qt_application()
    instance = SingleInstance(paths)
    instance.claim()
    application = Application(qt, paths, instance)
    application.starting.connect(lambda: tasks.run(person(application)))
    return program.run(qt, application)


if __name__ == "__main__":
    sys.exit(main())
