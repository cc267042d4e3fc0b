"""`trayclaw turns`: what the agent did, and the receipt of one turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def group() -> typer.Typer:
    """The commands."""
    app = noun("See what the agent did.")

    @app.command("list")
    def list_(
        limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
        as_json: AsJson = False,
    ) -> int:
        """Print the last turns, the newest first."""
        from agent.cli.session import with_service

        return with_service(lambda service: _list(service, limit, as_json=as_json))

    @app.command()
    def show(
        turn_id: Annotated[int, typer.Argument(metavar="ID", help="The number from `turns list`.")],
        as_json: AsJson = False,
    ) -> int:
        """Print one turn and its receipt: every effect it had."""
        from agent.cli.session import with_service

        return with_service(lambda service: _show(service, turn_id, as_json=as_json))

    return app


async def _list(service: AgentService, limit: int, *, as_json: bool) -> None:
    from agent.cli.terminal.footer import money
    from agent.cli.texts import shorten, table, when

    rows = await service.turns(limit)
    if as_json:
        from dataclasses import asdict

        for row in rows:
            print(json.dumps(asdict(row), ensure_ascii=False))
    elif rows:
        cells = [
            (
                *(row.id, when(row.started_at), row.status, f"{row.seconds:.1f} s"),
                *(money(row.cost_usd), row.model, shorten(row.question, 50)),
            )
            for row in rows
        ]
        print(table(cells, ("ID", "WHEN", "STATUS", "TIME", "COST", "MODEL", "QUESTION")))
    else:
        print("There is no turn yet.")


async def _show(service: AgentService, turn_id: int, *, as_json: bool) -> None:
    from agent.cli.safe import visible
    from agent.cli.terminal.footer import duration, money
    from agent.cli.texts import when
    from agent.views import TextItem, ToolItem

    view, effects = await service.turn(turn_id)
    if as_json:
        from dataclasses import asdict

        document = {"turn": asdict(view), "effects": [dict(effect) for effect in effects]}
        print(json.dumps(document, ensure_ascii=False, indent=2, default=str))
        return
    usage = view.usage
    lines = [
        f"Turn {turn_id}: {view.status}, {when(view.asked_at)}, {duration(view.seconds)}, {view.model}",
        f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, {money(view.cost_usd)}",
        f"\n{view.sender_name or 'You'}: {view.question}",
    ]
    for item in view.items:
        if isinstance(item, TextItem):
            lines.append(f"\n{item.text}")
        elif isinstance(item, ToolItem):
            outcome = {True: "done", False: "failed", None: "no result"}[item.ok]
            lines.append(f"\n[{item.summary or item.name}: {outcome}]")
    if view.failure is not None:
        lines.append(f"\n{view.failure.title}: {view.failure.message}")
    lines.append("\nEffects:" if effects else "\nIt changed nothing.")
    lines += [f"  {', '.join(f'{key} {value}' for key, value in effect.items() if value)}" for effect in effects]
    print(visible("\n".join(lines)))
