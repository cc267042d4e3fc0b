"""What a person does about MCP servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.grants import Grants
from agent.settings import Settings
from agent.tools.mcp import McpServers
from agent.tools.mcp_reach import check_server
from agent.views import McpServerView


@dataclass(frozen=True, slots=True)
class ServerDesk:
    """`change` writes settings by dotted keys."""

    servers: McpServers
    grants: Grants
    settings: Callable[[], Settings]
    change: Callable[[Mapping[str, Any]], Awaitable[Settings]]

    def views(self) -> tuple[McpServerView, ...]:
        """The MCP servers of the settings and how they are; changes are told by `SettingsChanged("mcp.NAME")`."""
        return self.servers.views()

    def wake(self) -> None:
        """Start the enabled ones in the background, as the first turn does."""
        self.servers.wake()

    async def test(self, name: str) -> McpServerView:
        """Connect anew and tell how it went. Raises `UsageError`."""
        return await self.servers.restart(name)

    async def add(
        self,
        name: str,
        *,
        command: Sequence[str] = (),
        url: str = "",
        env: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> None:
        """Write one into the settings; values of `env` and `headers` may be `keyring:NAME`.

        Raises `UsageError` for what cannot be one, `ConfigError` for a name that cannot be.
        """
        check_server(name, command, url, self.settings().mcp)
        values: dict[str, Any] = {
            f"{part}.{key}": value
            for part, given in (("env", env), ("headers", headers))
            for key, value in (given or {}).items()
        }
        values |= {"url": url} if url else {"command": command[0], "args": tuple(command[1:]) or None}
        values |= {"network": True} if network else {}
        await self.change({f"mcp.{name}.{key}": value for key, value in values.items()})

    async def remove(self, name: str) -> None:
        """End one and forget it, with what was accepted of it. Raises `UsageError`."""
        await self.servers.forget(name)
        await self.change({f"mcp.{name}": None})

    async def permit_unfenced(self, name: str) -> None:
        """Start this program without a sandbox, now and later; `grants` lists it. Raises `UsageError`."""
        await self.grants.add(self.servers.unfenced_rule(name), None, "desktop")
        await self.servers.restart(name)
