"""MCP servers behind a real toolbox: what the service wires, with everything it needs on a private folder."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.providers.types import ToolResult
from agent.safety.grants import Rule
from agent.safety.sandbox import Sandbox
from agent.safety.sandbox.choose import Fences
from agent.safety.workspace import Workspace
from agent.settings import McpServerSettings, NetworkSettings
from agent.storage.pins import Pin
from agent.tools.builtin import built_in_toolbox
from agent.tools.finding import Finder
from agent.tools.mcp import McpServers
from agent.tools.mcp_reach import McpParts
from tests.agent.tool_desk import ToolDesk

ROOT = Path(__file__).resolve().parents[2]


def official(**options: Any) -> McpServerSettings:
    """The official library's server as a program."""
    env = {"PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return McpServerSettings(command=sys.executable, args=("-m", "tests.peers.mcp_tools"), env=env, **options)


def hostile(*what: str, **options: Any) -> McpServerSettings:
    """A program that misbehaves in this way."""
    program = str(ROOT / "tests" / "peers" / "mcp_hostile.py")
    return McpServerSettings(command=sys.executable, args=(program, *what), **options)


class Book:
    """Pins in memory."""

    def __init__(self) -> None:
        self.pins: dict[str, Pin] = {}

    async def every(self) -> dict[str, Pin]:
        return dict(self.pins)

    async def put(self, pin: Pin) -> None:
        self.pins[pin.name] = pin

    async def forget(self, prefix: str) -> None:
        self.pins = {name: pin for name, pin in self.pins.items() if not name.startswith(prefix)}


class McpDesk(ToolDesk):
    """`servers` are the settings; change them and call `mcp.follow`."""

    def __init__(self, root: Path, servers: dict[str, McpServerSettings], sandbox: Sandbox | None, **scope: Any):
        self.servers = servers
        self.book = Book()
        self.secrets: dict[str, str] = {}
        self.permitted: set[str] = set()
        self.changes: list[str] = []

        async def fence() -> Sandbox | None:
            return sandbox

        async def secret(name: str) -> str | None:
            return self.secrets.get(name)

        async def permitted(rule: Rule) -> bool:
            return rule.value in self.permitted

        self.mcp = McpServers(
            McpParts(
                servers=lambda: self.servers,
                network=NetworkSettings,
                workspace=lambda: self.scope.workspace,
                fence=fence,
                secret=secret,
                permitted=permitted,
                pins=self.book,
                changed=self.changes.append,
            )
        )
        self.finder = Finder(
            lambda: (tool for tool in self.mcp.tools() if tool.deferred), self.mcp.names, self.mcp.ready
        )
        toolbox = built_in_toolbox((), lambda: (*self.finder.tools(), *self.mcp.tools()))
        super().__init__(root, toolbox=toolbox, sandbox=sandbox, **scope)
        # A fence hides the home and /tmp, where this checkout may lie.
        folders = tuple((Path(folder), False) for folder in dict.fromkeys((str(ROOT), sys.prefix, sys.base_prefix)))
        self.scope = replace(self.scope, workspace=Workspace(self.folder, (self.own,), home=self.home, folders=folders))

    def offered(self) -> list[str]:
        """Names of the tools in the prompt of this conversation."""
        return [spec.name for spec in self.toolbox.specs(self.finder.revealed(self.scope.conversation_id))]

    def state(self, name: str) -> tuple[str, str]:
        view = next(view for view in self.mcp.views() if view.name == name)
        return view.state, view.detail

    async def find(self, query: str) -> ToolResult:
        return await self.call("tool_search", query=query)


@asynccontextmanager
async def mcp_desk(
    root: Path, *, fenced: bool = True, sandbox: Sandbox | None = None, **servers: McpServerSettings
) -> AsyncIterator[McpDesk]:
    """A desk with these servers, stopped at the end; behind the best fence there is unless one is given."""
    if fenced and sandbox is None:
        sandbox = await Fences(root / "home").get("auto")
    desk = McpDesk(root, dict(servers), sandbox)
    try:
        yield desk
    finally:
        await desk.mcp.close()


def children_of(mark: str) -> list[int]:
    """Processes with this word among their arguments (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
