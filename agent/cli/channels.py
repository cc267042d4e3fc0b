"""`trayclaw channels`: which connectors there are, switch them on and off, try them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService

Name = Annotated[str, typer.Argument(help="For example telegram.")]


def group() -> typer.Typer:
    """The commands."""
    app = noun("The places where people talk to the agent.")

    @app.command("list")
    def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
        """Print the channels and whether they are switched on."""
        from agent.cli.session import with_service

        return with_service(lambda service: _list(service, as_json=as_json))

    @app.command()
    def start(name: Name) -> int:
        """Switch a channel on: it connects when TrayClaw runs."""
        return _switch(name, on=True)

    @app.command()
    def stop(name: Name) -> int:
        """Switch a channel off."""
        return _switch(name, on=False)

    @app.command()
    def test(name: Name) -> int:
        """Ask the service whom the stored token belongs to."""

        async def work(service: AgentService) -> None:
            import time

            from agent.cli.unlock import unlock

            await unlock(service)
            began = time.monotonic()
            account = await service.test_channel(name)
            print(f"{name} works: {account} ({time.monotonic() - began:.1f} s)")

        from agent.cli.session import with_service

        return with_service(work)

    @app.command()
    def undelivered(
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    ) -> int:
        """Print the answers that did not arrive."""
        from agent.cli.session import with_service

        return with_service(lambda service: _undelivered(service, as_json=as_json))

    @app.command()
    def resend(number: Annotated[int, typer.Argument(metavar="ID", help="From `channels undelivered`.")]) -> int:
        """Try an undelivered answer once more."""
        return _settle(number, again=True)

    @app.command()
    def drop(number: Annotated[int, typer.Argument(metavar="ID", help="From `channels undelivered`.")]) -> int:
        """Take an undelivered answer off the list; it stays in its conversation."""
        return _settle(number, again=False)

    @app.command()
    def groups(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False) -> int:
        """Print the groups in which members are answered; an owner enables one by /enable in it."""
        from agent.cli.session import with_service

        return with_service(lambda service: _groups(service, as_json=as_json))

    @app.command("leave-group")
    def leave_group(
        name: Name, group_id: Annotated[str, typer.Argument(metavar="ID", help="From `channels groups`.")]
    ) -> int:
        """Answer nobody in a group any more."""

        async def work(service: AgentService) -> None:
            from agent.errors import UsageError

            if not await service.disable_group(name, group_id):
                raise UsageError(f"{name} has no enabled group {group_id}.", hint="See `trayclaw channels groups`.")
            print("Nobody is answered there any more.")

        from agent.cli.session import with_service

        return with_service(work)

    return app


async def _undelivered(service: AgentService, *, as_json: bool) -> None:
    from agent.cli.texts import ago, table

    found = await service.deliveries.undelivered()
    if as_json:
        from dataclasses import asdict

        for one in found:
            print(json.dumps(asdict(one), ensure_ascii=False))
    elif not found:
        print("Everything arrived.")
    else:
        print(
            table(
                [(str(one.outbox_id), one.channel, one.conversation, ago(one.created_at), one.error) for one in found]
            )
        )


async def _groups(service: AgentService, *, as_json: bool) -> None:
    from agent.cli.texts import table

    found = await service.groups()
    if as_json:
        from dataclasses import asdict

        for one in found:
            print(json.dumps(asdict(one), ensure_ascii=False))
    elif not found:
        print("None. As an owner write /enable in a group that the agent is a member of.")
    else:
        print(table([(one.channel, one.group_id, one.title) for one in found]))


def _settle(number: int, *, again: bool) -> int:
    async def work(service: AgentService) -> None:
        from agent.cli.running import resident_runs
        from agent.errors import UsageError

        done = await (service.deliveries.resend(number) if again else service.deliveries.give_up(number))
        if not done:
            raise UsageError(f"No undelivered answer has the id {number}.", hint="See `trayclaw channels undelivered`.")
        if not again:
            print("It is off the list.")
        elif resident_runs(service.paths):
            print("It is tried again within seconds.")
        else:
            print("It is tried again when TrayClaw runs: start `trayclaw` or `trayclaw serve`.")

    from agent.cli.session import with_service

    return with_service(work)


async def _list(service: AgentService, *, as_json: bool) -> None:
    from agent.channels.connectors import missing_key
    from agent.cli.texts import table

    stored = await service.stored_keys()
    enabled = {name: values["enabled"] for name, values in service.settings.channels.model_dump().items()}
    rows = []
    for health in service.channels():
        on = bool(enabled.get(health.name))
        configured = not missing_key(health.name, stored)
        if as_json:
            document = {"name": health.name, "label": health.label, "enabled": on, "configured": configured}
            print(json.dumps(document))
        state = ("on" if on else "off") if configured else "no token"
        rows.append((health.name, health.label, state))
    if not as_json:
        print(table(rows))


def _switch(name: str, *, on: bool) -> int:
    # Only the setting: connecting from here would take the messages away from the app that runs.
    from agent.cli.running import resident_runs
    from agent.cli.session import with_service

    async def work(service: AgentService) -> None:
        from agent.channels.connectors import missing_key
        from agent.errors import UsageError

        known = [health.name for health in service.channels()]
        if name not in known:
            raise UsageError(f"There is no channel {name}.", hint=f"There is: {', '.join(known)}.")
        await service.change_settings({f"channels.{name}.enabled": on})
        if on and (missing := missing_key(name, await service.stored_keys())):
            print(f"{name} is on but has no token yet: trayclaw keys set {missing}")
        elif on and not resident_runs(service.paths):
            print(f"{name} is on. It connects while TrayClaw runs: start `trayclaw` or `trayclaw serve`.")
        else:
            print(f"{name} is {'on' if on else 'off'}.")
        if resident_runs(service.paths):
            print("TrayClaw is running: it takes effect there within seconds.")

    return with_service(work)
