"""MCP servers of the official library, as programs behind the fence and over HTTP: found, asked for, called, quoted."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.providers.types import ToolCall
from agent.safety.sandbox.landlock import Landlock
from agent.settings import McpServerSettings
from tests.agent.conftest import until
from tests.agent.mcp_kit import ROOT, children_of, mcp_desk, official
from tests.peers.mcp_over_http import http_peer
from tests.peers.mcp_tools import PIXEL


async def test_a_tool_is_found_asked_for_called_and_its_result_quoted(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        desk.mcp.wake()
        spec = desk.toolbox.specs()[-1]
        assert spec.name == "tool_search" and "peer" in spec.description

        found = await desk.find("add two numbers")
        assert "mcp_peer_add: Add two numbers." in found.text
        assert desk.offered()[-1] != "tool_search" and "mcp_peer_add" in desk.offered()

        result = await desk.call("mcp_peer_add", a=20, b=22)
        assert result.ok and "\n42\n" in result.text
        assert result.text.startswith("[untrusted text from the MCP server peer")
        [question] = desk.questions
        assert question.title == "Use a tool of the MCP server peer?" and not question.undoable
        for part in ("add on the MCP server peer", "tests.peers.mcp_tools", '"a": 20', "Add two numbers.", "Not used"):
            assert part in question.action, part
        assert desk.scope.taint.sources == ["the MCP server peer"]
        effect = desk.effects[-1]
        assert (effect["kind"], effect["state"], effect["detail"]["decided_by"]) == ("use", "done", "desktop")


async def test_what_was_used_once_is_in_the_prompt_and_asks_without_the_description(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        await desk.call("mcp_peer_add", a=1, b=2)
        assert [name for name in desk.offered() if name.startswith("mcp_")] == ["mcp_peer_add"]
        await desk.call("mcp_peer_add", a=3, b=4)
        assert len(desk.questions) == 2 and "Add two numbers" not in desk.questions[1].action


async def test_a_no_is_a_no_and_accepts_nothing(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        desk.answers = lambda approval: "deny"
        await desk.mcp.ready()
        result = await desk.call("mcp_peer_write", path="a.txt", text="x")
        assert not result.ok and "the person said no" in result.text
        assert not (desk.folder / "a.txt").exists() and desk.book.pins == {}


async def test_arguments_are_checked_before_anybody_is_asked(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        wrong = await desk.call("mcp_peer_add", a="one")
        assert not wrong.ok and "b is required" in wrong.text and desk.questions == []


async def test_results_of_every_kind(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        picture = await desk.call("mcp_peer_picture")
        assert [(image.media_type, image.data) for image in picture.images] == [("image/png", PIXEL)]
        link = await desk.call("mcp_peer_link")
        assert "[a resource: file:///reports/may.pdf] report; application/pdf" in link.text
        weather = await desk.call("mcp_peer_weather", city="Rome")
        assert weather.text.count("Rome") == 1 and '"degrees": 21' in weather.text
        failed = await desk.call("mcp_peer_refuse")
        assert not failed.ok and "untrusted text from the MCP server peer" in failed.text
        assert desk.effects[-1]["state"] == "failed"


async def test_the_program_is_fenced_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAYCLAW_KEY_OPENAI", "sk-planted-0123456789abcdef")
    settings = official(env={"TOKEN": "keyring:peer-token", "PLAIN": "yes"})
    async with mcp_desk(tmp_path, peer=settings) as desk:
        assert desk.scope.sandbox is not None, "this machine must have a fence"
        desk.secrets["peer-token"] = "t-0123456789"
        await desk.mcp.ready()
        outside = tmp_path / "home" / "outside.txt"
        await desk.call("mcp_peer_write", path=str(outside), text="x")
        await desk.call("mcp_peer_write", path="inside.txt", text="x")
        assert not outside.exists() and (desk.folder / "inside.txt").read_text() == "x"
        for name, value in (("TRAYCLAW_KEY_OPENAI", "(not set)"), ("TOKEN", "t-0123456789"), ("PLAIN", "yes")):
            assert f"\n{value}\n" in (await desk.call("mcp_peer_variable", name=name)).text, name
        with socket.create_server(("127.0.0.1", 0)) as door:
            door.settimeout(0.2)
            assert "\nnot reached\n" in (await desk.call("mcp_peer_reach", port=door.getsockname()[1])).text
            with pytest.raises(TimeoutError):
                door.accept()


async def test_it_is_fenced_in_by_landlock_as_well(tmp_path: Path) -> None:
    if not Landlock.version() or not Path("/usr/bin/python3").exists():
        pytest.skip("this kernel has no Landlock, or the system no Python")
    program = tmp_path / "home" / "TrayClaw" / "server.py"
    program.parent.mkdir(parents=True)
    program.write_text((ROOT / "tests" / "peers" / "mcp_hostile.py").read_text())
    settings = McpServerSettings(command="/usr/bin/python3", args=(str(program), "outside"))
    async with mcp_desk(tmp_path, sandbox=Landlock(tmp_path / "home"), peer=settings) as desk:
        await desk.mcp.ready()
        result = await desk.call("mcp_peer_look")
        assert result.ok and "refused" in result.text, desk.state("peer")
        assert not (tmp_path / "home" / "outside.txt").exists()


async def test_with_network_in_the_settings_it_reaches_out(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official(network=True)) as desk:
        await desk.mcp.ready()
        with socket.create_server(("127.0.0.1", 0)) as door:
            assert "\nreached\n" in (await desk.call("mcp_peer_reach", port=door.getsockname()[1])).text


async def test_without_a_fence_a_person_must_allow_the_start(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, fenced=False, peer=official()) as desk:
        assert "Not available now: peer." in (await desk.find("add")).text
        state, detail = desk.state("peer")
        assert state == "unfenced" and "all your rights" in detail and desk.mcp.tools() == ()
        desk.permitted.add(desk.mcp.unfenced_rule("peer").value)
        assert (await desk.mcp.restart("peer")).state == "ready"
        desk.servers["peer"] = official(network=True)
        await desk.mcp.follow()
        await desk.mcp.ready()
        assert desk.state("peer")[0] == "unfenced", "another command is another permission"


async def test_a_missing_key_or_program_is_said_in_words(tmp_path: Path) -> None:
    servers = {
        "keyless": official(env={"TOKEN": "keyring:nowhere"}),
        "absent": McpServerSettings(command="no-such-program-here"),
        "neither": McpServerSettings(),
        "away": McpServerSettings(url="http://127.0.0.1:9/mcp"),
    }
    async with mcp_desk(tmp_path, **servers) as desk:
        await desk.mcp.ready()
        for name, words in (
            ("keyless", "TOKEN needs the key nowhere. Store it with: trayclaw keys set nowhere"),
            ("absent", "There is no program no-such-program-here."),
            ("neither", "it needs either a command or an address See [mcp.neither] in config.toml."),
            ("away", "nothing answers at its address"),
        ):
            assert desk.state(name) == ("failed", words)
        with pytest.raises(UsageError):
            await desk.mcp.restart("unknown")


async def test_stop_ends_a_call_within_a_second_and_the_server_goes_on(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        call = ToolCall("c1", "mcp_peer_slow", {"seconds": 600}, '{"seconds": 600}')
        task = asyncio.create_task(desk.toolbox.run(call, desk.scope))
        await until(lambda: bool(desk.effects))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 1.0
        assert desk.effects[-1]["state"] == "failed" and desk.effects[-1]["detail"]["stopped"]
        assert (await desk.call("mcp_peer_add", a=1, b=1)).ok


async def test_a_call_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official(seconds=0.3)) as desk:
        await desk.mcp.ready()
        result = await desk.call("mcp_peer_slow", seconds=600)
        assert not result.ok and "took longer than 0.3 seconds" in result.text


async def test_nothing_survives_the_end(tmp_path: Path) -> None:
    mark = "tests.peers.mcp_tools"
    before = set(children_of(mark))
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        assert set(children_of(mark)) - before
    assert set(children_of(mark)) <= before


async def test_a_server_that_died_is_started_again_and_nothing_is_called_twice(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        died = await desk.call("mcp_peer_die")
        assert not died.ok and "broke while the tool ran" in died.text and "exit code 7" in died.text
        again = await desk.call("mcp_peer_add", a=1, b=1)
        assert again.ok and "\n2\n" in again.text


async def test_a_server_that_died_comes_back_by_itself(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        await desk.call("mcp_peer_die")
        await until(lambda: desk.state("peer")[0] != "ready")
        await until(lambda: desk.state("peer")[0] == "ready", 20)


async def test_a_new_tool_is_there_when_the_server_tells(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        assert desk.toolbox.find("mcp_peer_subtract") is None
        await desk.call("mcp_peer_learn")
        await until(lambda: desk.toolbox.find("mcp_peer_subtract") is not None)
        assert "\n1\n" in (await desk.call("mcp_peer_subtract", a=3, b=2)).text


async def test_over_http(tmp_path: Path) -> None:
    with http_peer() as peer:
        settings = McpServerSettings(url=peer.url, headers={"Authorization": "keyring:peer-token"}, seconds=5)
        async with mcp_desk(tmp_path, peer=settings) as desk:
            desk.secrets["peer-token"] = "Bearer t-0123456789"
            await desk.mcp.ready()
            result = await desk.call("mcp_peer_add", a=20, b=22)
            assert "\n42\n" in result.text
            assert peer.url in desk.questions[0].action and "t-0123456789" not in desk.questions[0].action
            assert desk.effects[-1]["detail"]["hosts"] == ["127.0.0.1"]
            assert all(request["authorization"] == "Bearer t-0123456789" for request in peer.seen)
            await desk.call("mcp_peer_learn")
            await until(lambda: desk.toolbox.find("mcp_peer_subtract") is not None)


async def test_stop_over_http(tmp_path: Path) -> None:
    with http_peer() as peer:
        async with mcp_desk(tmp_path, peer=McpServerSettings(url=peer.url)) as desk:
            await desk.mcp.ready()
            call = ToolCall("c1", "mcp_peer_slow", {"seconds": 600}, '{"seconds": 600}')
            task = asyncio.create_task(desk.toolbox.run(call, desk.scope))
            await until(lambda: bool(desk.effects))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.0
            assert (await desk.call("mcp_peer_add", a=1, b=1)).ok


async def test_a_service_that_wants_a_key_says_so(tmp_path: Path) -> None:
    with http_peer(key="Bearer right") as peer:
        settings = McpServerSettings(url=peer.url, headers={"Authorization": "keyring:peer-token"})
        async with mcp_desk(tmp_path, peer=settings) as desk:
            desk.secrets["peer-token"] = "Bearer wrong"
            await desk.mcp.ready()
            assert desk.state("peer")[0] == "failed" and "HTTP 401" in desk.state("peer")[1]
            desk.secrets["peer-token"] = "Bearer right"
            assert (await desk.mcp.restart("peer")).state == "ready"


async def test_http_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with http_peer() as peer:
        port, url = peer.port, peer.url
        desk_of = mcp_desk(tmp_path, peer=McpServerSettings(url=url, seconds=5))
        desk = await desk_of.__aenter__()
        await desk.mcp.ready()
        assert desk.state("peer")[0] == "ready"
    try:
        gone = await desk.call("mcp_peer_add", a=1, b=1)
        assert not gone.ok and ("broke" in gone.text or "not available" in gone.text)
        with http_peer(port):
            await until(lambda: desk.state("peer")[0] == "ready", 20)
            assert "\n2\n" in (await desk.call("mcp_peer_add", a=1, b=1)).text
    finally:
        await desk_of.__aexit__(None, None, None)


async def test_switching_off_ends_it_and_takes_its_tools_away(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        desk.mcp.wake()
        await desk.mcp.ready()
        assert desk.mcp.tools()
        desk.servers["peer"] = official(enabled=False)
        await desk.mcp.follow()
        assert desk.mcp.tools() == () and desk.state("peer") == ("off", "")
        assert "tool_search" not in desk.offered()


async def test_a_server_that_was_ended_while_the_question_was_open_is_not_started_again(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, peer=official()) as desk:
        await desk.mcp.ready()
        desk.answers = lambda approval: None
        call = asyncio.create_task(desk.call("mcp_peer_write", path="a.txt", text="x"))
        await until(lambda: bool(desk.questions))
        desk.servers["peer"] = official(enabled=False)
        await desk.mcp.follow()
        desk.desk.resolve(desk.questions[0].id, "allow", "desktop")
        result = await call
        assert not result.ok and not (desk.folder / "a.txt").exists() and desk.book.pins == {}


async def test_removing_one_server_forgets_only_what_was_accepted_of_it(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, one=official(), two=official()) as desk:
        await desk.mcp.ready()
        await desk.call("mcp_one_add", a=1, b=1)
        await desk.call("mcp_two_add", a=1, b=1)
        await desk.mcp.forget("one")
        assert [name for name in desk.offered() if name.startswith("mcp_")] == ["mcp_two_add"]


async def test_more_than_a_few_accepted_tools_are_found_rather_than_shown(tmp_path: Path) -> None:
    async with mcp_desk(tmp_path, one=official(), two=official()) as desk:
        await desk.mcp.ready()
        for tool in desk.mcp.tools():
            running = desk.mcp._running[tool.origin.split()[-1]][1]
            listed = next(one for one in running.tools if tool.name.endswith(one.name))
            await desk.mcp._accept(tool.origin.split()[-1], listed)
        assert len(desk.mcp.tools()) == 22 and all(tool.deferred for tool in desk.mcp.tools())
        assert [name for name in desk.offered() if name.startswith("mcp_")] == []
