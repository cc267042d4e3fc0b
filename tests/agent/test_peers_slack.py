"""The fake Slack judged by Slack's own client library, and what it refuses."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, SectionBlock
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.peers.slack_api import BOT, SlackApi
from tests.peers.slack_chats import LostAfter, too_many_requests, unavailable

OWNER, DIRECT, GENERAL = "U0ADA", "D0ADA", "C0GENERAL"


@pytest.fixture
async def api():
    async with SlackApi(ack_seconds=0.2) as api:
        api.add_person(OWNER)
        api.add_channel(GENERAL)
        yield api


@pytest.fixture
async def client(api: SlackApi):
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(api.token, base_url=api.api_base, session=session, retry_handlers=[])


class Listener:
    """The official Socket Mode client. It acknowledges what `answers` says."""

    def __init__(self, api: SlackApi, client: AsyncWebClient) -> None:
        self.got: list[SocketModeRequest] = []
        self.answers = True
        self.answer: dict[str, Any] | None = None
        self.socket = SocketModeClient(api.app_token, web_client=client, ping_interval=0.1)
        self.socket.socket_mode_request_listeners.append(self._heard)

    async def _heard(self, socket: SocketModeClient, request: SocketModeRequest) -> None:
        self.got.append(request)
        if self.answers:
            await socket.send_socket_mode_response(SocketModeResponse(request.envelope_id, self.answer))


@contextlib.asynccontextmanager
async def listening(api: SlackApi, client: AsyncWebClient) -> AsyncIterator[Listener]:
    listener = Listener(api, client)
    await listener.socket.connect()
    await api.wait_until(lambda: api.sockets.alive, what="the connection")
    try:
        yield listener
    finally:
        await listener.socket.close()


async def test_the_official_client_hears_and_acknowledges(api: SlackApi, client: AsyncWebClient) -> None:
    async with listening(api, client) as listener:
        await api.say(OWNER, "hello")
        await api.wait_acknowledged()
        event = listener.got[0].payload["event"]
        assert (event["type"], event["channel_type"], event["user"], event["text"]) == ("message", "im", OWNER, "hello")
        await api.say(OWNER, f"<@{BOT}> hi", GENERAL)
        await api.wait_acknowledged()
        assert [one.payload["event"]["type"] for one in listener.got[1:]] == ["message", "app_mention"]
        await api.wait_until(lambda: api.sockets.links[0].pings, what="a ping")
        await api.sockets.ping()
        assert api.sockets.violations == []


async def test_what_is_not_acknowledged_comes_again_elsewhere(api: SlackApi, client: AsyncWebClient) -> None:
    async with listening(api, client) as first, listening(api, client) as second:
        first.answers = second.answers = False
        await api.say(OWNER, "again")
        await api.wait_until(lambda: first.got and second.got, what="the second attempt")
        assert {one.retry_attempt for one in first.got + second.got} >= {0, 1}
        await api.wait_until(lambda: api.sockets.envelopes[0].lost, what="Slack to give up")
        assert api.sockets.envelopes[0].attempts == 4


async def test_the_official_client_follows_a_refresh(api: SlackApi, client: AsyncWebClient) -> None:
    async with listening(api, client) as listener:
        await api.sockets.ask_for_new()
        await api.wait_until(lambda: api.sockets.opened == 2, what="the new connection")
        await api.say(OWNER, "after")
        await api.wait_acknowledged()
        assert listener.got[-1].payload["event"]["text"] == "after"


async def test_a_button_and_a_command_reach_the_official_client(api: SlackApi, client: AsyncWebClient) -> None:
    button = ButtonElement(text="Yes", action_id="yes", value="/allow 1", style="primary")
    blocks = [SectionBlock(text="Sure?"), ActionsBlock(elements=[button])]
    async with listening(api, client) as listener:
        await client.chat_postMessage(channel=DIRECT, text="Sure?", blocks=blocks)
        await api.press(OWNER, api.replies(DIRECT)[0], "Yes")
        await api.wait_acknowledged()
        pressed = listener.got[-1]
        assert (pressed.type, pressed.payload["actions"][0]["value"]) == ("interactive", "/allow 1")
        listener.answer = {"text": "done"}
        command = await api.command(OWNER, "stop")
        await api.wait_acknowledged()
        assert (listener.got[-1].payload["text"], command.answer) == ("stop", {"text": "done"})


async def test_messages_are_posted_changed_and_deleted(api: SlackApi, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=DIRECT, text="one", unfurl_links=False, unfurl_media=False)
    await client.chat_update(channel=DIRECT, ts=posted["ts"], text="two")
    [message] = api.replies(DIRECT)
    assert (message.text, message.edits, message.unfurl) == ("two", 1, False)
    await client.reactions_add(channel=DIRECT, timestamp=posted["ts"], name="eyes")
    assert message.reactions == ["eyes"]
    await client.reactions_remove(channel=DIRECT, timestamp=posted["ts"], name="eyes")
    await client.chat_delete(channel=DIRECT, ts=posted["ts"])
    assert (message.reactions, api.replies(DIRECT)) == ([], [])


async def test_history_and_threads_are_read_in_pages(api: SlackApi, client: AsyncWebClient) -> None:
    said = [await api.say(OWNER, str(number)) for number in range(5)]
    below = await api.say(OWNER, "below", thread=said[0].ts)
    first = await client.conversations_history(channel=DIRECT, limit=2, oldest=said[0].ts)
    assert [one["text"] for one in first["messages"]] == ["4", "3"]
    texts = [one["text"] async for page in first for one in page["messages"]]
    assert texts == ["4", "3", "2", "1"]
    thread = await client.conversations_replies(channel=DIRECT, ts=said[0].ts, oldest=said[4].ts)
    assert [one["ts"] for one in thread["messages"]] == [said[0].ts, below.ts]
    names = await client.users_conversations(types="im,public_channel")
    assert [one["id"] for one in names["channels"]] == [DIRECT, GENERAL]
    assert (await client.users_info(user=OWNER))["user"]["profile"]["display_name"] == "Ada"


async def test_a_file_goes_up_by_the_library_and_comes_down_with_the_token(
    api: SlackApi, client: AsyncWebClient
) -> None:
    await client.files_upload_v2(channel=DIRECT, filename="a.txt", content="hello")
    [message] = api.replies(DIRECT)
    assert (message.files[0].name, message.files[0].data) == ("a.txt", b"hello")
    assert all(authorization == "" for _, authorization in api.uploads)
    sent = await api.say(OWNER, "", files=[("b.bin", b"data")])
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {api.token}"}) as session:
        assert await (await session.get(sent.files[0].url)).read() == b"data"
    async with aiohttp.ClientSession() as session, session.get(sent.files[0].url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


def section(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **fields}


def buttons(*values: str, same: bool = False) -> dict[str, Any]:
    elements = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": "x"},
            "action_id": "a" if same else f"a{number}",
            "value": value,
        }
        for number, value in enumerate(values)
    ]
    return {"type": "actions", "elements": elements}


@pytest.mark.parametrize(
    ("method", "values", "error"),
    [
        ("chat.postMessage", {"channel": "D0NOBODY", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": DIRECT}, "no_text"),
        ("chat.postMessage", {"channel": DIRECT, "text": "x" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": DIRECT, "text": "x", "thread_ts": "1.1"}, "thread_not_found"),
        ("chat.postMessage", {"channel": DIRECT, "text": "x", "colour": "red"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [section("")]}, "invalid_blocks"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [section("x", colour=1)]}, "invalid_blocks"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [section("x")] * 51}, "invalid_blocks"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [section("x" * 2900)] * 5}, "msg_blocks_too_long"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [buttons("y" * 2001)]}, "invalid_blocks"),
        ("chat.postMessage", {"channel": DIRECT, "blocks": [buttons("1", "2", same=True)]}, "invalid_blocks"),
        ("chat.update", {"channel": DIRECT, "ts": "1.1", "text": "x"}, "message_not_found"),
        ("users.info", {"user": OWNER}, "invalid_arguments"),
        ("chat.shout", {}, "unknown_method"),
    ],
)
async def test_what_slack_refuses_is_refused(
    api: SlackApi, client: AsyncWebClient, method: str, values: dict[str, Any], error: str
) -> None:
    with pytest.raises(SlackApiError) as refused:
        await client.api_call(method, json=values)
    assert refused.value.response["error"] == error
    assert api.replies(DIRECT) == []


async def test_an_edit_takes_less_text_than_a_message(api: SlackApi, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=DIRECT, text="x" * 4001)
    with pytest.raises(SlackApiError, match="msg_too_long"):
        await client.chat_update(channel=DIRECT, ts=posted["ts"], text="x" * 4001)


async def test_tokens_limits_and_trouble(api: SlackApi, client: AsyncWebClient) -> None:
    async with aiohttp.ClientSession() as session:

        async def error(**request: Any) -> str:
            async with session.post(f"{api.api_base}chat.postMessage", **request) as answer:
                return str((await answer.json())["error"])

        good = {"Authorization": f"Bearer {api.token}"}
        assert await error(json={"channel": DIRECT, "text": "x"}) == "not_authed"
        assert await error(data={"channel": DIRECT, "text": "x", "token": api.token}, headers=good) == "invalid_auth"
        assert await error(data=b"{}", headers=good | {"Content-Type": "text/plain"}) == "invalid_post_type"
        assert await error(data=b"{", headers=good | {"Content-Type": "application/json"}) == "invalid_json"
    with pytest.raises(SlackApiError, match="not_allowed_token_type"):
        await client.apps_connections_open(app_token=api.token)
    api.fail("chat.postMessage", too_many_requests(7), unavailable(), LostAfter())
    with pytest.raises(SlackApiError) as limited:
        await client.chat_postMessage(channel=DIRECT, text="x")
    assert (limited.value.response.status_code, limited.value.response.headers["Retry-After"]) == (429, "7")
    with pytest.raises(SlackApiError) as trouble:
        await client.chat_postMessage(channel=DIRECT, text="x")
    assert trouble.value.response.status_code == 503
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=DIRECT, text="arrived")
    assert [one.text for one in api.replies(DIRECT)] == ["arrived"]


async def test_a_false_acknowledgement_ends_the_connection(api: SlackApi, client: AsyncWebClient) -> None:
    url = (await client.apps_connections_open(app_token=api.app_token))["url"]
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
            await socket.send_json({"envelope_id": "made-up"})
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert api.sockets.violations
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)  # an address is good for one connection


async def test_the_program_can_be_talked_to_by_hand() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.peers.slack_api"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        ready = json.loads(await process.stdout.readline())
        async with aiohttp.ClientSession() as session:
            client = AsyncWebClient(ready["token"], base_url=ready["api_base"], session=session)
            url = (await client.apps_connections_open(app_token=ready["app_token"]))["url"]
            async with session.ws_connect(url) as socket:
                await socket.receive_json()
                process.stdin.write(b"a < b\n")
                event = (await socket.receive_json())["payload"]["event"]
                assert (event["user"], event["text"]) == (ready["user"], "a &lt; b")
                await client.chat_postMessage(channel=event["channel"], text="seen")
                assert b"seen" in await process.stdout.readline()
    finally:
        process.kill()
        await process.wait()
