"""What a message does that comes while another of its conversation is worked on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from agent.channels.channel import Inbound
from agent.events import TurnFinished, TurnJoined, TurnStarted
from agent.paths import Paths
from agent.service import AgentService
from agent.settings import QueueMode
from agent.storage import effects, outbox
from tests.agent.conftest import Heard, until
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Reply


def said(request: Request) -> list[str]:
    """What persons said, as the model is shown it."""
    return [str(message["content"]) for message in request.messages if message["role"] == "user"]


async def conversation_in(service: AgentService, mode: QueueMode) -> int:
    found = await service.new_conversation()
    await service.set_conversation_modes(found, queue=mode)
    return found


async def written(service: AgentService, conversation: int, text: str, sender: str = "owner") -> int:
    row = await service.conversation(conversation)
    role = "owner" if sender == "owner" else "paired"
    inbound = Inbound(row.channel, f"{text}-{time.monotonic_ns()}", row.chat_id, sender, sender, text)
    inbox_id = await service._intake.accept(inbound, role)  # type: ignore[arg-type]
    assert inbox_id is not None
    return inbox_id


async def test_a_steering_message_reaches_the_model_at_its_next_step(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    go_on = asyncio.Event()
    model.script = [
        Reply(calls=(Call("list_dir", {}),), before=go_on),
        Reply("Done, and in blue."),
        Reply("unexpected"),
    ]
    conversation = await conversation_in(service, "steer")
    await written(service, conversation, "paint it")
    await model.wait_for_chats()
    second = await written(service, conversation, "in blue")
    go_on.set()
    await heard.wait(TurnFinished)
    await until(lambda: service.busy_conversations() == ())

    assert [said(request)[-1] for request in model.chats] == ["paint it", "in blue"]
    assert [event.inbox_id for event in heard.of(TurnJoined)] == [second]
    assert [event.text for event in heard.of(TurnFinished)] == ["Done, and in blue."]
    views = await service.timeline(conversation)
    assert [(view.question, view.status) for view in views] == [("paint it", "answered"), ("in blue", "answered")]
    model.script = Reply("Yes.")
    await written(service, conversation, "was it blue?")
    await heard.wait(TurnFinished, 2)
    assert said(model.chats[-1]) == ["paint it", "in blue", "was it blue?"], "the words stay where they were said"


async def test_a_steering_message_that_no_step_took_gets_its_own_turn(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("Painted.", before=go_on), Reply("Blue, too.")]
    conversation = await conversation_in(service, "steer")
    await written(service, conversation, "paint it")
    await model.wait_for_chats()
    await written(service, conversation, "in blue")
    go_on.set()
    await heard.wait(TurnFinished, 2)
    assert [event.text for event in heard.of(TurnFinished)] == ["Painted.", "Blue, too."]


async def test_nobody_steers_the_turn_of_somebody_else(service: AgentService, model: ModelServer, heard: Heard) -> None:
    go_on = asyncio.Event()
    model.script = [Reply(calls=(Call("list_dir", {}),), before=go_on), Reply("first"), Reply("second")]
    conversation = await conversation_in(service, "steer")
    await written(service, conversation, "look around")
    await model.wait_for_chats()
    await written(service, conversation, "and delete it", sender="7")
    go_on.set()
    await heard.wait(TurnFinished, 2)
    assert [said(request) for request in model.chats] == [
        ["look around"],
        ["look around"],
        ["look around", "and delete it"],
    ]


async def test_collected_messages_are_answered_together(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("One.", before=go_on), Reply("Two, three and four.")]
    conversation = await conversation_in(service, "collect")
    await written(service, conversation, "one")
    await model.wait_for_chats()
    for text in ("two", "three", "four"):
        await written(service, conversation, text)
    go_on.set()
    await heard.wait(TurnFinished, 2)
    await until(lambda: service.busy_conversations() == ())
    assert len(model.chats) == 2
    assert said(model.chats[1])[0] == "one"
    assert all(word in "\n".join(said(model.chats[1])) for word in ("two", "three", "four"))
    assert [view.status for view in await service.timeline(conversation)] == ["answered"] * 4


@pytest.mark.parametrize(("sender", "asked"), [("7", 2), ("owner", 9)])
async def test_a_flood_of_others_is_answered_together_whatever_the_mode(
    service: AgentService, model: ModelServer, heard: Heard, sender: str, asked: int
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("One.", before=go_on), *[Reply("More.")] * 8]
    conversation = await service.new_conversation()
    await written(service, conversation, "message 0", sender)
    await model.wait_for_chats()
    for number in range(1, 9):
        await written(service, conversation, f"message {number}", sender)
    go_on.set()
    await heard.wait(TurnFinished, asked)
    await until(lambda: service._lanes.active() == ())
    assert len(model.chats) == asked
    assert "message 8" in said(model.chats[-1])[-1]
    assert len(heard.of(TurnJoined)) == 9 - asked


async def test_an_interrupting_message_ends_what_is_worked_on(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = [Reply("A long story", before=asyncio.Event()), Reply("Something else.")]
    conversation = await conversation_in(service, "interrupt")
    await written(service, conversation, "tell a story")
    await model.wait_for_chats()
    await written(service, conversation, "no, something else")
    await heard.wait(TurnFinished, 2)
    assert [(event.status, event.text) for event in heard.of(TurnFinished)] == [
        ("stopped", ""),
        ("answered", "Something else."),
    ]


async def test_a_message_waits_for_its_turn_by_default(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = lambda request: Reply(f"re: {request.last_text}")
    conversation = await service.new_conversation()
    for text in ("one", "two", "three"):
        await written(service, conversation, text)
    await heard.wait(TurnFinished, 3)
    assert [event.text for event in heard.of(TurnFinished)] == ["re: one", "re: two", "re: three"]
    assert heard.of(TurnJoined) == []


async def test_the_modes_are_set_by_words_and_kept(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths
) -> None:
    conversation = await service.new_conversation()
    for number, text in enumerate(("/queue", "/queue steer", "/mode careful", "/queue nonsense"), start=1):
        await service.send(conversation, text)
        await heard.wait(TurnFinished, number)
    answers = [event.text for event in heard.of(TurnFinished)]
    assert all(f"/queue {mode}" in answers[0] for mode in ("queue", "steer", "collect", "interrupt"))
    assert answers[1] == "In this conversation a new message is taken into account at my next step."
    assert answers[3] == answers[0]
    found = await service.conversation(conversation)
    assert (found.queue_mode, found.safety_mode) == ("steer", "careful")
    assert model.chats == []


async def test_a_careful_conversation_asks_where_the_others_do_not(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    from agent.events import ApprovalAsked

    conversation = await service.new_conversation()
    await service.set_conversation_modes(conversation, safety="careful")
    model.script = [Reply(calls=(Call("run_command", {"command": "true"}),)), Reply("Done.")]
    await service.send(conversation, "run it")
    asked = await heard.wait(ApprovalAsked)
    assert asked.approval.reason == "every effect asks in this mode"
    await service.resolve_approval(asked.approval.id, "deny", "desktop")
    await heard.wait(TurnFinished)


# --- edited messages ------------------------------------------------------------------------------------------------
async def edited(service: AgentService, conversation: int, before: str, text: str) -> int | None:
    row = await service.conversation(conversation)
    number = time.monotonic_ns()
    inbound = Inbound(row.channel, f"{before}:{number}", row.chat_id, "owner", "owner", text, edits=before)
    return await service._intake.accept(inbound, "owner")


async def first(service: AgentService, conversation: int, text: str, transport_id: str = "m1") -> None:
    row = await service.conversation(conversation)
    assert await service._intake.accept(Inbound(row.channel, transport_id, row.chat_id, "owner", "", text), "owner")


async def test_an_edited_question_is_asked_again(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = lambda request: Reply(f"re: {request.last_text}")
    conversation = await service.new_conversation()
    await first(service, conversation, "What is 2 + 3?")
    await heard.wait(TurnFinished)
    assert await edited(service, conversation, "m1", "What is 2 * 3?")
    await heard.wait(TurnFinished, 2)
    assert said(model.chats[-1]) == ["What is 2 * 3?"], "the old wording is gone for the model"
    assert [view.question for view in await service.timeline(conversation)] == ["What is 2 + 3?", "What is 2 * 3?"]


async def test_an_edit_before_the_turn_is_what_is_answered(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("One.", before=go_on), Reply("Two.")]
    conversation = await service.new_conversation()
    await first(service, conversation, "first")
    await first(service, conversation, "secnod", "m2")
    await model.wait_for_chats()
    assert await edited(service, conversation, "m2", "second") is None
    go_on.set()
    await heard.wait(TurnFinished, 2)
    assert said(model.chats[-1]) == ["first", "second"]


async def test_an_edit_while_it_is_worked_on_begins_anew(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = [Reply("never", before=asyncio.Event()), Reply("Better.")]
    conversation = await service.new_conversation()
    await first(service, conversation, "wrong")
    await model.wait_for_chats()
    assert await edited(service, conversation, "m1", "right")
    await heard.wait(TurnFinished, 2)
    assert said(model.chats[-1]) == ["right"]


@pytest.mark.parametrize("later", [False, True])
async def test_what_was_acted_upon_or_is_old_is_not_asked_again(
    service: AgentService, model: ModelServer, heard: Heard, later: bool
) -> None:
    model.script = [
        Reply(calls=(Call("run_command", {"command": "echo x > done.txt"}),)),
        Reply("Done."),
        Reply("Hello."),
    ]
    conversation = await service.new_conversation()
    await first(service, conversation, "do it")
    await heard.wait(TurnFinished)
    if later:
        await first(service, conversation, "hello", "m2")
        await heard.wait(TurnFinished, 2)
    asked = len(model.chats)
    told = await edited(service, conversation, "m1", "do something else")
    await until(lambda: service.busy_conversations() == ())
    assert len(model.chats) == asked
    if later:
        assert told is None
    else:
        assert "already acted" in heard.of(TurnFinished)[-1].text


async def test_strangers_words_do_not_replace_a_persons(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = lambda request: Reply(f"re: {request.last_text}")
    conversation = await service.new_conversation()
    await first(service, conversation, "mine")
    await heard.wait(TurnFinished)
    row = await service.conversation(conversation)
    other = Inbound(row.channel, "e1", row.chat_id, "somebody", "", "theirs", edits="m1")
    assert await service._intake.accept(other, "paired") is None
    assert len(heard.of(TurnStarted)) == 1


async def test_the_last_of_several_edits_is_what_counts(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = lambda request: Reply(f"re: {request.last_text}")
    conversation = await service.new_conversation()
    await first(service, conversation, "What is 2 + 3?")
    await heard.wait(TurnFinished)
    for number, text in enumerate(("What is 2 * 3?", "What is 2 * 4?"), start=2):
        assert await edited(service, conversation, "m1", text)
        await heard.wait(TurnFinished, number)
    assert said(model.chats[-1]) == ["What is 2 * 4?"]
    assert await edited(service, conversation, "m1", "What is 2 * 4?") is None, "nothing but the time changed"
    assert len(model.chats) == 3


async def test_what_was_acted_upon_is_not_asked_again_by_a_second_edit(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = [Reply(calls=(Call("run_command", {"command": "echo x >> done.txt"}),)), Reply("Done.")]
    conversation = await service.new_conversation()
    await first(service, conversation, "do it")
    await heard.wait(TurnFinished)
    for number, text in enumerate(("do it twice", "do it thrice"), start=2):
        await edited(service, conversation, "m1", text)
        assert "already acted" in (await heard.wait(TurnFinished, number)).text
    assert len(model.chats) == 2


async def test_what_was_only_looked_up_is_asked_again(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = lambda request: Reply(f"re: {request.last_text}")
    conversation = await service.new_conversation()
    await first(service, conversation, "weather in Pairs?")
    turn = (await heard.wait(TurnFinished)).turn_id
    await service._database.write(lambda db: effects.begin(db, turn, "c", "web_search", "fetch", "Search", {}))
    assert await edited(service, conversation, "m1", "weather in Paris?")
    assert (await heard.wait(TurnFinished, 2)).text == "re: weather in Paris?"


async def test_nobody_is_told_of_a_stop_when_they_edit(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = [Reply("a half", before=asyncio.Event()), Reply("Better.")]
    wrong = Inbound("telegram", "7:1", "7", "7", "Ada", "wrong")
    await service._intake.accept(wrong, "owner")
    await model.wait_for_chats()
    await service._intake.accept(replace(wrong, transport_id="7:1:99", edits="7:1", text="right"), "owner")
    await heard.wait(TurnFinished, 2)
    sent = await service._database.read(lambda db: outbox.waiting(db, "telegram"))
    assert [row.text for row in sent] == ["Better."]


async def test_a_waiting_message_that_becomes_a_command_is_one(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("One.", before=go_on)]
    conversation = await service.new_conversation()
    await first(service, conversation, "first")
    await first(service, conversation, "status", "m2")
    await model.wait_for_chats()
    await edited(service, conversation, "m2", "/status")
    assert "Spent:" in (await heard.wait(TurnFinished)).text
    go_on.set()
    await heard.wait(TurnFinished, 2)
    await until(lambda: service._lanes.active() == ())
    assert len(model.chats) == 1


async def test_what_others_wrote_after_it_waits_while_it_is_worked_on(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("One.", before=go_on), Reply("Two.")]
    conversation = await service.new_conversation()
    await first(service, conversation, "first")
    await model.wait_for_chats()
    await first(service, conversation, "second", "m2")
    assert await edited(service, conversation, "m1", "first!") is None
    go_on.set()
    await heard.wait(TurnFinished, 2)
    assert [event.text for event in heard.of(TurnFinished)] == ["One.", "Two."], "it keeps its answer"
