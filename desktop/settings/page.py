"""What all pages of the settings share: they read when they are shown, and say in their place what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QShowEvent

from agent.errors import TrayClawError
from desktop import tasks
from desktop.widgets import Banner, Page, PageHeader

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class SettingsPage(Page):
    """A page with a header and, when something could not be done, a banner below it."""

    def __init__(self, service: AgentService, bridge: Bridge, header: PageHeader, object_name: str) -> None:
        super().__init__(header, object_name=object_name)
        self.service = service
        self.bridge = bridge
        self.header = header
        self.problem = Banner("error", closable=True, object_name=f"{object_name}_problem")
        self.problem.hide()
        self.add(self.problem)

    def entered(self) -> None:
        """The page is shown: read what it shows."""

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not event.spontaneous():
            self.entered()

    def show_problem(self, error: TrayClawError) -> None:
        """Say it in words, with the next step."""
        self.problem.set_message("error", error.title, words(error))
        self.problem.show()
        self.ensureWidgetVisible(self.problem)

    def change(self, values: Mapping[str, Any]) -> None:
        """Write settings at once; what goes wrong is shown, and the page reads again what holds."""
        tasks.run(self._change(values))

    async def _change(self, values: Mapping[str, Any]) -> None:
        try:
            await self.service.change_settings(values)
            self.problem.hide()
        except TrayClawError as error:
            self.show_problem(error)
            self.entered()


def words(error: TrayClawError) -> str:
    """What happened and what to do next, in one paragraph."""
    return " ".join(part for part in (str(error), error.hint) if part)
