"""The main window: notices at the top, below them the chat, or what stands there while there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSettings, Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from agent.events import Failure
from desktop import theme
from desktop.widgets import Banner, Button, EmptyState, Severity, TextLabel, identify

DEFAULT_SIZE = 1030, 690
NARROWEST = 640, 480


class MainWindow(QWidget):
    """`close_requested` instead of closing: whether that hides or quits is for app.py to decide."""

    close_requested = Signal()

    def __init__(self, remembered: Path) -> None:
        super().__init__()
        identify(self, "mainWindow", self.tr("TrayClaw"))
        self.setWindowTitle("TrayClaw")
        self.setWindowIcon(theme.app_icon())
        self.setProperty("ground", "bg")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumSize(*NARROWEST)
        self._remembered = QSettings(str(remembered), QSettings.Format.IniFormat)
        self._notices: dict[str, Banner] = {}
        self._notice_area = QWidget()
        self._notice_column = QVBoxLayout(self._notice_area)
        self._notice_column.setContentsMargins(0, 0, 0, 0)
        self._notice_column.setSpacing(0)
        self._notice_area.hide()
        self.pages = QStackedWidget()
        self._loading = EmptyState(self.tr("Starting…"), object_name="loadingPage")
        self.pages.addWidget(self._loading)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._notice_area)
        column.addWidget(self.pages, 1)
        self.resize(*DEFAULT_SIZE)
        geometry = self._remembered.value("window/geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)

    @property
    def content(self) -> QWidget | None:
        """What stands in the window now."""
        return self.pages.currentWidget()

    def set_content(self, widget: QWidget) -> None:
        """Put a widget (the chat) in the window; what stood there before goes, except the loading page."""
        old = self.content
        self.pages.addWidget(widget)
        self.pages.setCurrentWidget(widget)
        if old is not None and old not in (self._loading, widget):
            self.pages.removeWidget(old)
            old.deleteLater()
        widget.setFocus()

    def show_loading(self) -> None:
        """Until the agent is there."""
        self.pages.setCurrentWidget(self._loading)

    def show_failure(self, failure: Failure, retry: Callable[[], None], folder: Callable[[], None]) -> None:
        """The agent could not start: what, why, and what to do."""
        self.set_content(FailurePage(failure, retry, folder))

    def bring_to_front(self) -> None:
        """Show, restore and raise."""
        if self.isMinimized():
            self.showNormal()
        self.show()
        self.raise_()
        self.activateWindow()

    # --- notices ------------------------------------------------------------------------------------------------------

    def show_notice(
        self,
        key: str,
        severity: Severity,
        title: str,
        text: str = "",
        action: str = "",
        triggered: Callable[[], None] | None = None,
    ) -> None:
        """Show a dismissible banner at the top; one with the same key is replaced."""
        self.remove_notice(key)
        banner = Banner(severity, title, text, action, closable=True, strip=True, object_name=f"notice-{key}")
        if triggered is not None:
            banner.action_triggered.connect(triggered)
        # A bound method, not a lambda: the connection must not keep the window alive, or the banner's end would be
        # the window's end too, within the banner's own destructor.
        banner.closed.connect(self._notice_closed)
        self._notices[key] = banner
        self._notice_column.addWidget(banner)
        self._notice_area.show()

    def remove_notice(self, key: str) -> None:
        """Take a notice away; one that is not there is no error."""
        banner = self._notices.pop(key, None)
        if banner is not None:
            self._notice_column.removeWidget(banner)
            banner.hide()
            banner.deleteLater()
        self._notice_area.setVisible(bool(self._notices))

    def _notice_closed(self) -> None:
        closed = self.sender()
        for key in [key for key, banner in self._notices.items() if banner is closed]:
            self.remove_notice(key)

    def notices(self) -> dict[str, Banner]:
        """What is shown at the top, by key."""
        return dict(self._notices)

    # --- what is remembered from one run to the next ------------------------------------------------------------------

    def first_time(self, hint: str) -> bool:
        """True once in the life of this installation, for a hint that is said once."""
        if self._remembered.value(f"hints/{hint}") is not None:
            return False
        self._remembered.setValue(f"hints/{hint}", 1)
        return True

    def remember(self) -> None:
        """Keep size and place for the next start."""
        self._remembered.setValue("window/geometry", self.saveGeometry())
        self._remembered.sync()

    def closeEvent(self, event: QCloseEvent) -> None:
        event.ignore()
        self.remember()
        self.close_requested.emit()


class FailurePage(QWidget):
    """Stands in the window when the agent could not start."""

    def __init__(self, failure: Failure, retry: Callable[[], None], folder: Callable[[], None]) -> None:
        super().__init__()
        identify(self, "failurePage", failure.title)
        message = TextLabel(failure.message, "dim", wrap=True, selectable=True, object_name="failureMessage")
        hint = TextLabel(failure.hint, "", wrap=True, selectable=True, object_name="failureHint")
        hint.setVisible(bool(failure.hint))
        again = Button(self.tr("Try again"), "primary", object_name="failureRetry")
        show = Button(self.tr("Open the folder"), object_name="failureFolder")
        again.clicked.connect(retry)
        show.clicked.connect(folder)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(again)
        buttons.addWidget(show)
        buttons.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(12)
        column.addStretch(2)
        column.addWidget(TextLabel(failure.title, "title", wrap=True, object_name="failureTitle"))
        column.addWidget(message)
        column.addWidget(hint)
        column.addSpacing(4)
        column.addLayout(buttons)
        column.addStretch(3)
        line = QHBoxLayout(self)
        line.setContentsMargins(28, 28, 28, 28)
        line.addStretch(1)
        line.addLayout(column, 4)
        line.addStretch(1)
