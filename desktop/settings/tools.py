"""The page "Tools": servers of outside tools (MCP), how they are, and adding one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.events import SettingsChanged
from desktop import tasks
from desktop.settings.add_server import AddServer
from desktop.settings.page import SettingsPage
from desktop.settings.server_row import ServerRow
from desktop.widgets import Button, Card, EmptyState, PageHeader

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class ToolsPage(SettingsPage):
    """Follows the agent: what happens to a server while it is open is seen at once."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        subtitle = self.tr(
            "Programs and services of others that TrayClaw can use (MCP servers). Programs run in the sandbox, every"
            " use asks you first, and what they say is never taken for your words."
        )
        self.add_button = Button(self.tr("Add a server"), "link", glyph="plus", object_name="addServerOpen")
        super().__init__(service, bridge, PageHeader(self.tr("Tools"), subtitle), "toolsPage")
        self._rows: dict[str, ServerRow] = {}
        self.card = Card(object_name="servers", accessible_name=self.tr("Servers"))
        self.form = AddServer(service)
        self.foot = Card(object_name="moreServers", accessible_name=self.tr("More servers"))
        self._form_row = self.foot.add_widget(self.form)
        self._form_row.hide()
        self._button_row = self.foot.add_row(
            self.tr("More tools"), self.tr("A program on this computer or a service with an address."), self.add_button
        )
        self.empty = EmptyState(
            self.tr("No servers yet"),
            self.tr("Issues, calendars, databases: many programs and services offer their tools by MCP."),
            self.tr("Add a server"),
            glyph="plus",
            object_name="toolsEmpty",
        )
        for widget in (self.card, self.foot, self.empty):
            self.add(widget)
        self.add_button.clicked.connect(self._open_form)
        self.empty.action_triggered.connect(self._open_form)
        self.form.closed.connect(self._close_form)
        self.form.added.connect(self._added)
        bridge.settings_changed.connect(self._settings_changed)
        self._show()

    def entered(self) -> None:
        self.service.servers.wake()
        self._show()

    def _settings_changed(self, event: SettingsChanged) -> None:
        if not event.keys or any(key == "mcp" or key.startswith("mcp.") for key in event.keys):
            self._show()

    def _show(self) -> None:
        views = self.service.servers.views()
        for name in [name for name in self._rows if name not in {view.name for view in views}]:
            self.card.remove_row(self._rows.pop(name))
        for view in views:
            row = self._rows.get(view.name)
            if row is None:
                row = ServerRow(self.service, view)
                row.failed.connect(self.show_problem)
                self._rows[view.name] = row
                self.card.append(row)
            else:
                row.show_view(view)
        self._show_parts()

    def _show_parts(self) -> None:
        adding = not self._form_row.isHidden()
        self.card.setVisible(bool(self._rows))
        self.foot.setVisible(bool(self._rows) or adding)
        self.empty.setVisible(not self._rows and not adding)

    def _open_form(self) -> None:
        self._form_row.show()
        self._button_row.hide()
        self._show_parts()
        self.form.begin()
        self.ensureWidgetVisible(self._form_row)

    def _close_form(self) -> None:
        self._form_row.hide()
        self._button_row.show()
        self._show_parts()
        (self.add_button if self._rows else self.empty.action).setFocus()

    def _added(self, name: str) -> None:
        self._close_form()
        self._show()
        if name in self._rows:
            tasks.run(self._rows[name].test())
