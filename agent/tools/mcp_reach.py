"""How an MCP server is reached: the program behind the fence, or the address with its headers; what makes it itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from agent.errors import ConfigError, ToolError, UnfencedError, UsageError
from agent.safety.grants import Rule
from agent.safety.hooks import HookGuard
from agent.safety.sandbox import Fence, Launch, Sandbox
from agent.safety.workspace import Workspace
from agent.settings import SERVER_NAME, McpServerSettings, NetworkSettings
from agent.storage.pins import Pin
from agent.tools import mcp_http
from agent.tools.environment import child_environment
from agent.tools.mcp_program import speaking_to
from agent.tools.mcp_server import Plan

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_KEYRING = "keyring:"


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


async def plan(name: str, settings: McpServerSettings, parts: McpParts) -> Plan:
    """How to reach a server. Raises `TrayClawError`."""
    if bool(settings.command) == bool(settings.url):
        raise ConfigError("it needs either a command or an address", hint=f"See [mcp.{name}] in config.toml.")
    made_of = identity(name, settings)
    if settings.url:
        headers = await _filled(settings.headers, parts)

        def reach(gone: Callable[[str], None]) -> AbstractAsyncContextManager[TransportStreams]:
            return _over_http(settings.url, headers, parts.network())

        return Plan(made_of, settings.seconds, reach)
    sandbox = await parts.fence()
    open_way = sandbox is not None and not sandbox.closes_network and not settings.network
    if (sandbox is None or open_way) and not await parts.permitted(unfenced_rule(name, settings)):
        could = "reach the network" if open_way else "have all your rights"
        raise UnfencedError(f"There is no full sandbox here, so the program would {could}.")
    variables = await _filled(settings.env, parts)
    workspace = parts.workspace()
    fence = await asyncio.to_thread(workspace.fence, network=settings.network)
    launch = await asyncio.to_thread(_launch, settings, variables, sandbox, workspace.root, fence)

    def start(gone: Callable[[str], None]) -> AbstractAsyncContextManager[TransportStreams]:
        return speaking_to(launch, workspace.root, gone)

    return Plan(made_of, settings.seconds, start, lambda: HookGuard.look(fence.writable))


async def _filled(values: Mapping[str, str], parts: McpParts) -> dict[str, str]:
    """With the keys that they refer to. Raises `ConfigError`, `SecretError`."""
    filled: dict[str, str] = {}
    for name, value in values.items():
        if value.startswith(_KEYRING):
            key = value.removeprefix(_KEYRING)
            secret = await parts.secret(key)
            if not secret:
                raise ConfigError(f"{name} needs the key {key}.", hint=f"Store it with: trayclaw keys set {key}")
            value = secret
        filled[name] = value
    return filled


def unfenced_rule(name: str, settings: McpServerSettings) -> Rule:
    """What permits starting this program without a fence."""
    digest = hashlib.sha256(identity(name, settings).encode()).hexdigest()
    return Rule("tool", "start", digest, f"starting the MCP server {name} without a sandbox")


@asynccontextmanager
async def _over_http(url: str, headers: Mapping[str, str], network: NetworkSettings) -> AsyncIterator[TransportStreams]:
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


def identity(name: str, settings: McpServerSettings) -> str:
    """What makes a server this one; for hashes. Of keys only what they are called, so that they can be renewed."""
    given = [sorted(settings.env.items()), sorted(settings.headers.items())]
    return json.dumps([name, settings.command, settings.args, settings.url, settings.network, *given])


def where(settings: McpServerSettings) -> str:
    """For people: its address, or its command."""
    return settings.url or " ".join((settings.command, *settings.args))
