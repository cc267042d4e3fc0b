"""`trayclaw mcp`: servers of outside tools, added, tried and removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.views import McpServerView

Name = Annotated[str, typer.Argument(help="Of the server, for example github.")]


def group() -> typer.Typer:
    """The commands."""
    app = noun("Servers of outside tools (Model Context Protocol).")

    @app.command("list")
    def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
        """Print the servers of the settings."""
        from agent.cli.session import with_service

        return with_service(lambda service: _list(service, as_json=as_json))

    @app.command()
    def add(
        name: Name,
        command: Annotated[
            list[str] | None, typer.Argument(help="The program with its arguments, after `--`; none with --url.")
        ] = None,
        url: Annotated[str, typer.Option("--url", metavar="URL", help="Of a server that runs already.")] = "",
        env: Annotated[
            list[str] | None,
            typer.Option("--env", metavar="NAME=VALUE", help="A variable for the program; keys as keyring:NAME."),
        ] = None,
        header: Annotated[
            list[str] | None,
            typer.Option("--header", metavar="NAME=VALUE", help="Sent with every request; keys as keyring:NAME."),
        ] = None,
        network: Annotated[bool, typer.Option("--network", help="The program may use the network.")] = False,
    ) -> int:
        """Add a server: a program that is started in the sandbox, or an address."""

        async def work(service: AgentService) -> None:
            await service.servers.add(
                name, command=command or (), url=url, env=_pairs(env), headers=_pairs(header), network=network
            )
            print(f"{name} is added. Try it: trayclaw mcp test {name}")

        from agent.cli.session import with_service

        return with_service(work)

    @app.command()
    def remove(name: Name) -> int:
        """Remove a server from the settings; its tools are asked about anew when it comes back."""

        async def work(service: AgentService) -> None:
            await service.servers.remove(name)
            print(f"{name} is removed.")

        from agent.cli.session import with_service

        return with_service(work)

    @app.command()
    def test(name: Name) -> int:
        """Connect to a server and say how that went."""

        async def work(service: AgentService) -> None:
            import time

            began = time.monotonic()
            view = await _connected(service, name)
            note = f" {view.detail}" if view.detail else ""
            print(f"{name} works: {len(view.tools)} tools ({time.monotonic() - began:.1f} s).{note}")

        from agent.cli.session import with_service

        return with_service(work)

    @app.command()
    def tools(name: Name, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
        """Print the tools of a server with its own words about them, which nobody has checked."""
        from agent.cli.session import with_service

        return with_service(lambda service: _tools(service, name, as_json=as_json))

    @app.command()
    def allow(name: Name) -> int:
        """Let the program be started where there is no sandbox; it has all your rights then."""

        async def work(service: AgentService) -> None:
            await service.servers.permit_unfenced(name)
            print(f"{name} may be started without a sandbox. Take it back with: trayclaw grants revoke")

        from agent.cli.session import with_service

        return with_service(work)

    return app


async def _list(service: AgentService, *, as_json: bool) -> None:
    from agent.cli.texts import table

    views = service.servers.views()
    if as_json:
        for view in views:
            print(json.dumps({"name": view.name, "where": view.where, "enabled": view.enabled}, ensure_ascii=False))
    elif views:
        print(table([(view.name, "on" if view.enabled else "off", view.where) for view in views]))
    else:
        print("There is no server yet. Add one with: trayclaw mcp add NAME -- COMMAND")


async def _tools(service: AgentService, name: str, *, as_json: bool) -> None:
    from agent.cli.texts import table

    view = await _connected(service, name)
    if as_json:
        from dataclasses import asdict

        for tool in view.tools:
            print(json.dumps(asdict(tool), ensure_ascii=False))
    else:
        print(table([(tool.name, "used" if tool.accepted else "new", tool.description) for tool in view.tools]))


async def _connected(service: AgentService, name: str) -> McpServerView:
    from agent.cli.unlock import unlock
    from agent.errors import ToolError

    await unlock(service)
    view = await service.servers.test(name)
    if view.state == "ready":
        return view
    hint = f"Allow it with: trayclaw mcp allow {name}" if view.state == "unfenced" else "Look at `trayclaw mcp list`."
    raise ToolError(view.detail or "It does not answer.", title=f"The MCP server {name} does not work", hint=hint)


def _pairs(given: Sequence[str] | None) -> dict[str, str]:
    from agent.errors import UsageError

    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name.strip() or not equals:
            raise UsageError(f"{text!r} is not NAME=VALUE.", title="Not understood")
        pairs[name.strip()] = value
    return pairs
