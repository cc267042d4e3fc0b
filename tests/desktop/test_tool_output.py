"""A running command in the window: its card shows what it prints while it is open."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QWidget

from agent.safety.sandbox.choose import candidates, works
from agent.service import AgentService
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.chat.markdown.code_card import CodeText
from desktop.chat.tool_card import LIVE_CHARS, ToolCard
from desktop.chat.window import ChatWindow
from tests.agent.test_host_gate import Site
from tests.agent.tool_desk import ToolDesk
from tests.desktop.test_chat_window import write
from tests.desktop.waiting import until
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Reply


def live(card: ToolCard) -> str:
    """What stands below "Output so far"."""
    found = [code for code in card.findChildren(CodeText) if code.accessibleName() == "Output so far"]
    return found[-1].toPlainText() if found else ""


@pytest.fixture
async def window(service: AgentService, bridge: Bridge) -> AsyncIterator[ChatWindow]:
    made = ChatWindow(service, bridge)
    made.resize(1000, 700)
    made.show()
    await until(lambda: made.list.nothing.text() or made.list.model.rows, "the list")
    yield made
    made.hide()
    await tasks.cancel_all()
    made.deleteLater()


@pytest.mark.skipif(sys.platform == "win32", reason="the command is for a POSIX shell")
async def test_the_output_of_a_running_command_is_seen(
    window: ChatWindow, service: AgentService, model: ModelServer, tmp_path: Path
) -> None:
    if not (await service.sandbox_state()).name:
        pytest.skip("without a fence the command would ask")
    command = (
        "echo first; while [ ! -e go ]; do sleep 0.05; done; echo second; while [ ! -e stop ]; do sleep 0.05; done"
    )
    model.script = [Reply(calls=[Call("run_command", {"command": command})]), Reply("Done.")]
    write(window, "Run it")
    await until(lambda: window.timeline.boxes and window.timeline.boxes[-1]._tools, "the card")
    box = window.timeline.boxes[-1]
    card = next(iter(box._tools.values()))
    card.line.toggle()
    await until(lambda: live(card) == "first\n", "the first line")
    number = window.conversation
    window.show_conversation(None)
    window.show_conversation(number)
    await until(lambda: window.timeline.boxes and window.timeline.boxes[-1]._tools, "the card again")
    card = next(iter(window.timeline.boxes[-1]._tools.values()))
    card.line.toggle()
    assert live(card) == "first\n", "who comes back sees what was printed meanwhile"
    (service.workspace().root / "go").touch()
    await until(lambda: live(card) == "first\nsecond\n", "the second line")
    (service.workspace().root / "stop").touch()
    await until(lambda: card.ok is not None, "the end")
    results = [code.toPlainText() for code in card.findChildren(CodeText) if code.accessibleName() == "Result"]
    assert results[-1] == "first\nsecond\n[exit code 0]"


async def test_the_gate_and_a_session_work_on_the_window_s_loop(tmp_path: Path) -> None:
    fence = next((one for one in candidates() if one.by_host and works(one)), None)
    if fence is None:
        pytest.skip("this system cannot put up a fence that opens the network by host")
    site = Site()
    server = await asyncio.start_server(site.handle, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    desk = ToolDesk(tmp_path, sandbox=fence, gate=site.gate)
    knock = "printf 'GET http://good.example/ HTTP/1.1\\r\\n\\r\\n' >&3; head -n 4 <&3"
    command = f"exec 3<>/dev/tcp/127.0.0.1/3128; {knock}; cat"
    started = await desk.call("run_command", command=command, hosts=["good.example"], background=True)
    assert "from the host" in started.text, started.text
    wrote = await desk.call("session", action="write", id="s1", text="hello")
    assert "hello" in wrote.text
    await desk.scope.sessions.close()
    assert desk.scope.sessions.conversations() == ()
    server.close()


def test_only_the_end_is_kept_and_a_reader_is_not_disturbed(qtbot: object) -> None:
    card = ToolCard("a", "run_command", {"command": "make"}, "Run make")
    card.resize(600, 400)
    card.add_output("before it was opened\n")
    assert not card.findChildren(CodeText)
    card.line.toggle()
    card.show()
    for number in range(2_000):
        card.add_output(f"line {number}\n")
    assert len(live(card)) <= LIVE_CHARS and live(card).endswith("line 1999\n")
    code = [one for one in card.findChildren(CodeText) if one.accessibleName() == "Output so far"][-1]
    bar = code.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0, "it follows"
    bar.setValue(3)
    cursor = code.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.End)
    card.add_output("one more\n")
    assert bar.value() <= 3, "who reads further up stays there"
    card.finish(True, "the result", 1.0)
    card.add_output("too late\n")
    assert live(card) == "" or "too late" not in live(card)
    card.deleteLater()


def test_a_running_command_looks_right(palette: theme.Palette, screenshot: Callable[[QWidget, str], Path]) -> None:
    card = ToolCard(
        "a", "run_command", {"command": "npm run build", "hosts": ["registry.npmjs.org"]}, "Run npm run build"
    )
    card.resize(640, 320)
    card.line.toggle()
    card.add_output(
        "added 212 packages in 4s\n\n> site@1.0.0 build\n> vite build\n\ntransforming (128) src/pages/index.tsx\n"
    )
    screenshot(card, "tool-running")
    card.deleteLater()
