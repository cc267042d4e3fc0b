"""The settings window: the side bar chooses a page; a page is made when it is first shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QWidget

from desktop import theme
from desktop.settings.page import SettingsPage
from desktop.widgets import SideBar, identify

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class SettingsWindow(QWidget):
    """Hidden, not destroyed, when closed."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        super().__init__()
        identify(self, "settingsWindow", self.tr("Settings"))
        self.setWindowTitle(self.tr("Settings"))
        self.setWindowIcon(theme.app_icon())
        self.setProperty("ground", "bg")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumSize(720, 480)
        self.resize(1030, 700)
        self._service = service
        self._bridge = bridge
        self._pages: dict[str, SettingsPage] = {}
        self.side = SideBar(object_name="settingsPages", accessible_name=self.tr("Pages"))
        self.stack = QStackedWidget()
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(0)
        line.addWidget(self.side)
        line.addWidget(self.stack, 1)
        self.side.add("models", self.tr("Models"))
        self.side.add("channels", self.tr("Channels"))
        self.side.add("tools", self.tr("Tools"))
        self.side.add("safety", self.tr("Safety"))
        self.side.add("skills", self.tr("Skills"))
        self.side.add("usage", self.tr("Usage & limits"))
        self.side.add("general", self.tr("General"))
        self.side.add("about", self.tr("About"), footer=True)
        self.side.selected.connect(self._show)
        self._show("models")
        self.setFocus()  # Tab leads to the pages; nothing is outlined before somebody uses the keyboard

    def show_page(self, key: str) -> None:
        """Go to "models", "channels", "tools", "safety", "skills", "usage", "general" or "about"."""
        self.side.select(key)
        self._show(key)

    def page(self, key: str) -> SettingsPage:
        """A page, made if it was not shown yet."""
        if key not in self._pages:
            page = _makers()[key](self._service, self._bridge)
            self._pages[key] = page
            self.stack.addWidget(page)
        return self._pages[key]

    def _show(self, key: str) -> None:
        self.stack.setCurrentWidget(self.page(key))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()
            return
        super().keyPressEvent(event)


def _makers() -> dict[str, Callable[[AgentService, Bridge], SettingsPage]]:
    from desktop.settings.about import AboutPage
    from desktop.settings.channels import ChannelsPage
    from desktop.settings.general import GeneralPage
    from desktop.settings.models import ModelsPage
    from desktop.settings.safety import SafetyPage
    from desktop.settings.skills import SkillsPage
    from desktop.settings.tools import ToolsPage
    from desktop.settings.usage import UsagePage

    return {
        "models": ModelsPage,
        "channels": ChannelsPage,
        "tools": ToolsPage,
        "safety": SafetyPage,
        "skills": SkillsPage,
        "usage": UsagePage,
        "general": GeneralPage,
        "about": AboutPage,
    }
