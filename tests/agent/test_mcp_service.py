"""Whole turns with an MCP server: found by words, called, asked for, quoted, noted; and what is told of the server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from agent.events import Approval, ApprovalAsked, SettingsChanged
from agent.paths import Paths
from agent.service import AgentService
from tests.agent.conftest import Heard, until
from tests.agent.mcp_kit import ROOT, children_of
from tests.agent.test_turns import answer
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Reply

SERVER = """
[mcp.peer]
command = {command}
args = ["-m", "tests.peers.mcp_tools"]
env = {{ PYTHONPATH = {root} }}
"""


@pytest.fixture
async def outfitted(paths: Paths, config: str) -> AsyncIterator[AgentService]:
    """An agent with one MCP server in its settings."""
    text = SERVER.format(command=json.dumps(sys.executable), root=json.dumps(str(ROOT)))
    paths.config_file.write_text(config + text)
    service = await AgentService.start(paths)
    yield service
    await service.stop()


def answering(service: AgentService, choice: str) -> list[Approval]:
    """Answer each question so; the questions."""
    asked: list[Approval] = []

    def hear(event: object) -> None:
        if isinstance(event, ApprovalAsked):
            asked.append(event.approval)
            service._approvals.resolve(event.approval.id, choice, "desktop")  # type: ignore[arg-type]

    service.events.subscribe(hear)
    return asked


async def test_found_revealed_asked_called_quoted_and_on_the_receipt(
    outfitted: AgentService, model: ModelServer
) -> None:
    asked = answering(outfitted, "allow")
    model.script = [
        Reply(calls=[Call("tool_search", {"query": "add numbers"})]),
        Reply(calls=[Call("mcp_peer_add", {"a": 20, "b": 22})]),
        Reply(calls=[Call("run_command", {"command": "true"})]),
        Reply("42"),
        Reply("again"),
    ]
    turn = await answer(outfitted, "what is 20 + 22?")
    assert (turn.status, turn.text) == ("answered", "42")

    first, second, third = model.chats[:3]
    assert "tool_search" in first.tool_names and "mcp_peer_add" not in first.tool_names
    assert second.tool_names == [*first.tool_names, *second.tool_names[len(first.tool_names) :]]
    assert "mcp_peer_add" in second.tool_names
    quoted = third.messages[-1]["content"]
    assert quoted.startswith("[untrusted text from the MCP server peer") and "\n42\n" in quoted

    use, command = asked
    assert use.tool == "mcp_peer_add" and "Add two numbers." in use.action
    assert "the MCP server peer" in command.reason, "what it said taints the turn"
    receipt = await outfitted.receipt(turn.turn_id)
    assert receipt.outside == ("Use add of peer",) and "the MCP server peer" in receipt.sources

    await answer(outfitted, "and again?")
    assert set(second.tool_names) <= set(model.chats[-1].tool_names), "the next turn has them too"
    await answer(outfitted, "/new")
    model.script = [Reply("fresh")]
    await answer(outfitted, "hello")
    assert [name for name in model.chats[-1].tool_names if name.startswith("mcp_")] == ["mcp_peer_add"], "was used"


async def test_what_was_accepted_is_in_the_prompt_after_the_next_start(
    paths: Paths, outfitted: AgentService, model: ModelServer
) -> None:
    answering(outfitted, "allow")
    await outfitted._mcp.ready()
    model.script = [Reply(calls=[Call("mcp_peer_add", {"a": 1, "b": 2})]), Reply("3")]
    await answer(outfitted, "add")
    await outfitted.stop()

    again = await AgentService.start(paths)
    try:
        await again.servers.test("peer")
        model.script = [Reply("hello")]
        await answer(again, "hi")
        assert [name for name in model.chats[-1].tool_names if name.startswith("mcp_")] == ["mcp_peer_add"]
    finally:
        await again.stop()


async def test_a_request_for_hi_stays_small_with_outside_tools(outfitted: AgentService, model: ModelServer) -> None:
    outfitted.servers.wake()
    await until(lambda: outfitted.servers.views()[0].state == "ready")
    await answer(outfitted, "hi")
    assert "tool_search" in model.chats[0].tool_names and len(model.chats[0].body) <= 8_000


def test_the_library_is_not_loaded_before_a_server_is_wanted() -> None:
    code = "import sys, agent.service; print([name for name in sys.modules if name.split('.')[0] in ('mcp', 'httpx2')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


async def test_nothing_starts_before_the_first_turn_and_nothing_is_left_at_the_end(
    paths: Paths, config: str, model: ModelServer
) -> None:
    text = SERVER.format(command=json.dumps(sys.executable), root=json.dumps(str(ROOT)))
    paths.config_file.write_text(config + text)
    before = set(children_of("tests.peers.mcp_tools"))
    service = await AgentService.start(paths)
    assert service.servers.views()[0].state == "idle" and set(children_of("tests.peers.mcp_tools")) == before
    await answer(service, "hi")
    await until(lambda: service.servers.views()[0].state == "ready")
    assert set(children_of("tests.peers.mcp_tools")) > before
    await service.stop()
    assert set(children_of("tests.peers.mcp_tools")) <= before


async def test_always_is_for_this_tool_as_it_is_described_and_can_be_taken_back(
    outfitted: AgentService, model: ModelServer
) -> None:
    asked = answering(outfitted, "always")
    model.script = lambda request: (
        Reply("done")
        if request.messages[-1]["role"] == "tool"
        else Reply(calls=[Call("mcp_peer_add", {"a": len(request.messages), "b": 1})])
    )
    await outfitted._mcp.ready()
    await answer(outfitted, "one")
    await answer(outfitted, "two")
    assert len(asked) == 1
    [grant] = await outfitted.grants()
    assert grant.rule.words == "using add of the MCP server peer" and grant.used_at is not None
    await outfitted.revoke_grant(grant.id)
    await answer(outfitted, "three")
    assert len(asked) == 2


async def test_a_key_of_the_person_is_never_sent_to_a_server(outfitted: AgentService, model: ModelServer) -> None:
    asked = answering(outfitted, "allow")
    await outfitted._mcp.ready()
    model.script = [
        Reply(calls=[Call("mcp_peer_write", {"path": "a", "text": "sk-loopback"})]),
        Reply("no"),
    ]
    await answer(outfitted, "send it")
    assert asked == [] and "it would carry a key of yours out" in model.chats[-1].messages[-1]["content"]


async def test_a_program_without_a_fence_waits_for_the_person(outfitted: AgentService, heard: Heard) -> None:
    await outfitted.change_settings({"safety.sandbox": "off"})
    view = await outfitted.servers.test("peer")
    assert view.state == "unfenced"
    await outfitted.servers.permit_unfenced("peer")
    assert outfitted.servers.views()[0].state == "ready"
    [grant] = await outfitted.grants()
    assert grant.rule.words == "starting the MCP server peer without a sandbox"
    await outfitted.revoke_grant(grant.id)
    assert (await outfitted.servers.test("peer")).state == "unfenced"


async def test_what_a_program_changed_in_the_workspace_is_undone(outfitted: AgentService, model: ModelServer) -> None:
    answering(outfitted, "allow")
    await outfitted._mcp.ready()
    file = outfitted.workspace().root / "note.txt"
    file.write_text("mine")
    model.script = [Reply(calls=[Call("mcp_peer_write", {"path": "note.txt", "text": "theirs"})]), Reply("done")]
    turn = await answer(outfitted, "write")
    assert file.read_text() == "theirs"
    assert [change.path for change in (await outfitted.receipt(turn.turn_id)).files] == ["note.txt"]
    report = await outfitted.undo(turn.turn_id)
    assert report.done and file.read_text() == "mine"
    assert any(step.outcome == "cannot be taken back" for step in report.steps), "what else it did is not known"


async def test_changes_of_a_server_are_told(outfitted: AgentService) -> None:
    told: list[tuple[str, ...]] = []
    outfitted.events.subscribe(lambda event: told.append(event.keys) if isinstance(event, SettingsChanged) else None)
    await outfitted.servers.test("peer")
    assert ("mcp.peer",) in told
    await outfitted.change_settings({"mcp.peer.enabled": False})
    assert outfitted.servers.views()[0].state == "off"
    await outfitted.change_settings({"mcp.peer": None})
    assert outfitted.servers.views() == ()


async def test_keys_that_servers_refer_to_can_be_listed(
    outfitted: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAYCLAW_KEY_GH", "ghp-0123456789")
    assert "gh" not in await outfitted.stored_keys()
    await outfitted.change_settings({"mcp.peer.env.TOKEN": "keyring:gh"})
    assert "gh" in await outfitted.stored_keys()
