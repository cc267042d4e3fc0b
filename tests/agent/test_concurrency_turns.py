"""What happens at the same moment: a stop while a turn begins or is saved, two processes, a removed conversation."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.channels.channel import Inbound
from agent.events import ApprovalAsked, Event, MessageReceived, TurnFinished, TurnStarted, TurnText
from agent.paths import Paths
from agent.providers.types import user
from agent.service import AgentService
from agent.storage import conversations, inbox
from agent.storage.database import Database
from agent.views import ToolItem
from tests.agent.conftest import Heard, until
from tests.agent.test_tools_shell import running
from tests.agent.test_turns import answer
from tests.conftest import LogGuard
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Ending, Hang, Reply

ROOT = Path(__file__).parents[2]


class Held:
    """The database's writer, kept busy until `release`: what is written meanwhile waits behind it."""

    def __init__(self, service: AgentService) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self.release = threading.Event()
        self._task = asyncio.ensure_future(service._database.write(self._hold))
        self._write = service._database.write
        self._asked = 0
        service._database.write = self._counted  # type: ignore[method-assign]

    def _counted(self, work: Callable[[sqlite3.Connection], Any]) -> Awaitable[Any]:
        self._asked += 1
        return self._write(work)

    def _hold(self, db: sqlite3.Connection) -> None:
        self._loop.call_soon_threadsafe(self._begun.set)
        assert self.release.wait(30)

    async def wait_for_writes(self, count: int = 1) -> None:
        await self._begun.wait()
        await until(lambda: self._asked >= count)
        await asyncio.sleep(0)  # the last one is on its way into the queue

    async def end(self) -> None:
        self._service._database.write = self._write  # type: ignore[method-assign]
        self.release.set()
        await self._task


@contextlib.asynccontextmanager
async def held(service: AgentService) -> AsyncIterator[Held]:
    found = Held(service)
    await found.wait_for_writes(0)
    try:
        yield found
    finally:
        await found.end()


@contextlib.contextmanager
def on(service: AgentService, kind: type[Event], do: Callable[[], object]) -> object:
    """Do something at the very moment of the first event of a kind."""
    todo = [do]
    unsubscribe = service.events.subscribe(
        lambda event: todo.pop()() if todo and isinstance(event, kind) else None  # type: ignore[arg-type]
    )
    yield
    unsubscribe()


@pytest.fixture
async def beside(paths: Paths, service: AgentService) -> AsyncIterator[AgentService]:
    """Another process with the same data, as `trayclaw ask` is."""
    found = await AgentService.start(paths)
    yield found
    await found.stop()


def allow_everything(service: AgentService) -> None:
    def allow(event: Event) -> None:
        if isinstance(event, ApprovalAsked):
            service._approvals.resolve(event.approval.id, "allow", "test")

    service.events.subscribe(allow)


def rows(paths: Paths, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(paths.database)) as connection:
        return connection.execute(query).fetchall()


def shown(request: Request) -> list[object]:
    """What the model was shown, without the system prompt."""
    return [message["content"] for message in request.messages[1:]]


