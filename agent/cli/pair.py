"""`trayclaw pair`: who may talk to the agent through channels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService

Code = Annotated[str, typer.Argument(help="The code that the person was shown.")]


def group() -> typer.Typer:
    """The commands."""
    app = noun("Decide who may talk to the agent.")

    @app.command("list")
    def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False) -> int:
        """Print who waits and who is allowed."""
        from agent.cli.session import with_service

        return with_service(lambda service: _list(service, as_json=as_json))

    @app.command()
    def approve(code: Code) -> int:
        """Let somebody in."""
        return _resolve(code, approve=True)

    @app.command()
    def deny(code: Code) -> int:
        """Turn somebody away."""
        return _resolve(code, approve=False)

    @app.command()
    def revoke(
        person: Annotated[str, typer.Argument(metavar="ID", help="An id from `pair list`, or CHANNEL:ID.")],
    ) -> int:
        """Take somebody's access away."""
        from agent.cli.session import with_service

        return with_service(lambda service: _revoke(service, person))

    return app


async def _list(service: AgentService, *, as_json: bool) -> None:
    from agent.cli.texts import ago, table

    requests, people = await service.pairing_requests(), await service.people()
    if as_json:
        from dataclasses import asdict

        for request in requests:
            print(json.dumps({"waiting": True, **asdict(request)}, ensure_ascii=False))
        for person in people:
            print(json.dumps({"waiting": False, **asdict(person)}, ensure_ascii=False))
        return
    if requests:
        print("Waiting:")
        print(table((one.code, one.channel, one.user_id, one.name, ago(one.asked_at)) for one in requests))
        print("Let somebody in with: trayclaw pair approve CODE")
    if people:
        print("Allowed:")
        print(table((one.channel, one.user_id, one.role, one.name) for one in people))
    if not requests and not people:
        print("Nobody waits and nobody is allowed but you, here.")


def _resolve(code: str, *, approve: bool) -> int:
    from agent.cli.session import with_service

    async def work(service: AgentService) -> None:
        from agent.cli.safe import visible

        person = await service.resolve_pairing(code.strip(), approve)
        if person is None:
            print("Denied.")
        else:
            name = visible(person.name, one_line=True)
            print(f"{name} ({person.channel} {person.user_id}) may talk to your agent now.")

    return with_service(work)


async def _revoke(service: AgentService, wanted: str) -> None:
    from agent.errors import UsageError

    channel, _, user_id = wanted.rpartition(":")
    matches = [one for one in await service.people() if one.user_id == user_id and channel in ("", one.channel)]
    if len(matches) > 1:
        raise UsageError(
            f"Several channels know {wanted}.", title="Which one?", hint=f"Write {matches[0].channel}:{user_id}."
        )
    if not matches:
        raise UsageError(f"Nobody with the id {wanted} is allowed.", hint="See `trayclaw pair list`.")
    person = matches[0]
    if not await service.revoke(person.channel, person.user_id):
        raise UsageError(
            f"{person.user_id} is an owner by the settings, not by pairing.",
            title="This access comes from the settings",
            hint=f"Take the id out of channels.{person.channel}.owners.",
        )
    print(f"{person.channel} {person.user_id} may no longer talk to your agent.")
