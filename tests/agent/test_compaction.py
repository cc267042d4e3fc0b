"""Long conversations: when a model refuses one for its length, notes take the place of its older part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.events import ConversationChanged, TurnFinished, TurnNotice
from agent.paths import Paths
from agent.service import AgentService
from tests.agent.conftest import Heard, until
from tests.agent.test_turns import answer
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, HttpFault, Reply

LONG = "the quick brown fox " * 50


def too_long(limit: int) -> HttpFault:
    words = f"This model's maximum context length is {limit} tokens. Please reduce the length of the messages."
    return HttpFault(400, words, type="invalid_request_error", code="context_length_exceeded")


def narrow(limit: int, script: Callable[[Request], Reply]) -> Callable[[Request], Reply | HttpFault]:
    """A model that reads so many tokens, at three characters a token."""

    def reply(request: Request) -> Reply | HttpFault:
        length = sum(len(str(message.get("content") or "")) for message in request.messages[1:])
        return too_long(limit) if length > limit * 3 else script(request)

    return reply


def notes_or(text: str) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        if "keep the notes" in str(request.messages[0]["content"]):
            return Reply(
                "The person collects foxes; only suggest, never delete.", prompt_tokens=70, completion_tokens=9
            )
        return Reply(text)

    return reply


async def test_a_conversation_that_became_too_long_goes_on_with_notes(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = narrow(2000, notes_or(LONG))
    for n in range(2):
        assert (await answer(service, f"question {n}")).status == "answered"
    for n in range(2, 6):
        turn = await answer(service, f"question {n} {LONG}")
        assert turn.status == "answered", turn.failure

    assert "shorten" in " ".join(notice.text for notice in heard.of(TurnNotice)).lower()
    last = [str(message["content"]) for message in model.chats[-1].messages]
    assert "only suggest, never delete" in last[1]
    assert last[-1].startswith("question 5")
    views = await service.timeline(turn.conversation_id)
    assert [view.question.split()[1] for view in views] == list("012345")  # nothing is gone
    purposes = {row.group for row in await service.spending.totals(0, "purpose")}
    assert purposes == {"chat", "compaction"}


async def test_notes_survive_a_restart_and_end_with_new(paths: Paths, config: str, model: ModelServer) -> None:
    model.script = narrow(2000, notes_or(LONG))
    service = await AgentService.start(paths)
    try:
        for n in range(4):
            await answer(service, f"question {n} {LONG}")
    finally:
        await service.stop()
    service = await AgentService.start(paths)
    try:
        await answer(service, "after the restart")
        assert "only suggest" in str(model.chats[-1].messages[1]["content"])
        await answer(service, "/new")
        await answer(service, "fresh")
        assert [message["content"] for message in model.chats[-1].messages[1:]] == ["fresh"]
    finally:
        await service.stop()


async def test_one_giant_tool_result_is_cut_to_its_ends(service: AgentService, model: ModelServer) -> None:
    (service.workspace().root).mkdir(parents=True, exist_ok=True)
    (service.workspace().root / "big.txt").write_text("start\n" + "filler line\n" * 1500 + "end\n")

    def script(request: Request) -> Reply:
        if request.messages[-1]["role"] == "tool":
            return Reply("read")
        return Reply(calls=[Call("read_file", {"path": "big.txt"})])

    model.script = narrow(2000, script)
    turn = await answer(service, "read it")

    assert (turn.status, turn.text) == ("answered", "read")
    shown = str(model.chats[-1].messages[-1]["content"])
    assert "left out" in shown
    assert len(shown) < 2000


async def test_a_message_that_alone_is_too_long_is_said_so(service: AgentService, model: ModelServer) -> None:
    model.script = narrow(100, notes_or("never"))

    turn = await answer(service, LONG)

    assert turn.failure is not None
    assert (turn.status, turn.failure.kind) == ("failed", "context_length")


async def test_when_no_notes_can_be_made_the_turn_goes_on_without_the_older_part(
    service: AgentService, model: ModelServer
) -> None:
    def script(request: Request) -> Reply | HttpFault:
        if "keep the notes" in str(request.messages[0]["content"]):
            return HttpFault(400, "no notes from me")
        return Reply(LONG)

    model.script = narrow(2000, script)  # type: ignore[arg-type]
    for n in range(5):
        turn = await answer(service, f"question {n} {LONG}")
        assert turn.status == "answered", turn.failure
    assert any("left out here" in str(message["content"]) for message in model.chats[-1].messages)


@pytest.fixture
def titled(config: str, paths: Paths) -> None:
    paths.config_file.write_text(config.replace("[model]\n", '[model]\ntitles = "local/small"\n'))


async def test_a_model_gives_new_conversations_their_titles(
    titled: None, service: AgentService, model: ModelServer, heard: Heard
) -> None:
    def script(request: Request) -> Reply:
        return Reply('"Foxes in the garden."\n') if request.json["model"] == "small" else Reply("Put up a fence.")

    model.models.append("small")
    model.script = script
    conversation = await service.new_conversation()
    await service.send(conversation, "there are foxes in my garden and they eat all of my hens, what can I do")
    await heard.wait(TurnFinished)

    async def title() -> str:
        return (await service.conversation(conversation)).title

    await until(lambda: any(request.json["model"] == "small" for request in model.chats))
    await heard.wait(ConversationChanged, 2)
    assert await title() == "Foxes in the garden"
    await service.send(conversation, "and the geese?")
    await heard.wait(TurnFinished, 2)
    assert [request.json["model"] for request in model.chats] == ["fake-1", "small", "fake-1"]
    assert {row.group for row in await service.spending.totals(0, "purpose")} == {"chat", "title"}


async def test_a_title_that_a_person_chose_stays(
    titled: None, service: AgentService, model: ModelServer, heard: Heard
) -> None:
    model.script = lambda request: Reply("Yes.")
    conversation = await service.new_conversation()
    await service.rename_conversation(conversation, "Mine")
    await service.send(conversation, "hello")
    await heard.wait(TurnFinished)
    await service.stop()
    assert [request.json["model"] for request in model.chats] == ["fake-1"]
