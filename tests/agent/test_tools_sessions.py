"""Commands in the background: started, read, written to and ended; they end with their conversation at the latest."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.events import ToolCalled, ToolOutput, TurnFinished
from agent.paths import Paths
from agent.safety.sandbox.choose import candidates, works
from agent.service import AgentService
from agent.tools import sessions, shell
from tests.agent.conftest import Heard, until
from tests.agent.test_tools_shell import alive, eventually
from tests.agent.test_turns import answer
from tests.agent.tool_desk import ToolDesk
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Reply

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are counted in /proc")


@pytest.fixture(autouse=True)
def short_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "FIRST_SECONDS", 0.4)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ToolDesk]:
    """Behind the best fence that there is."""
    fence = next((one for one in candidates() if works(one)), None)
    desk = ToolDesk(tmp_path, sandbox=fence)
    yield desk
    await desk.scope.sessions.close()


async def start(desk: ToolDesk, command: str, **arguments: Any) -> str:
    result = await desk.call("run_command", command=command, background=True, **arguments)
    assert result.ok, result.text
    found = re.search(r"\[session (s\d+) runs", result.text)
    assert found, result.text
    return found[1]


def pids_of(desk: ToolDesk) -> list[int]:
    """What runs in this desk's workspace."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == desk.folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def test_a_session_is_started_written_to_read_and_ended(desk: ToolDesk) -> None:
    name = await start(desk, 'while read line; do echo "got $line"; done; echo bye')
    wrote = await desk.call("session", action="write", id=name, text="hello")
    assert wrote.ok and wrote.text.startswith("got hello\n[")
    quiet = await desk.call("session", action="poll", id=name)
    assert quiet.text.startswith(f"[{name}: running")
    listed = await desk.call("session", action="list")
    assert name in listed.text and "while read line" in listed.text
    killed = await desk.call("session", action="kill", id=name)
    assert "stopped" in killed.text
    assert pids_of(desk) == []
    gone = await desk.call("session", action="poll", id=name)
    assert not gone.ok and "no session" in gone.text
    assert desk.questions == [] if desk.scope.sandbox else desk.questions


async def test_a_poll_waits_for_output_and_tells_the_end(desk: ToolDesk) -> None:
    name = await start(desk, "sleep 1.3; echo late; sleep 0.1; exit 7")
    late = await desk.call("session", action="poll", id=name, seconds=10)
    assert late.text.startswith("late\n")
    ended = late
    if "exit code" not in late.text:
        await asyncio.sleep(0.5)
        ended = await desk.call("session", action="poll", id=name, seconds=10)
    assert "ended with exit code 7" in ended.text


async def test_a_mistake_is_told_at_once(desk: ToolDesk) -> None:
    result = await desk.call("run_command", command="nonesuch-program", background=True)
    assert not result.ok and "not found" in result.text and "exit code 127" in result.text
    assert "no session" in (await desk.call("session", action="poll", id="s1")).text


async def test_what_a_session_leaves_behind_ends_with_it(desk: ToolDesk) -> None:
    name = await start(desk, "trap '' TERM; setsid bash -c \"trap '' TERM; sleep 300\" & trap '' TERM; sleep 300")
    await eventually(lambda: len(pids_of(desk)) >= 2)
    pids = pids_of(desk)
    await desk.call("session", action="kill", id=name)
    assert not any(alive(pid) for pid in pids)


async def test_its_time_is_limited(desk: ToolDesk) -> None:
    name = await start(desk, "sleep 300", timeout=1.5)
    ended = await desk.call("session", action="poll", id=name, seconds=10)
    assert "its time was over" in ended.text and pids_of(desk) == []


async def test_their_number_is_limited(desk: ToolDesk) -> None:
    names = [await start(desk, "sleep 300") for _ in range(sessions.MOST_HERE)]
    refused = await desk.call("run_command", command="sleep 300", background=True)
    assert not refused.ok and all(name in refused.text for name in names)
    await desk.call("session", action="kill", id=names[0])
    await start(desk, "sleep 300")


