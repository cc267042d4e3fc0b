"""`trayclaw chat`: the agent in a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from agent.service import AgentService


def register(app: typer.Typer) -> None:
    """Add `chat`."""
    import typer

    @app.command()
    def chat(
        conversation: str = typer.Option("", metavar="NAME", help="Take up this conversation, or begin it."),
        model: str = typer.Option("", metavar="PROVIDER/MODEL", help="Use this model."),
    ) -> int:
        """Chat in the terminal."""
        return run(conversation, model)


def run(conversation: str = "", model: str = "") -> int:
    """Chat until the person leaves; returns the exit code."""
    from agent.cli.session import with_service

    async def work(service: AgentService) -> int:
        if sys.stdin.isatty() and sys.stdout.isatty():
            from agent.cli.terminal.chat import TerminalChat
            from agent.cli.unlock import unlock

            await unlock(service, model or service.settings.model.default)
            return await TerminalChat(service, model=model).run(conversation)
        from agent.cli.terminal import piped

        return await piped.run(service, conversation, model)

    return with_service(work)
