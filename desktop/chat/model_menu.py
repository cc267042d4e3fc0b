"""The menu that chooses the model of one conversation: the default, the starter, and what each provider offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from agent.errors import TrayClawError
from agent.settings import STARTER
from agent.views import ProviderView
from desktop import tasks
from desktop.state import model_label

if TYPE_CHECKING:
    from agent.service import AgentService

MOST_MODELS = 40


class ModelMenu(QMenu):
    """`chosen(reference)`, "" for the default; `settings_requested` where a model can be added."""

    chosen = Signal(str)
    settings_requested = Signal()

    def __init__(self, service: AgentService, current: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("modelMenu")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._service = service
        self._current = current
        default = model_label(service.settings.model.default)
        self._add(self, self.tr("Default ({model})").format(model=default), "")
        self._add(self, model_label(STARTER), STARTER)
        if current not in ("", STARTER):
            self._add(self, current, current)
        self._before = self.addSeparator()
        self.addAction(self.tr("Add a model…"), self.settings_requested.emit)
        tasks.run(self._offer(), "providers")

    async def _offer(self) -> None:
        try:
            providers = await self._service.providers()
        except TrayClawError:
            return  # the menu has what it needs without them
        own = self._service.settings.providers
        default = self._service.settings.model.default.partition("/")[0]
        usable = [
            one for one in providers if one.name != STARTER and (one.has_key or one.name in own or one.name == default)
        ]
        try:
            for provider in usable:
                menu = QMenu(provider.label, self)
                menu.addAction(self.tr("Loading…")).setEnabled(False)
                menu.aboutToShow.connect(lambda menu=menu, provider=provider: self._fill(menu, provider))
                self.insertMenu(self._before, menu)
        except RuntimeError:
            return  # closed meanwhile

    def _fill(self, menu: QMenu, provider: ProviderView) -> None:
        if not menu.property("asked"):
            menu.setProperty("asked", True)
            tasks.run(self._list(menu, provider), "models")

    async def _list(self, menu: QMenu, provider: ProviderView) -> None:
        try:
            names = [model.id for model in await self._service.list_models(provider.name)]
            words = "" if names else self.tr("It offers no models")
        except TrayClawError as error:
            names, words = [], error.title
        try:
            menu.clear()
            for name in sorted(names)[:MOST_MODELS]:
                self._add(menu, name, f"{provider.name}/{name}")
            if len(names) > MOST_MODELS:
                words = self.tr("{n} more in the settings").format(n=len(names) - MOST_MODELS)
            if words:
                menu.addAction(words).setEnabled(False)
        except RuntimeError:
            return  # closed meanwhile

    def _add(self, menu: QMenu, text: str, reference: str) -> QAction:
        action = menu.addAction(text.replace("&", "&&"), lambda: self.chosen.emit(reference))
        action.setCheckable(True)
        action.setChecked(reference == self._current)
        return action
