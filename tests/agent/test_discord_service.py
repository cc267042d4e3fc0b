"""The whole program with Discord: `trayclaw serve` in its own process, kill -9, a slash command, a button."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.paths import Paths
from agent.service import AgentService
from tests.agent.cli_kit import PROGRAM, environment
from tests.peers.discord_api import ROUTES, DiscordApi
from tests.peers.model_server import ModelServer
from tests.peers.replies import Ending, Reply

OWNER = 4242
TOKEN = "NzAwNzAw.planted.secret-token-of-the-bot"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor SIGTERM")


@pytest.fixture
async def api(config: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordApi]:
    async with DiscordApi(TOKEN) as api:
        api.add_user(OWNER)
        where = f'api_base = "{api.api_base}"\ngateway_url = "{api.gateway_url}"\n'
        paths.config_file.write_text(f"{config}[channels.discord]\nenabled = true\n{where}owners = [{OWNER}]\n")
        monkeypatch.setenv("TRAYCLAW_KEY_DISCORD", TOKEN)
        yield api


@asynccontextmanager
async def serving(api: DiscordApi) -> AsyncIterator[asyncio.subprocess.Process]:
    """`trayclaw serve`, connected; ended with SIGTERM unless it is dead already."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        "serve",
        "--json",
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert (ready["event"], ready["channels"]) == ("ready", ["discord"])
        await api.wait_connected(15)
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(process.communicate(), 10)
            assert (process.returncode, err) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_an_answer_streams_into_the_chat(api: DiscordApi, model: ModelServer) -> None:
    words = "**Twelve** words that come one after another so that they can grow."
    model.script = Reply(words, chunk_delay=0.15)
    async with serving(api):
        await api.say(OWNER, "hello")
        await api.wait_for_reply(api.dm(OWNER), lambda one: one.text == words, 15)
        [message] = api.replies(api.dm(OWNER))
        assert message.edits >= 1
        assert api.dm(OWNER).typing
        used = await api.command(OWNER, "status")
        await api.wait_for_reply(api.dm(OWNER), lambda one: "local/fake-1" in one.text, 10)
        await api.wait_until(lambda: used.deleted, what="the end of “is thinking”")


async def test_kill_while_the_answer_streams(api: DiscordApi, model: ModelServer) -> None:
    model.script = Reply("This answer never comes to its end because", ending=Ending.HANG)
    async with serving(api) as process:
        await api.say(OWNER, "question")
        await api.wait_for_reply(api.dm(OWNER))
        process.kill()
        await process.wait()
    await api.say(OWNER, "written meanwhile")
    model.script = lambda request: Reply(f"The answer to {request.last_text}")
    async with serving(api):
        for asked in ("question", "written meanwhile"):
            await api.wait_for_reply(api.dm(OWNER), lambda one, asked=asked: one.text == f"The answer to {asked}", 15)
    asked = [chat.messages[-1]["content"] for chat in model.chats]
    assert asked == ["question", "question", "written meanwhile"]


async def test_kill_while_the_answer_is_sent_shows_it_once(
    api: DiscordApi, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script = [Reply("Delivered for sure."), Reply("Next.")]
    arrived = asyncio.Event()

    async def without_an_answer(server: DiscordApi, *arguments: Any) -> Any:
        await DiscordApi._post_message(server, *arguments)
        arrived.set()
        return await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setitem(ROUTES, ("POST", "/channels/{channel}/messages"), without_an_answer)
        async with serving(api) as process:
            await api.say(OWNER, "question")
            await asyncio.wait_for(arrived.wait(), 15)
            process.kill()
            await process.wait()
    async with serving(api):
        await api.wait_until(lambda: len(api.called("POST /channels/{channel}/messages")) == 1, what="the second try")
        await api.say(OWNER, "next")
        await api.wait_for_reply(api.dm(OWNER), timeout=15)
    texts = [one.text for one in api.transcript(api.dm(OWNER)) if one.author is api.bot]
    assert texts == ["Delivered for sure.", "Next."], "Discord knew that it was the same message"
    assert len(model.chats) == 2, "the model is not asked twice"


async def test_addresses_that_change_in_the_file_are_followed(
    api: DiscordApi, paths: Paths, model: ModelServer
) -> None:
    model.script = Reply("ok")
    service = await AgentService.start(paths, resident=True)
    try:
        await api.wait_connected()
        async with DiscordApi(TOKEN) as other:
            settings = paths.config_file.read_text()
            paths.config_file.write_text(settings.replace(f":{api.port}/", f":{other.port}/"))
            await service.reload_settings()
            await other.wait_connected()
            await other.say(OWNER, "hello")
            await other.wait_for_reply(other.dm(OWNER))
            await api.wait_until(lambda: not api.gateway.sockets, what="the end of the old connection")
    finally:
        await service.stop()


async def test_the_token_is_nowhere(api: DiscordApi, model: ModelServer, paths: Paths, private_home: Path) -> None:
    model.script = Reply("ok")
    async with serving(api):
        await api.say(OWNER, "hello")
        await api.wait_for_reply(api.dm(OWNER), timeout=15)
        await api.stop()
        await api.start()
        await api.say(OWNER, "again")
        await api.wait_for_reply(api.dm(OWNER), timeout=20)
    files = [file for file in private_home.rglob("*") if file.is_file()]
    assert paths.database in files
    assert not [file for file in files if b"secret-token-of-the-bot" in file.read_bytes()]


async def test_the_command_line_tells_whom_a_token_belongs_to(api: DiscordApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tested() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "channels", "test", "discord"),
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode, out.decode()

    code, out = await tested()
    assert (code, "@TrayClaw" in out) == (0, True)
    monkeypatch.setenv("TRAYCLAW_KEY_DISCORD", "wrong-token")
    code, out = await tested()
    assert code != 0
    assert "does not accept the bot token" in out
    assert "wrong-token" not in out
