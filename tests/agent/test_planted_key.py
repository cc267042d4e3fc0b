"""A planted key is looked for everywhere after a full run: files, database, logs, output, child environments."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.paths import Paths
from tests.agent.conftest import CONFIG
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, HttpFault, Reply

PLANTED = "sk-planted-7f3a9c21e5d84b06"
TOKEN = "987654321:AAplantedPLANTEDplantedPLANTEDpla-Q"
OTHERS = {
    f"TRAYCLAW_KEY_{name}": f"plantedKEYof{name}0815"
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "BRAVE", "TAVILY", "DISCORD", "SLACK", "SLACK_APP", "EMAIL")
} | {"TRAYCLAW_PASSPHRASE": "planted correct horse battery"}
ROOT = Path(__file__).parents[2]

LOOK = "env; cat /proc/$PPID/environ 2>/dev/null | tr '\\0' '\\n'; cat /proc/$PPID/cmdline | tr '\\0' ' '"


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "agent", *arguments],
        cwd=ROOT,
        env={**os.environ, "TRAYCLAW_KEY_LOCAL": PLANTED, "TRAYCLAW_KEY_TELEGRAM": TOKEN, **OTHERS},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(os.name == "nt", reason="the command that looks for the key is a POSIX one")
async def test_the_key_is_nowhere_but_in_the_request(paths: Paths, model: ModelServer) -> None:
    paths.config_file.write_text(CONFIG.format(base_url=model.base_url))
    echo = HttpFault(401, f"Incorrect API key provided: {PLANTED}", "invalid_request_error", "invalid_api_key")
    model.script = [
        Reply("I look.", calls=[Call("run_command", {"command": LOOK})]),
        Reply("Nothing there."),
        echo,
        HttpFault(500, f"boom {PLANTED}", body=f"<html>{PLANTED}</html>".encode()),
        HttpFault(500, f"boom {PLANTED}"),
        HttpFault(500, f"boom {PLANTED}"),
        Reply("fine"),
    ]

    outputs = [
        await run("ask", "--json", "--approve", "always", "--conversation", "a", "look for keys"),
        await run("ask", "--json", "--conversation", "a", "again"),
        await run("ask", "--conversation", "a", "and again"),
        await run("ask", "--conversation", "a", "and again"),
        await run("keys", "list"),
        await run("config", "show"),
        await run("doctor", "--json"),
        await run("turns", "list"),
        await run("conversations", "export", "1"),
    ]

    assert [output.returncode for output in outputs[:4]] == [0, 4, 4, 0], outputs
    assert all(request.headers["authorization"] == f"Bearer {PLANTED}" for request in model.chats)
    tool_result = model.chats[1].messages[-1]["content"]
    assert "PATH=" in tool_result, "the command did not see its environment"
    for secret in (PLANTED, TOKEN, PLANTED[-16:], TOKEN[-16:], *OTHERS.values()):
        assert secret not in tool_result
        for output in outputs:
            assert secret not in output.stdout + output.stderr
        files = [path for path in Path(os.environ["HOME"]).rglob("*") if path.is_file()]
        assert any(path.name == "trayclaw.db" for path in files)
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
