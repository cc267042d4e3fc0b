"""The two agents, each with a workspace of its own, driven by the same scripted model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from agent.events import ApprovalAsked
from agent.paths import Paths
from agent.service import AgentService
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Answer, Call, Reply

ROOT = Path(__file__).parents[2]
NANOBOT = ROOT / "tests" / "bench" / ".nanobot" / "bin" / "python"
SECONDS = 60.0
NAMES = {
    "nanobot": {"shell": "exec", "read": "read_file", "write": "write_file", "edit": "edit_file", "list": "list_dir"},
    "trayclaw": {"shell": "run_command", "read": "read_file", "write": "write_file", "edit": "edit_file"},
}
NAMES["nanobot"] |= {"fetch": "web_fetch", "message": "message"}
NAMES["trayclaw"] |= {"list": "list_dir", "fetch": "web_fetch", "message": "send_message"}
PLANTED = "sk-differential-5ec4e70123456789"


@dataclass
class Heard:
    """What came of the calls of one case: the results as the model saw them, and how often a person was asked."""

    results: list[str] = field(default_factory=list)
    asked: int = 0


class Contender(Protocol):
    """An agent that answers one message."""

    name: str
    workspace: Path

    async def ask(self, text: str, answer: Literal["allow", "deny"]) -> int:
        """Run a turn to its end; how often a person was asked, who always answers like this."""
        ...


async def carry_out(
    contender: Contender, server: ModelServer, calls: list[tuple[str, dict[str, Any]]], answer: Literal["allow", "deny"]
) -> Heard:
    """Have the scripted model make these calls, one after the other."""
    waiting = [Call(NAMES[contender.name][name], arguments) for name, arguments in calls]
    heard = Heard()
    last: list[Request] = []

    def script(request: Request) -> Answer:
        if not request.tool_names:
            return Reply("A title")
        last[:] = [request]
        if not waiting:
            return Reply("done")
        return Reply("I do it.", calls=[waiting.pop(0)])

    server.script = script
    async with asyncio.timeout(SECONDS):
        heard.asked = await contender.ask("do it", answer)
    for message in last[0].messages if last else ():
        if message["role"] == "tool":
            content = message["content"]
            text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
            heard.results.append(text)
    return heard


@dataclass
class TrayClaw:
    service: AgentService
    workspace: Path
    name: str = "trayclaw"
    count: int = 0

    async def ask(self, text: str, answer: Literal["allow", "deny"]) -> int:
        self.count += 1
        asked = 0
        conversation = await self.service.local_conversation(f"case {self.count}")
        async for event in self.service.converse(conversation, text):
            if isinstance(event, ApprovalAsked):
                asked += 1
                await self.service.resolve_approval(event.approval.id, answer, "somebody")
        return asked


@dataclass
class Nanobot:
    process: asyncio.subprocess.Process
    workspace: Path
    name: str = "nanobot"

    async def ask(self, text: str, answer: Literal["allow", "deny"]) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()
        while line := await self.process.stdout.readline():
            if line.strip() == b"done":
                return 0
        raise SystemExit("nanobot ended")


@asynccontextmanager
async def trayclaw(home: Path, url: str) -> AsyncIterator[TrayClaw]:
    """TrayClaw as it is after the installation: balanced, fenced."""
    state, workspace = home / "state", home / "workspace"
    state.mkdir(parents=True)
    workspace.mkdir()
    (state / "config.toml").write_text(
        f'[model]\ndefault = "local/fake-1"\n[providers.local]\nprotocol = "chat-completions"\nbase_url = "{url}"\n'
        f'[tools]\nworkspace = "{workspace}"\n'
    )
    service = await AgentService.start(Paths.locate({"TRAYCLAW_HOME": str(state)}))
    try:
        yield TrayClaw(service, workspace)
    finally:
        await service.stop()


@asynccontextmanager
async def nanobot(home: Path, url: str) -> AsyncIterator[Nanobot]:
    """nanobot, restricted to its workspace (by default it is not)."""
    workspace = home / "workspace"
    workspace.mkdir(parents=True)
    config = {
        "agents": {"defaults": {"workspace": str(workspace), "model": "fake-1", "provider": "custom"}},
        "providers": {"custom": {"apiKey": PLANTED, "apiBase": url}},
        "tools": {"restrictToWorkspace": True, "exec": {"timeout": 3}},
    }
    (home / "config.json").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        str(NANOBOT),
        "-m",
        "tests.differential.drive_nanobot",
        str(home / "config.json"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": PLANTED},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=(home / "stderr.txt").open("wb"),
        limit=1 << 24,
    )
    assert process.stdout is not None
    while (line := await process.stdout.readline()).strip() != b"ready":
        if not line:
            raise SystemExit(f"nanobot does not start: {(home / 'stderr.txt').read_text()[-600:]}")
    try:
        yield Nanobot(process, workspace)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
