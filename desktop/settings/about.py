"""The page about the program: version, licence, and where things are kept."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl, qVersion
from PySide6.QtGui import QDesktopServices, QIcon

from agent import version
from desktop import theme
from desktop.settings.page import SettingsPage
from desktop.widgets import Button, Card, PageHeader

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class AboutPage(SettingsPage):
    """Nothing to change here."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        header = PageHeader(self.tr("About"), self.tr("A personal AI agent that lives in the system tray."))
        super().__init__(service, bridge, header, "aboutPage")
        program = Card(accessible_name=self.tr("Program"))
        parts = f"Python {platform.python_version()} · Qt {qVersion()}"
        program.add_row(
            self.tr("TrayClaw {version}").format(version=version()),
            parts,
            icon=QIcon(theme.mark_pixmap(64)),
            object_name="aboutVersion",
        )
        program.add_row(
            self.tr("MIT licence"),
            self.tr("Inter and JetBrains Mono: SIL Open Font License. Qt and PySide6: LGPL 3."),
        )
        folders = Card(object_name="aboutFolders", accessible_name=self.tr("Folders"))
        paths = service.paths
        for title, folder, name in (
            (self.tr("Settings"), paths.config, "config"),
            (self.tr("Conversations and memory"), paths.data, "data"),
            (self.tr("Logs"), paths.logs, "logs"),
            (self.tr("Cache"), paths.cache, "cache"),
        ):
            button = Button(self.tr("Open"), object_name=f"aboutOpen-{name}")
            button.setAccessibleName(self.tr("Open {what}").format(what=title))
            button.clicked.connect(lambda _checked=False, at=folder: _open(at))
            folders.add_row(title, str(folder), button)
        self.add(program)
        self.add(folders)


def _open(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
