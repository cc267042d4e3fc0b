"""`trayclaw grants`: what was permitted for a conversation or for always, and taking it back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService


def group() -> typer.Typer:
    """The commands."""
    app = noun("See and revoke standing permissions.")

    @app.command("list")
    def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
        """Print what runs without asking because you permitted it."""
        from agent.cli.session import with_service

        return with_service(lambda service: _list(service, as_json=as_json))

    @app.command()
    def revoke(
        grant: Annotated[int, typer.Argument(metavar="ID", help="The number from `grants list`.")],
    ) -> int:
        """Take a permission back: it will be asked again."""
        from agent.cli.session import with_service

        return with_service(lambda service: _revoke(service, grant))

    return app


async def _list(service: AgentService, *, as_json: bool) -> None:
    from agent.cli.safe import visible
    from agent.cli.texts import table, when

    grants = await service.grants()
    if as_json:
        from dataclasses import asdict

        for grant in grants:
            print(json.dumps(asdict(grant), ensure_ascii=False))
    elif grants:
        rows = [
            (
                grant.id,
                grant.rule.words,
                "everywhere" if grant.conversation_id is None else f"conversation {grant.conversation_id}",
                when(grant.created_at),
                when(grant.used_at) if grant.used_at else "not yet",
            )
            for grant in grants
        ]
        print(visible(table(rows, ("ID", "PERMITTED", "WHERE", "SINCE", "LAST USED"))))
    else:
        print("Nothing is permitted beyond the mode in the settings.")


async def _revoke(service: AgentService, grant_id: int) -> None:
    from agent.errors import UsageError

    if not await service.revoke_grant(grant_id):
        raise UsageError(f"There is no permission {grant_id}.", hint="See `trayclaw grants list`.")
    print("Taken back: it will be asked again.")
