"""The whole program with Telegram: `trayclaw serve` in its own process, pairing from another one, kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.paths import Paths
from tests.agent.cli_kit import PROGRAM, environment
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Ending, Reply
from tests.peers.telegram_api import METHODS, TelegramApi

OWNER = 4242
TOKEN = "700700:planted-secret-token-of-the-bot"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor SIGTERM")


@pytest.fixture
async def api(config: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TelegramApi]:
    async with TelegramApi(TOKEN, rate_limit=None) as api:
        api.add_user(OWNER)
        channel = f'[channels.telegram]\nenabled = true\napi_base = "{api.root_url}"\nowners = [{OWNER}]\n'
        paths.config_file.write_text(config + channel)
        monkeypatch.setenv("TRAYCLAW_KEY_TELEGRAM", TOKEN)
        yield api


@asynccontextmanager
async def serving(api: TelegramApi) -> AsyncIterator[asyncio.subprocess.Process]:
    """`trayclaw serve`, connected; ended with SIGTERM unless it is dead already."""
    begun = len(api.calls)
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
        assert (ready["event"], ready["channels"]) == ("ready", ["telegram"])
        await api.wait_until(lambda: any(one.method == "deleteWebhook" for one in api.calls[begun:]), 10, "polling")
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(process.communicate(), 10)
            assert (process.returncode, err) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def trayclaw(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode()


async def test_an_answer_streams_into_the_chat(api: TelegramApi, model: ModelServer) -> None:
    words = "**Twelve** words that come one after another so that they can grow."
    model.script = Reply(words, chunk_delay=0.15)
    async with serving(api):
        await api.say(OWNER, "hello")
        await api.wait_for_reply(OWNER, lambda one: one.text == words.replace("**", ""), 10)
        [message] = api.replies(OWNER)
        assert message.edits >= 1
        assert {action for action, _ in api.chat(OWNER).actions} == {"typing"}
        await api.wait_confirmed()


async def test_somebody_is_paired_from_another_terminal(api: TelegramApi, model: ModelServer) -> None:
    model.script = lambda request: Reply(f"You said: {request.last_text}")
    async with serving(api):
        await api.say(555, "let me in")
        invitation = await api.wait_for_reply(555)
        found = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", invitation.text)
        assert found
        assert model.chats == [], "a stranger costs nothing"
        code, out = await trayclaw("pair", "approve", found[0])
        assert code == 0, out
        await api.wait_for_reply(555, lambda one: "connected" in one.text, 10)
        await api.say(555, "hello")
        await api.wait_for_reply(555, lambda one: one.text == "You said: hello", 10)


async def test_kill_while_the_answer_streams(api: TelegramApi, model: ModelServer) -> None:
    model.script = Reply("This answer never comes to its end because", ending=Ending.HANG)
    async with serving(api) as process:
        await api.say(OWNER, "question")
        await api.wait_for_reply(OWNER)
        process.kill()
        await process.wait()
    model.script = lambda request: Reply(f"The answer to {request.last_text}")
    async with serving(api):
        await api.wait_for_reply(OWNER, lambda one: one.text == "The answer to question", 10)
        await api.wait_confirmed()
    asked = [chat.messages[-1]["content"] for chat in model.chats]
    assert asked == ["question", "question"]


async def test_kill_while_the_answer_is_sent(
    api: TelegramApi, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script = Reply("Delivered for sure.")
    arrived = asyncio.Event()

    async def without_an_answer(server: TelegramApi, parameters: dict[str, object]) -> dict[str, object]:
        await TelegramApi._send_message(server, parameters)
        arrived.set()
        return await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "sendmessage", without_an_answer)
        async with serving(api) as process:
            await api.say(OWNER, "question")
            await asyncio.wait_for(arrived.wait(), 10)
            process.kill()
            await process.wait()
    async with serving(api):
        note = "(sent again after a restart; you may see it twice)"
        await api.wait_for_reply(OWNER, lambda one: one.text == f"{note}\n\nDelivered for sure.", 10)
    assert len(model.chats) == 1, "the model is not asked twice"


async def test_the_token_is_nowhere(api: TelegramApi, model: ModelServer, paths: Paths, private_home: Path) -> None:
    model.script = Reply("ok")
    async with serving(api):
        await api.say(OWNER, "hello")
        await api.wait_for_reply(OWNER)
        await api.stop()
        await api.start()
        await api.say(OWNER, "again")
        await api.wait_for_reply(OWNER, timeout=20)
    secret = TOKEN.partition(":")[2].encode()
    files = [file for file in private_home.rglob("*") if file.is_file()]
    assert paths.database in files
    assert not [file for file in files if secret in file.read_bytes()]


async def test_the_command_line_tells_whom_a_token_belongs_to(
    api: TelegramApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = await trayclaw("channels", "test", "telegram")
    assert code == 0
    assert "@trayclaw_test_bot" in out
    monkeypatch.setenv("TRAYCLAW_KEY_TELEGRAM", "700700:wrong-token-wrong-token")
    code, out = await trayclaw("channels", "test", "telegram")
    assert code != 0
    assert "does not accept the bot token" in out
    assert "wrong-token" not in out


async def test_an_owner_decides_from_the_chat(api: TelegramApi, model: ModelServer, paths: Paths) -> None:
    action = Call("write_file", {"path": "made.txt", "text": "hello"}, "call_1")
    model.script = [Reply(calls=[action]), Reply("Written."), Reply(calls=[action]), Reply("Then not.")]
    async with serving(api):
        await api.say(OWNER, "write it")
        asked = await api.wait_for_reply(OWNER, lambda one: "/allow" in one.text, 10)
        assert "made.txt" in asked.text and "hello" in asked.text and "can be undone" in asked.text
        code = re.search(r"/allow ([0-9A-F]{6})", asked.text)
        assert code is not None
        await api.say(OWNER, f"/allow {code[1]} conversation")
        await api.wait_for_reply(OWNER, lambda one: one.text == "Written.", 10)
        assert (paths.workspace / "made.txt").read_text() == "hello"
        await api.say(OWNER, f"/deny {code[1]}")
        await api.wait_for_reply(OWNER, lambda one: "question is over" in one.text, 10)
        await api.say(OWNER, "/undo")
        await api.wait_for_reply(OWNER, lambda one: "Undone" in one.text, 10)
        assert not (paths.workspace / "made.txt").exists()
        await api.say(OWNER, "write it again")
        await api.wait_for_reply(OWNER, lambda one: one.text == "Then not.", 10)
        assert (paths.workspace / "made.txt").read_text() == "hello", "permitted in this conversation"
