"""The page "Skills": instructions for certain tasks, the person's own and those that came along."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from agent.errors import TrayClawError, UsageError
from agent.views import SkillView
from desktop import tasks
from desktop.settings.page import SettingsPage
from desktop.settings.skill_row import SkillRow
from desktop.widgets import Button, Card, PageHeader, TextLabel

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class SkillsPage(SettingsPage):
    """Read again when the page is shown, after each turn, and when one is accepted elsewhere."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        subtitle = self.tr(
            "Instructions for certain tasks. TrayClaw follows one only as you accepted it; a new or changed one asks."
        )
        super().__init__(service, bridge, PageHeader(self.tr("Skills"), subtitle), "skillsPage")
        self._rows: dict[str, SkillRow] = {}
        self._reading: asyncio.Task[None] | None = None
        self._again = False
        self.own = Card(object_name="ownSkills", accessible_name=self.tr("Your skills"))
        self.open_folder = Button(self.tr("Open folder"), object_name="skillsFolder")
        self.open_folder.setAccessibleName(self.tr("Open the folder of your skills"))
        self.place = self.own.add_row(self.tr("Your skills"), "", self.open_folder, object_name="skillsPlace")
        self.shipped_title = TextLabel(self.tr("Built in"), "heading")
        self.shipped = Card(object_name="shippedSkills", accessible_name=self.tr("Built-in skills"))
        for widget in (self.own, self.shipped_title, self.shipped):
            self.add(widget)
        self.open_folder.clicked.connect(lambda: tasks.run(self._open_folder()))
        bridge.settings_changed.connect(self._something_changed)
        bridge.turn_finished.connect(self._something_changed)

    def entered(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._again = True
            return
        self._reading = tasks.run(self._read())

    def _something_changed(self, _event: object) -> None:
        if self.isVisible():
            self.entered()

    async def _read(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                skills = await self.service.skills.every()
            except TrayClawError as error:
                self.show_problem(error)
                return
            self._show(skills)

    def _show(self, skills: list[SkillView]) -> None:
        for place in self._rows.keys() - {view.shown for view in skills}:
            row = self._rows.pop(place)
            (self.own if row in self.own.rows() else self.shipped).remove_row(row)
        for view in skills:
            known = self._rows.get(view.shown)
            if known is not None:
                known.show_view(view)
            else:
                known = self._rows[view.shown] = SkillRow(self.service, view)
                known.failed.connect(self.show_problem)
            (self.shipped if view.shipped else self.own).append(known)
        none = self.tr("None yet. Put a folder with a SKILL.md there, or let TrayClaw make one of what it just did.")
        own = any(not view.shipped for view in skills)
        self.place.set_detail(self.tr("In the folder “skills” of the workspace.") if own else none)
        self.shipped.setVisible(any(view.shipped for view in skills))
        self.shipped_title.setVisible(any(view.shipped for view in skills))

    async def _open_folder(self) -> None:
        folder = self.service.workspace().root / "skills"
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            self.show_problem(
                UsageError(
                    f"{folder} cannot be made: {error.strerror}.",
                    title="The folder cannot be opened",
                    hint="Make the workspace writable.",
                )
            )
            return
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
