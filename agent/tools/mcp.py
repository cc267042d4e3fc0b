"""The MCP servers of the settings: their tools as tools of the agent, what was accepted of them, and how they are.

A server is started when the first turn begins after the settings named it. Its tools wait for tool_search; the few that
a person has used, and with it accepted, are in the prompt.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from agent.errors import ConfigError, ToolError, UnfencedError, UsageError
from agent.providers.types import ToolSpec
from agent.safety.effects import Effect, one_line, visible
from agent.safety.grants import Rule
from agent.safety.hooks import HookGuard
from agent.safety.sandbox import Fence, Launch, Sandbox
from agent.safety.workspace import Workspace
from agent.settings import SERVER_NAME, McpServerSettings, NetworkSettings
from agent.storage.pins import Pin
from agent.tools import mcp_http
from agent.tools.environment import child_environment
from agent.tools.mcp_listing import ListedTool, call_names
from agent.tools.mcp_program import speaking_to
from agent.tools.mcp_results import outcome, source_of
from agent.tools.mcp_server import McpServer, Plan
from agent.tools.tool import Outcome, Tool, ToolContext
from agent.views import McpServerView, McpToolView

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

MOST_SHOWN = 12
"""Accepted tools that are in the prompt; with more than these all of them are found by tool_search."""
WAIT_SECONDS = 20.0
"""How long a search waits for servers that are just being started."""
_KEYRING = "keyring:"
_LONGEST_DIFFERENCE = 4_000


class PinBook(Protocol):
    """What a person has accepted."""

    async def every(self) -> dict[str, Pin]:
        """By name."""
        ...

    async def put(self, pin: Pin) -> None:
        """Accept it, in place of what was accepted before."""
        ...

    async def forget(self, prefix: str) -> None:
        """Remove those whose names begin so."""
        ...


@dataclass(frozen=True, slots=True)
class McpParts:
    """What the servers need of the agent. `permitted` tells whether a program may be started without a fence."""

    servers: Callable[[], Mapping[str, McpServerSettings]]
    network: Callable[[], NetworkSettings]
    workspace: Callable[[], Workspace]
    fence: Callable[[], Awaitable[Sandbox | None]]
    secret: Callable[[str], Awaitable[str | None]]
    permitted: Callable[[Rule], Awaitable[bool]]
    pins: PinBook
    changed: Callable[[str], None] = field(default=lambda name: None)


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
            _, late = await asyncio.wait(waiting, timeout=WAIT_SECONDS)
            for task in late:
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
        self._pins = None

    async def close(self) -> None:
        """End all of them."""
        self._closed = True
        await asyncio.gather(*map(self._end, list(self._running)), *self._ending)

    def views(self) -> tuple[McpServerView, ...]:
        """How they are, in the order of the settings."""
        return tuple(self._view(name, settings) for name, settings in self._parts.servers().items())

    def unfenced_rule(self, name: str) -> Rule:
        """What permits starting this program without a fence. Raises `UsageError`."""
        identity = _identity(name, self._settings(name))
        digest = hashlib.sha256(identity.encode()).hexdigest()
        return Rule("tool", "start", digest, f"starting the MCP server {name} without a sandbox")

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
        settings, running = self._running[server]
        where = _where(settings)

        def describe(context: ToolContext, /, **arguments: Any) -> Effect:
            current = next((tool for tool in running.tools if tool.name == listed.name), None)
            if current is None or current.digest != listed.digest:
                raise ToolError(f"{server} has changed this tool. Look for it again with tool_search.")
            given = visible(json.dumps(arguments, ensure_ascii=False, indent=1))
            parts = [f"{listed.name} on the MCP server {server} ({visible(where)})", given, self._news(server, listed)]
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
                result = await running.call(listed.name, arguments)
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
        where = _where(settings)
        if running is None or not settings.enabled:
            return McpServerView(name, where, settings.enabled, "idle" if settings.enabled else "off", "", ())
        server = running[1]
        tools = tuple(McpToolView(tool.name, tool.description, self._accepted(name, tool)) for tool in server.tools)
        return McpServerView(name, where, settings.enabled, server.state, server.detail, tools)

    async def _plan(self, name: str, settings: McpServerSettings) -> Plan:
        """How to reach it. Raises `TrayClawError`."""
        if self._pins is None:
            self._pins = await self._parts.pins.every()
        if bool(settings.command) == bool(settings.url):
            raise ConfigError("it needs either a command or an address", hint=f"See [mcp.{name}] in config.toml.")
        identity = _identity(name, settings)
        if settings.url:
            headers = await self._filled(settings.headers)

            def reach(gone: Callable[[str], None]) -> AbstractAsyncContextManager[TransportStreams]:
                return _over_http(settings.url, headers, self._parts.network())

            return Plan(identity, settings.seconds, reach)
        sandbox = await self._parts.fence()
        if sandbox is None and not await self._parts.permitted(self.unfenced_rule(name)):
            raise UnfencedError("There is no sandbox here, so the program would have all your rights.")
        variables = await self._filled(settings.env)
        workspace = self._parts.workspace()
        fence = await asyncio.to_thread(workspace.fence, network=settings.network)
        launch = await asyncio.to_thread(_launch, settings, variables, sandbox, workspace.root, fence)

        def start(gone: Callable[[str], None]) -> AbstractAsyncContextManager[TransportStreams]:
            return speaking_to(launch, workspace.root, gone)

        return Plan(identity, settings.seconds, start, lambda: HookGuard.look(fence.writable))

    async def _filled(self, values: Mapping[str, str]) -> dict[str, str]:
        """With the keys that they refer to. Raises `ConfigError`, `SecretError`."""
        filled: dict[str, str] = {}
        for name, value in values.items():
            if value.startswith(_KEYRING):
                key = value.removeprefix(_KEYRING)
                secret = await self._parts.secret(key)
                if not secret:
                    raise ConfigError(f"{name} needs the key {key}.", hint=f"Store it with: trayclaw keys set {key}")
                value = secret
            filled[name] = value
        return filled


@asynccontextmanager
async def _over_http(url: str, headers: Mapping[str, str], network: NetworkSettings) -> Any:
    from mcp.client.streamable_http import streamable_http_client

    client = await asyncio.to_thread(mcp_http.build, url, headers, network)
    async with (
        client,
        streamable_http_client(url, http_client=client, max_sse_event_size=mcp_http.LARGEST_ANSWER) as streams,
    ):
        yield streams


def _launch(
    settings: McpServerSettings, variables: Mapping[str, str], sandbox: Sandbox | None, folder: Path, fence: Fence
) -> Launch:
    """The program behind the fence. Blocks; raises `ToolError`, `SandboxError`."""
    environment = {**child_environment(), **variables}
    program = shutil.which(str(Path(settings.command).expanduser()), path=environment.get("PATH", os.defpath))
    if program is None:
        raise ToolError(f"There is no program {settings.command}.")
    folder.mkdir(parents=True, exist_ok=True)
    argv = (program, *settings.args)
    if sandbox is None:
        return Launch(argv, environment)
    return sandbox.launch(argv, cwd=folder, environment=environment, fence=fence)


def check_server(name: str, command: Sequence[str], url: str, known: Collection[str]) -> None:
    """Raises `UsageError` for a server that cannot be added."""
    title = "The MCP server cannot be added"
    if name in known:
        raise UsageError(f"There is a server {name} already.", title=title, hint="Choose another name.")
    if not re.fullmatch(SERVER_NAME, name):
        raise UsageError(
            f"{name!r} cannot be its name.", title=title, hint="Up to 32 letters, digits, dashes and underscores."
        )
    if bool(url) == bool(command and command[0]):
        raise UsageError("It needs either a command or an address.", title=title)
    try:
        parts = urlsplit(url)
        right = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username)
    except ValueError:
        right = False
    if not right:
        hint = "It begins with https:// (or http://), and keys go into a header: keyring:NAME."
        raise UsageError("This is no address of a server.", title=title, hint=hint)


def secret_names(servers: Mapping[str, McpServerSettings]) -> list[str]:
    """Names of the keys that servers refer to."""
    values = (value for one in servers.values() for value in (*one.env.values(), *one.headers.values()))
    return [value.removeprefix(_KEYRING) for value in values if value.startswith(_KEYRING)]


def _identity(name: str, settings: McpServerSettings) -> str:
    """What makes a server this one. Not its keys, which change without making it another."""
    names = sorted((*settings.env, *settings.headers))
    return json.dumps([name, settings.command, settings.args, settings.url, settings.network, names])


def _where(settings: McpServerSettings) -> str:
    return settings.url or " ".join((settings.command, *settings.args))


def _hosts(settings: McpServerSettings) -> tuple[str, ...]:
    host = urlsplit(settings.url).hostname if settings.url else None
    return (host,) if host else ()


def _pin_name(server: str, tool: ListedTool) -> str:
    return f"{server}/{tool.name}"
