"""The third way: a provider, its key, and after the test which of its models answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget
from shiboken6 import isValid

from agent.errors import TrayClawError
from agent.views import ProviderView
from desktop.settings import key_test
from desktop.settings.keyring import KeyringBanner
from desktop.settings.page import words
from desktop.widgets import Button, TextLabel, identify

if TYPE_CHECKING:
    from agent.service import AgentService


class KeyForm(QWidget):
    """`changed` when what is entered may have become enough, or no longer is."""

    changed = Signal()

    def __init__(self, service: AgentService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "keyForm", self.tr("With my key"))
        self._service = service
        self._views: dict[str, ProviderView] = {}
        self.provider = QComboBox()
        identify(self.provider, "welcomeProvider", self.tr("Provider"))
        self.key = QLineEdit()
        identify(self.key, "welcomeKey", self.tr("Key"))
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.key.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
        self.key.setPlaceholderText(self.tr("Paste the key here"))
        self.link = Button(self.tr("Where do I get a key?"), "link", object_name="welcomeKeyLink")
        self.message = TextLabel("", "secondary", wrap=True, selectable=True, object_name="welcomeKeyMessage")
        self.keyring = KeyringBanner(service.secrets)
        line = QHBoxLayout()
        line.setSpacing(12)
        line.addWidget(self.provider)
        line.addWidget(self.key, 1)
        line.addWidget(self.link)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(line)
        column.addWidget(self.message)
        column.addWidget(self.keyring)
        self.message.hide()
        self.provider.currentIndexChanged.connect(self._provider_changed)
        self.key.textChanged.connect(self._key_changed)
        self.link.clicked.connect(self._open_link)

    async def offer(self) -> None:
        """Fill the list of providers, those with a key first."""
        views = [view for view in await self._service.providers() if view.needs_key]
        if not isValid(self):
            return  # the page was closed while the keyring was asked
        self._views = {view.name: view for view in views}
        self.provider.clear()
        for view in views:
            self.provider.addItem(view.label, view.name)

    @property
    def ready(self) -> bool:
        """Whether there is something to test."""
        view = self._view()
        return view is not None and (view.has_key or bool(self.key.text().strip()))

    async def save(self) -> str:
        """Test and keep the key; the reference of the model that answers from now on, or "" (the form says why)."""
        view = self._view()
        if view is None:
            return ""
        self._say(self.tr("Testing…"), "secondary")
        self.setEnabled(False)
        typed = self.key.text().strip()
        try:
            if typed:
                outcome = await key_test.save_and_test(self._service, view.name, typed)
            else:
                outcome, _error = await key_test.test(self._service, view.name)
        except TrayClawError as error:
            self._say(words(error), "bad")
            self.keyring.show_error(error)
            return ""
        finally:
            self.setEnabled(True)
        if not outcome.works:
            self._say(f"{outcome.word}. {outcome.text}", "bad")
            self.key.setFocus()
            return ""
        self.key.clear()
        self._say(outcome.word, "ok")
        return recommended(view.name, [model.id for model in outcome.models])

    def _view(self) -> ProviderView | None:
        return self._views.get(str(self.provider.currentData() or ""))

    def _provider_changed(self) -> None:
        view = self._view()
        self.link.setVisible(view is not None and bool(view.key_url))
        stored = view is not None and view.has_key
        self.key.setPlaceholderText(
            self.tr("Key stored; paste another to replace it") if stored else self.tr("Paste the key here")
        )
        self._say("", "secondary")
        self.changed.emit()

    def _key_changed(self) -> None:
        self._say("", "secondary")
        self.changed.emit()

    def _say(self, text: str, role: str) -> None:
        self.message.setText(text)
        self.message.set_role(role)
        self.message.setVisible(bool(text))

    def _open_link(self) -> None:
        view = self._view()
        if view is not None:
            QDesktopServices.openUrl(QUrl(view.key_url))


def recommended(provider: str, models: list[str]) -> str:
    """`provider/model`: the one that the catalogue names for a start if it is offered, else the first; "" for none."""
    from agent.providers.catalog import SPECS

    spec = SPECS.get(provider)
    if spec is not None and spec.default_model and (spec.default_model in models or not models):
        return f"{provider}/{spec.default_model}"
    return f"{provider}/{models[0]}" if models else ""