async def test_two_stops_while_an_answer_is_saved_leave_one_turn_with_its_answer(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    may_answer = asyncio.Event()
    model.script = Reply("Here it is.", before=may_answer)
    conversation = await service.new_conversation()
    await service.send(conversation, "question")
    await model.wait_for_chats()
    async with held(service) as writer:
        may_answer.set()
        await writer.wait_for_writes()
        stops = [asyncio.create_task(service.stop_turn(conversation)) for _ in range(2)]
        for _ in range(3):
            await asyncio.sleep(0)
    await asyncio.gather(*stops)

    await until(lambda: not service.busy_conversations())
    assert [(turn.status, turn.text) for turn in heard.of(TurnFinished)] == [("answered", "Here it is.")]
    [view] = await service.timeline(conversation)
    assert (view.status, [item.text for item in view.items]) == ("answered", ["Here it is."])  # type: ignore[union-attr]
    assert rows(paths, "SELECT status FROM turns") == [("answered",)]


async def test_a_stop_while_a_turn_begins_leaves_one_stopped_turn_and_its_question(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    conversation = await service.local_conversation("test")
    await answer(service, "zero")
    writers: list[Held] = []
    with on(service, MessageReceived, lambda: writers.append(Held(service))):
        await service.send(conversation, "one")
    await writers[0].wait_for_writes()
    stop = asyncio.create_task(service.stop_turn(conversation))
    for _ in range(3):
        await asyncio.sleep(0)
    await writers[0].end()
    assert await stop
    await answer(service, "two")

    assert [turn.status for turn in heard.of(TurnFinished)] == ["answered", "stopped", "answered"]
    assert rows(paths, "SELECT status FROM turns ORDER BY id") == [("answered",), ("stopped",), ("answered",)]
    # Two messages of a person in a row reach the model as one: the strictest provider wants turns.
    assert shown(model.chats[-1]) == ["zero", "Hello from the fake model.", "one\n\ntwo"]


@pytest.mark.parametrize("when", ["queued", "running", "twice", "nothing"])
async def test_stops_at_any_moment_end_every_message_once(
    service: AgentService, model: ModelServer, heard: Heard, when: str
) -> None:
    model.script = Hang()
    conversation = await service.new_conversation()
    count = 0 if when == "nothing" else 5
    for n in range(count):
        await service.send(conversation, str(n))
    if when != "queued" and count:
        await model.wait_for_chats()
    stops = await asyncio.gather(*(service.stop_turn(conversation) for _ in range(2 if when == "twice" else 1)))

    assert any(stops) == bool(count)
    await until(lambda: len(heard.of(TurnFinished)) >= count)
    assert sorted(turn.inbox_id for turn in heard.of(TurnFinished)) == list(range(1, count + 1))
    assert {turn.status for turn in heard.of(TurnFinished)} <= {"stopped"}
    assert service._lanes.active() == ()


async def test_a_message_whose_sender_goes_away_while_it_is_saved_is_answered(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    conversation = await service.new_conversation()
    async with held(service) as writer:
        sending = asyncio.create_task(service.send(conversation, "question"))
        await writer.wait_for_writes()
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending

    turn = await heard.wait(TurnFinished)
    assert (turn.status, turn.text) == ("answered", "Hello from the fake model.")


async def test_a_message_that_comes_while_the_agent_ends_waits_for_the_next_start(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    conversation = await service.new_conversation()
    await service._lanes.close()
    await service.send(conversation, "late")
    assert service._lanes.active() == ()
    await service.stop()

    assert heard.of(TurnStarted) == []
    assert rows(paths, "SELECT state FROM inbox") == [("waiting",)]
    again = await AgentService.start(paths, resident=True)
    try:
        assert (await Heard(again).wait(TurnFinished)).text == "Hello from the fake model."
    finally:
        await again.stop()


async def test_after_a_stop_between_tools_the_model_knows_what_was_done(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    await service.change_settings({"safety.mode": "autonomous"})
    allow_everything(service)
    root = service.workspace().root
    model.script = [
        Reply(
            calls=[
                Call("write_file", {"path": "first.txt", "text": "1"}, id="first"),
                Call("run_command", {"command": "echo $$ > pid; sleep 60.5311"}, id="second"),
                Call("write_file", {"path": "third.txt", "text": "3"}, id="third"),
            ]
        ),
        Reply("I see."),
    ]
    conversation = await service.local_conversation("test")
    await service.send(conversation, "do three things")
    await until(lambda: (root / "pid").exists() and (root / "pid").read_text().strip() != "")
    await service.stop_turn(conversation)
    [view] = await service.timeline(conversation)
    await answer(service, "go on")

    told = {
        message["tool_call_id"]: message["content"] for message in model.chats[-1].messages if "tool_call_id" in message
    }
    assert "was done" in told["first"]
    assert "may have happened" in told["second"]
    assert "Not run" in told["third"]
    assert [item.ok for item in view.items if isinstance(item, ToolItem)] == [True, False, False]
    assert not running("60.5311")


async def test_a_turn_longer_than_the_window_keeps_its_question_and_all_its_results(
    service: AgentService, model: ModelServer, paths: Paths
) -> None:
    await service.change_settings({"model.history_messages": 4})

    def script(request: Request) -> Reply:
        if len(model.chats) in (5, 10):
            return Reply("done")
        return Reply(calls=[Call("list_dir", {"path": "."}), Call("list_dir", {"path": "."})])

    model.script = script
    await answer(service, "before")
    assert (await answer(service, "the question")).text == "done"

    long = model.chats[9].messages
    assert long[1]["content"] == "the question"
    assert [message["role"] for message in long[2:]] == ["assistant", "tool", "tool"] * 4
    beside = await AgentService.start(paths)
    try:
        model.script = Reply("fine")
        await answer(beside, "and now?")
    finally:
        await beside.stop()
    assert [message["role"] for message in model.chats[-1].messages[1:]][-1] == "user"
    assert model.chats[-1].messages[1]["role"] == "user"


async def test_a_thousand_calls_in_one_reply_are_all_answered(service: AgentService, model: ModelServer) -> None:
    (service.workspace().root / "a.txt").write_text("a")
    calls = [Call("read_file", {"path": "a.txt"}, pieces=1) for _ in range(1000)]
    model.script = [Reply(calls=calls), Reply(calls=calls[:2]), Reply("read")]

    turn = await answer(service, "read it a thousand times")

    assert (turn.status, turn.text) == ("answered", "read")
    assert len([message for message in model.chats[-1].messages if message["role"] == "tool"]) == 1002


async def test_what_another_process_said_in_a_conversation_is_known(
    service: AgentService, beside: AgentService, model: ModelServer
) -> None:
    model.script = lambda request: Reply(f"re {request.last_text}")
    await answer(service, "one")
    await answer(beside, "two")
    await answer(service, "three")
    await answer(beside, "four")
    await answer(beside, "/new")
    await answer(service, "five")

    assert shown(model.chats[2]) == ["one", "re one", "two", "re two", "three"]
    assert shown(model.chats[3])[-3:] == ["three", "re three", "four"]
    assert shown(model.chats[4]) == ["five"]


async def test_turns_of_two_processes_in_one_conversation_do_not_break_it(
    service: AgentService, beside: AgentService, model: ModelServer
) -> None:
    both = asyncio.Event()

    def script(request: Request) -> Reply:
        asked = request.last_text.split("\n\n")[-1]  # after the question of the other, if that came first
        if asked in ("one", "two"):
            if len(model.chats) == 2:
                both.set()
            return Reply(calls=[Call("list_dir", {"path": "."}, id=asked)], before=both)
        return Reply("fine")

    model.script = script
    turns = await asyncio.gather(answer(service, "one"), answer(beside, "two"))
    last = await answer(service, "three")

    assert [turn.status for turn in (*turns, last)] == ["answered"] * 3
    roles = [message["role"] for message in model.chats[-1].messages[1:]]
    assert roles == ["user", "assistant", "tool", "assistant"] * 2 + ["user"]


async def test_a_conversation_that_another_process_removes_during_its_turn_is_gone_and_nobody_waits(
    service: AgentService, beside: AgentService, model: ModelServer, paths: Paths, heard: Heard
) -> None:
    may_answer = asyncio.Event()
    model.script = Reply("for nobody", before=may_answer)
    conversation = await service.local_conversation("test")
    turn = asyncio.create_task(answer(service, "question"))
    await model.wait_for_chats()
    await beside.delete_conversation(conversation)
    may_answer.set()

    assert (await asyncio.wait_for(turn, 5)).inbox_id
    assert [len(rows(paths, f"SELECT * FROM {table}")) for table in ("turns", "messages", "inbox")] == [0, 0, 0]
    model.script = Reply("a new life")
    assert (await answer(service, "hello again")).text == "a new life"
    assert shown(model.chats[-1]) == ["hello again"]


async def test_a_conversation_removed_between_its_steps_ends_the_turn(
    service: AgentService, beside: AgentService, model: ModelServer, paths: Paths
) -> None:
    conversation = await service.local_conversation("test")
    may_answer = asyncio.Event()
    model.script = [Reply(calls=[Call("list_dir", {"path": "."})], before=may_answer), Reply("for nobody")]
    turn = asyncio.create_task(answer(service, "question"))
    await model.wait_for_chats()
    await beside.delete_conversation(conversation)
    may_answer.set()

    assert (await asyncio.wait_for(turn, 5)).status == "failed"
    assert rows(paths, "SELECT * FROM messages") == []


async def test_a_message_to_a_conversation_that_was_just_removed_ends(
    service: AgentService, beside: AgentService, model: ModelServer, heard: Heard
) -> None:
    conversation = await service.new_conversation()
    deleting: list[asyncio.Task[None]] = []

    def remove() -> None:
        deleting.append(asyncio.create_task(service._database.write(lambda db: conversations.delete(db, conversation))))

    with on(service, MessageReceived, remove):
        inbox_id = await service.send(conversation, "too late")
    turn = await heard.wait(TurnFinished)
    await asyncio.gather(*deleting)

    assert (turn.inbox_id, turn.text) == (inbox_id, "")


async def test_costs_of_a_removed_conversation_are_not_counted_as_those_of_the_next(
    service: AgentService, model: ModelServer
) -> None:
    model.script = Reply("hi", prompt_tokens=1000, completion_tokens=100)
    first = await answer(service, "hello", "first")
    await service.delete_conversation(first.conversation_id)
    model.script = Reply("hi", prompt_tokens=1, completion_tokens=1)
    second = await answer(service, "hello", "second")

    [view] = await service.timeline(second.conversation_id)
    assert (view.usage.input_tokens, view.usage.output_tokens) == (1, 1)
    assert sum(row.usage.input_tokens for row in await service.spending.totals(0, "model")) == 1001
    by_name = {row.group: row.usage.input_tokens for row in await service.spending.totals(0, "conversation")}
    assert by_name["second"] == 1


async def test_new_while_messages_come_shows_the_model_nothing_from_before(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    await answer(service, "the secret is 42")
    conversation = await service.local_conversation("test")
    service._transcripts.forget(conversation)
    model.script = lambda request: Reply("ok")
    for n in range(5):
        await asyncio.gather(service.send(conversation, "/new"), service.send(conversation, f"after {n}"))
        await until(lambda: not service._lanes.active())
        await answer(service, f"check {n}")
        assert "the secret is 42" not in shown(model.chats[-1])


async def test_texts_that_utf8_cannot_carry_do_not_hold_a_lane(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    await service.change_settings({"safety.mode": "autonomous"})
    model.script = [
        Reply(calls=[Call("write_file", '{"path": "half\\ud83d.txt", "text": "x"}')]),
        Reply("A smile."),
    ]
    turn = await answer(service, "half \ud83d of an emoji")

    assert (turn.status, turn.text) == ("answered", "A smile.")
    [view] = await service.timeline(turn.conversation_id)
    assert view.question == "half \ufffd of an emoji"


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 10_000_000, "\0", "\r\n" * 1000], ids=["empty", "blank", "10MB", "nul", "lines"]
)
async def test_odd_messages_are_kept_and_get_an_end(service: AgentService, model: ModelServer, text: str) -> None:
    turn = await answer(service, text)

    [view] = await service.timeline(turn.conversation_id)
    assert view.question == text
    assert view.status == turn.status
    await until(lambda: not service._lanes.active())


async def test_changed_settings_count_from_the_next_step(service: AgentService, model: ModelServer) -> None:
    async def script(request: Request) -> Reply:
        if len(model.chats) == 1:
            await service.change_settings({"tools.workspace": "", "model.history_messages": 4, "turn.max_steps": 1})
            return Reply(calls=[Call("list_dir", {"path": "."})])
        return Reply("done")

    model.script = script
    assert (await answer(service, "go")).text == "done"


async def test_stop_all_under_load_is_over_within_a_second(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    await service.change_settings({"safety.mode": "autonomous"})
    allow_everything(service)
    root = service.workspace().root

    def script(request: Request) -> Reply:
        if request.last_text.startswith("run"):
            number = request.last_text.split()[1]
            command = (
                f"trap '' TERM; (setsid sleep 300.5311 & echo $! > child{number}); echo $$ > pid{number}; sleep 300"
            )
            return Reply("I run it.", calls=[Call("run_command", {"command": command})])
        return Reply("one two three four", ending=Ending.HANG)

    model.script = script
    for n in range(25):
        conversation = await service.new_conversation()
        await service.send(conversation, f"run {n}" if n < 20 else f"tell {n}")
    files = [root / f"{name}{n}" for n in range(20) for name in ("pid", "child")]
    await until(lambda: all(file.exists() and file.read_text().strip() for file in files), 20)
    await until(lambda: len({piece.conversation_id for piece in heard.of(TurnText)}) == 25, 20)
    said = {n: "".join(piece.delta for piece in heard.of(TurnText) if piece.conversation_id == n) for n in range(1, 26)}

    began = time.monotonic()
    assert await service.stop_all() == 25
    seconds = time.monotonic() - began

    assert seconds < 1.0, seconds
    assert {turn.status for turn in heard.of(TurnFinished)} == {"stopped"}
    assert {turn.conversation_id: turn.text for turn in heard.of(TurnFinished)} == said
    assert not running("300.5311")
    assert service.busy_conversations() == ()


async def test_a_thousand_turns_leave_nothing_behind(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = Reply("ok", chunks=1)
    ids = [await service.new_conversation() for _ in range(300)]
    before = len(asyncio.all_tasks())
    for _ in range(2):
        await asyncio.gather(*(service.send(conversation, "hi") for conversation in ids))
    await heard.wait(TurnFinished, 600, 60)
    await until(lambda: not service._lanes.active())

    assert {turn.status for turn in heard.of(TurnFinished)} == {"answered"}
    assert len(asyncio.all_tasks()) <= before
    assert service._intake._accepting == set()
    assert len(service._transcripts._kept) <= 256
    assert service.events._by_conversation == {}


def test_several_processes_may_make_the_database_at_the_same_moment(tmp_path: Path) -> None:
    # The change to WAL mode is where they meet; one file in twenty or so showed it, hence forty.
    script = (
        "import sys\nfrom pathlib import Path\nimport sqlite_utils.migrations\n"
        "from agent.storage.database import Database\n"
        "for n in range(40):\n"
        "    print('ready', flush=True)\n    sys.stdin.readline()\n"
        "    Database.open(Path(sys.argv[1], f'{n}.db')).close()\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    processes = [
        subprocess.Popen(
            arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for _ in range(40):
        ready = [process.stdout.readline() for process in processes if process.stdout is not None]
        if ready != ["ready\n"] * 4:
            break  # one of them failed; its words are below
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4


async def test_a_command_that_a_crash_left_open_is_answered_and_not_shown_to_a_model(
    paths: Paths, config: str, model: ModelServer
) -> None:
    database = await asyncio.to_thread(Database.open, paths.database)

    def leave(db: sqlite3.Connection) -> None:
        conversation = conversations.ensure(db, "local", "test", "test")
        for n, text in enumerate(("/new", "hello")):
            inbox.add(
                db, conversation_id=conversation, channel="local", transport_id=str(n), chat_id="test",
                sender_id="owner", sender_name="You", sender_role="owner", message=user(text), model="", owner="gone",
            )  # fmt: skip

    await database.write(leave)
    await asyncio.to_thread(database.close)
    service = await AgentService.start(paths, resident=True)
    try:
        heard = Heard(service)
        await heard.wait(TurnFinished)
        views = await service.timeline(1)
        assert [(view.question, view.status) for view in views] == [("/new", "answered"), ("hello", "answered")]
        assert [shown(chat) for chat in model.chats] == [["hello"]]
    finally:
        await service.stop()


async def test_a_message_that_comes_twice_at_once_is_answered_once(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    inbound = Inbound("local", "7", "chat", "owner", "You", "hello")
    ids = await asyncio.gather(*(service._intake.accept(inbound, "owner") for _ in range(5)))

    await heard.wait(TurnFinished)
    assert sorted(found is not None for found in ids) == [False] * 4 + [True]
    assert len(model.chats) == 1


async def test_a_lane_goes_on_when_a_message_cannot_be_dropped(
    service: AgentService, model: ModelServer, heard: Heard, log_guard: LogGuard
) -> None:
    log_guard.expect("could not be put down as stopped")
    model.script = Hang()
    conversation = await service.new_conversation()
    for n in range(3):
        await service.send(conversation, str(n))
    await model.wait_for_chats()
    await service._database.write(lambda db: db.execute("DELETE FROM inbox WHERE id = 2"))
    await service.stop_turn(conversation)
    model.script = Reply("fine")

    assert [turn.inbox_id for turn in heard.of(TurnFinished)] == [1, 2, 3]
    await service.send(conversation, "again")
    assert (await heard.wait(TurnFinished, 4)).text == "fine"
