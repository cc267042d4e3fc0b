"""Adds a provider: one of the catalogue with its key, or any other by name and address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLineEdit, QWidget

from agent.errors import TrayClawError
from agent.views import ProviderView
from desktop import tasks
from desktop.settings import key_test
from desktop.settings.page import words
from desktop.widgets import Button, StatusDot, TextLabel, identify

if TYPE_CHECKING:
    from agent.service import AgentService

OTHER = ""


class AddProvider(QWidget):
    """`added(name, models)` when it is stored, `closed` when the person changed their mind."""

    added = Signal(str, object)
    closed = Signal()
    secret_problem = Signal(object)

    def __init__(self, service: AgentService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "addProvider", self.tr("Add a provider"))
        self._service = service
        self._views: dict[str, ProviderView] = {}
        self.choice = QComboBox()
        identify(self.choice, "addProviderChoice", self.tr("Provider"))
        self.name = self._line("addProviderName", self.tr("Name, such as my-server"))
        self.address = self._line("addProviderAddress", "https://…/v1")
        self.protocol = QComboBox()
        identify(self.protocol, "addProviderProtocol", self.tr("Protocol"))
        for text, key in (
            ("Chat Completions (OpenAI)", "chat-completions"),
            ("Responses (OpenAI)", "responses"),
            ("Messages (Anthropic)", "anthropic-messages"),
            ("generateContent (Gemini)", "gemini"),
        ):
            self.protocol.addItem(text, key)
        self.key = self._line("addProviderKey", self.tr("Paste the key here"))
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.key.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
        self._labels = {
            "choice": TextLabel(self.tr("Provider")),
            "name": TextLabel(self.tr("Name")),
            "address": TextLabel(self.tr("Address")),
            "protocol": TextLabel(self.tr("Protocol")),
            "key": TextLabel(self.tr("Key")),
        }
        self.link = Button(self.tr("Where do I get a key?"), "link", object_name="addProviderLink")
        self.save = Button(self.tr("Save & test"), "primary", object_name="addProviderSave")
        self.cancel = Button(self.tr("Cancel"), "quiet", object_name="addProviderCancel")
        self.status = StatusDot("off", "", object_name="addProviderStatus")
        self.message = TextLabel("", "bad", wrap=True, selectable=True, object_name="addProviderMessage")
        self._lay_out()
        self.choice.currentIndexChanged.connect(self._chosen)
        self.link.clicked.connect(self._open_link)
        self.save.clicked.connect(lambda: tasks.run(self._save()))
        self.key.returnPressed.connect(self.save.click)
        self.cancel.clicked.connect(self.closed)
        for field in (self.name, self.address, self.key):
            field.textChanged.connect(self._check)

    @staticmethod
    def _line(name: str, placeholder: str) -> QLineEdit:
        field = QLineEdit()
        field.setObjectName(name)
        field.setPlaceholderText(placeholder)
        return field

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        fields: dict[str, QWidget] = {
            "choice": self.choice,
            "name": self.name,
            "address": self.address,
            "protocol": self.protocol,
            "key": self.key,
        }
        for row, (key, field) in enumerate(fields.items()):
            label = self._labels[key]
            label.setBuddy(field)
            field.setAccessibleName(label.text())
            grid.addWidget(label, row, 0)
            grid.addWidget(field, row, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for widget in (self.save, self.cancel, self.link):
            buttons.addWidget(widget)
        buttons.addStretch(1)
        buttons.addWidget(self.status)
        grid.addLayout(buttons, 5, 1)
        grid.addWidget(self.message, 6, 1)

    def offer(self, views: list[ProviderView]) -> None:
        """Begin anew with those that can be added."""
        self._views = {view.name: view for view in views}
        self.choice.blockSignals(True)
        self.choice.clear()
        for view in views:
            self.choice.addItem(view.label, view.name)
        self.choice.addItem(self.tr("Another one, by its address"), OTHER)
        self.choice.setCurrentIndex(0)
        self.choice.blockSignals(False)
        for field in (self.name, self.address, self.key):
            field.clear()
        self._chosen()
        self.choice.setFocus()

    def _view(self) -> ProviderView | None:
        return self._views.get(self.choice.currentData() or OTHER)

    def _chosen(self) -> None:
        view = self._view()
        own = view is None
        shown = (
            ("name", self.name, own),
            ("protocol", self.protocol, own),
            ("address", self.address, self._by_address()),
        )
        for key, field, visible in shown:
            field.setVisible(visible)
            self._labels[key].setVisible(visible)
        needs_key = view is None or view.needs_key
        self.key.setPlaceholderText(
            self.tr("Paste the key here") if view else self.tr("Only if the server asks for one")
        )
        self.key.setVisible(needs_key)
        self._labels["key"].setVisible(needs_key)
        self.link.setVisible(view is not None and bool(view.key_url))
        self._say("off", "", "")
        if view is not None and view.note and not view.local:
            self.message.set_role("secondary")
            self.message.setText(view.note)
            self.message.show()
        self._check()

    def _by_address(self) -> bool:
        """Whether the address has to be typed: of one's own provider, and of one where each account has its own."""
        view = self._view()
        return view is None or not view.base_url

    def _check(self) -> None:
        view = self._view()
        if view is not None:
            address = bool(self.address.text().strip()) or not self._by_address()
            self.save.setEnabled(address and (bool(self.key.text().strip()) or not view.needs_key))
        else:
            self.save.setEnabled(bool(self.name.text().strip() and self.address.text().strip()))

    def _open_link(self) -> None:
        view = self._view()
        if view is not None:
            QDesktopServices.openUrl(QUrl(view.key_url))

    def _say(self, status: str, word: str, text: str) -> None:
        self.status.set_status("bad" if status == "bad" else "busy" if status == "busy" else "off", word)
        self.status.setVisible(bool(word))
        self.message.set_role("bad")
        self.message.setText(text)
        self.message.setVisible(bool(text))

    async def _save(self) -> None:
        if not self.save.isEnabled():
            return
        view = self._view()
        name = view.name if view else self.name.text().strip().lower()
        address = self.address.text().strip().rstrip("/") if self._by_address() else None
        if address is not None and (mistake := self._mistake(name, address)):
            self._say("bad", self.tr("Not saved"), mistake)
            return
        self.setEnabled(False)
        self._say("busy", self.tr("Testing…"), "")
        try:
            outcome = await self._store(name, self.key.text().strip(), address)
        except TrayClawError as error:
            self._say("bad", self.tr("Not saved"), words(error))
            self.secret_problem.emit(error)
            return
        finally:
            self.setEnabled(True)
        if outcome.saved:
            self.key.clear()
            self.added.emit(name, outcome)
        else:
            self._say("bad", outcome.word, outcome.text)
            self.key.setFocus()

    async def _store(self, name: str, key: str, address: str | None) -> key_test.Outcome:
        """A provider of one's own is written to the settings first: its key belongs to that name."""
        if address is not None:
            protocol = str(self.protocol.currentData()) if self._view() is None else None
            outcome, _error = await key_test.test(
                self._service, name, key=key or None, base_url=address, protocol=protocol
            )
            if not outcome.works and outcome.word == key_test.tr("Key refused"):
                return outcome
            chosen = {f"providers.{name}.protocol": protocol} if protocol not in (None, "chat-completions") else {}
            await self._service.change_settings({f"providers.{name}.base_url": address, **chosen})
            if not key:
                return key_test.Outcome(outcome.works, True, outcome.word, outcome.text, outcome.models)
        return await key_test.save_and_test(self._service, name, key)

    def _mistake(self, name: str, address: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            return self.tr("A name is lower case letters, digits and dashes.")
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return self.tr("An address begins with https:// or http:// and usually ends in /v1.")
        return ""
