"""`trayclaw usage`: tokens and money, by model, day, conversation or purpose."""

from __future__ import annotations

import io
import sys
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.service import AgentService


class By(StrEnum):
    """What the rows stand for."""

    MODEL = "model"
    DAY = "day"
    CONVERSATION = "conversation"
    PURPOSE = "purpose"


def register(app: typer.Typer) -> None:
    """Add `usage`."""

    @app.command()
    def usage(
        since: Annotated[str, typer.Option(metavar="DATE", help="For example 2026-03-01, or 7d for a week.")] = "",
        by: Annotated[By, typer.Option(metavar="model|day|conversation|purpose", help="One row for each.")] = By.MODEL,
        csv: Annotated[
            bool,
            typer.Option("--csv", help="Print CSV, a line for each day, model and purpose."),
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON, one object a line.")] = False,
    ) -> int:
        """Print what was used and what it cost."""
        from agent.cli.session import with_service

        start = _timestamp(since)
        if csv or as_json:
            return with_service(lambda service: _export(service, start, by, as_json=as_json))
        return with_service(lambda service: _table(service, start, by))


async def _export(service: AgentService, since: float, by: By, *, as_json: bool) -> None:
    from agent.cli.usage_export import write_csv, write_json

    lines = await service.spending.lines(since, by_conversation=by is By.CONVERSATION)
    if as_json:
        write_json(lines, sys.stdout)
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(newline="")  # the lines end as RFC 4180 has it, on Windows too
    write_csv(lines, sys.stdout)


async def _table(service: AgentService, since: float, by: By) -> None:
    from agent.cli.terminal.footer import money
    from agent.cli.texts import table

    cells = [
        (row.group, row.calls, f"{row.usage.input_tokens:,}", f"{row.usage.output_tokens:,}", money(row.cost_usd))
        for row in await service.spending.totals(since, by.value)
    ]
    print(table(cells, (by.value.upper(), "CALLS", "TOKENS IN", "OUT", "COST")) if cells else "Nothing was used yet.")
    for limit in await service.spending.limits():
        raised = f" (raised by {money(limit.raised)})" if limit.raised else ""
        print(f"{money(limit.spent)} of {money(limit.limit)} {limit.label}{raised}.")


def _timestamp(since: str) -> float:
    """Midnight of a date in local time; `7d` is the last seven days, today among them; nothing is the beginning."""
    if not since:
        return 0.0
    try:
        if since.endswith("d") and since[:-1].isdecimal():
            first = datetime.now().astimezone().date() - timedelta(days=max(0, int(since[:-1]) - 1))
            return datetime(first.year, first.month, first.day).astimezone().timestamp()
        return datetime.fromisoformat(since).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter("write it as 2026-03-01, or 7d", param_hint="--since") from error
