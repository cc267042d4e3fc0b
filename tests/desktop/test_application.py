"""The application's life in one process: start, windows, notices, closing, failing, ending."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from agent.events import Approval, ApprovalAsked, PairingAsked
from agent.paths import Paths
from desktop import crash, tasks
from desktop.app import Application, _next_midnight
from desktop.chat.failure_card import FailureCard
from desktop.platform.single_instance import SingleInstance
from desktop.widgets import Button
from desktop.window import FailurePage, MainWindow
from tests.conftest import LogGuard
from tests.desktop.waiting import until
from tests.peers.model_server import ModelServer

Screenshot = Callable[[QWidget, str], Path]
APPROVAL = Approval("a1", 7, 70, "c1", "run_command", "Run a command?", "ls", "it asks", False, "", 0.0)
NO_TRAY = "no-tray"


@asynccontextmanager
async def running(qapp: QApplication, paths: Paths, *, background: bool = False) -> AsyncIterator[Application]:
    """The application from its start to its end; the end is part of what is tested."""
    application = Application(qapp, paths, SingleInstance(paths), background=background)
    life = asyncio.get_running_loop().create_task(application.run())
    try:
        yield application
    finally:
        application.quit()
        assert await asyncio.wait_for(life, 5) == 0


def ready(application: Application) -> Callable[[], bool]:
    return lambda: application.bridge.state.phase == "running"


@pytest.fixture
def welcomed(paths: Paths, config: str, stored: dict[str, str]) -> None:
    paths.config_file.write_text(f"{config}\n[desktop]\nwelcomed = true\n")


async def test_it_opens_the_chat_and_says_that_there_is_no_tray(
    qapp: QApplication, paths: Paths, welcomed: None
) -> None:
    async with running(qapp, paths) as app:
        await until(ready(app))
        await until(lambda: app.window.isVisible())
        await until(lambda: NO_TRAY in app.window.notices())
        assert app.window.content is not None
        assert app.window.content.objectName() == "chatWindow"
        app.window.notices()[NO_TRAY].close_button.click()
        assert app.window.notices() == {}


async def test_the_first_run_shows_the_welcome_instead(qapp: QApplication, paths: Paths, config: str, stored) -> None:
    async with running(qapp, paths) as app:
        welcome = await until(lambda: app._welcome, "the welcome")
        assert not app.window.isVisible()
        welcome.skip.click()
        await until(lambda: app.window.isVisible(), "the chat")
        assert app._welcome is None


async def test_without_a_tray_closing_the_window_ends_it(qapp: QApplication, paths: Paths, welcomed: None) -> None:
    application = Application(qapp, paths, SingleInstance(paths))
    life = asyncio.get_running_loop().create_task(application.run())
    await until(ready(application))
    await until(lambda: application.window.isVisible())
    application.window.close()
    assert await asyncio.wait_for(life, 5) == 0


async def test_the_systems_own_quit_takes_the_same_way_out(qapp: QApplication, paths: Paths, welcomed: None) -> None:
    """Cmd+Q, the Dock, a closing session: `QEvent.Quit` must not stop Qt's loop under the agent."""
    application = Application(qapp, paths, SingleInstance(paths))
    life = asyncio.get_running_loop().create_task(application.run())
    await until(ready(application))
    qapp.postEvent(qapp, QEvent(QEvent.Type.Quit))
    assert await asyncio.wait_for(life, 5) == 0


async def test_a_broken_settings_file_is_named_and_can_be_corrected(
    qapp: QApplication, paths: Paths, welcomed: None, log_guard: LogGuard, screenshot: Screenshot
) -> None:
    log_guard.expect("could not start")
    good = paths.config_file.read_text()
    paths.config_file.write_text("[model]\ndefault = = 1\n")
    async with running(qapp, paths) as app:
        page = await until(lambda: app.window.findChild(FailurePage), "the page that says it")
        assert app.bridge.state.overall == "error"
        texts = {
            label: page.findChild(QWidget, label).text() for label in ("failureTitle", "failureMessage", "failureHint")
        }
        assert texts["failureTitle"] == "The settings file has a mistake"
        assert "line 2" in texts["failureMessage"]
        assert texts["failureHint"]
        screenshot(app.window, "start-failed")
        paths.config_file.write_text(good)
        page.findChild(QWidget, "failureRetry").click()
        await until(ready(app))
        await until(lambda: app.window.content.objectName() == "chatWindow")


async def test_after_a_restart_every_window_holds_the_new_agent(
    qapp: QApplication, paths: Paths, welcomed: None, model: ModelServer
) -> None:
    async with running(qapp, paths) as app:
        await until(ready(app))
        await until(lambda: app._chat is not None, "the chat")
        app.open_settings("general")
        old = app._service, app._chat, app._settings_window
        await until(lambda: old[2].isVisible())

        await app._restart()
        await until(ready(app))
        assert app._service is not old[0]
        await until(lambda: not isValid(old[1]) and not isValid(old[2]), "the old windows to go")
        app.open_settings("general")
        page = app._settings_window.page("general")
        await until(lambda: page.folder_row.detail.text(), "the settings to read the new agent's")
        assert not page.problem.isVisible()
        app.open()
        assert app.window.content is app._chat
        app._chat.composer.insert("Are you still there?")
        app._chat.composer.send.click()
        await until(lambda: [box.state for box in app._chat.timeline.boxes] == ["answered"], "the new agent's answer")
        assert "action" not in app.window.notices()


