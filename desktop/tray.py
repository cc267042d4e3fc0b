"""The icon in the system tray and its menu: both show the AppState and tell what the person wants; app.py decides."""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from desktop import theme
from desktop.platform import panel
from desktop.state import AppState
from desktop.tray_menu import CHANNEL_PREFIX, Entry, entries, is_on


class Tray(QObject):
    """Signals are intent: nothing has happened yet when they fire."""

    toggle_requested = Signal()
    open_requested = Signal()
    approvals_requested = Signal()
    questions_requested = Signal()
    pairings_requested = Signal()
    undelivered_requested = Signal()
    channel_start_requested = Signal(str)
    channel_stop_requested = Signal(str)
    channel_setup_requested = Signal(str)
    stop_all_requested = Signal()
    settings_requested = Signal()
    quit_requested = Signal()
    message_clicked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state = AppState()
        self._entries: list[Entry] = []
        self._intents = {
            "trayOpen": self.open_requested,
            "trayApprovals": self.approvals_requested,
            "trayQuestions": self.questions_requested,
            "trayPairings": self.pairings_requested,
            "trayUndelivered": self.undelivered_requested,
            "trayStopAll": self.stop_all_requested,
            "traySettings": self.settings_requested,
            "trayQuit": self.quit_requested,
        }
        self.menu = QMenu()
        self.menu.setObjectName("trayMenu")
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self._sync)
        self.menu.triggered.connect(self._chosen)
        self.icon: QSystemTrayIcon | None = None
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._draw)
        self._sync()

    def appear(self) -> bool:
        """Show the icon if this desktop has a tray now; whether a person can find it. Cheap enough to ask often."""
        available = QSystemTrayIcon.isSystemTrayAvailable()
        if available and self.icon is None:
            # Made only now: Qt ties an icon to the kind of tray (StatusNotifier, XEmbed) that it finds at that moment.
            self.icon = QSystemTrayIcon(self)
            self.icon.setObjectName("trayIcon")
            self.icon.activated.connect(self._activated)
            self.icon.messageClicked.connect(self.message_clicked)
            self.icon.setContextMenu(self.menu)
            self._draw()
            self._sync()
            self.icon.show()
        return available

    def close(self) -> None:
        """Leave the tray for good."""
        if self.icon is not None:
            self.icon.hide()
        self.menu.deleteLater()

    def show_message(self, title: str, text: str) -> bool:
        """A notification of the desktop; False where the tray cannot show one."""
        if self.icon is None or not QSystemTrayIcon.supportsMessages():
            return False
        self.icon.showMessage(title, text, self.icon.icon())
        return True

    def render(self, state: AppState) -> None:
        """Show this state. StatusNotifier hosts read the menu when they like, so it is kept up to date here as well."""
        redraw = state.overall != self._state.overall
        self._state = state
        if redraw:
            self._draw()
        self._sync()

    def _draw(self) -> None:
        if self.icon is not None:
            self.icon.setIcon(theme.tray_icon(self._state.overall, panel.is_dark(), template=sys.platform == "darwin"))

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger and sys.platform != "darwin":
            self.toggle_requested.emit()  # on macOS a click opens the menu, and a second meaning would surprise
        elif reason == QSystemTrayIcon.ActivationReason.MiddleClick:
            self.open_requested.emit()

    def _sync(self) -> None:
        """Make the menu say what `entries` says. Lines that stay keep their action, and so their D-Bus id: a host that
        read the menu a moment ago still reaches what it showed."""
        wanted = entries(self._state)
        if [entry.name for entry in wanted] != [entry.name for entry in self._entries]:
            for action in self.menu.actions():
                self.menu.removeAction(action)
                action.deleteLater()
            for entry in wanted:
                self.menu.addAction(self._action(entry))
        for action, entry in zip(self.menu.actions(), wanted, strict=True):
            if entry.name:
                _fill(action, entry)
        self._entries = wanted
        if self.icon is not None:
            self.icon.setToolTip(f"TrayClaw · {self._state.words}")

    def _action(self, entry: Entry) -> QAction:
        action = QAction(self.menu)
        action.setObjectName(entry.name)
        action.setSeparator(not entry.name)
        return action

    def _chosen(self, action: QAction) -> None:
        name = action.objectName()
        self._sync()  # Qt has moved the check mark; it follows the channel, not the click
        if name in self._intents:
            self._intents[name].emit()
        elif name.startswith(CHANNEL_PREFIX):
            self._channel_chosen(name.removeprefix(CHANNEL_PREFIX))

    def _channel_chosen(self, name: str) -> None:
        channel = next((channel for channel in self._state.channels if channel.name == name), None)
        if channel is None:
            return
        if not channel.configured or channel.state == "wrong_token":
            self.channel_setup_requested.emit(name)
        elif is_on(channel):
            self.channel_stop_requested.emit(name)
        else:
            self.channel_start_requested.emit(name)


def _fill(action: QAction, entry: Entry) -> None:
    action.setText(entry.text.replace("&", "&&"))
    action.setToolTip(entry.detail)
    action.setEnabled(entry.enabled)
    action.setCheckable(entry.checked is not None)
    action.setChecked(bool(entry.checked))
