"""One skill in the settings: where it stands, and, opened, all of its text or what changed, with what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from agent.errors import TrayClawError
from agent.views import SkillState, SkillText, SkillView
from desktop import tasks
from desktop.chat.markdown.code_card import CodeText
from desktop.widgets import Button, Row, Status, StatusDot

if TYPE_CHECKING:
    from agent.service import AgentService

STATUS: dict[SkillState, Status] = {
    "built in": "ok",
    "accepted": "ok",
    "new": "warn",
    "changed": "warn",
    "unusable": "bad",
}
MOST_LINES = 18


class SkillRow(Row):
    """`failed(error)` for what the page should say. Accept is offered below the text only: nobody accepts unseen."""

    failed = Signal(object)

    def __init__(self, service: AgentService, view: SkillView, parent: QWidget | None = None) -> None:
        super().__init__(view.name, object_name=f"skill-{view.name}", parent=parent)
        self._service = service
        self._view = view
        self._shown: SkillText | None = None
        self.status = StatusDot("off", "", subject=view.name, object_name=f"skillStatus-{view.name}")
        self.opener = Button("", object_name=f"skillShow-{view.name}")
        self.text = CodeText(self.tr("Text of {name}").format(name=view.name), most_lines=MOST_LINES, wrap=True)
        self.accept = Button(self.tr("Accept"), "primary", object_name=f"skillAccept-{view.name}")
        self.withdraw = Button(self.tr("Withdraw"), "danger", object_name=f"skillWithdraw-{view.name}")
        self.folder = Button(self.tr("Open folder"), object_name=f"skillFolder-{view.name}")
        for button in (self.accept, self.withdraw, self.folder):
            button.setAccessibleName(f"{button.text()}: {view.name}")
        self.details = self._lay_out()
        self.add_trailing(self.status, self.opener)
        self.add_below(self.details)
        self.details.hide()
        self.opener.clicked.connect(self._toggle)
        self.accept.clicked.connect(lambda: tasks.run(self._accept()))
        self.withdraw.clicked.connect(lambda: tasks.run(self._withdraw()))
        self.folder.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._view.folder))))
        self.show_view(view)

    def _lay_out(self) -> QWidget:
        details = QWidget()
        frame = QFrame()
        frame.setProperty("code", True)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(12, 8, 12, 8)
        inside.addWidget(self.text)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for button in (self.accept, self.withdraw, self.folder):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout(details)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(frame)
        column.addLayout(buttons)
        return details

    def show_view(self, view: SkillView) -> None:
        """Show where it stands; an open text is read again when it is another one."""
        again = view != self._view and not self.details.isHidden()
        self._view = view
        self.status.set_status(*self._status())
        self.set_detail(self._detail(), "bad" if view.problem else "secondary")
        self.set_tone("amber" if view.state in ("new", "changed") and not view.lacks else "")
        self.opener.setVisible(view.state != "unusable")
        self._name_opener()
        if view.state == "unusable":
            self._close()
        elif again:
            tasks.run(self._read())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.PaletteChange) and hasattr(self, "text"):
            self.text.restyle()

    def _status(self) -> tuple[Status, str]:
        view = self._view
        words = {
            "built in": self.tr("Built in"),
            "accepted": self.tr("Accepted"),
            "new": self.tr("New"),
            "changed": self.tr("Changed"),
            "unusable": self.tr("Cannot be used"),
        }
        if view.lacks and view.state != "unusable":
            return "off", self.tr("Lacks {what}").format(what=view.lacks[0])
        return STATUS[view.state], words[view.state]

    def _detail(self) -> str:
        view = self._view
        if view.problem:
            return self.tr("{where}: {problem}.").format(where=view.shown, problem=view.problem)
        more = self.tr("It also lacks {what}.").format(what=", ".join(view.lacks[1:])) if view.lacks[1:] else ""
        new = {
            "new": self.tr("You have not accepted it: its first use asks."),
            "changed": self.tr("It has changed since you accepted it: its next use asks."),
        }.get(view.state, "")
        return "\n".join(part for part in (view.description, more, new) if part)

    def _name_opener(self) -> None:
        closed = self.details.isHidden()
        words = self.tr("Show changes") if self._view.state == "changed" else self.tr("Show")
        self.opener.setText(words if closed else self.tr("Hide"))
        self.opener.setAccessibleName(f"{self.opener.text()}: {self._view.name}")

    def _toggle(self) -> None:
        if self.details.isHidden():
            tasks.run(self._read())
        else:
            self._close()

    def _close(self) -> None:
        self.details.hide()
        self._shown = None
        self._name_opener()

    async def _read(self) -> None:
        try:
            shown = await self._service.skills.show(self._view.name)
        except TrayClawError as error:
            self._close()
            self.failed.emit(error)
            return
        self._shown = shown
        self.text.setPlainText(shown.text)
        self.accept.setVisible(shown.state in ("new", "changed"))
        self.withdraw.setVisible(shown.state in ("accepted", "changed"))
        self.folder.setVisible(shown.state != "built in")
        self.details.show()
        self._name_opener()

    async def _accept(self) -> None:
        if self._shown is None:
            return
        try:
            await self._service.skills.accept_named(self._shown.name, self._shown.digest)
        except TrayClawError as error:
            self.failed.emit(error)
            await self._read()

    async def _withdraw(self) -> None:
        try:
            await self._service.skills.withdraw(self._view.name)
        except TrayClawError as error:
            self.failed.emit(error)