async def test_at_a_limit_the_card_leads_on_with_a_model_on_this_computer(
    qapp: QApplication, paths: Paths, welcomed: None, log_guard: LogGuard
) -> None:
    async with running(qapp, paths) as app:
        await until(ready(app))
        await until(lambda: app._chat is not None, "the chat")
        await app._service.change_settings({"model.default": "openai/gpt-5", "budget.daily_usd": 0.0})
        app._chat.composer.insert("Hi")
        app._chat.composer.send.click()
        card = await until(lambda: app._chat.findChild(FailureCard), "the refusal")
        card.findChild(Button, "useLocalModel").click()
        boxes = app._chat.timeline.boxes
        await until(lambda: [box.state for box in boxes] == ["refused", "answered", "answered"], "the answer", 30)
        assert "now uses `starter`" in boxes[1].answer_text()
        assert boxes[2].question.bubble.text.toPlainText() == "Hi"


async def test_settings_take_effect_at_once(qapp: QApplication, paths: Paths, welcomed: None) -> None:
    from desktop import theme

    async with running(qapp, paths) as app:
        await until(ready(app))
        await app._service.change_settings({"desktop.theme": "dark", "model.default": "starter"})
        assert theme.current().dark
        await until(lambda: app.bridge.state.model == "Starter model (tiny)")
        await app._service.change_settings({"desktop.theme": "light"})
        assert not theme.current().dark


async def test_the_tray_menus_wishes_are_carried_out_or_explained(
    qapp: QApplication, paths: Paths, welcomed: None
) -> None:
    async with running(qapp, paths) as app:
        await until(ready(app))
        app.tray.settings_requested.emit()
        await until(lambda: app._settings_window is not None and app._settings_window.isVisible())
        app.tray.channel_setup_requested.emit("telegram")
        assert app._settings_window.side.current() == "channels"
        app.tray.channel_start_requested.emit("carrier-pigeon")
        await until(lambda: "action" in app.window.notices(), "the error")
        app.tray.stop_all_requested.emit()


async def test_an_unexpected_error_is_told_and_nothing_ends(
    qapp: QApplication, paths: Paths, welcomed: None, log_guard: LogGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_guard.expect("unexpected error")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("threading.excepthook", crash.threading.excepthook)
    async with running(qapp, paths) as app:
        loop = asyncio.get_running_loop()
        crash.install(loop, app.report_crash)
        await until(ready(app))

        async def broken() -> None:
            raise ZeroDivisionError("by nothing, with sk-proj-abcdefghijklmnop0123456789")

        tasks.run(broken())
        notice = await until(lambda: app.window.notices().get("crash"), "the notice")
        assert "ZeroDivisionError: by nothing, with [hidden]" in notice.text.text()
        assert app.bridge.state.phase == "running"
        loop.set_exception_handler(None)


async def test_who_does_not_look_is_told(
    qapp: QApplication, paths: Paths, welcomed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    async with running(qapp, paths) as app:
        await until(ready(app))
        monkeypatch.setattr(app._notifier, "tell", lambda title, text, **_rest: told.append(f"{title}: {text}"))
        monkeypatch.setattr(app, "_watched", lambda: False)
        app._service.events.publish(ApprovalAsked(APPROVAL))
        app._service.events.publish(PairingAsked("QK7M-2XPD", "telegram", "88", "Ada", 9e9))
        assert told[0] == "TrayClaw needs your decision: Run a command?"
        assert "QK7M-2XPD" in told[1]
        assert app.bridge.state.overall == "needs_you"
        monkeypatch.setattr(app, "_watched", lambda: True)
        app._service.events.publish(ApprovalAsked(APPROVAL))
        assert len(told) == 2


async def test_a_subprocess_works_on_this_loop() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input())", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(child.communicate(b"across\n"), 20)
    assert (output.strip(), child.returncode) == (b"across", 0)


def test_a_hint_is_given_once(qapp: QApplication, paths: Paths) -> None:
    window = MainWindow(paths.data / "window.ini")
    assert window.first_time("close-to-tray")
    assert not window.first_time("close-to-tray")
    window.remember()
    assert not MainWindow(paths.data / "window.ini").first_time("close-to-tray")


def test_size_and_place_are_remembered(qapp: QApplication, paths: Paths) -> None:
    window = MainWindow(paths.data / "window.ini")
    window.resize(700, 500)  # the offscreen screen has 800 x 800
    window.remember()
    assert MainWindow(paths.data / "window.ini").size() == window.size()


def test_notices_are_replaced_by_key(qapp: QApplication, paths: Paths) -> None:
    window = MainWindow(paths.data / "window.ini")
    window.show_notice("a", "info", "One")
    window.show_notice("a", "error", "Two")
    assert [banner.title.text() for banner in window.notices().values()] == ["Two"]
    window.remove_notice("a")
    window.remove_notice("a")
    assert window.notices() == {}


def test_the_day_ends_at_midnight() -> None:
    import time

    now = time.mktime((2026, 11, 22, 10, 0, 0, 0, 0, -1))
    assert time.localtime(_next_midnight(now))[:5] == (2026, 11, 23, 0, 0)
