"""Money as a person sees it: a real agent, a model on loopback that has a price, and the words that raise a limit."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from agent.channels.channel import Inbound, Role
from agent.errors import UsageError
from agent.events import LimitNear, TurnFinished, TurnStarted
from agent.paths import Paths
from agent.providers.types import Image, Usage
from agent.service import AgentService
from agent.storage import limits, migrations, usage
from agent.storage.database import Database
from tests.agent.conftest import Heard, until
from tests.agent.test_turns import answer
from tests.peers.model_server import ModelServer
from tests.peers.replies import Reply

PRICED = """
[prices."local/fake-1"]
input = 0.0
output = 1000.0
"""
"""USD a million tokens: a thousand tokens of an answer, which is what a call reserves, are one dollar."""


async def ready(paths: Paths, config: str, budget: str) -> AgentService:
    paths.config_file.write_text(config + PRICED + budget)
    return await AgentService.start(paths)


@pytest.fixture
async def priced(paths: Paths, config: str) -> AsyncIterator[AgentService]:
    """Five dollars a day, one and a half of them for one conversation."""
    service = await ready(paths, config, "[budget.conversation]\ndaily_usd = 1.5\n")
    yield service
    await service.stop()


async def rows(service: AgentService, query: str) -> list[Any]:
    return await service._database.read(lambda db: db.execute(query).fetchall())


async def write(service: AgentService, text: str, role: Role, chat: str = "7", images: tuple[Image, ...] = ()) -> int:
    """A message that came over a messenger."""
    sender = "4242" if role == "owner" else "99"
    inbound = Inbound("telegram", uuid.uuid4().hex, chat, sender, role.capitalize(), text, images=images)
    received = await service._intake.accept(inbound, role)
    assert received is not None
    return received


def ends(heard: Heard, count: int) -> Callable[[], bool]:
    return lambda: len(heard.of(TurnFinished)) >= count


async def test_a_hundred_turns_at_once_do_not_pass_the_limit(paths: Paths, config: str, model: ModelServer) -> None:
    service = await ready(paths, config, "[budget]\ndaily_usd = 20.0\n")
    model.script = lambda request: Reply("Yes.", completion_tokens=700, prompt_tokens=5)
    try:
        turns = await asyncio.gather(*(answer(service, "hi", f"talk {n}") for n in range(100)))
    finally:
        [[total, calls]] = await rows(service, "SELECT SUM(cost_usd), COUNT(*) FROM usage")
        await service.stop()

    outcomes = [turn.status for turn in turns]
    assert set(outcomes) == {"answered", "refused"}
    assert outcomes.count("answered") == calls == len(model.chats), "nothing was asked that was not allowed"
    assert {turn.failure.kind for turn in turns if turn.failure is not None} == {"budget"}
    assert 15 < total <= 20.0


async def test_answers_that_are_longer_than_expected_pass_the_limit_by_one_at_most(
    paths: Paths, config: str, model: ModelServer
) -> None:
    service = await ready(paths, config, "[budget]\ndaily_usd = 20.0\n")
    model.script = lambda request: Reply("Yes.", completion_tokens=4000, prompt_tokens=5)
    try:
        await asyncio.gather(*(answer(service, "hi", f"talk {n}") for n in range(100)))
        [[total]] = await rows(service, "SELECT SUM(cost_usd) FROM usage")
    finally:
        await service.stop()
    assert 16 <= total <= 20 + 3, "one call cost three dollars more than was set aside for it"


async def test_a_raised_limit_answers_the_question_and_is_over_tomorrow(
    priced: AgentService, model: ModelServer, heard_priced: Heard
) -> None:
    model.script = lambda request: Reply(f"About {request.last_text}.", completion_tokens=1200, prompt_tokens=5)
    conversation = await priced.local_conversation("test")
    assert (await answer(priced, "one")).cost_usd == pytest.approx(1.2)
    refused = await answer(priced, "two")
    assert (refused.status, refused.failure and refused.failure.kind) == ("refused", "budget")
    assert refused.failure is not None
    assert "$1.20 of $1.50 are spent in this conversation today; this call could cost $1.00" in refused.failure.message

    raised = await answer(priced, "/raise")
    assert raised.text == "The limit is now $3.00 in this conversation today. I am asking again."
    await until(ends(heard_priced, 4))
    assert heard_priced.of(TurnFinished)[-1].text == "About two."
    [_, _, own] = await priced.spending.limits(conversation)
    assert (own.spent, own.limit, own.raised) == (2.4, 3.0, 1.5)
    again = await answer(priced, "/raise")
    assert again.failure is not None
    assert again.failure.title == "Nothing to raise"

    one_day = 24 * 3600.0
    now = time.time()
    priced.spending.budget.clock = lambda: now + one_day
    [_, _, own] = await priced.spending.limits(conversation)
    assert (own.spent, own.limit, own.raised) == (0.0, 1.5, 0.0)


@pytest.fixture
def heard_priced(priced: AgentService) -> Heard:
    return Heard(priced)


async def test_a_messenger_is_told_how_to_go_on_and_only_an_owner_may_raise(
    priced: AgentService, model: ModelServer, heard_priced: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script = lambda request: Reply("Yes.", completion_tokens=1200, prompt_tokens=5)
    monkeypatch.setattr(priced._router.directory, "local_model", _reference)
    model.models.append("fake-free")
    picture = Image("image/png", b"\x89PNG")
    await write(priced, "one", "paired")
    await until(ends(heard_priced, 1))
    await write(priced, "two", "paired", images=(picture,))
    await until(ends(heard_priced, 2))
    for words in ("/raise", "/limit 100"):
        await write(priced, words, "paired")
    texts = [row["text"] for row in await rows(priced, "SELECT text FROM outbox ORDER BY id")]
    assert "Send /raise to raise the limit for now, or /local" in texts[1]
    assert all("Only the owner may change what may be spent" in text for text in texts[2:])
    assert len(await rows(priced, "SELECT * FROM limit_raises")) == 0

    await write(priced, "/limit", "paired")
    await write(priced, "/help", "paired")
    await write(priced, "/local", "paired")
    await until(ends(heard_priced, 8))
    texts = [row["text"] for row in await rows(priced, "SELECT text FROM outbox ORDER BY id")]
    assert "- $1.20 of $1.50 in this conversation today" in texts[4]
    assert all(f"`/{name}" in texts[5] for name in ("limit", "raise", "local"))
    assert "`local/fake-free`, which costs nothing. I am asking again." in texts[6]
    assert heard_priced.of(TurnStarted)[-1].model == "local/fake-free"
    assert str(model.chats[-1].messages[-1]["content"]).count("data:image/png") == 1, "with its picture, once"


async def _reference() -> str:
    return "local/fake-free"


async def test_a_question_that_is_asked_again_gains_no_rights(
    priced: AgentService, model: ModelServer, heard_priced: Heard
) -> None:
    model.script = lambda request: Reply("Yes.", completion_tokens=1200, prompt_tokens=5)
    await write(priced, "one", "paired", chat="group")
    await until(ends(heard_priced, 1))
    await write(priced, "two", "paired", chat="group")
    await until(ends(heard_priced, 2))
    await write(priced, "/raise", "owner", chat="group")
    await until(ends(heard_priced, 4))

    asked = await rows(priced, "SELECT sender_id, sender_name, sender_role, parts FROM inbox ORDER BY id")
    assert [row["sender_role"] for row in asked] == ["paired", "paired", "owner", "paired"]
    assert tuple(asked[3]) == tuple(asked[1])
    with pytest.raises(UsageError):
        await priced.ask_again(1, 999)


async def test_a_conversation_is_given_a_limit_of_its_own(priced: AgentService, model: ModelServer) -> None:
    model.script = lambda request: Reply("Yes.", completion_tokens=100, prompt_tokens=5)
    set_to = await answer(priced, "/limit $0.50")
    assert set_to.text.splitlines()[-1] == "- $0.00 of $0.50 in this conversation today"
    assert (await answer(priced, "hi")).status == "refused"
    assert (await answer(priced, "hi", "another")).status == "answered"
    every = await priced.spending.limits()
    assert [limit.label for limit in every] == ["today", "this month", "in “test” today"]
    assert (await answer(priced, "/limit off")).text.endswith("$1.50 in this conversation today")
    assert (await answer(priced, "hi")).status == "answered"
    for wrong in ("/limit much", "/limit -1", "/limit nan", "/limit inf"):
        refused = await answer(priced, wrong)
        assert refused.failure is not None, wrong
        assert refused.failure.title == "That is no amount"


async def test_what_a_turn_cost_stays_on_the_record_when_its_conversation_is_removed(
    priced: AgentService, model: ModelServer
) -> None:
    gate = asyncio.Event()
    model.script = lambda request: Reply("one two three four", halfway=gate, prompt_tokens=5, completion_tokens=4)
    conversation = await priced.local_conversation("test")
    events = priced.converse(conversation, "hi")
    async for event in events:
        if type(event).__name__ == "TurnText":
            break
    await priced.delete_conversation(conversation)
    gate.set()
    await events.aclose()

    [row] = await rows(priced, "SELECT * FROM usage")
    assert (row["conversation_id"], row["turn_id"], row["channel"], row["outcome"]) == (None, None, "local", "stopped")
    assert row["cost_usd"] > 0
    [today, *_] = await priced.spending.limits()
    assert today.spent == pytest.approx(row["cost_usd"])


async def test_a_notice_comes_before_the_limit(priced: AgentService, model: ModelServer, heard_priced: Heard) -> None:
    model.script = lambda request: Reply("Yes.", completion_tokens=1250, prompt_tokens=5)
    await answer(priced, "hi")
    [near] = heard_priced.of(LimitNear)
    assert (near.label, near.spent, near.limit) == ("in this conversation today", 1.25, 1.5)


async def test_two_providers_of_one_model_are_two(priced: AgentService) -> None:
    def call(provider: str, usd: float) -> usage.Call:
        return usage.Call(provider, "m", "chat", time.time(), 60.0, "ok", Usage(10, 1), usd, True)

    await priced._database.write(lambda db: [usage.add(db, None, None, call(*one)) for one in (("a", 1), ("b", 2))])
    spending = priced.spending
    assert [(day.model, day.cost_usd) for day in await spending.days(0)] == [("b/m", 2.0), ("a/m", 1.0)]
    assert [row.group for row in await spending.totals(0, "model")] == ["b/m", "a/m"]
    lines = await spending.lines(0)
    assert [(line.provider, line.calls, line.seconds) for line in lines] == [("a", 1, 60.0), ("b", 1, 60.0)]


async def test_conversations_of_one_title_are_listed_apart(priced: AgentService, model: ModelServer) -> None:
    model.script = lambda request: Reply("Yes.", completion_tokens=10, prompt_tokens=5)
    for chat in "12":
        conversation = await priced.new_conversation("the same")
        assert [event async for event in priced.converse(conversation, f"hi {chat}")]
    assert [row.calls for row in await priced.spending.totals(0, "conversation")] == [1, 1]
    assert [line.calls for line in await priced.spending.lines(0, by_conversation=True)] == [1, 1]
    assert [line.calls for line in await priced.spending.lines(0)] == [2]


async def test_a_database_of_the_first_version_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "trayclaw.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        migrations._migrations().apply(sqlite_utils.Database(old), stop_before="m002_every_model")
        old.execute(
            "INSERT INTO conversations (id, channel, chat_id, title, model, created_at, updated_at, preview,"
            " context_from) VALUES (1, 'telegram', '7', 'Foxes', '', 1, 1, '', 0)"
        )
        spent = "INSERT INTO usage (conversation_id, provider, model, purpose, started_at, outcome, cost_usd)"
        old.execute(f"{spent} VALUES (1, 'openai', 'gpt-5', 'chat', 1, 'ok', 0.5)")
        old.execute(f"{spent} VALUES (NULL, 'openai', 'gpt-5', 'chat', 1, 'ok', 0.25)")
        old.execute("PRAGMA user_version = 1")
        old.commit()

    database = Database.open(path)
    try:
        talk = await database.read(lambda db: dict(db.execute("SELECT * FROM conversations").fetchone()))
        assert (talk["title"], talk["summary"], talk["summary_upto"], talk["daily_usd"]) == ("Foxes", "", 0, None)
        calls = await database.read(lambda db: db.execute("SELECT channel, cost_usd FROM usage").fetchall())
        assert [tuple(call) for call in calls] == [("telegram", 0.5), ("", 0.25)]
        await database.write(lambda db: limits.add_raise(db, "all", "day", "2026-03-01", 2.0))
        await database.write(lambda db: limits.add_raise(db, "all", "day", "2026-03-01", 3.0))
        assert await database.read(lambda db: limits.raises(db, {"day": "2026-03-01", "month": "2026-03"})) == {
            ("all", "day"): 5.0
        }
        spent_before = await database.read(lambda db: usage.spent_by_scope(db, 0, 0))
        assert spent_before.by_scope["channel:telegram"] == (0.5, 0.5)
    finally:
        database.close()
    Database.open(path).close()
