"""Money: a call is made only while its reserved cost fits every limit, and every call is on the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.budget import Budget, BudgetAccount
from agent.core.metering import Meter, input_tokens
from agent.errors import BudgetExceededError, ProviderError, StorageError
from agent.events import Event, LimitNear
from agent.providers.directory import Resolved
from agent.providers.pricing import Price
from agent.providers.scripted import ScriptedProvider
from agent.providers.types import (
    ChatRequest,
    Completion,
    Finished,
    Image,
    Message,
    TextDelta,
    ToolCall,
    Usage,
    user,
)
from agent.settings import BudgetSettings
from agent.storage import conversations, limits
from agent.storage import usage as usage_rows
from agent.storage.database import Database

TOKEN_USD = 0.001
REQUEST = ChatRequest("m", [user("hi")], max_tokens=100)
HOSTED = Resolved("openai", "m", ScriptedProvider([]), local=False)
LOCAL = Resolved("ollama", "m", ScriptedProvider([]), local=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(tmp_path / "trayclaw.db")
    yield found
    found.close()


async def price(target: Resolved, usage: Usage) -> Price:
    if target.local:
        return Price(0.0, known=True)
    return Price((usage.input_tokens + usage.output_tokens) * TOKEN_USD, known=True)


def budget(database: Database, daily: float = 5.0, monthly: float = 50.0, **more: Any) -> Budget:
    chosen = BudgetSettings(daily_usd=daily, monthly_usd=monthly, **more)
    return Budget(database, lambda: chosen, price)


def payer(limited: Budget, conversation: int | None = None, channel: str = "") -> BudgetAccount:
    return limited.account("chat", conversation, channel)


def answered(meter: Meter, output: int = 100) -> None:
    meter.heard(Finished(Completion("x", usage=Usage(1, output))))


async def rows(database: Database) -> list[Any]:
    return await database.read(lambda db: db.execute("SELECT * FROM usage ORDER BY id").fetchall())


async def conversation(database: Database, name: str, channel: str = "local") -> int:
    return await database.write(lambda db: conversations.ensure(db, channel, name, name))


async def test_a_call_that_could_pass_the_limit_is_not_made(database: Database) -> None:
    with pytest.raises(BudgetExceededError, match=r"\$0.00 of \$0.05") as caught:
        async with payer(budget(database, daily=0.05)).call(HOSTED, REQUEST):
            pytest.fail("the call was made")

    assert caught.value.exit_code == 3
    assert "budget.daily_usd" in caught.value.hint
    assert caught.value.limit is not None
    assert (caught.value.limit.scope, caught.value.limit.period) == ("all", "day")
    assert await rows(database) == []


async def test_a_model_on_this_computer_is_free_at_any_limit(database: Database) -> None:
    async with payer(budget(database, daily=0.0, monthly=0.0)).call(LOCAL, REQUEST) as meter:
        answered(meter)

    [row] = await rows(database)
    assert (row["cost_usd"], row["output_tokens"]) == (0.0, 100)


async def test_what_was_spent_before_a_restart_counts(database: Database) -> None:
    spent = usage_rows.Call("openai", "m", "chat", time.time(), 1.0, "ok", Usage(), 4.95, True)
    await database.write(lambda db: usage_rows.add(db, None, None, spent))

    with pytest.raises(BudgetExceededError, match="today"):
        async with payer(budget(database)).call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_the_monthly_limit_counts_too(database: Database) -> None:
    with pytest.raises(BudgetExceededError, match="this month"):
        async with payer(budget(database, daily=5.0, monthly=0.05)).call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_a_conversation_and_a_channel_have_limits_of_their_own(database: Database) -> None:
    one, two = await conversation(database, "1", "telegram"), await conversation(database, "2", "telegram")
    limited = budget(database, conversation={"daily_usd": 0.15}, channels={"telegram": {"monthly_usd": 0.25}})
    async with payer(limited, one, "telegram").call(HOSTED, REQUEST) as meter:
        answered(meter)

    with pytest.raises(BudgetExceededError, match="in this conversation today") as caught:
        async with payer(limited, one, "telegram").call(HOSTED, REQUEST):
            pytest.fail("the call was made")
    assert "budget.conversation.daily_usd" in caught.value.hint

    async with payer(limited, two, "telegram").call(HOSTED, REQUEST) as meter:
        answered(meter)
    three = await conversation(database, "3", "telegram")
    with pytest.raises(BudgetExceededError, match="on Telegram this month") as caught:
        async with payer(limited, three, "telegram").call(HOSTED, REQUEST):
            pytest.fail("the call was made")
    assert "budget.channels.telegram.monthly_usd" in caught.value.hint
    async with payer(limited, await conversation(database, "4"), "local").call(HOSTED, REQUEST):
        pass


async def test_what_a_removed_conversation_cost_still_counts_for_its_channel(database: Database) -> None:
    gone = await conversation(database, "1", "telegram")
    limited = budget(database, channels={"telegram": {"daily_usd": 0.15}})
    async with payer(limited, gone, "telegram").call(HOSTED, REQUEST) as meter:
        answered(meter)
    await database.write(lambda db: conversations.delete(db, gone))

    fresh = budget(database, channels={"telegram": {"daily_usd": 0.15}})
    with pytest.raises(BudgetExceededError, match="on Telegram today"):
        async with payer(fresh, None, "telegram").call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_a_hundred_calls_at_once_do_not_pass_the_limit_together(database: Database) -> None:
    limited = budget(database, daily=1.0)
    calls = 0

    async def call() -> None:
        nonlocal calls
        async with payer(limited).call(HOSTED, REQUEST) as meter:
            calls += 1
            await asyncio.sleep(0.01)
            answered(meter)

    outcomes = await asyncio.gather(*(call() for _ in range(100)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExceededError)]
    assert calls + len(refused) == 100
    assert 0 < calls * 101 * TOKEN_USD <= 1.0


CALLS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(1, 4000)),  # the length that was allowed
        st.floats(0, 1),  # the share of it that came; where nobody limited it: of 16,000 tokens
        st.sampled_from(["ok", "failed", "broke off", "stopped"]),
        st.integers(0, 3),  # turns of the loop that it takes
        st.sampled_from([1, 2]),  # the conversation
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(calls=CALLS, daily=st.floats(0, 40), own=st.floats(0, 20))
def test_the_sum_passes_no_limit_by_more_than_one_call_was_estimated_too_low(
    tmp_path_factory: pytest.TempPathFactory, calls: list[Any], daily: float, own: float
) -> None:
    database = Database.open(tmp_path_factory.mktemp("money") / "trayclaw.db")
    try:
        asyncio.run(_spend(database, calls, daily, own))
    finally:
        database.close()


async def _spend(database: Database, calls: list[Any], daily: float, own: float) -> None:
    for name in "12":
        await conversation(database, name)
    limited = budget(database, daily=daily, conversation={"daily_usd": own})
    too_low = 0.0

    async def call(allowed: int | None, share: float, how: str, loops: int, where: int) -> None:
        nonlocal too_low
        request = ChatRequest("m", [user("hi")], max_tokens=allowed)
        came = round((allowed or 16_000) * share)
        try:
            async with payer(limited, where, "local").call(HOSTED, request) as meter:
                for _ in range(loops):
                    await asyncio.sleep(0)
                meter.heard(TextDelta("x" * came * 3))
                if how == "ok":
                    answered(meter, came)
                elif how == "stopped":
                    raise asyncio.CancelledError
                else:
                    error = ProviderError("network", "gone", retryable=True)
                    error.answering = how == "broke off"
                    raise error
        finally:
            too_low = max(too_low, meter.price.usd - meter.reserved)

    await asyncio.gather(*(call(*one) for one in calls), return_exceptions=True)

    total = await database.read(lambda db: db.execute("SELECT COALESCE(SUM(cost_usd), 0) FROM usage").fetchone()[0])
    assert total <= daily + too_low + 1e-9
    [today, *_] = limited.all_limits()
    assert today.spent == pytest.approx(total)
    assert today.reserved == 0
    for where in (1, 2):
        last = limited.limits(where, "local")[-1]
        assert last.spent <= own + too_low + 1e-9


async def test_close_to_the_limit_calls_of_unknown_length_wait_for_each_other(database: Database) -> None:
    limited = budget(database, daily=4.0)
    running = 0

    async def call() -> None:
        nonlocal running
        async with payer(limited).call(HOSTED, ChatRequest("m", [user("hi")])) as meter:
            running += 1
            assert running == 1, "two answers of any length could pass the limit by two"
            await asyncio.sleep(0)
            answered(meter, 100)
            running -= 1

    await asyncio.gather(*(call() for _ in range(4)))

    assert len(await rows(database)) == 4, "none was refused: all of them fit"


async def test_a_call_that_is_stopped_while_it_waits_leaves_nothing_behind(database: Database) -> None:
    limited = budget(database, daily=4.0)
    long = ChatRequest("m", [user("hi")])

    async def wait() -> None:
        async with payer(limited).call(HOSTED, long):
            pytest.fail("the call was made")

    async with payer(limited).call(HOSTED, long) as meter:
        waiting = asyncio.create_task(wait())
        await limited.refresh()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        answered(meter)

    [today, *_] = limited.all_limits()
    assert (today.reserved, len(await rows(database))) == (0.0, 1)


async def test_what_was_spent_is_not_forgotten_while_it_is_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = budget(database, daily=0.15)
    go_on = asyncio.Event()
    reading = asyncio.Event()
    read = database.read

    async def slow(work: Callable[[Connection], Any]) -> Any:
        found = await read(work)
        reading.set()
        await go_on.wait()
        return found

    async with payer(limited).call(HOSTED, REQUEST) as meter:
        monkeypatch.setattr(database, "read", slow)
        limited.forget()
        second = asyncio.create_task(limited.refresh())
        await reading.wait()
        answered(meter)
    go_on.set()
    await second

    with pytest.raises(BudgetExceededError):
        async with payer(limited).call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_what_another_process_spent_is_seen_and_the_own_is_not_lost(database: Database, tmp_path: Path) -> None:
    limited = budget(database)
    kept: list[Meter] = []
    async with limited.account("chat", None, "", kept.append).call(HOSTED, REQUEST) as meter:
        answered(meter)  # not committed yet
    other = Database.open(tmp_path / "trayclaw.db")
    spent = usage_rows.Call("openai", "m", "chat", time.time(), 1.0, "ok", Usage(), 4.85, True)
    await other.write(lambda db: usage_rows.add(db, None, None, spent))
    other.close()

    limited.forget()

    with pytest.raises(BudgetExceededError, match=r"\$4.95 of \$5.00"):
        async with payer(limited).call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_a_refused_call_costs_nothing_and_gives_its_reservation_back(database: Database) -> None:
    limited = budget(database, daily=0.15)
    for _ in range(3):
        with pytest.raises(ProviderError):
            async with payer(limited).call(HOSTED, REQUEST):
                raise ProviderError("overloaded", "busy", retryable=True)
    assert [(row["outcome"], row["cost_usd"]) for row in await rows(database)] == [("overloaded", 0.0)] * 3


async def test_an_answer_that_broke_off_is_put_down_with_what_came_of_it(database: Database) -> None:
    error = ProviderError("network", "gone", retryable=True)
    error.answering = True
    with pytest.raises(ProviderError):
        async with payer(budget(database)).call(HOSTED, REQUEST) as meter:
            meter.heard(TextDelta("x" * 700))
            raise error
    with pytest.raises(asyncio.CancelledError):
        async with payer(budget(database)).call(HOSTED, REQUEST) as meter:
            meter.heard(TextDelta("文" * 200))  # a character is a token there
            raise asyncio.CancelledError

    broken, stopped = await rows(database)
    assert (broken["outcome"], broken["output_tokens"]) == ("network", 200)
    assert (stopped["outcome"], stopped["output_tokens"]) == ("stopped", 200)
    assert broken["cost_usd"] >= 0.2


async def test_a_notice_is_given_once_at_four_fifths_over_restarts(database: Database) -> None:
    told: list[Event] = []
    for _ in range(2):
        limited = Budget(database, lambda: BudgetSettings(daily_usd=0.6), price, told.append)
        for _ in range(2):
            async with payer(limited).call(HOSTED, ChatRequest("m", [user("hi")], max_tokens=10)) as meter:
                answered(meter, 124)
    assert [(event.scope, event.period, event.limit) for event in told if isinstance(event, LimitNear)] == [
        ("all", "day", 0.6)
    ]


async def test_a_limit_is_raised_for_this_day_only(database: Database) -> None:
    today = datetime(2026, 3, 31, 12).astimezone()
    now = [today]
    limited = Budget(database, lambda: BudgetSettings(daily_usd=0.15), price, clock=lambda: now[0].timestamp())
    async with payer(limited).call(HOSTED, REQUEST) as meter:
        answered(meter)
    with pytest.raises(BudgetExceededError):
        async with payer(limited).call(HOSTED, REQUEST):
            pytest.fail("the call was made")

    [reached] = limited.to_raise(None, "")
    raised = await limited.raise_limit(reached)

    assert raised.limit == pytest.approx(0.3)
    assert raised.raised == pytest.approx(0.15)
    async with payer(limited).call(HOSTED, REQUEST) as meter:
        answered(meter)
    now[0] = today + timedelta(days=1)
    await limited.refresh()
    [tomorrow, month] = limited.all_limits()
    assert (tomorrow.spent, tomorrow.limit, month.spent) == (0.0, 0.15, 0.0), "a day and a month later"


async def test_a_conversations_own_limit_goes_before_that_of_the_settings(database: Database) -> None:
    one = await conversation(database, "1")
    await database.write(lambda db: limits.set_own(db, one, 0.05))
    limited = budget(database, conversation={"daily_usd": 5.0})
    with pytest.raises(BudgetExceededError, match="in this conversation today"):
        async with payer(limited, one, "local").call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_spring_brings_no_hour_of_the_last_month(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        before = datetime.fromisoformat("2026-02-28T23:30:00+01:00").timestamp()
        late = usage_rows.Call("openai", "m", "chat", before, 1.0, "ok", Usage(), 3.0, True)
        await database.write(lambda db: usage_rows.add(db, None, None, late))
        noon = datetime.fromisoformat("2026-03-31T12:00:00+02:00").timestamp()
        limited = Budget(database, lambda: BudgetSettings(), price, clock=lambda: noon)
        await limited.refresh()
        assert [limit.spent for limit in limited.all_limits()] == [0.0, 0.0]
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_call_over_midnight_counts_for_the_day_on_which_it_began(database: Database) -> None:
    midnight = datetime(2026, 5, 1).astimezone().timestamp()
    now = [midnight - 1]
    limited = Budget(database, lambda: BudgetSettings(), price, clock=lambda: now[0])
    async with payer(limited).call(HOSTED, REQUEST) as meter:
        now[0] = midnight + 1
        async with payer(limited).call(HOSTED, REQUEST) as other:
            answered(other, 9)
        answered(meter)
    assert [limit.spent for limit in limited.all_limits()] == [pytest.approx(0.01)] * 2
    limited.forget()
    await limited.refresh()
    assert [limit.spent for limit in limited.all_limits()] == [pytest.approx(0.01)] * 2


async def test_what_is_written_while_it_is_read_counts_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = budget(database)
    read = database.read

    async def before_and_after(work: Callable[[Connection], Any]) -> Any:
        monkeypatch.setattr(database, "read", read)
        early, late = payer(limited), payer(limited)
        reading.set()
        await early_done.wait()
        found = await read(work)
        async with late.call(LOCAL, REQUEST) as meter:  # needs no reservation, so it does not wait for this
            meter.target = HOSTED
            answered(meter)
        assert early is not late
        return found

    reading, early_done = asyncio.Event(), asyncio.Event()
    async with payer(limited).call(HOSTED, REQUEST) as meter:
        monkeypatch.setattr(database, "read", before_and_after)
        limited.forget()
        refreshing = asyncio.create_task(limited.refresh())
        await reading.wait()
        answered(meter)
    early_done.set()
    await refreshing

    assert [limit.spent for limit in limited.all_limits()] == [pytest.approx(0.202)] * 2


async def test_what_another_process_spends_while_it_is_read_is_read_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = budget(database)
    read = database.read

    async def forgotten(work: Callable[[Connection], Any]) -> Any:
        found = await read(work)
        monkeypatch.setattr(database, "read", read)
        spent = usage_rows.Call("openai", "m", "chat", time.time(), 1.0, "ok", Usage(), 4.95, True)
        await database.write(lambda db: usage_rows.add(db, None, None, spent))
        limited.forget()
        return found

    monkeypatch.setattr(database, "read", forgotten)
    with pytest.raises(BudgetExceededError, match=r"\$4.95 of \$5.00"):
        async with payer(limited).call(HOSTED, REQUEST):
            pytest.fail("the call was made")


async def test_nothing_is_asked_while_what_was_spent_cannot_be_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = budget(database)
    read = database.read

    async def broken(work: Callable[[Connection], Any]) -> Any:
        raise StorageError("The disk does not answer.")

    monkeypatch.setattr(database, "read", broken)
    for _ in range(2):
        with pytest.raises(StorageError):
            async with payer(limited).call(HOSTED, REQUEST):
                pytest.fail("the call was made")
    monkeypatch.setattr(database, "read", read)
    async with payer(limited).call(HOSTED, REQUEST) as meter:
        answered(meter)


async def test_a_stop_while_a_call_is_put_down_does_not_count_it_twice(database: Database) -> None:
    limited = budget(database)

    async def call() -> None:
        async with payer(limited).call(HOSTED, REQUEST) as meter:
            answered(meter)
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # arrives while it is written

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(call())
    limited.forget()
    await limited.refresh()
    assert [limit.spent for limit in limited.all_limits()] == [pytest.approx(0.101)] * 2
    assert len(await rows(database)) == 1


async def test_a_time_out_after_the_question_was_sent_is_counted_and_an_early_refusal_is_not(
    database: Database,
) -> None:
    question = ChatRequest("m", [user("x" * 3500)])
    silent = ProviderError("timeout", "silent", retryable=True)
    silent.reached = True
    busy = ProviderError("overloaded", "busy", retryable=True)
    busy.answering = True  # said as the first event of a stream
    for error in (silent, busy):
        with pytest.raises(ProviderError):
            async with payer(budget(database)).call(HOSTED, question):
                raise error
    timed_out, refused = await rows(database)
    assert (timed_out["input_tokens"], timed_out["output_tokens"]) == (1004, 0)
    assert timed_out["cost_usd"] == pytest.approx(1.004)
    assert (refused["input_tokens"], refused["cost_usd"]) == (0, 0.0)


async def test_a_tool_call_of_a_server_that_counts_no_tokens_is_estimated(database: Database) -> None:
    wanted = ToolCall("1", "write_file", {}, '{"path": "a", "text": "' + "b" * 700 + '"}')
    async with payer(budget(database)).call(HOSTED, REQUEST) as meter:
        meter.heard(Finished(Completion("", tool_calls=(wanted,), finish_reason="tool_calls")))
    [row] = await rows(database)
    assert row["output_tokens"] >= 200


def test_wide_scripts_have_more_tokens_than_their_characters_suggest() -> None:
    def count(text: str) -> int:
        return input_tokens(ChatRequest("m", [user(text)])) - 4

    assert count("word " * 700) == 1000
    assert count("é" * 700) == 200
    assert count("文" * 700) == 700
    assert count("ж" * 700) == 700
    assert input_tokens(ChatRequest("m", [Message("user", (Image("image/png", b"x"),))])) > 1000
