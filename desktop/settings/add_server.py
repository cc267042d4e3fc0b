"""Adds an MCP server: a name, and the program or the address where its tools are."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QWidget

from agent.errors import TrayClawError
from desktop import tasks
from desktop.settings.page import words
from desktop.widgets import Button, TextLabel, ToggleSwitch, identify

if TYPE_CHECKING:
    from agent.service import AgentService


class AddServer(QWidget):
    """`added(name)` when it is in the settings, `closed` when the person changed their mind."""

    added = Signal(str)
    closed = Signal()

    def __init__(self, service: AgentService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "addServer", self.tr("Add a server"))
        self._service = service
        self.name = QLineEdit()
        self.name.setPlaceholderText("github")
        identify(self.name, "addServerName", self.tr("Name"))
        self.where = QLineEdit()
        self.where.setPlaceholderText("uvx some-mcp-server  ·  https://…/mcp")
        identify(self.where, "addServerWhere", self.tr("Command or address"))
        self.network = ToggleSwitch(
            object_name="addServerNetwork", accessible_name=self.tr("The program may use the network")
        )
        self._network_label = TextLabel(self.tr("Network"))
        self._network_words = TextLabel(self.tr("The program may use the network."), "secondary", wrap=True)
        self.save = Button(self.tr("Add & test"), "primary", object_name="addServerSave")
        self.cancel = Button(self.tr("Cancel"), "quiet", object_name="addServerCancel")
        self.message = TextLabel("", "bad", wrap=True, selectable=True, object_name="addServerMessage")
        self._lay_out()
        for field in (self.name, self.where):
            field.textChanged.connect(self._check)
            field.returnPressed.connect(self.save.click)
        self.save.clicked.connect(lambda: tasks.run(self._save()))
        self.cancel.clicked.connect(self.closed)
        self.begin()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        for row, (text, field) in enumerate(
            ((self.tr("Name"), self.name), (self.tr("Command or address"), self.where))
        ):
            label = TextLabel(text)
            label.setBuddy(field)
            grid.addWidget(label, row, 0)
            grid.addWidget(field, row, 1)
        network = QHBoxLayout()
        network.setSpacing(8)
        network.addWidget(self.network)
        network.addWidget(self._network_words, 1)
        self._network_label.setBuddy(self.network)
        grid.addWidget(self._network_label, 2, 0)
        grid.addLayout(network, 2, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.save)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        grid.addLayout(buttons, 3, 1)
        grid.addWidget(self.message, 4, 1)

    def begin(self) -> None:
        """Empty, with the focus on the name."""
        for field in (self.name, self.where):
            field.clear()
        self.network.setChecked(False)
        self._check()
        self.name.setFocus()

    def _is_address(self) -> bool:
        return self.where.text().strip().lower().startswith(("http://", "https://"))

    def _check(self) -> None:
        for widget in (self.network, self._network_label, self._network_words):
            widget.setVisible(not self._is_address())
        self.save.setEnabled(bool(self.name.text().strip() and self.where.text().strip()))
        self._say("")

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    async def _save(self) -> None:
        if not self.save.isEnabled():
            return
        name, where = self.name.text().strip(), self.where.text().strip()
        try:
            if self._is_address():
                await self._service.servers.add(name, url=where)
            else:
                command = shlex.split(where, posix=sys.platform != "win32")
                await self._service.servers.add(name, command=command, network=self.network.isChecked())
        except ValueError:
            self._say(self.tr("A quotation mark of the command is not closed."))
            return
        except TrayClawError as error:
            self._say(words(error))
            return
        self.added.emit(name)
