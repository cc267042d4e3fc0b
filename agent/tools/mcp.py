"""The MCP servers of the settings: their tools as tools of the agent, what was accepted of them, and how they are.

A server is started when the first turn begins after the settings named it. Its tools wait for tool_search; the few that
a person has used, and with it accepted, are in the prompt.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from agent.errors import ToolError, UsageError
from agent.providers.types import ToolSpec
from agent.safety.effects import Effect, one_line, visible
from agent.safety.grants import Rule
from agent.settings import McpServerSettings
from agent.storage.pins import Pin
from agent.tools.mcp_listing import ListedTool, call_names
from agent.tools.mcp_reach import McpParts, plan, unfenced_rule, where
from agent.tools.mcp_results import outcome, source_of
from agent.tools.mcp_server import McpServer, Plan
from agent.tools.tool import Outcome, Tool, ToolContext
from agent.views import McpServerView, McpToolView

MOST_SHOWN = 12
"""Accepted tools that are in the prompt; with more than these all of them are found by tool_search."""
WAIT_SECONDS = 20.0
"""How long a search waits for servers that are just being started."""
_LONGEST_DIFFERENCE = 4_000


class McpServers:
    """All of them; lives on the loop."""

    def __init__(self, parts: McpParts) -> None:
        self._parts = parts
        self._running: dict[str, tuple[McpServerSettings, McpServer]] = {}
        self._pins: dict[str, Pin] | None = None
        self._made: tuple[Tool, ...] | None = None
        self._ready_made: dict[tuple[str, str, str, bool], Tool] = {}
        self._awake = self._closed = False
        self._ending: set[asyncio.Task[None]] = set()

    def tools(self) -> tuple[Tool, ...]:
        """What can be called now; the order stays the same."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def names(self) -> tuple[str, ...]:
        """Enabled servers that have tools to find, or may have."""
        later = {tool.origin for tool in self.tools() if tool.deferred}
        return tuple(
            name
            for name, settings in self._parts.servers().items()
            if settings.enabled and (source_of(name) in later or not self._is_ready(name))
        )

    def wake(self) -> None:
        """Start what is enabled and does not run, without waiting."""
        self._awake = True
        for name, settings in self._parts.servers().items():
            if settings.enabled and not self._closed:
                self._server(name, settings).wake()

    async def ready(self) -> str:
        """Wait a while for servers that are just being started; in words, which are not there."""
        self.wake()
        waiting = [asyncio.ensure_future(server.settled()) for _, server in self._running.values()]
        if waiting:
            try:
                await asyncio.wait(waiting, timeout=WAIT_SECONDS)
            finally:
                for task in waiting:
                    task.cancel()
        missing = [name for name in self._running if not self._is_ready(name)]
        return f"Not available now: {', '.join(missing)}." if missing else ""

    async def follow(self) -> None:
        """Do what the settings say now."""
        wanted = self._parts.servers()
        for name, (settings, _) in list(self._running.items()):
            if wanted.get(name) != settings:
                await self._end(name)
                self._server_changed(name)
        self._made = None
        if self._awake:
            self.wake()

    async def restart(self, name: str) -> McpServerView:
        """Connect anew and tell how it went. Raises `UsageError`."""
        settings = self._settings(name)
        await self._end(name)
        server = self._server(name, settings)
        server.wake()
        await server.settled()
        return next(view for view in self.views() if view.name == name)

    async def forget(self, name: str) -> None:
        """Nothing of it counts as accepted any more. Raises `UsageError`."""
        self._settings(name)
        await self._parts.pins.forget(f"{name}/")
        self._pins = await self._parts.pins.every()
        self._made = None

    async def close(self) -> None:
        """End all of them."""
        self._closed = True
        await asyncio.gather(*map(self._end, list(self._running)), *self._ending)

    def views(self) -> tuple[McpServerView, ...]:
        """How they are, in the order of the settings."""
        return tuple(self._view(name, settings) for name, settings in self._parts.servers().items())

    def unfenced_rule(self, name: str) -> Rule:
        """What permits starting this program without a fence. Raises `UsageError`."""
        return unfenced_rule(name, self._settings(name))

    # --- tools ------------------------------------------------------------------------------------------------------
    def _make(self) -> tuple[Tool, ...]:
        every = [(name, tool) for name, (_, server) in sorted(self._running.items()) for tool in server.tools]
        accepted = {(name, tool.name) for name, tool in every if self._accepted(name, tool)}
        names = call_names((name, tool.name) for name, tool in every)
        return tuple(
            self._tool(
                server,
                tool,
                names[server, tool.name],
                deferred=len(accepted) > MOST_SHOWN or (server, tool.name) not in accepted,
            )
            for server, tool in every
        )

    def _make_early(self, server: str, tools: Sequence[ListedTool]) -> None:
        """In a thread: thousands would hold the loop."""
        self._ready_made = {key: tool for key, tool in list(self._ready_made.items()) if key[0] != server}
        for listed, name in zip(tools, call_names((server, tool.name) for tool in tools).values(), strict=True):
            self._tool(server, listed, name, deferred=True)

    def _is_ready(self, server: str) -> bool:
        return server in self._running and self._running[server][1].state == "ready"

    def _accepted(self, server: str, tool: ListedTool) -> bool:
        pin = (self._pins or {}).get(_pin_name(server, tool))
        return pin is not None and pin.hash == tool.digest

    def _tool(self, server: str, listed: ListedTool, name: str, *, deferred: bool) -> Tool:
        key = server, listed.digest, name, deferred
        if key not in self._ready_made:
            self._ready_made[key] = self._fresh(server, listed, name, deferred=deferred)
        return self._ready_made[key]

    def _fresh(self, server: str, listed: ListedTool, name: str, *, deferred: bool) -> Tool:
        settings = self._running[server][0]
        place = where(settings)

        def describe(context: ToolContext, /, **arguments: Any) -> Effect:
            _, running = self._running.get(server, (None, None))
            current = next((tool for tool in running.tools if tool.name == listed.name), None) if running else None
            if current is None or current.digest != listed.digest:
                raise ToolError(f"{server} has changed this tool. Look for it again with tool_search.")
            given = visible(json.dumps(arguments, ensure_ascii=False, indent=1))
            parts = [f"{listed.name} on the MCP server {server} ({visible(place)})", given, self._news(server, listed)]
            return Effect(
                "use",
                f"Use {one_line(listed.name, 40)} of {server}",
                # A program may change files while it works: the receipt notes which, and undo covers them.
                (context.workspace.place("."),) if settings.command else (),
                title=f"Use a tool of the MCP server {server}?",
                action="\n\n".join(part for part in parts if part),
                network=bool(settings.url) or settings.network,
                hosts=_hosts(settings),
                digest=listed.digest,
                always=Rule(
                    "tool", "use", listed.digest, f"using {one_line(listed.name, 40)} of the MCP server {server}"
                ),
            )

        async def use(context: ToolContext, /, **arguments: Any) -> Outcome:
            await self._accept(server, listed)
            try:
                if server not in self._running:
                    raise ToolError(f"The MCP server {server} was ended.")
                result = await self._running[server][1].call(listed.name, arguments)
            except ToolError as error:
                return Outcome(str(error), ok=False, source=source_of(server))
            return await asyncio.to_thread(outcome, result, server, context.max_chars)

        spec = ToolSpec(name, listed.description or f"{listed.name} of {server}", listed.parameters)
        return Tool(use, "use", describe, seconds=None, deferred=deferred, given=spec, origin=source_of(server))

    def _news(self, server: str, tool: ListedTool) -> str:
        """What the person has not seen yet of what the server says about a tool: all of it, or what changed."""
        pin = (self._pins or {}).get(_pin_name(server, tool))
        if pin is None:
            return f"Not used before. This is what the server says about it, and nobody has checked it:\n{tool.said}"
        if pin.hash == tool.digest:
            return ""
        before, now = pin.content.splitlines(), tool.said.splitlines()
        lines = difflib.unified_diff(before, now, "before", "now", n=1, lineterm="")
        text = "\n".join(lines)
        if not text:
            return "The server is started in another way than before, or says other things that are not shown here."
        cut = text if len(text) <= _LONGEST_DIFFERENCE else text[:_LONGEST_DIFFERENCE] + "\n[…]"
        return f"The server says something else about it than when you used it last:\n{cut}"

    async def _accept(self, server: str, tool: ListedTool) -> None:
        """It runs because a person allowed it, and saw what is said about it."""
        if self._accepted(server, tool):
            return
        pin = Pin(_pin_name(server, tool), tool.digest, tool.said)
        await self._parts.pins.put(pin)
        if self._pins is not None:
            self._pins[pin.name] = pin
        self._made = None

    # --- servers ----------------------------------------------------------------------------------------------------
    def _server(self, name: str, settings: McpServerSettings) -> McpServer:
        if name not in self._running:
            server = McpServer(
                name,
                lambda: self._plan(name, settings),
                lambda: self._server_changed(name),
                lambda tools: self._make_early(name, tools),
            )
            self._running[name] = settings, server
        return self._running[name][1]

    async def _end(self, name: str) -> None:
        """End one that runs; it ends as well when nobody waits for that any more."""
        if name in self._running:
            task = asyncio.create_task(self._running.pop(name)[1].close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            await asyncio.shield(task)

    async def _plan(self, name: str, settings: McpServerSettings) -> Plan:
        if self._pins is None:
            self._pins = await self._parts.pins.every()
        return await plan(name, settings, self._parts)

    def _server_changed(self, name: str) -> None:
        self._made = None
        self._parts.changed(name)

    def _settings(self, name: str) -> McpServerSettings:
        settings = self._parts.servers().get(name)
        if settings is None:
            raise UsageError(f"There is no MCP server {name}.", hint="See `trayclaw mcp list`.")
        return settings

    def _view(self, name: str, settings: McpServerSettings) -> McpServerView:
        running = self._running.get(name)
        place = where(settings)
        if running is None or not settings.enabled:
            return McpServerView(name, place, settings.enabled, "idle" if settings.enabled else "off", "", ())
        server = running[1]
        tools = tuple(McpToolView(tool.name, tool.description, self._accepted(name, tool)) for tool in server.tools)
        return McpServerView(name, place, settings.enabled, server.state, server.detail, tools)


def _hosts(settings: McpServerSettings) -> tuple[str, ...]:
    host = urlsplit(settings.url).hostname if settings.url else None
    return (host,) if host else ()


def _pin_name(server: str, tool: ListedTool) -> str:
    return f"{server}/{tool.name}"
