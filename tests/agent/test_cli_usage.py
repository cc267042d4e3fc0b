"""`trayclaw usage`: what a person reads, and what a spreadsheet or a script does."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.usage_export import record, write_csv
from agent.paths import Paths
from agent.providers.types import Usage
from agent.storage import conversations, limits
from agent.storage import usage as usage_rows
from agent.storage.database import Database
from agent.views import UsageLine
from tests.agent.cli_kit import trayclaw

TODAY = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
async def ledger(paths: Paths) -> Path:
    """Two calls today, one of them failed, one six days ago, one seven days ago."""

    def call(
        days: int, model: str, purpose: str, usd: float, known: bool = True, outcome: str = "ok"
    ) -> usage_rows.Call:
        at = (TODAY - timedelta(days=days)).timestamp() + 1
        tokens = Usage(1000, 200, 300, 100, 50)
        return usage_rows.Call("openai", model, purpose, at, 90.0, outcome, tokens, usd, known, "local")

    database = Database.open(paths.database)
    talk = await database.write(lambda db: conversations.ensure(db, "local", "1", '=HYPERLINK("x"), "a"'))
    for one, where in (
        (call(0, "gpt-5", "chat", 0.00000125), talk),
        (call(0, "gpt-5", "title", 0.25, outcome="server"), None),
        (call(6, "+new", "chat", 10.0, known=False), talk),
        (call(7, "gpt-5", "chat", 20.0), None),
    ):
        await database.write(lambda db, one=one, where=where: usage_rows.add(db, where, None, one))  # type: ignore[misc]
    await database.write(lambda db: limits.add_raise(db, "all", "day", f"{TODAY:%Y-%m-%d}", 5.0))
    database.close()
    return paths.database


def table(*options: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(trayclaw("usage", "--csv", *options).out, newline="")))


@pytest.mark.usefixtures("ledger")
def test_a_spreadsheet_can_add_it_up() -> None:
    heading, *lines = table()
    assert heading[:8] == ["date", "llm", "model", "module", "tokens_in", "tokens_out", "cost_usd", "duration_min"]
    last = lines[-2]
    assert last[:8] == [f"{TODAY:%Y-%m-%d}", "openai", "gpt-5", "chat", "1000", "200", "0.00000125", "1.5"]
    assert sum(float(line[6]) for line in lines) == pytest.approx(30.25000125)
    named = [dict(zip(heading, line, strict=True)) for line in lines]
    assert [(line["module"], line["failed"], line["price"]) for line in named] == [
        ("chat", "0", "known"),
        ("chat", "0", "estimated"),
        ("chat", "0", "known"),
        ("title", "1", "known"),
    ]
    assert named[1]["model"] == "'+new", "a spreadsheet would run it as a formula"
    assert (named[0]["cache_read_tokens"], named[0]["cache_write_tokens"], named[0]["reasoning_tokens"]) == (
        "300",
        "100",
        "50",
    )
    talks = [line[heading.index("conversation")] for line in table("--by", "conversation")[1:]]
    assert talks.count("""'=HYPERLINK("x"), "a\"""") == 2


@pytest.mark.usefixtures("ledger")
def test_a_week_is_today_and_the_six_days_before() -> None:
    assert len(table("--since", "7d")) == 1 + 3
    assert len(table("--since", "1d")) == len(table("--since", f"{TODAY:%Y-%m-%d}")) == 1 + 2
    for wrong in ("yesterday", "99999999999d", "d", "²d"):
        assert trayclaw("usage", "--since", wrong).code == 2, wrong


@pytest.mark.usefixtures("ledger")
def test_the_same_is_there_for_scripts() -> None:
    lines = [json.loads(line) for line in trayclaw("usage", "--json", "--since", "1d").out.splitlines()]
    assert [(line["module"], line["cost_usd"], line["duration_min"]) for line in lines] == [
        ("chat", 0.00000125, 1.5),
        ("title", 0.25, 1.5),
    ]
    assert list(lines[0]) == table()[0]


@pytest.mark.usefixtures("ledger")
def test_a_person_reads_sums_and_limits() -> None:
    shown = trayclaw("usage", "--by", "purpose").out
    assert shown.splitlines()[0].split() == ["PURPOSE", "CALLS", "TOKENS", "IN", "OUT", "COST"]
    assert [line.split()[:2] for line in shown.splitlines()[1:3]] == [["chat", "3"], ["title", "1"]]
    assert "$0.25 of $10.00 today (raised by $5.00)." in shown
    assert "this month." in shown
    for by in ("model", "day", "conversation"):
        assert trayclaw("usage", "--by", by).code == 0


def test_lines_end_as_rfc_4180_has_it_and_numbers_are_plain() -> None:
    line = UsageLine("2026-03-01", "openai", "m", "chat", "a\nb", 1, 0, Usage(1, 2), 0.000000015, 0.001, True)
    file = io.StringIO(newline="")
    write_csv([line], file)
    assert file.getvalue().endswith('known,"a\nb"\r\n')
    assert ",0.00000002," in file.getvalue() or ",0.00000001," in file.getvalue()
    assert "e-" not in file.getvalue()
    assert record(line)["cost_usd"] < 1e-7
