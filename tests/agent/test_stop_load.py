"""Twenty turns with running commands, each stopped: within a second, and no process survives."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from agent.events import TurnFinished
from agent.safety.sandbox.choose import Fences, candidates, works
from agent.service import AgentService
from agent.tools.processes import MARK
from tests.agent.conftest import Heard, until
from tests.conftest import LogGuard
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Reply

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="strays are counted in /proc")

TURNS = 20
COMMANDS = (
    "sleep 300.4242",
    "trap '' TERM; sleep 300.4242 & sleep 300.4242; wait",
    "setsid bash -c \"trap '' TERM; sleep 300.4242\" & trap '' TERM; sleep 300.4242",
    "(trap '' TERM; setsid setsid sleep 300.4242 &) ; while :; do sleep 0.2; done",
    "yes > /dev/null & for i in 1 2 3; do setsid sleep 300.4242 & done; yes | head -c 5000000000 > /dev/null",
)


def marked(home: Path) -> list[str]:
    """All that commands of this test have started: by the mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes()
            if f"{MARK}=".encode() in environ and os.fsencode(home) in environ:
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if line]


@pytest.mark.parametrize("name", ["bubblewrap", "landlock", "none"])
async def test_stop_ends_twenty_commands_at_once(
    service: AgentService,
    model: ModelServer,
    heard: Heard,
    private_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    log_guard: LogGuard,
) -> None:
    log_guard.expect("did not stop within")  # on a machine that does much else at the same time
    fence = next((one for one in candidates() if one.name == name), None)
    if name != "none" and (fence is None or not works(fence)):
        pytest.skip(f"this system cannot put up {name}")

    async def get(self: Fences, setting: str) -> object:
        return fence

    monkeypatch.setattr(Fences, "get", get)
    if fence is None:
        service.events.subscribe(lambda event: _allow(service, event))

    def script(request: Request) -> Reply:
        number = int(request.last_text.split()[-1]) if request.last_text.startswith("go") else 0
        if request.messages[-1]["role"] == "tool":  # the session runs: now a command as well
            return Reply(calls=[Call("run_command", {"command": COMMANDS[0]})])
        call = {"command": COMMANDS[number % len(COMMANDS)], "background": number % 4 == 3}
        return Reply(calls=[Call("run_command", call)])

    model.script = script
    conversations = [await service.new_conversation() for _ in range(TURNS)]
    for number, conversation in enumerate(conversations):
        await service.send(conversation, f"go {number}")
    await until(lambda: len([line for line in marked(private_home) if "300.4242" in line]) >= TURNS, 60)
    await until(lambda: len(service._sessions.conversations()) == TURNS // 4, 60)

    took = await asyncio.gather(*(_stop(service, conversation) for conversation in conversations))

    await until(lambda: marked(private_home) == [], 10)
    assert service._sessions.conversations() == ()
    await until(lambda: len(heard.of(TurnFinished)) >= 2 * TURNS, 10)
    stopped = [event.conversation_id for event in heard.of(TurnFinished) if event.status == "stopped"]
    assert sorted(stopped) == sorted(conversations), "told of each, once, when its /stop was answered"
    print(f"\n{name}: {TURNS} stopped at once, the slowest after {max(took):.2f} s")
    assert max(took) < 5.0, "far beyond the second that it takes on an idle computer"


async def _stop(service: AgentService, conversation: int) -> float:
    started = time.monotonic()
    await service.send(conversation, "/stop")
    return time.monotonic() - started


def _allow(service: AgentService, event: object) -> None:
    approval = getattr(event, "approval", None)
    if approval is not None and not hasattr(event, "choice"):
        asyncio.get_running_loop().call_soon(service._approvals.resolve, approval.id, "allow", "desktop")
