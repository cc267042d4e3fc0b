"""One MCP server in the settings: how it is, its switch, what it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QMenu, QWidget

from agent.errors import TrayClawError
from agent.views import McpServerView, McpState
from desktop import tasks
from desktop.widgets import Button, GlyphButton, Row, Status, StatusDot, TextLabel, ToggleSwitch

if TYPE_CHECKING:
    from agent.service import AgentService

MOST_SHOWN = 40
"""Tools in the list below a server."""
STATUS: dict[McpState, tuple[Status, str]] = {
    "off": ("off", "Off"),
    "idle": ("off", "Starts when needed"),
    "connecting": ("busy", "Connecting…"),
    "ready": ("ok", "Ready"),
    "failed": ("bad", "Failed"),
    "unfenced": ("warn", "Needs your permission"),
}


class ServerRow(Row):
    """`failed(error)` for what the page should say."""

    failed = Signal(object)

    def __init__(self, service: AgentService, view: McpServerView, parent: QWidget | None = None) -> None:
        name = view.name
        super().__init__(name, object_name=f"server-{name}", parent=parent)
        self._service = service
        self._view = view
        self.status = StatusDot("off", "", subject=name, object_name=f"serverStatus-{name}")
        self.switch = ToggleSwitch(
            view.enabled, object_name=f"serverSwitch-{name}", accessible_name=self.tr("{name} on").format(name=name)
        )
        self.more = GlyphButton("more", self.tr("More for {name}").format(name=name), object_name=f"serverMore-{name}")
        self.allow = Button(self.tr("Start without a sandbox"), "danger", object_name=f"serverAllow-{name}")
        self.confirm = Button(self.tr("Remove"), "danger", object_name=f"serverRemoveConfirm-{name}")
        self.keep = Button(self.tr("Keep"), object_name=f"serverRemoveKeep-{name}")
        self.add_trailing(self.status, self.allow, self.switch, self.more, self.confirm, self.keep)
        self.offers = Button("", "link", object_name=f"serverOffers-{name}")
        self.list = TextLabel("", "secondary", wrap=True, selectable=True, object_name=f"serverTools-{name}")
        self.why = TextLabel("", "bad", wrap=True, selectable=True, object_name=f"serverWhy-{name}")
        self.why.setProperty("small", True)
        self.add_below(self.why)
        self.add_below(self.offers)
        self.add_below(self.list)
        self.list.hide()
        self.offers.clicked.connect(self._open_or_close)
        self.switch.toggled.connect(lambda on: tasks.run(self._switch(on)))
        self.more.clicked.connect(self._open_menu)
        self.allow.clicked.connect(lambda: tasks.run(self._permit()))
        self.confirm.clicked.connect(lambda: tasks.run(self._remove()))
        self.keep.clicked.connect(lambda: self.show_view(self._view))
        self.show_view(view)

    def show_view(self, view: McpServerView) -> None:
        """Show how it is now; an open list stays open."""
        self._view = view
        status, word = STATUS[view.state]
        if view.state == "ready":
            count = len(view.tools)
            word = self.tr("Ready, 1 tool") if count == 1 else self.tr("Ready, {n} tools").format(n=f"{count:,}")
            self.status.set_status(status, word)
        else:
            self.status.set_status(status, self.tr(word))
        self.switch.blockSignals(True)
        self.switch.setChecked(view.enabled)
        self.switch.blockSignals(False)
        for widget in (self.status, self.switch, self.more):
            widget.show()
        self.allow.setVisible(view.state == "unfenced")
        self.confirm.hide()
        self.keep.hide()
        self.set_tone("amber" if view.state == "unfenced" else "")
        self.set_detail(view.where)
        self.why.setText(view.detail)
        self.why.setVisible(bool(view.detail) and view.state != "connecting")
        self.why.set_role("bad" if view.state == "failed" else "warn")
        self.offers.setVisible(bool(view.tools))
        if not view.tools:
            self.list.hide()
        self._show_tools()

    def _show_tools(self) -> None:
        is_open = not self.list.isHidden()
        self.offers.setText(self.tr("Hide its tools") if is_open else self.tr("Show its tools"))
        self.offers.setAccessibleName(f"{self.offers.text()}: {self._view.name}")
        if is_open:
            lines = [f"{tool.name}: {tool.description}" for tool in self._view.tools[:MOST_SHOWN]]
            rest = len(self._view.tools) - MOST_SHOWN
            lines += [self.tr("and {n:,} more").format(n=rest)] if rest > 0 else []
            words = self.tr("In the server's own words, which nobody has checked:")
            self.list.setText("\n".join([words, *lines]))

    def _open_or_close(self) -> None:
        self.list.setVisible(self.list.isHidden())
        self._show_tools()

    def _open_menu(self) -> None:
        menu = QMenu(self)
        for text, name, slot in (
            (self.tr("Test"), "test", lambda: tasks.run(self.test())),
            (self.tr("Remove…"), "remove", self._ask_removal),
        ):
            action = menu.addAction(text)
            action.setObjectName(name)
            action.setEnabled(name != "test" or self._view.enabled)
            action.triggered.connect(lambda _checked=False, act=slot: act())
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    async def test(self) -> None:
        """Connect anew."""
        try:
            self.show_view(await self._service.servers.test(self._view.name))
        except TrayClawError as error:
            self.failed.emit(error)

    async def _switch(self, on: bool) -> None:
        self.switch.setEnabled(False)
        try:
            await self._service.change_settings({f"mcp.{self._view.name}.enabled": on})
            if on:
                self._service.servers.wake()
        except TrayClawError as error:
            self.failed.emit(error)
        finally:
            self.switch.setEnabled(True)

    async def _permit(self) -> None:
        try:
            await self._service.servers.permit_unfenced(self._view.name)
        except TrayClawError as error:
            self.failed.emit(error)

    def _ask_removal(self) -> None:
        self.set_tone("amber")
        self.set_detail(self.tr("Its tools go. When you add it again, its first calls show what it says about them."))
        for widget in (self.switch, self.more, self.status, self.allow, self.why):
            widget.hide()
        self.confirm.show()
        self.keep.show()
        self.keep.setFocus()

    async def _remove(self) -> None:
        try:
            await self._service.servers.remove(self._view.name)
        except TrayClawError as error:
            self.failed.emit(error)
