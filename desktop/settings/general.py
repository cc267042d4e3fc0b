"""The page of what holds for all models and channels: start, window, look, folders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QComboBox, QFileDialog

from agent.errors import TrayClawError
from agent.events import SettingsChanged
from desktop import tasks
from desktop.platform import autostart
from desktop.settings.page import SettingsPage
from desktop.widgets import Button, Card, PageHeader, ToggleSwitch, identify

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge

TEXT_SIZES = (100, 110, 125, 150, 175, 200)  # per cent


class GeneralPage(SettingsPage):
    """Applied at once."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        super().__init__(service, bridge, PageHeader(self.tr("General")), "generalPage")
        self.login = ToggleSwitch(False, object_name="startAtLogin", accessible_name=self.tr("Start at login"))
        self.tray = ToggleSwitch(True, object_name="closeToTray", accessible_name=self.tr("Close to tray"))
        self.look = self._combo("theme", self.tr("Appearance"))
        for text, key in ((self.tr("As the system"), "system"), (self.tr("Light"), "light"), (self.tr("Dark"), "dark")):
            self.look.addItem(text, key)
        self.text_size = self._combo("textSize", self.tr("Text size"))
        for percent in TEXT_SIZES:
            self.text_size.addItem(f"{percent} %", percent)
        self.folder = Button(self.tr("Change…"), object_name="workspaceChange")
        self.folder_default = Button(self.tr("Default"), object_name="workspaceDefault")
        self.folder_open = Button(self.tr("Open"), object_name="workspaceOpen")
        self.data_open = Button(self.tr("Open"), object_name="dataOpen")
        self.dialog: QFileDialog | None = None
        self._lay_out()
        self.login.toggled.connect(lambda on: tasks.run(self._set_login(on)))
        self.tray.toggled.connect(lambda on: self.change({"desktop.close_to_tray": on}))
        self.look.activated.connect(lambda _index: self.change({"desktop.theme": self.look.currentData()}))
        self.text_size.activated.connect(
            lambda _index: self.change({"desktop.text_percent": self.text_size.currentData()})
        )
        self.folder.clicked.connect(self._choose_folder)
        self.folder_default.clicked.connect(lambda: self.change({"tools.workspace": None}))
        self.folder_open.clicked.connect(lambda: _open(self._workspace()))
        self.data_open.clicked.connect(lambda: _open(str(self.service.paths.data)))
        bridge.settings_changed.connect(self._settings_changed)

    @staticmethod
    def _combo(name: str, label: str) -> QComboBox:
        combo = QComboBox()
        identify(combo, name, label)
        return combo

    def _lay_out(self) -> None:
        start = Card(accessible_name=self.tr("Start and window"))
        self.login_row = start.add_row(
            self.tr("Start at login"), self.tr("In the background: only the tray icon appears"), self.login
        )
        start.add_row(
            self.tr("Close to tray"),
            self.tr("Closing the window leaves TrayClaw running, where there is a tray"),
            self.tray,
        )
        look = Card(accessible_name=self.tr("Look"))
        look.add_row(self.tr("Appearance"), "", self.look)
        look.add_row(self.tr("Text size"), "", self.text_size)
        folders = Card(accessible_name=self.tr("Folders"))
        self.folder_row = folders.add_row(
            self.tr("Workspace"), "", self.folder_default, self.folder, self.folder_open, object_name="workspaceRow"
        )
        self.data_row = folders.add_row(
            self.tr("Conversations and memory"), str(self.service.paths.data), self.data_open, object_name="dataRow"
        )
        self.data_open.setAccessibleName(self.tr("Open the data folder"))
        self.folder_open.setAccessibleName(self.tr("Open the workspace"))
        self.folder.setAccessibleName(self.tr("Change the workspace"))
        self.folder_default.setAccessibleName(self.tr("Use the default workspace"))
        for card in (start, look, folders):
            self.add(card)

    def _workspace(self) -> str:
        return self.service.settings.tools.workspace or str(self.service.paths.workspace)

    def entered(self) -> None:
        tasks.run(self._read())

    def _settings_changed(self, _event: SettingsChanged) -> None:
        self._show()

    async def _read(self) -> None:
        self._show()
        on = await asyncio.to_thread(autostart.enabled)
        self._set_quietly(self.login, on)

    def _show(self) -> None:
        settings = self.service.settings
        self._set_quietly(self.tray, settings.desktop.close_to_tray)
        self.look.setCurrentIndex(self.look.findData(settings.desktop.theme))
        percent = min(TEXT_SIZES, key=lambda size: abs(size - settings.desktop.text_percent))
        self.text_size.setCurrentIndex(self.text_size.findData(percent))
        self.folder_row.set_detail(self._workspace())
        self.folder_default.setVisible(bool(settings.tools.workspace))

    @staticmethod
    def _set_quietly(switch: ToggleSwitch, on: bool) -> None:
        switch.blockSignals(True)
        switch.setChecked(on)
        switch.blockSignals(False)

    async def _set_login(self, on: bool) -> None:
        try:
            await asyncio.to_thread(autostart.set_enabled, on)
        except TrayClawError as error:
            self.show_problem(error)
            self._set_quietly(self.login, not on)

    def _choose_folder(self) -> None:
        self.dialog = QFileDialog(self, self.tr("Choose the workspace"), self._workspace())
        self.dialog.setFileMode(QFileDialog.FileMode.Directory)
        self.dialog.fileSelected.connect(lambda folder: self.change({"tools.workspace": folder}))
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()


def _open(folder: str) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(folder))
