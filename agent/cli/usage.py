"""`trayclaw usage`: tokens and money, by model, day or conversation."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.views import UsageRow


class By(StrEnum):
    """What the rows stand for."""

    MODEL = "model"
    DAY = "day"
    CONVERSATION = "conversation"


def register(app: typer.Typer) -> None:
    """Add `usage`."""

    @app.command()
    def usage(
        since: Annotated[str, typer.Option(metavar="DATE", help="For example 2026-03-01, or 7d for a week.")] = "",
        by: Annotated[By, typer.Option(metavar="model|day|conversation", help="One row for each.")] = By.MODEL,
        csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    ) -> int:
        """Print what was used and what it cost."""
        from agent.cli.session import with_service

        start = _timestamp(since)
        return with_service(lambda service: _usage(service, start, by, csv=csv))


async def _usage(service: AgentService, since: float, by: By, *, csv: bool) -> None:
    rows = await service.usage(since, by.value)
    if csv:
        _csv(rows, by)
        return
    from agent.cli.terminal.footer import money
    from agent.cli.texts import table

    cells = [
        (row.group, row.calls, f"{row.usage.input_tokens:,}", f"{row.usage.output_tokens:,}", money(row.cost_usd))
        for row in rows
    ]
    print(table(cells, (by.value.upper(), "CALLS", "TOKENS IN", "OUT", "COST")) if cells else "Nothing was used yet.")
    today, month = await service.spent()
    limits = service.settings.budget
    day, days = money(limits.daily_usd), money(limits.monthly_usd)
    print(f"Today {money(today)} of {day}, this month {money(month)} of {days}.")


def _csv(rows: list[UsageRow], by: By) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    writer.writerow((by.value, "calls", *tokens, "cost_usd", "seconds"))
    for row in rows:
        counts = [getattr(row.usage, name) for name in tokens]
        writer.writerow((_cell(row.group), row.calls, *counts, f"{row.cost_usd:.6f}", f"{row.seconds:.1f}"))


def _cell(text: str) -> str:
    """A spreadsheet would run a cell that begins like a formula, and titles come from messages."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _timestamp(since: str) -> float:
    """Midnight of a date in local time; `7d` is seven days ago; nothing is the beginning."""
    if not since:
        return 0.0
    if since.endswith("d") and since[:-1].isdigit():
        return (datetime.now().astimezone() - timedelta(days=int(since[:-1]))).timestamp()
    try:
        return datetime.fromisoformat(since).astimezone().timestamp()
    except ValueError as error:
        raise typer.BadParameter("write it as 2026-03-01, or 7d", param_hint="--since") from error