async def test_another_conversation_does_not_see_it(desk: ToolDesk) -> None:
    name = await start(desk, "sleep 300")
    desk.scope = dataclasses.replace(desk.scope, conversation_id=8)
    for action in ("poll", "write", "kill"):
        result = await desk.call("session", action=action, id=name, text="x")
        assert not result.ok and "no session" in result.text
    assert name not in (await desk.call("session", action="list")).text
    assert desk.scope.sessions.conversations() == (7,)


async def test_writing_is_an_effect_and_the_question_shows_all_of_it(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, mode="careful", sandbox=next((one for one in candidates() if works(one)), None))
    name = await start(desk, "cat > got.txt")
    text = "rm -rf x\u202e" + "y" * 3000
    desk.answers = lambda approval: "deny"
    result = await desk.call("session", action="write", id=name, text=text)
    assert not result.ok
    question = desk.questions[-1]
    assert "y" * 3000 in question.action and "\\u202e" in question.action and "cat > got.txt" in question.action
    assert not question.always and not question.undoable
    assert (desk.folder / "got.txt").read_text() == ""
    asked = len(desk.questions)
    await desk.call("session", action="poll", id=name)
    await desk.call("session", action="kill", id=name)
    assert len(desk.questions) == asked, "looking at it, and ending it, takes nobody's leave"
    await desk.scope.sessions.close()


async def test_who_may_not_run_commands_may_not_use_sessions(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, sandbox=next((one for one in candidates() if works(one)), None))
    name = await start(desk, "cat")
    owner = desk.scope
    desk.scope = dataclasses.replace(owner, sender_role="member")
    for action in ("list", "poll", "write", "kill"):
        assert not (await desk.call("session", action=action, id=name, text="x")).ok
    assert not (await desk.call("run_command", command="ls", background=True)).ok
    desk.scope = dataclasses.replace(owner, sender_role="paired")
    for action in ("poll", "write", "kill"):
        assert "somebody else" in (await desk.call("session", action=action, id=name, text="x")).text
    asked = len(desk.questions)
    mine = await start(desk, "cat")
    assert len(desk.questions) == asked + 1, "the owner is asked about a paired person's command"
    await desk.call("session", action="write", id=mine, text="x")
    assert len(desk.questions) == asked + 2
    desk.scope = owner
    assert (await desk.call("session", action="kill", id=mine)).ok, "an owner may end what others started"
    await desk.scope.sessions.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fences of Linux")
async def test_a_session_is_fenced_like_any_command(desk: ToolDesk) -> None:
    if desk.scope.sandbox is None:
        pytest.skip("this system cannot put up a fence")
    (desk.home / ".bashrc").write_text("# mine")
    name = await start(desk, "cat ../.bashrc; echo x > ../.bashrc; exec 3<>/dev/tcp/127.0.0.1/1; bash")
    result = await desk.call("session", action="write", id=name, text="cat ../.bashrc; echo y > ../.bashrc; echo done")
    assert "mine" not in result.text and (desk.home / ".bashrc").read_text() == "# mine"


async def test_what_git_would_run_is_put_back_while_it_runs(desk: ToolDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "GUARD_SECONDS", 0.1)
    await start(desk, "mkdir -p new/.git/hooks; echo evil > new/.git/hooks/pre-commit; echo put; sleep 300")
    hook = desk.folder / "new/.git/hooks/pre-commit"
    await eventually(lambda: not hook.exists(), 5)


async def test_what_a_person_changes_beside_it_stays(desk: ToolDesk) -> None:
    config = desk.folder / ".git/config"
    config.parent.mkdir()
    config.write_text("[core]\n")
    name = await start(desk, "sleep 300")
    config.write_text('[remote "origin"]\nurl = x\n')
    result = await desk.call("session", action="kill", id=name)
    assert "origin" in config.read_text() and "put back" not in result.text


