"""`trayclaw undo`: takes back what a turn did to files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.views import UndoReport

REFUSED = 3
"""The exit code when somebody has changed something since, and nothing was touched."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def undo(
        turn: Annotated[
            int | None,
            typer.Argument(metavar="[TURN]", help="The number from `turns list`; the last that did something."),
        ] = None,
        rewind: Annotated[bool, typer.Option("--rewind", help="And every later turn of its conversation.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> int:
        """Take back what a turn did to files. When something was changed since, nothing is touched."""
        from agent.cli.session import with_service

        return with_service(lambda service: _undo(service, turn, rewind=rewind, dry_run=dry_run, as_json=as_json))


async def _undo(service: AgentService, turn: int | None, *, rewind: bool, dry_run: bool, as_json: bool) -> int:
    report = await service.undo(turn, rewind=rewind, dry_run=dry_run)
    if as_json:
        from dataclasses import asdict

        print(json.dumps(asdict(report), ensure_ascii=False))
    else:
        from agent.cli.safe import visible

        print(visible("\n".join(words(report, dry_run=dry_run))))
    return 0 if report.done else REFUSED


def words(report: UndoReport, *, dry_run: bool = False) -> list[str]:
    """The report as lines for people."""
    turns = ", ".join(map(str, report.turn_ids))
    if not report.done:
        head = f"Turn {turns} was not undone, and nothing was touched:"
    elif dry_run:
        head = f"Undoing turn {turns} would do this:"
    else:
        head = f"Turn {turns} was undone:"
    lines = [f"  {step.what}: {step.outcome}{f' ({step.detail})' if step.detail else ''}" for step in report.steps]
    return [head, *lines]
