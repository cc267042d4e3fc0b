"""A full disk or a locked database in the middle of work: it is told, nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from agent.errors import StorageError
from agent.events import Event, MessageReceived, ToolCalled, TurnFinished, TurnNotice
from agent.paths import Paths
from agent.service import AgentService
from tests.agent.conftest import Heard
from tests.agent.test_turns import answer
from tests.conftest import LogGuard
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Reply

BIG = "much to say " * 40_000
PLENTY = 1 << 30


@pytest.fixture(autouse=True)
def told_in_the_log(log_guard: LogGuard) -> None:
    log_guard.expect("waits for the database")


async def pages(service: AgentService, spare: int | None) -> None:
    """Let the database grow by so many pages at most; None: as it likes."""

    def limit(db: sqlite3.Connection) -> None:
        used = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {PLENTY if spare is None else used + spare}")

    await service._database.write(limit)


@contextlib.contextmanager
def locked(service: AgentService, paths: Paths) -> Iterator[None]:
    """Another program, such as a database browser, holds the database."""
    other = sqlite3.connect(paths.database, isolation_level=None, timeout=10)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def impatient(service: AgentService) -> None:
    """Do not wait five seconds for a lock."""
    await service._database.write(lambda db: db.execute("PRAGMA busy_timeout = 20"))


def rows(paths: Paths, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(paths.database)) as connection:
        return connection.execute(query).fetchall()


async def test_an_answer_that_finds_the_disk_full_waits_for_space(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    model.script = lambda request: Reply(BIG if request.last_text == "big" else "small", chunks=4)
    big, small = await service.new_conversation(), await service.local_conversation("test")
    await answer(service, "hi")
    await pages(service, 60)
    await service.send(big, "big")
    await service.send(big, "after")
    notice = await heard.wait(TurnNotice)

    assert "disk is full" in notice.text
    assert notice.conversation_id == big
    assert (await answer(service, "and you?")).text == "small", "what fits is done meanwhile"
    assert len(heard.of(TurnFinished)) == 2

    await pages(service, None)
    await heard.wait(TurnFinished, 4)
    ended = [turn for turn in heard.of(TurnFinished) if turn.conversation_id == big]
    assert [(turn.status, turn.text) for turn in ended] == [("answered", BIG), ("answered", "small")]
    assert len([chat for chat in model.chats if chat.last_text == "big"]) == 1, "the model is not paid twice"
    assert rows(paths, f"SELECT status FROM turns WHERE conversation_id = {big}") == [("answered",)] * 2
    assert small != big


async def test_a_message_that_cannot_be_saved_is_refused_in_words_and_later_ones_work(
    service: AgentService, model: ModelServer, paths: Paths
) -> None:
    await pages(service, 10)
    conversation = await service.new_conversation()
    with pytest.raises(StorageError) as caught:
        await service.send(conversation, BIG)

    assert "full" in caught.value.title
    assert caught.value.hint
    assert (await answer(service, "hi")).status == "answered"
    await pages(service, None)
    assert (await answer(service, BIG)).status == "answered"


async def test_a_step_that_finds_the_disk_full_goes_on_where_it_was(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    await service.change_settings({"safety.mode": "autonomous"})
    write = Call("write_file", {"path": "a.txt", "text": BIG})
    model.script = [Reply("I write.", calls=[write]), Reply("Written.")]
    conversation = await service.local_conversation("test")
    await pages(service, 10)
    await service.send(conversation, "write it")
    notice = await heard.wait(TurnNotice)

    assert "disk is full" in notice.text
    assert heard.of(ToolCalled) == [], "nothing is done that cannot be noted"
    await pages(service, None)
    turn = await heard.wait(TurnFinished)
    assert (turn.status, turn.text) == ("answered", "Written.")
    assert (service.workspace().root / "a.txt").read_text() == BIG
    assert len(model.chats) == 2


async def test_a_stop_works_while_a_step_waits_for_space(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    await service.change_settings({"safety.mode": "autonomous"})
    model.script = Reply("I write.", calls=[Call("write_file", {"path": "a.txt", "text": BIG})])
    conversation = await service.local_conversation("test")
    await pages(service, 10)
    await service.send(conversation, "write it")
    await heard.wait(TurnNotice)
    stop = asyncio.create_task(service.stop_turn(conversation))
    await pages(service, None)

    assert await stop
    assert (await heard.wait(TurnFinished)).status == "stopped"
    assert not (service.workspace().root / "a.txt").exists()
    model.script = lambda request: Reply("fine")
    assert (await answer(service, "go on")).text == "fine"
    assert [message["role"] for message in model.chats[-1].messages[1:]] == ["user", "assistant", "tool", "user"]


async def test_a_message_whose_turn_cannot_begin_says_why_and_begins_later(
    service: AgentService, model: ModelServer, paths: Paths
) -> None:
    await impatient(service)
    conversation = await service.local_conversation("test")
    lock = contextlib.ExitStack()
    service.events.subscribe(
        lambda event: lock.enter_context(locked(service, paths)) if isinstance(event, MessageReceived) else None
    )
    events: list[Event] = []
    async for event in service.converse(conversation, "hello"):
        events.append(event)
        if isinstance(event, TurnNotice):
            assert "locked" in event.text
            lock.close()

    assert isinstance(events[0], TurnNotice)
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].text == "Hello from the fake model."


async def test_a_stop_ends_what_cannot_begin(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths, log_guard: LogGuard
) -> None:
    log_guard.expect("could not be put down as stopped")
    await impatient(service)
    conversation = await service.local_conversation("test")
    lock = contextlib.ExitStack()
    unsubscribe = service.events.subscribe(
        lambda event: lock.enter_context(locked(service, paths)) if isinstance(event, MessageReceived) else None
    )
    await service.send(conversation, "hello")
    unsubscribe()
    await heard.wait(TurnNotice)
    assert await service.stop_turn(conversation)
    assert (await heard.wait(TurnFinished)).status == "stopped"
    lock.close()

    assert (await answer(service, "again")).text == "Hello from the fake model."
    assert [chat.last_text for chat in model.chats] == ["again"]


async def test_an_end_in_the_middle_of_a_full_disk_loses_nothing(
    paths: Paths, config: str, model: ModelServer, log_guard: LogGuard
) -> None:
    log_guard.expect("could not be saved")
    model.script = Reply(BIG, chunks=4)
    service = await AgentService.start(paths, resident=True)
    heard = Heard(service)
    conversation = await service.local_conversation("test")
    await pages(service, 10)
    await service.send(conversation, "big")
    await heard.wait(TurnNotice)
    await service.stop()

    again = await AgentService.start(paths, resident=True)
    try:
        turn = await Heard(again).wait(TurnFinished)
        assert (turn.status, turn.text) == ("answered", BIG)
        assert rows(paths, "SELECT status FROM turns") == [("answered",)]
    finally:
        await again.stop()


async def test_twenty_chats_come_through_a_lock(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    may_answer = asyncio.Event()
    model.script = lambda request: Reply(f"re {request.last_text}", before=may_answer)
    await impatient(service)
    for n in range(20):
        await service.send(await service.new_conversation(), f"{n}")
    await model.wait_for_chats(20)
    with locked(service, paths):
        may_answer.set()
        await heard.wait(TurnNotice, 20)
        assert {notice.conversation_id for notice in heard.of(TurnNotice)} == set(range(1, 21))
    await heard.wait(TurnFinished, 20)

    assert {turn.text for turn in heard.of(TurnFinished)} == {f"re {n}" for n in range(20)}
    assert rows(paths, "SELECT DISTINCT status FROM turns") == [("answered",)]
