"""Turns as a person meets them: answers in order, chats side by side, Stop, limits, tools, errors in words."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from agent.events import ApprovalAsked, MessageReceived, ToolFinished, TurnFinished, TurnStarted, TurnText
from agent.paths import Paths
from agent.service import AgentService
from agent.views import TextItem, ToolItem
from tests.agent.conftest import Heard
from tests.agent.test_tools_shell import running
from tests.conftest import LogGuard
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Ending, Hang, HttpFault, Reply, rate_limited, unauthorized


async def answer(service: AgentService, text: str, conversation: str = "test") -> TurnFinished:
    events = service.converse(await service.local_conversation(conversation), text)
    last = [event async for event in events][-1]
    assert isinstance(last, TurnFinished)
    return last


async def test_an_answer_streams_and_is_kept(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = [Reply("Good morning to you.", prompt_tokens=12, completion_tokens=5)]

    turn = await answer(service, "hi")

    assert (turn.status, turn.text, turn.model) == ("answered", "Good morning to you.", "local/fake-1")
    assert (turn.usage.input_tokens, turn.usage.output_tokens, turn.cost_usd) == (12, 5, 0.0)
    assert len(heard.of(TurnText)) > 1
    assert "".join(piece.delta for piece in heard.of(TurnText)) == turn.text
    [view] = await service.timeline(turn.conversation_id)
    assert (view.question, view.status, view.items) == ("hi", "answered", (TextItem(turn.text),))
    assert [row.calls for row in await service.spending.totals(0, "model")] == [1]


async def test_the_model_is_shown_what_was_said_before_and_not_after_new(
    service: AgentService, model: ModelServer
) -> None:
    model.script = lambda request: Reply(f"answer {len(request.messages)}")

    await answer(service, "first")
    await answer(service, "second")
    told = await answer(service, "/new")
    await answer(service, "third")

    assert [message["content"] for message in model.chats[1].messages[1:]] == ["first", "answer 2", "second"]
    assert "fresh start" in told.text
    assert [message["content"] for message in model.chats[2].messages[1:]] == ["third"]
    questions = [view.question for view in await service.timeline(told.conversation_id)]
    assert questions == ["first", "second", "/new", "third"]


async def test_messages_of_one_conversation_are_answered_in_order(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = lambda request: Reply(f"re: {request.last_text}", latency=0.05)
    conversation = await service.new_conversation()

    for n in range(4):
        await service.send(conversation, str(n))
    await heard.wait(TurnFinished, 4)

    assert [turn.text for turn in heard.of(TurnFinished)] == ["re: 0", "re: 1", "re: 2", "re: 3"]
    assert model.peak == 1


async def test_conversations_run_side_by_side(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.latency = 0.5
    started = time.monotonic()

    for n in range(20):
        await service.send(await service.new_conversation(), str(n))
    await heard.wait(TurnFinished, 20)

    assert model.peak == 20
    assert time.monotonic() - started < 20 * model.latency / 2


@pytest.mark.parametrize("script", [Hang(), Reply("one two three four", ending=Ending.HANG)], ids=["before", "middle"])
async def test_stop_ends_the_turn_within_a_second_and_keeps_what_was_said(
    service: AgentService, model: ModelServer, heard: Heard, script: Hang | Reply
) -> None:
    model.script = script
    conversation = await service.new_conversation()
    await service.send(conversation, "tell me a story")
    await model.wait_for_chats()
    if isinstance(script, Reply):
        await heard.wait(TurnText)

    began = time.monotonic()
    stopped = await service.stop_turn(conversation)
    seconds = time.monotonic() - began

    turn = await heard.wait(TurnFinished)
    assert stopped
    assert seconds < 1.0
    assert turn.status == "stopped"
    assert turn.text == "".join(piece.delta for piece in heard.of(TurnText))
    assert bool(turn.text) == isinstance(script, Reply)
    await model.chats[0].wait_disconnected()
    [view] = await service.timeline(conversation)
    assert view.status == "stopped"
    assert service.busy_conversations() == ()


async def test_stop_also_ends_what_waits_behind_and_nothing_starts_again(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = Hang()
    conversation = await service.new_conversation()
    await service.send(conversation, "one")
    await model.wait_for_chats()
    await service.send(conversation, "two")

    await service.stop_turn(conversation)
    await heard.wait(TurnFinished, 2)
    model.script = Reply("fine")
    after = await answer(service, "three", "other")

    assert [view.status for view in await service.timeline(conversation)] == ["stopped", "stopped"]
    assert after.text == "fine"
    assert [request.last_text for request in model.chats] == ["one", "three"]


async def test_stop_as_a_message_is_not_queued_behind_the_turn_it_stops(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = Hang()
    conversation = await service.new_conversation()
    await service.send(conversation, "one")
    await model.wait_for_chats()

    await service.send(conversation, "/stop")

    assert [turn.status for turn in heard.of(TurnFinished)] == ["stopped", "answered"]


async def test_tools_run_and_their_results_reach_the_model(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    (service.workspace().root / "notes.txt").write_text("buy milk\n")
    model.script = [
        Reply("Let me look.", calls=[Call("read_file", {"path": "notes.txt"}), Call("list_dir", {"path": "."})]),
        Reply("You wanted milk."),
    ]

    turn = await answer(service, "what did I note?")

    assert (turn.status, turn.text) == ("answered", "You wanted milk.")
    results = [message["content"] for message in model.chats[1].messages if message["role"] == "tool"]
    assert "buy milk" in results[0]
    assert "notes.txt" in results[1]
    [view] = await service.timeline(turn.conversation_id)
    assert [type(item) for item in view.items] == [TextItem, ToolItem, ToolItem, TextItem]
    assert [call.ok for call in heard.of(ToolFinished)] == [True, True]


async def test_a_change_asks_first_and_a_no_is_respected(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    write = Call("write_file", {"path": "a.txt", "text": "x"})
    model.script = [Reply(calls=[write]), Reply("I could not."), Reply(calls=[write]), Reply("Done.")]
    conversation = await service.local_conversation("test")

    for count, choice in enumerate(("deny", "allow"), start=1):
        await service.send(conversation, "write it")
        asked = await heard.wait(ApprovalAsked, count)
        assert "a.txt" in asked.approval.action
        assert service.pending_approvals() == (asked.approval,)
        assert await service.resolve_approval(asked.approval.id, choice, "test")
        assert not await service.resolve_approval(asked.approval.id, "allow", "too late")
        await heard.wait(TurnFinished, count)
        assert (service.workspace().root / "a.txt").exists() == (choice == "allow")

    _, receipt = await service.turn(heard.of(TurnFinished)[1].turn_id)
    assert [(row["tool"], row["state"]) for row in receipt] == [("write_file", "done")]


async def test_stop_kills_a_running_command(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = [Reply(calls=[Call("run_command", {"command": "setsid sleep 60.41771 & wait"})])]
    conversation = await service.new_conversation()
    await service.send(conversation, "run it")
    async with asyncio.timeout(10):
        while not running("60.41771"):
            await asyncio.sleep(0.02)

    began = time.monotonic()
    await service.stop_turn(conversation)

    assert time.monotonic() - began < 1.0
    turn = await heard.wait(TurnFinished)
    assert turn.status == "stopped"
    assert not running("60.41771")
    model.script = Reply("fine")
    assert (await answer(service, "and now?", "other")).status == "answered"


async def test_after_a_stop_during_a_tool_the_conversation_goes_on(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = [Reply(calls=[Call("run_command", {"command": "true", "network": True})])]
    conversation = await service.local_conversation("test")
    await service.send(conversation, "run it")
    await heard.wait(ApprovalAsked)

    await service.stop_turn(conversation)
    model.script = Reply("go on")
    turn = await answer(service, "what now?")

    assert service.pending_approvals() == ()
    assert (turn.status, turn.text) == ("answered", "go on")


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (unauthorized(), "auth", "key"),
        (HttpFault(404, "no such model"), "not_found", "model"),
        (HttpFault(200, body=b"<html>hello</html>"), "bad_response", ""),
        (Reply("half an answer", ending=Ending.CUT), "network", ""),
    ],
    ids=["401", "404", "garbage", "half a stream"],
)
async def test_a_failure_is_told_in_words_and_the_next_question_works(
    service: AgentService, model: ModelServer, fault: HttpFault | Reply, kind: str, words: str
) -> None:
    model.script = fault

    turn = await answer(service, "hi")

    assert turn.status == "failed"
    assert turn.failure is not None
    assert turn.failure.kind == kind
    assert turn.failure.exit_code == 4
    assert turn.failure.title
    assert turn.failure.hint
    assert words in (turn.failure.title + turn.failure.message + turn.failure.hint).lower()
    model.script = Reply("back again")
    after = await answer(service, "again")
    assert after.text == "back again"
    assert not any("<html>" in str(message["content"]) for message in model.chats[-1].messages)


async def test_a_rate_limit_is_waited_out(service: AgentService, model: ModelServer) -> None:
    model.script = [rate_limited(0.1), Reply("here you are")]

    assert (await answer(service, "hi")).text == "here you are"


async def test_a_model_that_never_stops_calling_tools_is_ended(service: AgentService, model: ModelServer) -> None:
    await service.change_settings({"turn.max_steps": 3})
    model.script = Reply(calls=[Call("list_dir", {"path": "."})])

    turn = await answer(service, "loop")

    assert turn.status == "failed"
    assert turn.failure is not None
    assert turn.failure.kind == "turn_limit"
    assert len(model.chats) == 3


async def test_a_turn_is_over_after_its_time(service: AgentService, model: ModelServer) -> None:
    await service.change_settings({"turn.max_seconds": 0.3})
    model.script = Reply("one two three", ending=Ending.HANG)

    turn = await answer(service, "hang")

    assert turn.failure is not None
    assert turn.failure.kind == "turn_limit"
    assert turn.text.startswith("one")


async def test_a_request_for_hi_is_small(service: AgentService, model: ModelServer) -> None:
    await answer(service, "hi")

    assert {"read_file", "apply_patch", "run_command", "web_fetch"} < set(model.chats[0].tool_names)
    assert len(model.chats[0].body) <= 8_000


async def test_two_hundred_turns_keep_the_request_bounded(service: AgentService, model: ModelServer) -> None:
    await service.change_settings({"model.history_messages": 20})

    for n in range(60):
        await answer(service, f"question {n}")

    assert max(len(request.messages) for request in model.chats) <= 1 + 20 + 1
    assert all(request.messages[1]["role"] == "user" for request in model.chats)
    assert len(await service.timeline(1, limit=100)) == 60


async def test_a_failing_listener_does_not_break_a_turn(
    service: AgentService, model: ModelServer, log_guard: LogGuard
) -> None:
    log_guard.expect("a listener failed")

    def broken(event: object) -> None:
        raise RuntimeError("window is gone")

    service.events.subscribe(broken)

    assert (await answer(service, "hi")).status == "answered"


async def test_a_message_is_committed_before_it_is_worked_on(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    import sqlite3

    model.script = Hang()
    await service.send(await service.new_conversation(), "keep me")
    received = await heard.wait(MessageReceived)
    await heard.wait(TurnStarted)

    with contextlib.closing(sqlite3.connect(paths.database)) as connection:
        [(parts, state)] = connection.execute("SELECT parts, state FROM inbox WHERE id = ?", (received.inbox_id,))
    assert "keep me" in parts
    assert state == "working"
