"""Money: a call is made only while its reserved cost fits both limits, and every call is on the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from agent.core.budget import Budget, Meter
from agent.errors import BudgetExceededError, ProviderError
from agent.providers.pricing import Price
from agent.providers.router import Resolved
from agent.providers.scripted import ScriptedProvider
from agent.providers.types import ChatRequest, Usage, user
from agent.settings import BudgetSettings
from agent.storage import usage as usage_rows
from agent.storage.database import Database

TOKEN_USD = 0.001
REQUEST = ChatRequest("m", [user("hi")], max_tokens=100)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(tmp_path / "trayclaw.db")
    yield found
    found.close()


async def price(target: Resolved, usage: Usage) -> Price:
    if target.local:
        return Price(0.0, known=True)
    return Price((usage.input_tokens + usage.output_tokens) * TOKEN_USD, known=True)


def budget(database: Database, daily: float = 5.0, monthly: float = 50.0) -> Budget:
    return Budget(database, lambda: BudgetSettings(daily_usd=daily, monthly_usd=monthly), price)


HOSTED = Resolved("openai", "m", ScriptedProvider([]), local=False)
LOCAL = Resolved("ollama", "m", ScriptedProvider([]), local=True)


@asynccontextmanager
async def made(limited: Budget, target: Resolved = HOSTED) -> AsyncIterator[Meter]:
    async with limited.call(REQUEST) as meter:
        await limited.reserve(meter, target)
        yield meter


async def test_a_call_that_could_pass_the_limit_is_not_made(database: Database) -> None:
    with pytest.raises(BudgetExceededError, match=r"\$0.00 of \$0.05") as caught:
        async with made(budget(database, daily=0.05)):
            pytest.fail("the call was made")

    assert caught.value.exit_code == 3
    assert "budget.daily_usd" in caught.value.hint


async def test_a_model_on_this_computer_is_free_at_any_limit(database: Database) -> None:
    async with made(budget(database, daily=0.0, monthly=0.0), LOCAL) as meter:
        meter.usage = Usage(10, 20)

    assert meter.row().cost_usd == 0.0


async def test_what_was_spent_before_a_restart_counts(database: Database) -> None:
    spent = usage_rows.Call("openai", "m", "chat", time.time(), 1.0, "ok", Usage(), 4.95, True)
    await database.write(lambda db: usage_rows.add(db, None, None, spent))

    with pytest.raises(BudgetExceededError, match="today"):
        async with made(budget(database)):
            pytest.fail("the call was made")


async def test_the_monthly_limit_counts_too(database: Database) -> None:
    with pytest.raises(BudgetExceededError, match="this month"):
        async with made(budget(database, daily=5.0, monthly=0.05)):
            pytest.fail("the call was made")


async def test_a_hundred_calls_at_once_do_not_pass_the_limit_together(database: Database) -> None:
    limited = budget(database, daily=1.0)
    calls = 0

    async def call() -> None:
        nonlocal calls
        async with made(limited) as meter:
            calls += 1
            await asyncio.sleep(0.01)
            meter.usage = Usage(1, 100)

    outcomes = await asyncio.gather(*(call() for _ in range(100)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExceededError)]
    assert calls + len(refused) == 100
    assert 0 < calls * 101 * TOKEN_USD <= 1.0


async def test_what_was_spent_is_not_forgotten_while_it_is_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = budget(database, daily=0.15)
    first_settled = asyncio.Event()
    reads = 0
    read = database.read

    async def slow_second_read(work: Callable[[Connection], Any]) -> Any:
        nonlocal reads
        reads += 1
        mine = reads
        found = await read(work)
        if mine > 1:
            await first_settled.wait()
        return found

    monkeypatch.setattr(database, "read", slow_second_read)

    async def first() -> None:
        async with made(limited) as meter:
            meter.usage = Usage(1, 100)
        first_settled.set()

    async def second() -> None:
        async with made(limited):
            pytest.fail("the call was made")

    outcomes = await asyncio.gather(first(), second(), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), BudgetExceededError]


async def test_a_failed_call_costs_nothing_and_gives_its_reservation_back(database: Database) -> None:
    limited = budget(database, daily=0.15)
    for _ in range(3):
        with pytest.raises(ProviderError):
            async with made(limited) as meter:
                raise ProviderError("overloaded", "busy", retryable=True)
        assert (meter.row().outcome, meter.row().cost_usd) == ("overloaded", 0.0)


async def test_a_stopped_call_is_put_down_with_what_was_seen_of_it(database: Database) -> None:
    with pytest.raises(asyncio.CancelledError):
        async with made(budget(database)) as meter:
            meter.output_chars = 700
            raise asyncio.CancelledError

    assert meter.row().outcome == "stopped"
    assert meter.row().usage.output_tokens == 200
    assert meter.row().cost_usd >= 0.2


async def test_a_paid_fallback_of_a_free_model_is_reserved_and_put_down(database: Database) -> None:
    limited = budget(database, daily=0.15)
    async with limited.call(REQUEST) as meter:
        await limited.reserve(meter, LOCAL)
        await limited.reserve(meter, HOSTED)
        meter.usage = Usage(1, 100)

    assert (meter.row().provider, meter.row().cost_usd) == ("openai", pytest.approx(0.101))
    with pytest.raises(BudgetExceededError):
        async with limited.call(REQUEST) as meter:
            await limited.reserve(meter, LOCAL)
            await limited.reserve(meter, HOSTED)
