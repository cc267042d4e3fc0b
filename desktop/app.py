"""The application's life: starts the agent, decides what the intents of windows and tray lead to, ends it all once."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QSessionManager
from PySide6.QtWidgets import QApplication, QWidget

from agent import events
from agent.errors import TrayClawError
from agent.paths import Paths
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.garbage import GarbageCollector
from desktop.platform.notify import Notifier
from desktop.platform.single_instance import SingleInstance
from desktop.state import AppState, PhaseChanged
from desktop.tray import Tray
from desktop.window import MainWindow

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.settings import Settings
    from desktop.chat.window import ChatWindow
    from desktop.onboarding.window import WelcomeWindow
    from desktop.settings.window import SettingsWindow

log = logging.getLogger(__name__)

TRAY_LOOK_MS = 5000
TRAY_GRACE_SECONDS = 15.0
"""At login the panel may come up after us: so long a start in the background waits before it opens its window."""
SETTLE_MS = 3000
"""After the start, when nobody waits for the window any more."""
SERVICE_STOP_SECONDS = 4.0
LONG_ANSWER_SECONDS = 10.0
"""An answer that took longer is worth a notification when nobody looks."""
CLICK_SECONDS = 0.4
"""A click on the tray icon takes the focus from the window first; so long it still counts as the one in front."""


class Application(QObject):
    """All of the desktop. `starting` fires once the loop runs, `stopping` when the end begins."""

    starting = Signal()
    stopping = Signal()

    def __init__(self, qt: QApplication, paths: Paths, instance: SingleInstance, *, background: bool = False) -> None:
        super().__init__()
        self._qt = qt
        self._paths = paths
        self._instance = instance
        self._background = background
        self._quit = asyncio.Event()
        self._left_front_at = 0.0
        self._no_tray_said = False
        self._started_at = time.monotonic()
        self._service: AgentService | None = None
        self._chat: ChatWindow | None = None
        self._settings_window: SettingsWindow | None = None
        self._welcome: WelcomeWindow | None = None
        self._garbage = GarbageCollector(self)
        self.bridge = Bridge(self)
        self.window = MainWindow(paths.data / "window.ini")
        self.window.close_requested.connect(self._window_closed)
        self.tray = Tray(self)
        self._notifier = Notifier(self.tray)
        self._tray_timer = QTimer(self)
        self._tray_timer.setInterval(TRAY_LOOK_MS)
        self._tray_timer.timeout.connect(self._look_for_tray)
        self._refresh_timer = QTimer(self)
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.timeout.connect(lambda: tasks.run(self.bridge.refresh()))
        self._connect()

    def _connect(self) -> None:
        tray, bridge = self.tray, self.bridge
        tray.toggle_requested.connect(self.toggle)
        tray.open_requested.connect(self.open)
        tray.approvals_requested.connect(lambda: self._show_first(self.bridge.state.approvals))
        tray.questions_requested.connect(lambda: self._show_first(self.bridge.state.questions))
        tray.pairings_requested.connect(lambda: self.open_settings("channels"))
        tray.undelivered_requested.connect(lambda: self.open_settings("channels"))
        tray.channel_setup_requested.connect(lambda _name: self.open_settings("channels"))
        tray.channel_start_requested.connect(lambda name: self._do(lambda service: service.start_channel(name)))
        tray.channel_stop_requested.connect(lambda name: self._do(lambda service: service.stop_channel(name)))
        tray.stop_all_requested.connect(lambda: self._do(lambda service: service.stop_all()))
        tray.settings_requested.connect(self.open_settings)
        tray.quit_requested.connect(self.quit)
        bridge.state_changed.connect(tray.render)
        bridge.state_changed.connect(self._schedule_refresh)
        bridge.approval_asked.connect(self._tell_approval)
        bridge.question_asked.connect(self._tell_question)
        bridge.pairing_asked.connect(self._tell_pairing)
        bridge.turn_finished.connect(self._turn_finished)
        bridge.limit_near.connect(self._tell_limit)
        bridge.settings_changed.connect(self._settings_changed)
        self._instance.commanded.connect(self._commanded)
        self._qt.commitDataRequest.connect(self._session_ends)
        self._qt.installEventFilter(self)
        self.window.installEventFilter(self)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until the person quits. Always ends with everything closed."""
        self._listen_to_signals()
        self.starting.emit()
        self._look_for_tray()
        tasks.run(self._start(), "start")
        await self._quit.wait()
        await self._stop()
        return 0

    def quit(self) -> None:
        """The one way out; safe to call at any time and twice."""
        self._quit.set()

    async def _start(self) -> None:
        self.bridge.apply(PhaseChanged("starting"))
        try:
            settings = await asyncio.to_thread(_load_settings, self._paths)
            self._apply(settings)
            if settings.desktop.welcomed and not self._background:
                self.open()
            service_class = (await asyncio.to_thread(importlib.import_module, "agent.service")).AgentService
            self._service = await service_class.start(self._paths, resident=True)
            await self.bridge.attach(self._service)
        except TrayClawError as error:
            self._start_failed(events.Failure(error.kind, error.title, str(error), error.hint, error.exit_code))
        except Exception as error:
            log.critical("could not start", exc_info=error)
            hint = self.tr("Details are in the log ({folder}).").format(folder=self._paths.logs)
            title = self.tr("TrayClaw could not start")
            self._start_failed(events.Failure("error", title, f"{type(error).__name__}: {error}", hint))
        else:
            self._started()

    def _start_failed(self, failure: events.Failure) -> None:
        log.error("could not start: %s: %s", failure.title, failure.message)
        self.bridge.apply(PhaseChanged("failed", failure))
        self.window.show_failure(failure, self._try_again, lambda: _open(self._paths.config))
        self.window.bring_to_front()

    def _try_again(self) -> None:
        tasks.run(self._restart(), "restart")

    async def _restart(self) -> None:
        self.window.show_loading()
        self.window.show()
        self.bridge.detach()
        await tasks.cancel_all()
        self._drop_windows()
        if self._service is not None:
            await self._service.stop()
            self._service = None
        await self._start()

    def _drop_windows(self) -> None:
        """The windows that hold the service go with it; the next ones are made for the next service."""
        for window in (self._chat, self._settings_window, self._welcome):
            if window is not None:
                window.hide()
                window.deleteLater()
        self._chat = self._settings_window = self._welcome = None

    def _started(self) -> None:
        service = self._service
        assert service is not None
        log.info("ready")
        QTimer.singleShot(SETTLE_MS, self._garbage.settle)
        if not service.settings.desktop.welcomed:
            self.open_welcome()
        elif self.window.isVisible():
            self.open()
        self._look_for_tray()

    async def _stop(self) -> None:
        """The one shutdown path."""
        self.stopping.emit()
        self._tray_timer.stop()
        self._refresh_timer.stop()
        if self.window.isVisible():
            self.window.remember()
        for window in (self.window, self._settings_window, self._welcome):
            if window is not None:
                window.hide()
        self.bridge.apply(PhaseChanged("stopping"))
        self._instance.release()
        self.bridge.detach()
        await tasks.cancel_all()
        if self._service is not None:
            try:
                await asyncio.wait_for(self._service.stop(), SERVICE_STOP_SECONDS)
            except TimeoutError:
                log.warning("the agent did not stop within %s s", SERVICE_STOP_SECONDS)
            except Exception:
                log.exception("the agent did not stop cleanly")
        self.tray.close()
        self._qt.removeEventFilter(self)
        for window in (self._settings_window, self._welcome, self.window):
            if window is not None:
                window.deleteLater()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(number, self.quit)
            return
        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, lambda *_: self.quit())
        # Qt's loop lets the interpreter look for signals only when a slot of ours runs.
        wake = QTimer(self)
        wake.timeout.connect(lambda: None)
        wake.start(500)

    def _session_ends(self, manager: QSessionManager) -> None:
        manager.setRestartHint(QSessionManager.RestartHint.RestartNever)
        self.quit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.Quit and watched is self._qt:  # macOS: Cmd+Q, the Dock
            self.quit()
            event.ignore()
            return True
        if kind == QEvent.Type.WindowDeactivate and watched is self.window:
            self._left_front_at = time.monotonic()
        elif kind == QEvent.Type.ApplicationActivate and sys.platform == "darwin" and not self._any_window():
            self.open()  # a click on the Dock icon
        return super().eventFilter(watched, event)

    # --- windows ------------------------------------------------------------------------------------------------------

    def open(self, conversation: int | None = None) -> None:
        """Show the window in front, at a conversation if one is given."""
        try:
            if self._service is not None and self.bridge.state.phase == "running":
                chat = self._chat_window()
                if conversation is not None:
                    chat.show_conversation(conversation)
        finally:  # whatever is wrong with the chat, the window is where it is told
            self.window.bring_to_front()

    def toggle(self) -> None:
        """Hide the window when it is in front, else bring it there."""
        recently = time.monotonic() - self._left_front_at < CLICK_SECONDS
        if self.window.isVisible() and not self.window.isMinimized() and (self.window.isActiveWindow() or recently):
            self.window.remember()
            self.window.hide()
        else:
            self.open()

    def open_settings(self, page: str = "") -> None:
        """Show the settings, at a page if one is named."""
        if self._service is None:
            self.open()
            return
        if self._settings_window is None:
            from desktop.settings.window import SettingsWindow

            self._settings_window = SettingsWindow(self._service, self.bridge)
        if page:
            self._settings_window.show_page(page)
        _raise(self._settings_window)

    def open_welcome(self) -> None:
        """The first-run page."""
        service = self._service
        assert service is not None
        if self._welcome is None:
            from desktop.onboarding.window import WelcomeWindow

            self._welcome = WelcomeWindow(service, self.bridge)
            self._welcome.finished.connect(self._welcomed)
            self._welcome.channels_requested.connect(lambda: self.open_settings("channels"))
        self.window.hide()
        _raise(self._welcome)

    def _welcomed(self, conversation: int) -> None:
        if self._welcome is not None:
            self._welcome.hide()
            self._welcome.deleteLater()
            self._welcome = None
        self.open(conversation or None)

    def _chat_window(self) -> ChatWindow:
        assert self._service is not None
        if self._chat is None:
            from desktop.chat.window import ChatWindow

            self._chat = ChatWindow(self._service, self.bridge)
            self._chat.settings_requested.connect(self.open_settings)
            self.window.set_content(self._chat)
        return self._chat

    def _any_window(self) -> bool:
        windows = (self.window, self._settings_window, self._welcome)
        return any(window is not None and window.isVisible() for window in windows)

    def _window_closed(self) -> None:
        service = self._service
        stays = service is None or service.settings.desktop.close_to_tray
        if not stays or not self.tray.appear():
            self.quit()
            return
        self.window.hide()
        if self.window.first_time("close-to-tray"):
            text = self.tr("It goes on in the tray. Click its icon to open it again, or quit it from its menu.")
            self._notifier.tell(self.tr("TrayClaw is still running"), text, window=None, clicked=self.open)

    # --- tray ---------------------------------------------------------------------------------------------------------

    def _look_for_tray(self) -> None:
        if self.tray.appear():
            self._tray_timer.stop()
            self.window.remove_notice("no-tray")
            return
        if not self._tray_timer.isActive():
            self._tray_timer.start()
        waited = time.monotonic() - self._started_at
        if self.bridge.state.phase != "running" or (self._background and waited < TRAY_GRACE_SECONDS):
            return
        if not self._no_tray_said:
            self._no_tray_said = True
            self._say_no_tray()
        if not self._any_window():
            self.open()

    def _say_no_tray(self) -> None:
        text = self.tr("Closing this window ends TrayClaw. TrayClaw keeps looking for a tray.")
        if sys.platform.startswith("linux"):
            text = self.tr(
                "On GNOME, switch on the extension “AppIndicator and KStatusNotifierItem Support”. "
                "Until there is a tray, closing this window ends TrayClaw."
            )
        self.window.show_notice("no-tray", "info", self.tr("This desktop shows no tray icons"), text)

    # --- what happens -------------------------------------------------------------------------------------------------

    def _commanded(self, command: str) -> None:
        {"show": self._show_what_is_open, "toggle": self.toggle, "quit": self.quit}[command]()

    def _show_what_is_open(self) -> None:
        if self._welcome is not None:
            _raise(self._welcome)
        else:
            self.open()

    def _show_first(self, asked: Sequence[events.Approval | events.Question]) -> None:
        self.open(asked[0].conversation_id if asked else None)

    def _watched(self) -> bool:
        """Whether the person looks at the application now."""
        return self._qt.activeWindow() is not None

    def _tell_approval(self, event: events.ApprovalAsked) -> None:
        if self._watched():
            return
        conversation = event.approval.conversation_id
        self._notifier.tell(
            self.tr("TrayClaw needs your decision"),
            event.approval.title,
            window=self.window,
            clicked=lambda: self.open(conversation),
        )

    def _tell_question(self, event: events.QuestionAsked) -> None:
        if self._watched():
            return
        conversation = event.question.conversation_id
        self._notifier.tell(
            self.tr("TrayClaw has a question"),
            _shortened(event.question.text),
            window=self.window,
            clicked=lambda: self.open(conversation),
        )

    def _tell_pairing(self, event: events.PairingAsked) -> None:
        if not self._watched():
            title = self.tr("Someone new wants to talk to TrayClaw")
            text = self.tr("Code {code}. Pair or deny in the settings.").format(code=event.code)
            self._notifier.tell(title, text, window=self.window, clicked=lambda: self.open_settings("channels"))

    def _tell_limit(self, event: events.LimitNear) -> None:
        title = self.tr("A spending limit is near")
        text = self.tr("${spent:.2f} of ${limit:.2f} are spent {what}.")
        text = text.format(spent=event.spent, limit=event.limit, what=event.label)
        self.window.show_notice("limit-near", "info", title, text)
        self._notifier.tell(title, text, window=self.window, clicked=lambda: self.open_settings("usage"))

    def _turn_finished(self, event: events.TurnFinished) -> None:
        tasks.run(self.bridge.refresh())
        if event.seconds >= LONG_ANSWER_SECONDS and event.status in ("answered", "failed") and not self._watched():
            tasks.run(self._tell_answer(event))

    async def _tell_answer(self, event: events.TurnFinished) -> None:
        assert self._service is not None
        try:
            conversation = await self._service.conversation(event.conversation_id)
        except TrayClawError:
            return  # removed meanwhile
        if conversation.channel != "local":
            return
        text = event.failure.title if event.failure else _shortened(event.text)
        self._notifier.tell(
            conversation.title or self.tr("TrayClaw answered"),
            text,
            window=self.window,
            clicked=lambda: self.open(event.conversation_id),
        )

    def _settings_changed(self, _event: events.SettingsChanged) -> None:
        if self._service is not None:
            self._apply(self._service.settings)
            tasks.run(self.bridge.refresh())

    def _apply(self, settings: Settings) -> None:
        theme.apply(self._qt, settings.desktop.theme, text_scale=settings.desktop.text_percent / 100)

    def _schedule_refresh(self, state: AppState) -> None:
        """Read again when the day ends (money) and when a pairing code runs out."""
        now = time.time()
        day_ends = _next_midnight(now)
        moments = [day_ends, *(asked.expires_at for asked in state.pairings if asked.expires_at > now)]
        self._refresh_timer.start(int((min(moments) - now) * 1000) + 1000)

    def _do(self, work: Callable[[AgentService], Coroutine[Any, Any, Any]]) -> None:
        """Carry out what the tray asked for; what goes wrong is said in the window and, unseen, by a notification."""
        if self._service is not None:
            tasks.run(self._told(work(self._service)))

    async def _told(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except TrayClawError as error:
            text = " ".join(part for part in (str(error), error.hint) if part)
            self.window.show_notice("action", "error", error.title, text)
            if not self._watched():
                self._notifier.tell(error.title, text, window=self.window, clicked=self.open)

    def report_crash(self, summary: str) -> None:
        """An unexpected error: one line for the person, the rest is in the log."""
        self.window.show_notice(
            "crash",
            "error",
            self.tr("Something unexpected went wrong"),
            self.tr("{summary}. TrayClaw goes on; the log has the details.").format(summary=_shortened(summary)),
            self.tr("Open the log"),
            lambda: _open(self._paths.logs),
        )


def _load_settings(paths: Paths) -> Settings:
    from agent.settings import SettingsFile

    return SettingsFile(paths.config_file).load()


def _raise(window: QWidget) -> None:
    if window.isMinimized():
        window.showNormal()
    window.show()
    window.raise_()
    window.activateWindow()


def _open(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))


def _shortened(text: str, length: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _next_midnight(now: float) -> float:
    """The Unix time at which the local day of `now` ends, with the change to and from summer time."""
    day = time.localtime(now)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday + 1, 0, 0, 0, 0, 0, -1))
