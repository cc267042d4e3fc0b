"""Chats when things happen at once: the order in a chat, the first messages after a start, reads that come late."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

import pytest

from agent.channels import delivery
from agent.core.context import Transcripts
from agent.core.unbroken import unbroken
from agent.events import TurnFinished, TurnStarted, TurnText
from agent.providers.types import Usage, user
from agent.storage import conversations, inbox, messages, outbox, turns
from agent.storage.database import Database
from tests.agent.conftest import until
from tests.agent.test_delivery import Office

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    database = await asyncio.to_thread(Database.open, tmp_path / "trayclaw.db")
    found = Office(database)
    publish = found.publish
    found.delivery._publish = lambda event: (publish(event), found.live.on_event(event))
    yield found
    await found.live.stop()
    await found.delivery.stop()
    await asyncio.to_thread(database.close)


async def test_a_growing_answer_waits_below_the_one_that_is_still_to_be_delivered(office: Office) -> None:
    conversation = await office.database.write(lambda db: conversations.ensure(db, "paper", "1"))
    gate = office.paper.slow["1"] = asyncio.Event()
    first = await office.put("1", "first")
    await until(lambda: office.paper.calls == 1)
    office.live.on_event(TurnStarted(conversation, 2, "m"))
    office.live.on_event(TurnText(conversation, 2, "second, growing"))
    other = await office.database.write(lambda db: conversations.ensure(db, "paper", "2"))
    office.live.on_event(TurnStarted(other, 3, "m"))
    await until(lambda: [one.chat_id for one in office.paper.drafts] == ["2"])

    gate.set()
    await office.ends(first, "sent")
    await until(lambda: len(office.paper.drafts) == 2)
    assert (office.paper.drafts[1].chat_id, office.paper.drafts[1].shown) == ("1", "second, growing")


async def test_a_turn_that_ends_while_its_draft_waits_is_delivered_without_one(office: Office) -> None:
    conversation = await office.database.write(lambda db: conversations.ensure(db, "paper", "1"))
    gate = office.paper.slow["1"] = asyncio.Event()
    await office.put("1", "first")
    await until(lambda: office.paper.calls == 1)
    office.live.on_event(TurnStarted(conversation, 2, "m"))
    second = await office.commit("1", "second")
    office.live.on_event(TurnFinished(conversation, 2, "answered", "second", "m", Usage(), 0.0, 0.0, outbox_id=second))
    gate.set()

    await office.ends(second, "sent")
    assert office.paper.chats["1"] == ["first", "second"]
    assert office.paper.drafts == []
    assert office.live._answers == {}


async def test_a_clock_that_was_set_back_does_not_hold_an_answer(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LONGEST_RETRY_SECONDS", 0.05)
    tomorrow = time.time() + 86_400
    waiting = await office.commit("1", "hello")
    await office.database.write(lambda db: outbox.mark_retry(db, waiting, "The line is dead.", tomorrow))
    office.delivery.resume("paper")

    await office.ends(waiting, "sent")


class LateReads:
    """A database whose answers arrive late."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.read_once = asyncio.Event()
        self.may_arrive = asyncio.Event()

    async def read(self, work: Callable[[Connection], T]) -> T:
        found = await self._database.read(work)
        self.read_once.set()
        await self.may_arrive.wait()
        return found


async def test_a_read_that_arrives_after_new_does_not_bring_the_past_back(office: Office) -> None:
    def fill(db: Connection) -> int:
        conversation = conversations.ensure(db, "local", "1")
        inbox_id = inbox.add(
            db, conversation_id=conversation, channel="local", transport_id="t", chat_id="1", sender_id="o",
            sender_name="You", sender_role="owner", message=user("before"), model="", owner="x",
        )  # fmt: skip
        assert inbox_id is not None
        messages.append(db, conversation, turns.begin(db, conversation, inbox_id, "m"), [user("before")])
        return conversation

    conversation = await office.database.write(fill)
    late = LateReads(office.database)
    transcripts = Transcripts(late)  # type: ignore[arg-type]
    getting = asyncio.create_task(transcripts.get(conversation, 80))
    async with asyncio.timeout(10):
        await late.read_once.wait()
    await office.database.write(lambda db: conversations.start_afresh(db, conversation))
    transcripts.forget(conversation)
    late.may_arrive.set()

    assert await getting == []
    assert await transcripts.get(conversation, 80) == []


async def test_work_that_must_not_be_left_half_done_is_not(office: Office) -> None:
    may_end = asyncio.Event()
    done: list[str] = []

    async def work(fails: bool) -> str:
        await may_end.wait()
        done.append("work")
        if fails:
            raise ValueError("no")
        return "result"

    for fails in (False, True):
        may_end.clear()
        task = asyncio.create_task(unbroken(work(fails)))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        may_end.set()
        if fails:
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert await task == ("result", True)
    assert done == ["work", "work"]
    with pytest.raises(ValueError, match="no"):
        await unbroken(work(fails=True))


def test_the_first_messages_of_many_chats_may_load_httpx_at_once() -> None:
    script = (
        "import threading\n"
        "from agent.providers.http import load_httpx\n"
        "failed = []\n"
        "def load():\n"
        "    try:\n"
        "        load_httpx()\n"
        "    except BaseException as error:\n"
        "        failed.append(repr(error))\n"
        "threads = [threading.Thread(target=load) for _ in range(30)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(failed)\n"
    )
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ended.stdout == "[]\n"
