"""The page of MCP servers: added, seen as they are, switched, tried, removed."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu, QWidget
from shiboken6 import isValid

from agent.service import AgentService
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.settings.server_row import ServerRow
from desktop.settings.tools import ToolsPage
from desktop.settings.window import SettingsWindow
from tests.desktop.waiting import until

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ROOT / "tests" / "peers" / "mcp_hostile.py"


@pytest.fixture
async def page(service: AgentService, bridge: Bridge) -> AsyncIterator[ToolsPage]:
    window = SettingsWindow(service, bridge)
    window.show_page("tools")
    window.show()
    made = window.page("tools")
    assert isinstance(made, ToolsPage)
    yield made
    await tasks.cancel_all()
    window.close()
    window.deleteLater()
    await until(lambda: not isValid(window), "the window to go")


def row(page: ToolsPage, name: str) -> ServerRow:
    found = page.findChild(ServerRow, f"server-{name}")
    assert found is not None
    return found


async def add(page: ToolsPage, name: str, where: str) -> ServerRow:
    """By keyboard, from wherever one starts."""
    (page.add_button if page.empty.isHidden() else page.empty.action).click()
    page.form.name.setText(name)
    page.form.where.setText(where)
    QTest.keyClick(page.form.where, Qt.Key.Key_Return)
    await until(lambda: page.findChild(ServerRow, f"server-{name}"), "its row")
    return row(page, name)


async def test_nothing_yet_says_what_would_be_here(page: ToolsPage) -> None:
    assert not page.empty.isHidden() and page.card.isHidden() and page.foot.isHidden()
    page.empty.action.click()
    assert page.empty.isHidden() and not page.form.save.isEnabled()
    page.form.cancel.click()
    assert not page.empty.isHidden() and page.empty.action.hasFocus()


@pytest.mark.qt_log_ignore("This plugin does not support grabbing the (keyboard|mouse)", extend=True)
async def test_a_program_is_added_tried_listed_switched_off_and_removed(page: ToolsPage, service: AgentService) -> None:
    server = await add(page, "hostile", f"{sys.executable} {HOSTILE} chatty")
    await until(lambda: server.status.text() == "Ready, 1 tool", "the server")
    server.offers.click()
    assert server.list.text().endswith("look: Look something up.") and "nobody has checked" in server.list.text()
    server.switch.click()
    await until(lambda: server.status.text() == "Off", "it to stop")
    await until(server.switch.isEnabled, "the switch")
    assert not service.settings.mcp["hostile"].enabled and server.list.isHidden()
    server.switch.click()
    await until(lambda: server.status.text() == "Ready, 1 tool", "it to start")

    server.more.click()
    await until(lambda: page.findChildren(QMenu), "the menu")
    [menu] = page.findChildren(QMenu)
    next(action for action in menu.actions() if action.objectName() == "remove").trigger()
    menu.close()
    assert server.keep.hasFocus() and not server.confirm.isHidden()
    server.confirm.click()
    await until(lambda: not page.empty.isHidden(), "it to go")
    assert service.settings.mcp == {}


async def test_why_a_server_failed_is_said_where_it_is(page: ToolsPage) -> None:
    server = await add(page, "absent", "no-such-program --here")
    await until(lambda: server.status.text() == "Failed", "the failure")
    assert server.detail.text() == "no-such-program --here"
    assert server.why.text() == "There is no program no-such-program." and not server.why.isHidden()


async def test_without_a_sandbox_it_waits_for_the_person(page: ToolsPage, service: AgentService) -> None:
    await service.change_settings({"safety.sandbox": "off"})
    server = await add(page, "hostile", f"{sys.executable} {HOSTILE} chatty")
    await until(lambda: not server.allow.isHidden(), "the question")
    assert server.status.text() == "Needs your permission" and "all your rights" in server.why.text()
    server.allow.click()
    await until(lambda: server.status.text() == "Ready, 1 tool", "the server")
    assert server.allow.isHidden()


async def test_what_cannot_be_added_is_said_and_stays_in_the_fields(page: ToolsPage, service: AgentService) -> None:
    page.empty.action.click()
    for name, where, words in (
        ("two words", "program", "cannot be its name"),
        ("a", "https://", "no address"),
        ("a", 'program "open', "not closed"),
    ):
        page.form.name.setText(name)
        page.form.where.setText(where)
        page.form.save.click()
        await until(lambda expected=words: expected in page.form.message.text(), words)
        assert page.form.where.text() == where
    assert service.settings.mcp == {}
    page.form.where.setText("https://example.org/mcp")
    assert page.form.network.isHidden()


async def test_pictures(
    page: ToolsPage,
    service: AgentService,
    palette: theme.Palette,
    screenshot: Callable[[QWidget, str], Path],
) -> None:
    window = page.window()
    screenshot(window, "settings-tools-empty")
    server = await add(page, "calendar", f"{sys.executable} {HOSTILE} chatty")
    await until(lambda: server.status.text() == "Ready, 1 tool", "the server")
    server.offers.click()
    failed = await add(page, "issues", "issues-mcp --read-only")
    await until(lambda: failed.status.text() == "Failed", "the failure")
    await service.change_settings({"mcp.archive.url": "https://archive.example/mcp", "mcp.archive.enabled": False})
    await until(lambda: page.findChild(ServerRow, "server-archive"), "the third")
    page.add_button.click()
    screenshot(window, "settings-tools")
    assert json.dumps([view.name for view in service.servers.views()]) == '["calendar", "issues", "archive"]'