async def test_a_stop_at_any_moment_leaves_no_handle_open(desk: ToolDesk) -> None:
    await desk.call("run_command", command="true", hosts=["good.example"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for step in range(12):
        task = asyncio.ensure_future(desk.call("run_command", command="sleep 300", hosts=["good.example"]))
        await asyncio.sleep(step * 0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


async def test_its_output_stays_bounded(desk: ToolDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_UNREAD", 2_000)
    name = await start(desk, "cat")
    session = desk.scope.sessions.find(7, name)
    for number in range(20_000):
        session.hear(f"{number}\n")
    result = await desk.call("session", action="poll", id=name)
    assert result.text.startswith("0\n1\n") and "characters left out" in result.text
    assert "\n19999\n" in result.text and len(result.text) < 3_000


async def test_what_it_does_not_read_is_not_piled_up(desk: ToolDesk) -> None:
    name = await start(desk, "sleep 300")
    text = "x" * shell.MOST_WRITTEN
    results = [await desk.call("session", action="write", id=name, text=text, seconds=0.01) for _ in range(150)]
    assert results[0].ok and not results[-1].ok and "reads nothing now" in results[-1].text
    longer = await desk.call("session", action="write", id=name, text=text + "x")
    assert not longer.ok and "at most" in longer.text


# --- with the whole agent --------------------------------------------------------------------------------------------
def background(command: str) -> Call:
    return Call("run_command", {"command": command, "background": True})


def after(*calls: Call) -> Any:
    """The model makes these calls one after the other, then answers."""

    def script(request: Request) -> Reply:
        made = sum(message["role"] == "tool" for message in request.messages)
        return Reply(calls=[calls[made]]) if made < len(calls) else Reply("done")

    return script


@pytest.fixture
def needs_fence() -> None:
    if not any(works(one) for one in candidates()):
        pytest.skip("this system cannot put up a fence: every command would ask")


@pytest.mark.usefixtures("needs_fence")
async def test_the_tool_is_offered_once_there_is_a_session(service: AgentService, model: ModelServer) -> None:
    model.script = after(background("sleep 300"))
    await answer(service, "go")
    assert "session" not in model.chats[0].tool_names and "session" in model.chats[1].tool_names


@pytest.mark.usefixtures("needs_fence")
@pytest.mark.parametrize("end", ["/stop", "/new", "stop_all", "delete", "quit"])
async def test_it_ends_with_its_conversation(
    service: AgentService, model: ModelServer, heard: Heard, paths: Paths, end: str
) -> None:
    model.script = after(background("trap '' TERM; echo pid; sleep 300.7171"))
    conversation = await service.new_conversation()
    await service.send(conversation, "go")
    await heard.wait(TurnFinished)
    assert service._sessions.conversations() == (conversation,)
    assert "300.7171" in await service._status_words(conversation)
    mark = [pid for pid in _of(paths.workspace) if pid]
    assert mark
    match end:
        case "stop_all":
            assert await service.stop_all() == 1
        case "delete":
            await service.delete_conversation(conversation)
            assert service._sessions.of(conversation) == ()
        case "quit":
            await service.stop()
        case _:
            await service.send(conversation, end)
    assert service._sessions.conversations() == ()
    assert not any(alive(pid) for pid in mark)


def _of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.usefixtures("needs_fence")
async def test_a_stop_while_it_is_started_leaves_nothing(
    service: AgentService, model: ModelServer, paths: Paths
) -> None:
    model.script = after(background("trap '' TERM; sleep 300"))
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4):
        conversation = await service.new_conversation()
        await service.send(conversation, "go")
        await asyncio.sleep(delay)
        await service.stop_turn(conversation)
        await until(lambda: not _of(paths.workspace))
        assert service._sessions.conversations() == ()


@pytest.mark.usefixtures("needs_fence")
async def test_the_window_is_told_while_it_runs_and_the_receipt_afterwards(
    service: AgentService, model: ModelServer, heard: Heard
) -> None:
    command = "for i in 1 2 3; do echo line $i; sleep 0.2; done"
    model.script = after(Call("run_command", {"command": command}), background("echo early; sleep 300"))
    turn = await answer(service, "go")
    first, second = (event.call_id for event in heard.of(ToolCalled))
    told = [event for event in heard.of(ToolOutput) if event.call_id == first]
    assert len(told) >= 2 and "".join(event.text for event in told).startswith("line 1\n")
    assert any("early" in event.text for event in heard.of(ToolOutput) if event.call_id == second)
    receipt = await service.receipt(turn.turn_id)
    assert [run.background for run in receipt.commands] == [False, True]
    assert any("not covered by undo" in gap for gap in receipt.gaps)
