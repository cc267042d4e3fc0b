"""kill -9 in the middle of a turn, with a real process: nothing is lost, nothing is done or answered twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.events import TurnFinished
from agent.paths import Paths
from agent.service import AgentService
from agent.tools import processes
from tests.agent.conftest import Heard, until
from tests.agent.test_tools_shell import alive
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Ending, Reply

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.usefixtures("config"),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL"),
]


@contextlib.asynccontextmanager
async def doomed(*texts: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A resident agent in its own process that has committed these messages; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.agent.doomed", *texts),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"committed\n"
        yield process
    finally:
        process.kill()
        assert await process.wait() == -9


async def statuses(service: AgentService) -> list[str]:
    conversation = await service.local_conversation("test")
    return [view.status for view in await service.timeline(conversation)]


async def test_an_answer_that_was_cut_off_is_given_once_at_the_next_start(model: ModelServer, paths: Paths) -> None:
    model.script = Reply("one two three four", ending=Ending.HANG)
    async with doomed("count", "and then?"):
        await model.wait_for_chats()

    model.script = lambda request: Reply(f"answer to {request.last_text}")
    service = await AgentService.start(paths, resident=True)
    try:
        await until(lambda: _done(service, 2))
        views = await service.timeline(await service.local_conversation("test"))
        assert [(view.question, view.items[0].text) for view in views] == [  # type: ignore[union-attr]
            ("count", "answer to count"),
            ("and then?", "answer to and then?"),
        ]
        sent = [message["content"] for message in model.chats[-1].messages[1:]]
        assert sent == ["count", "answer to count", "and then?"]
    finally:
        await service.stop()
    again = await AgentService.start(paths, resident=True)
    heard = Heard(again)
    await again.stop()
    assert heard.of(TurnFinished) == []
    assert len(model.chats) == 3


async def test_what_was_done_is_not_done_again_but_shown_as_interrupted(model: ModelServer, paths: Paths) -> None:
    model.script = Reply("I start.", calls=[Call("run_command", {"command": "echo x >> count; sleep 30"})])
    async with doomed("run it"):
        await until(lambda: (paths.workspace / "count").exists())

    model.script = Reply("fine")
    service = await AgentService.start(paths, resident=True)
    try:
        assert await statuses(service) == ["interrupted"]
        [view] = await service.timeline(await service.local_conversation("test"))
        assert view.failure is not None
        assert "echo x" in view.failure.message
        assert view.failure.hint
        assert (paths.workspace / "count").read_text() == "x\n"
        assert len(model.chats) == 1
        events = service.converse(await service.local_conversation("test"), "go on")
        last = [event async for event in events][-1]
        assert isinstance(last, TurnFinished)
        assert last.status == "answered"
    finally:
        await service.stop()


async def test_what_joined_a_turn_that_had_acted_is_not_done_again(model: ModelServer, paths: Paths) -> None:
    paths.config_file.write_text(paths.config_file.read_text() + '[turn]\nqueue = "steer"\n')
    call = Call("run_command", {"command": "echo x >> count"})
    model.script = [Reply("I start.", calls=[call]), Reply("and th", ending=Ending.HANG)]
    async with doomed("run it", "and send it"):
        await model.wait_for_chats(2)
        assert model.chats[1].last_text == "and send it", "the running turn took it along"

    service = await AgentService.start(paths, resident=True)
    try:
        assert await statuses(service) == ["interrupted", "interrupted"]
        await asyncio.sleep(0.3)
        assert service.busy_conversations() == () and len(model.chats) == 2
        assert (paths.workspace / "count").read_text() == "x\n"
    finally:
        await service.stop()


async def test_what_was_collected_is_answered_together_at_the_next_start(model: ModelServer, paths: Paths) -> None:
    paths.config_file.write_text(paths.config_file.read_text() + '[turn]\nqueue = "collect"\n')
    model.script = Reply("one two", ending=Ending.HANG)
    async with doomed("one", "two", "three"):
        await model.wait_for_chats()

    model.script = Reply("All three.")
    service = await AgentService.start(paths, resident=True)
    try:
        await until(lambda: _done(service, 3))
        assert len(model.chats) == 2
    finally:
        await service.stop()


async def test_a_question_of_a_process_that_is_gone_cannot_be_answered_any_more(
    model: ModelServer, paths: Paths
) -> None:
    call = Call("write_file", {"path": "a.txt", "text": "x"})
    model.script = [Reply("I ask.", calls=[call]), Reply("I ask again.", calls=[call]), Reply("done")]
    async with doomed("--silent", "write it") as process:
        assert process.stdout is not None
        old = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
    assert not (paths.workspace / "a.txt").exists()

    service = await AgentService.start(paths, resident=True)
    heard = Heard(service)
    try:
        await until(lambda: len(service.pending_approvals()) == 1)
        (asked,) = service.pending_approvals()
        assert asked.id != old and asked.expires_at - time.time() > 590, "it is asked anew, with time to answer"
        assert not await service.resolve_approval(old, "allow", "somebody with the old card")
        assert not (paths.workspace / "a.txt").exists()
        assert await service.resolve_approval(asked.id, "allow", "desktop")
        assert not await service.resolve_approval(asked.id, "allow", "telegram:1"), "used once"
        await heard.wait(TurnFinished)
        assert (paths.workspace / "a.txt").read_text() == "x"
    finally:
        await service.stop()
    with sqlite3.connect(paths.database) as db:
        rows = db.execute("SELECT id, choice FROM approvals").fetchall()
    db.close()
    assert rows == [(asked.id, "allow")], "no question is left open"


async def test_a_second_resident_is_refused_while_the_first_runs(model: ModelServer, paths: Paths) -> None:
    from agent.errors import UsageError

    async with doomed():
        with pytest.raises(UsageError) as caught:
            await AgentService.start(paths, resident=True)
        assert "already running" in caught.value.title
        beside = await AgentService.start(paths)
        await beside.stop()

    after = await AgentService.start(paths, resident=True)
    await after.stop()


async def _done(service: AgentService, count: int) -> bool:
    return await statuses(service) == ["answered"] * count


LEAVES = """
import asyncio, os
from pathlib import Path
from agent.tools.processes import start

async def main():
    argv = ("bash", "-c", "echo $$; exec sleep 300")
    await start(argv, cwd=Path("."), environment=os.environ, output=lambda text: print(text, end="", flush=True))
    await asyncio.sleep(300)

asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strays are found in /proc")
async def test_what_a_killed_one_left_running_is_ended_at_the_next_start(paths: Paths) -> None:
    owners = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LEAVES), env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    left = [int(await asyncio.wait_for(owner.stdout.readline(), 20)) for owner in owners if owner.stdout is not None]
    try:
        owners[0].kill()
        await owners[0].wait()
        assert alive(left[0]) and alive(left[1])
        service = await AgentService.start(paths, resident=True)
        try:
            await until(lambda: not alive(left[0]))
            assert alive(left[1]), "its TrayClaw runs"
        finally:
            await service.stop()
    finally:
        owners[1].kill()
        await owners[1].wait()
        processes.end_orphans()
        await until(lambda: not alive(left[1]))
