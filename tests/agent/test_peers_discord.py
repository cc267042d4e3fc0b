"""The Discord peer, judged by discord.py."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from tests.agent.conftest import until
from tests.conftest import LogGuard
from tests.peers.discord_api import DiscordApi
from tests.peers.discord_world import ApiError, FailedAfter, LostAfter, LostBefore, RateLimit, TooMany

ROOT = Path(__file__).parents[2]
ADA = 4242
SEND = "POST /channels/{channel}/messages"


class Bot(discord.Client):
    """The official client: remembers what came, and answers what `answer` says."""

    def __init__(self, answer: Callable[[discord.Message], Awaitable[Any]] | None = None, **options: Any) -> None:
        wanted = discord.Intents.none()
        wanted.guilds = wanted.messages = wanted.message_content = True
        options.setdefault("intents", wanted)
        super().__init__(guild_ready_timeout=0.1, **options)
        self.heard: list[str] = []
        self.seen: list[Any] = []
        self._answer = answer

    async def on_message(self, message: discord.Message) -> None:
        if message.author == self.user:
            return
        self.heard.append(message.content)
        self.seen.append(message)
        if self._answer is not None:
            await self._answer(message)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self.heard.append(f"edit: {event.message.content}")

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.seen.append(interaction)

    async def on_connect(self) -> None:
        self.heard.append("connect")

    async def on_resumed(self) -> None:
        self.heard.append("resumed")

    async def on_disconnect(self) -> None:
        self.heard.append("disconnect")


@pytest.fixture(autouse=True)
def at_the_peer(monkeypatch: pytest.MonkeyPatch, log_guard: LogGuard) -> None:
    monkeypatch.setattr(discord.VoiceClient, "warn_nacl", False)
    monkeypatch.setattr(discord.VoiceClient, "warn_dave", False)
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    log_guard.expect("rate limit")


@pytest.fixture
async def api() -> AsyncIterator[DiscordApi]:
    async with DiscordApi() as api:
        Route.BASE = api.api_base
        DiscordWebSocket.DEFAULT_GATEWAY = URL(api.gateway_url)
        yield api


@asynccontextmanager
async def connected(api: DiscordApi, bot: Bot) -> AsyncIterator[Bot]:
    """The client as programs run it."""
    await bot.login(api.token)
    running = asyncio.create_task(bot.connect())
    try:
        await api.wait_connected()
        await bot.wait_until_ready()
        yield bot
    finally:
        await bot.close()
        await asyncio.gather(running, return_exceptions=True)


async def echo(message: discord.Message) -> None:
    async with message.channel.typing():
        await message.reply(f"you said {message.content}")


async def test_a_person_talks_to_a_client_of_the_library(api: DiscordApi) -> None:
    async with connected(api, Bot(echo)) as bot:
        assert (bot.user and bot.user.name, bot.application_id) == ("TrayClaw", api.bot.id)
        said = await api.say(ADA, "Grüße 👋")
        reply = await api.wait_for_reply(api.dm(ADA))
        assert (reply.text, reply.reply_to) == ("you said Grüße 👋", said.id)
        assert len(api.dm(ADA).typing) == 1
        assert bot.seen[0].guild is None
        assert bot.seen[0].author.display_name == "Ada"


async def test_servers_threads_mentions_and_replies(api: DiscordApi) -> None:
    general = api.add_channel("general")
    async with connected(api, Bot()) as bot:
        thread = await api.add_thread(general, "details")
        await api.say(ADA, f"<@{api.bot.id}> hello", general)
        await api.say(ADA, "in the thread", thread)
        sent = await bot.get_partial_messageable(general.id).send("an answer")
        await api.say(ADA, "thanks", general, reply_to=api.transcript(general)[-1])
        await until(lambda: len(bot.seen) == 3)
        first, second, third = bot.seen
        assert bot.user in first.mentions
        assert (first.guild.name, first.channel.name) == ("Friends", "general")
        assert (second.channel.name, second.channel.parent_id) == ("details", general.id)
        assert third.reference.resolved.id == sent.id
        assert third.reference.resolved.author == bot.user


async def test_without_the_intent_texts_of_servers_are_empty(api: DiscordApi) -> None:
    general = api.add_channel()
    intents = discord.Intents.none()
    intents.guilds = intents.messages = True
    async with connected(api, Bot(intents=intents)) as bot:
        await api.say(ADA, "among ourselves", general)
        await api.say(ADA, f"<@{api.bot.id}> you", general)
        await api.say(ADA, "direct")
        await until(lambda: len(bot.seen) == 3)
        assert [one.content for one in bot.seen] == ["", f"<@{api.bot.id}> you", "direct"]


async def test_edits_and_deletes(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        said = await api.say(ADA, "frist")
        await api.edit(said, "first")
        await until(lambda: "edit: first" in bot.heard)
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        sent = await channel.send("Hel")
        await sent.edit(content="Hello")
        [reply] = api.replies(api.dm(ADA))
        assert (reply.text, reply.versions) == ("Hello", ["Hel", "Hello"])
        with pytest.raises(discord.Forbidden, match="authored by another user"):
            await channel.get_partial_message(said.id).edit(content="mine")
        await sent.delete()
        assert api.replies(api.dm(ADA)) == []
        with pytest.raises(discord.NotFound, match="Unknown Message"):
            await sent.edit(content="x")


async def test_what_the_service_refuses(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        await channel.send("👋" * 2000)
        for content, problem in (
            ("x" * 2001, "Must be 2000 or fewer in length"),
            (" \n", "Cannot send an empty message"),
        ):
            with pytest.raises(discord.HTTPException, match=problem):
                await channel.send(content)
        with pytest.raises(discord.HTTPException, match="25 or fewer"):
            await channel.send("x", nonce="n" * 26)
        gone = discord.MessageReference(message_id=1, channel_id=channel.id)
        with pytest.raises(discord.HTTPException, match="Unknown message"):
            await channel.send("x", reference=gone)
        gone.fail_if_not_exists = False
        await channel.send("without the reply", reference=gone)
        with pytest.raises(discord.NotFound, match="Unknown Channel"):
            await bot.get_partial_messageable(5).send("x")
        api.dm(ADA).closed = True
        with pytest.raises(discord.Forbidden, match="Cannot send messages to this user"):
            await channel.send("x")
        view = discord.ui.View()
        for custom_id in ("x" * 101, "same", "same"):
            view.add_item(discord.ui.Button(label=custom_id[:9], custom_id=custom_id))
        api.dm(ADA).closed = False
        with pytest.raises(discord.HTTPException, match="custom_id must be between"):
            await channel.send("x", view=view)
        view.remove_item(view.children[0])
        with pytest.raises(discord.HTTPException, match="cannot be duplicated"):
            await channel.send("x", view=view)


async def test_the_content_type_is_taken_at_its_word(api: DiscordApi) -> None:
    import aiohttp

    headers = {"Authorization": f"Bot {api.token}", "User-Agent": "DiscordBot (https://example.org 1.0)"}
    address = f"{api.api_base}/channels/{api.dm(ADA).id}/messages"
    async with aiohttp.ClientSession(headers=headers) as session:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        async with session.post(address, data=b'{"content": "x"}', headers=kind) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
        async with session.post(address, data=b'{"content": "x"}', headers={"User-Agent": "curl"}) as answer:
            assert answer.status == 403
        async with session.post(address, data=b"{", headers={"Content-Type": "application/json"}) as answer:
            assert (await answer.json())["code"] == 50109


async def test_the_same_nonce_is_the_same_message(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        first = await channel.send("once", nonce="n1")
        again = await channel.send("again", nonce="n1")
        assert first.id == again.id
        assert [one.text for one in api.replies(api.dm(ADA))] == ["once"]


async def test_files_both_ways(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        await api.say(ADA, "read this", files=[("notes.txt", b"remember", "text/plain; charset=utf-8")])
        await until(lambda: bool(bot.seen))
        [attachment] = bot.seen[0].attachments
        assert (attachment.filename, attachment.size) == ("notes.txt", 8)
        assert await attachment.read() == b"remember"
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        await channel.send("here", file=discord.File(io.BytesIO(b"\0\1"), "a.bin"))
        [message] = api.replies(api.dm(ADA))
        assert [(one.name, one.data) for one in message.files] == [("a.bin", b"\0\1")]
        with pytest.raises(discord.HTTPException, match="too large"):
            await channel.send(file=discord.File(io.BytesIO(bytes(11 * 1024 * 1024)), "big.bin"))


async def test_reactions_and_history(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        said = [await api.say(ADA, f"message {number}") for number in range(120)]
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        message = channel.get_partial_message(said[0].id)
        await message.add_reaction("👀")
        await message.add_reaction("✅")
        assert bot.user is not None
        await message.remove_reaction("👀", bot.user)
        assert said[0].reactions == ["✅"]
        with pytest.raises(discord.HTTPException, match="Unknown Emoji"):
            await message.add_reaction("seen")
        after = discord.Object(said[9].id)
        found = [one.content async for one in channel.history(after=after, limit=None, oldest_first=True)]
        assert found == [f"message {number}" for number in range(10, 120)]
        newest = [one.content async for one in channel.history(limit=2)]
        assert newest == ["message 119", "message 118"]


async def test_commands_and_buttons(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        tree = discord.app_commands.CommandTree(bot)

        @tree.command(name="status", description="How it is")
        async def status(interaction: discord.Interaction, what: str = "") -> None:
            await interaction.response.defer(ephemeral=True)

        await tree.sync()
        assert [(one["name"], one["type"]) for one in api.commands] == [("status", 1)]
        asked = await api.command(ADA, "status", what="all")
        await api.wait_until(lambda: asked.answer == 5, what="the answer to the command")
        assert asked.ephemeral
        assert asked.shows_thinking
        await until(lambda: bool(bot.seen))
        await bot.seen[0].delete_original_response()
        assert not asked.shows_thinking
        with pytest.raises(discord.InteractionResponded):
            await bot.seen[0].response.defer()

        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="Allow", custom_id="/allow 1"))
        await bot.get_partial_messageable(api.dm(ADA).id).send("Run it?", view=view)
        [question] = api.replies(api.dm(ADA))
        assert question.buttons == ["Allow"]
        pressed = await api.press(ADA, question, "Allow")
        await until(lambda: len(bot.seen) == 2)
        assert bot.seen[1].data["custom_id"] == "/allow 1"
        pressed.at -= 4
        with pytest.raises(discord.NotFound, match="Unknown interaction"):
            await bot.seen[1].response.defer()
        await bot.seen[1].message.edit(view=None)
        assert question.buttons == []


async def test_a_wrong_token_and_missing_intents(api: DiscordApi) -> None:
    async with Bot() as stranger:
        with pytest.raises(discord.LoginFailure):
            await stranger.login("wrong")
    api.gateway.allowed_intents &= ~(1 << 15)
    bot = Bot()
    await bot.login(api.token)
    with pytest.raises(discord.PrivilegedIntentsRequired):
        await bot.connect()
    await bot.close()
    api.gateway.token = "changed"
    bot = Bot()
    await bot.login(api.token)
    with pytest.raises(discord.ConnectionClosed) as closed:
        await bot.connect()
    assert closed.value.code == 4004
    await bot.close()


@pytest.mark.parametrize("how", ["cut", "reconnect", "close"])
async def test_a_session_is_resumed_and_nothing_is_missed(api: DiscordApi, how: str) -> None:
    async with connected(api, Bot()) as bot:
        await api.say(ADA, "before")
        await until(lambda: "before" in bot.heard)
        if how == "cut":
            api.gateway.cut()
        elif how == "close":
            await api.gateway.close(4000)
        else:
            await api.gateway.ask_to_reconnect()
        await api.say(ADA, "meanwhile")
        await until(lambda: "resumed" in bot.heard and "meanwhile" in bot.heard)
        assert (api.gateway.identified, api.gateway.resumed) == (1, 1)
        assert [one for one in bot.heard if one in ("before", "meanwhile")] == ["before", "meanwhile"]


async def test_a_session_that_is_forgotten_begins_anew(api: DiscordApi) -> None:
    async with connected(api, Bot()) as bot:
        api.gateway.forget_sessions()
        api.gateway.cut()
        await until(lambda: bot.heard.count("connect") == 2)
        assert (api.gateway.identified, api.gateway.resumed) == (2, 0)


async def test_heartbeats_that_are_not_confirmed_end_the_connection(api: DiscordApi, log_guard: LogGuard) -> None:
    log_guard.expect("has stopped responding to the gateway")
    api.gateway.heartbeat_ms = 100
    async with connected(api, Bot(heartbeat_timeout=0.5)) as bot:
        await api.wait_until(lambda: api.gateway.heartbeats > 7, what="heartbeats")
        assert "disconnect" not in bot.heard
        api.gateway.withholds_acks = True
        await until(lambda: "disconnect" in bot.heard)
        api.gateway.withholds_acks = False
        await until(lambda: "resumed" in bot.heard)


async def test_rate_limits_are_kept_to_and_told(api: DiscordApi, caplog: pytest.LogCaptureFixture) -> None:
    api.limits[SEND] = RateLimit(limit=2, per=0.3)
    async with connected(api, Bot()) as bot:
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        for number in range(5):
            await channel.send(str(number))
        assert [one.text for one in api.replies(api.dm(ADA))] == ["0", "1", "2", "3", "4"]
        assert {one.status for one in api.called(SEND)} == {200}, "the library keeps to the limits that it is told"
        api.fail(SEND, TooMany(0.1), TooMany(0.1, everywhere=True))
        with caplog.at_level(logging.WARNING, "discord"):
            await channel.send("late")
        assert [one.status for one in api.called(SEND)[-3:]] == [429, 429, 200]
        assert "Global rate limit has been hit" in caplog.text
        api.fail(SEND, TooMany(5, by_edge=True))
        with pytest.raises(discord.HTTPException) as refused:
            await channel.send("no")
        assert refused.value.status == 429


async def test_scripted_faults(api: DiscordApi) -> None:
    import aiohttp

    async with connected(api, Bot()) as bot:
        channel = bot.get_partial_messageable(api.dm(ADA).id)
        api.fail(SEND, ApiError(400, 1, "Odd"), LostBefore(), LostAfter(), FailedAfter())
        with pytest.raises(discord.HTTPException, match="Odd"):
            await channel.send("a")
        for text in ("b", "c"):
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await channel.send(text)
        await channel.send("d", nonce="same")
        assert [one.text for one in api.replies(api.dm(ADA))] == ["c", "d"]
        assert [one.status for one in api.called(SEND)] == [400, 0, 0, 502, 200]


async def test_calls_that_do_not_exist_fail_the_test(log_guard: LogGuard) -> None:
    with pytest.raises(AssertionError, match="GET /api/v10/users/5"):
        async with DiscordApi() as api:
            Route.BASE = api.api_base
            bot = Bot()
            await bot.login(api.token)
            with pytest.raises(discord.NotFound):
                await bot.fetch_user(5)
            await bot.close()


async def test_by_hand() -> None:
    command = [sys.executable, "-m", "tests.peers.discord_api", "--token", "abc"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    Route.BASE = ready["api_base"]
    DiscordWebSocket.DEFAULT_GATEWAY = URL(ready["gateway_url"])
    bot = Bot(echo)
    await bot.login(ready["token"])
    running = asyncio.create_task(bot.connect())
    await bot.wait_until_ready()
    process.stdin.write(b"hello\n")
    assert await process.stdout.readline() == b"bot #2: you said hello\n"
    await bot.close()
    await asyncio.gather(running, return_exceptions=True)
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert process.stderr is not None
    assert await process.stderr.read() == b""
