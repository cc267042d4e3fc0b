"""`trayclaw skills`: which there are, what stands in them, and which the agent may follow without asking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.views import SkillView

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name from `skills list`.")]


def group() -> typer.Typer:
    """The commands."""
    app = noun("See, accept and withdraw skills.")

    @app.command("list")
    def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
        """Print all skills, and which of them you accepted."""
        from agent.cli.session import with_service

        return with_service(lambda service: _list(service, as_json=as_json))

    @app.command()
    def show(name: Name) -> int:
        """Print all of a skill, or what has changed since you accepted it."""
        from agent.cli.session import with_service

        return with_service(lambda service: _show(service, name))

    @app.command()
    def accept(
        name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not show it and ask first.")] = False
    ) -> int:
        """Accept a skill as it is now: it is followed without asking until one of its files changes."""
        from agent.cli.session import with_service

        return with_service(lambda service: _accept(service, name, yes=yes))

    @app.command()
    def withdraw(name: Name) -> int:
        """Take an acceptance back: its next use asks."""
        from agent.cli.session import with_service

        return with_service(lambda service: _withdraw(service, name))

    return app


async def _list(service: AgentService, *, as_json: bool) -> None:
    from agent.cli.texts import shorten, table

    skills = await service.skills.every()
    if as_json:
        from dataclasses import asdict

        for skill in skills:
            print(json.dumps({**asdict(skill), "folder": str(skill.folder)}, ensure_ascii=True))
        return
    rows = [(skill.name, _state(skill), shorten(skill.description or skill.problem, 80)) for skill in skills]
    print(table(rows, ("NAME", "STATE", "DESCRIPTION")))


def _state(skill: SkillView) -> str:
    return f"{skill.state}, lacks {', '.join(skill.lacks)}" if skill.lacks else skill.state


async def _show(service: AgentService, name: str) -> None:
    from agent.cli.safe import visible

    print(visible((await service.skills.show(name)).text))


async def _accept(service: AgentService, name: str, *, yes: bool) -> None:
    import asyncio
    import sys

    from agent.cli.safe import visible
    from agent.errors import UsageError

    shown = await service.skills.show(name)
    if shown.state in ("built in", "accepted"):
        print("It needs no acceptance." if shown.state == "built in" else "You accepted exactly this before.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "Nobody is here to read it.",
                title="The skill was not accepted",
                hint=f"Read it by `trayclaw skills show {name}`, then add --yes.",
            )
        print(visible(shown.text), end="\n\n")
        await asyncio.to_thread(typer.confirm, "Accept it as it is?", abort=True)
    await service.skills.accept_named(name, shown.digest)
    print("Accepted as it is now.")


async def _withdraw(service: AgentService, name: str) -> None:
    await service.skills.withdraw(name)
    print("Taken back: its next use asks.")
