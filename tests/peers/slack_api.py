"""Slack's Web API and Socket Mode on loopback, driven by tests as its people would drive the real one.

Texts of people are given as Slack delivers them: with &lt; for <, and <@U…> for a mention. By hand,
`python -m tests.peers.slack_api --port 8082` gives a chat on the terminal: what is typed is said by the owner in the
direct chat ("#TEXT": in a channel, with a mention; "!TEXT": presses the button of that label; "/TEXT": the slash
command), what the app sends is printed.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.peers import slack_blocks, slack_parameters
from tests.peers.changes import Changes
from tests.peers.slack_chats import (
    TEAM,
    ApiError,
    Call,
    Conversation,
    Fault,
    File,
    LostAfter,
    Message,
    Person,
)
from tests.peers.slack_socket import Envelope, Sockets

BOT = "U0BOT"
BOT_ID = "B0BOT"
TEXT_LIMIT = 40_000
UPDATE_LIMIT = 4_000
UPLOAD_LIMIT = 64 * 1024 * 1024
REACTIONS = {"eyes", "white_check_mark", "warning", "+1"}


class SlackApi:
    """`async with SlackApi() as api:` gives a workspace with one app, `api.token` and `api.app_token` at
    `api.api_base`. `ack_seconds` is how long it waits for an acknowledgement, `retry_seconds` the pauses before it
    sends an event again. While `offline_lost`, what is said without a connection is in the history alone."""

    def __init__(
        self,
        token: str = "xoxb-1-test-token",
        app_token: str = "xapp-1-test-token",
        *,
        ack_seconds: float = 3.0,
        retry_seconds: tuple[float, ...] = (0.0, 0.0, 0.0),
        port: int = 0,
    ) -> None:
        self.token = token
        self.app_token = app_token
        self.port = port
        self.calls: list[Call] = []
        self.offline_lost = False
        self.responses: list[dict[str, Any]] = []
        self.revoked: str = ""
        self.downloads: list[tuple[str, str]] = []
        """File id and authorization of each download."""
        self.unreadable: set[str] = set()
        """Ids of files that the app lacks the permission for."""
        self.uploads: list[tuple[str, str]] = []
        self.people: dict[str, Person] = {BOT: Person(BOT, "trayclaw", is_bot=True)}
        self.conversations: dict[str, Conversation] = {}
        self.files: dict[str, File] = {}
        self._slots: dict[str, File] = {}
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self._numbers = itertools.count(1)
        self._last_ts = 0.0
        self._changes = Changes()
        self._runner: web.AppRunner | None = None
        self.sockets = Sockets(self._changes.pulse, ack_seconds, retry_seconds)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_base(self) -> str:
        """What `channels.slack.api_base` is set to."""
        return f"{self.root_url}/api/"

    async def start(self) -> None:
        app = web.Application(client_max_size=UPLOAD_LIMIT)
        app.router.add_route("*", "/api/{method}", self._handle)
        app.router.add_get("/link", self.sockets.serve)
        app.router.add_get("/files-pri/{file}", self._download)
        app.router.add_post("/upload/{slot}", self._upload)
        app.router.add_post("/response/{number}", self._respond)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.sockets.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # What people do.

    def add_person(self, user: str, name: str = "Ada") -> str:
        """Somebody with a direct chat to the app; its id."""
        self.people.setdefault(user, Person(user, name))
        channel = f"D{user[1:]}"
        self.conversations.setdefault(channel, Conversation(channel, person=user))
        return channel

    def add_channel(self, channel: str, name: str = "general", *, has_bot: bool = True) -> Conversation:
        return self.conversations.setdefault(channel, Conversation(channel, name, has_bot=has_bot))

    async def say(
        self,
        user: str,
        text: str,
        channel: str = "",
        *,
        thread: str = "",
        files: Sequence[File | tuple[str, bytes]] = (),
        bot_id: str = "",
    ) -> Message:
        """Somebody writes to the app, in a channel or in a thread. A mention in a channel makes two events."""
        direct = self.add_person(user)
        conversation = self.conversations[channel or direct]
        stored = [one if isinstance(one, File) else self.add_file(*one) for one in files]
        message = Message(conversation.id, self._ts(), user, text, thread, bot_id=bot_id, files=stored)
        message.versions.append(text)
        conversation.messages.append(message)
        self._changes.pulse()
        await self._tell(conversation, message)
        return message

    async def edit(self, message: Message, text: str) -> None:
        """The author changes it."""
        before = message.payload()
        message.text, message.edited_ts = text, self._ts()
        message.versions.append(text)
        await self._changed(message, before)

    async def unfurl(self, message: Message) -> None:
        """Slack adds a preview."""
        await self._changed(message, message.payload())

    async def delete(self, message: Message) -> None:
        message.deleted = True
        kind = self.conversations[message.channel].kind
        event = {"type": "message", "subtype": "message_deleted", "hidden": True, "channel": message.channel}
        rest = {"deleted_ts": message.ts, "ts": self._ts(), "channel_type": kind, "previous_message": message.payload()}
        self._event({**event, **rest})

    async def open_assistant(self, user: str) -> str:
        """Somebody opens the assistant's panel; the thread."""
        channel = self.add_person(user)
        root = Message(channel, self._ts(), BOT, "New Assistant Thread", from_bot=True, bot_id=BOT_ID)
        root.thread_ts = root.ts
        self.conversations[channel].messages.append(root)
        self.conversations[channel].assistants.add(root.ts)
        thread = {"user_id": user, "channel_id": channel, "thread_ts": root.ts, "context": {}}
        self._event({"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": root.ts})
        return root.ts

    async def press(self, user: str, message: Message, label: str) -> Envelope:
        """Somebody presses the button with this label."""
        found = [(block, one) for block in message.blocks if block["type"] == "actions" for one in block["elements"]]
        block, button = next((pair for pair in found if pair[1]["text"]["text"] == label), (None, None))
        assert block is not None and button is not None, f"no button {label!r}, only {message.buttons}"
        conversation = self.conversations[message.channel]
        container: dict[str, Any] = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "is_ephemeral": False,
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        action = {
            "type": "button",
            "action_id": button["action_id"],
            "block_id": block.get("block_id", "made-up"),
            "text": button["text"],
            "value": button.get("value", ""),
            "action_ts": self._ts(),
        }
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": self.people[user].name.lower(), "team_id": TEAM},
            "api_app_id": "A0APP",
            "container": container,
            "trigger_id": uuid.uuid4().hex,
            "team": {"id": TEAM, "domain": "example"},
            "channel": {"id": message.channel, "name": conversation.name or "directmessage"},
            "message": message.payload(),
            "response_url": f"{self.root_url}/response/{next(self._numbers)}",
            "actions": [action],
        }
        envelope = Envelope("interactive", payload)
        self.sockets.push(envelope)
        return envelope

    async def command(self, user: str, text: str, channel: str = "") -> Envelope:
        """Somebody types the slash command of the app."""
        direct = self.add_person(user)
        payload = {
            "command": "/trayclaw",
            "text": text,
            "user_id": user,
            "user_name": self.people[user].name.lower(),
            "channel_id": channel or direct,
            "channel_name": "directmessage" if not channel else self.conversations[channel].name,
            "team_id": TEAM,
            "api_app_id": "A0APP",
            "trigger_id": uuid.uuid4().hex,
            "response_url": f"{self.root_url}/response/{next(self._numbers)}",
        }
        envelope = Envelope("slash_commands", payload, takes_answer=True)
        self.sockets.push(envelope)
        return envelope

    def add_file(self, name: str, data: bytes, **fields: Any) -> File:
        number = f"F{next(self._numbers):03}"
        file = File(number, name, data, f"{self.root_url}/files-pri/{number}", **fields)
        self.files[number] = file
        return file

    # What people see.

    def transcript(self, channel: str, thread: str = "") -> list[Message]:
        """The conversation, or one thread of it, as it stands."""
        messages = [one for one in self.conversations[channel].messages if not one.deleted]
        return [one for one in messages if thread in (one.thread_ts, one.ts)] if thread else messages

    def replies(self, channel: str, thread: str = "") -> list[Message]:
        """What the app wrote since somebody's last message."""
        found: list[Message] = []
        for message in reversed(self.transcript(channel, thread)):
            if not message.from_bot:
                break
            found.append(message)
        return found[::-1]

    async def wait_for_reply(
        self,
        channel: str,
        thread: str = "",
        predicate: Callable[[Message], bool] = lambda _: True,
        timeout: float = 6.0,
    ) -> Message:
        """The app's first message since somebody's last one that fits, as sent or after an edit."""

        def found() -> Message | None:
            return next((one for one in self.replies(channel, thread) if predicate(one)), None)

        try:
            message = await self._changes.until(found, timeout, what="a fitting reply")
        except AssertionError as error:
            seen = [one.shown for one in self.replies(channel, thread)]
            raise AssertionError(f"{error}; the conversation shows {seen!r}") from None
        assert message is not None
        return message

    async def wait_until(self, predicate: Callable[[], object], timeout: float = 6.0, what: str = "the change") -> None:
        await self._changes.until(predicate, timeout, what=what)

    async def wait_acknowledged(self, timeout: float = 6.0) -> None:
        """Return when nothing waits for an acknowledgement."""
        await self._changes.until(lambda: not self.unacknowledged, timeout, what="the acknowledgement of all events")

    @property
    def unacknowledged(self) -> list[Envelope]:
        return [one for one in self.sockets.envelopes if not one.acknowledged]

    def called(self, method: str) -> list[Call]:
        return [one for one in self.calls if one.method == method]

    def fail(self, method: str, *faults: Fault) -> None:
        """The next calls of `method` end so, one fault a call."""
        self._faults[method].extend(faults)

    def revoke(self, code: str = "token_revoked") -> None:
        """The bot token is no longer good."""
        self.revoked = code

    async def _tell(self, conversation: Conversation, message: Message) -> None:
        if not conversation.has_bot:
            return
        parent = conversation.find(message.thread_ts) if message.thread_ts else None
        event = {
            **message.payload(parent),
            "channel": conversation.id,
            "channel_type": conversation.kind,
            "event_ts": message.ts,
        }
        self._event(event)
        if f"<@{BOT}>" in message.text and not conversation.person:
            mention = {name: value for name, value in event.items() if name not in ("channel_type", "subtype")}
            self._event({**mention, "type": "app_mention"})

    async def _changed(self, message: Message, before: dict[str, Any]) -> None:
        conversation = self.conversations[message.channel]
        event = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": message.channel}
        texts = {"message": message.payload(), "previous_message": before}
        self._event({**event, **texts, "ts": self._ts(), "channel_type": conversation.kind})

    def _event(self, event: dict[str, Any]) -> None:
        if self.offline_lost and not self.sockets.alive:
            return
        payload = {
            "token": "verification",
            "team_id": TEAM,
            "api_app_id": "A0APP",
            "type": "event_callback",
            "event": event,
            "event_id": f"Ev{next(self._numbers):06}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
        }
        self.sockets.push(Envelope("events_api", payload))

    def _ts(self) -> str:
        self._last_ts = max(time.time(), self._last_ts + 0.000_1)
        return f"{self._last_ts:.6f}"

    # The HTTP side.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        call = Call(method, {}, time.monotonic())
        answer: dict[str, Any] = {"ok": True}
        status, headers = 200, {}
        try:
            token = self.app_token if method == "apps.connections.open" else self.token
            call.parameters = await slack_parameters.read(request, method, token)
            if self.revoked and token == self.token:
                raise ApiError(self.revoked)
            fault = self._faults[method].pop(0) if self._faults[method] else None
            if isinstance(fault, ApiError):
                raise fault
            if fault is None or isinstance(fault, LostAfter):
                answer |= await METHODS[method](self, call.parameters)
            if fault is not None:
                assert request.transport is not None
                call.error = type(fault).__name__
                request.transport.abort()
        except ApiError as raised:
            call.error, status = raised.code or str(raised.status), raised.status
            answer = {"ok": False, "error": raised.code, **raised.fields}
            if raised.retry_after is not None:
                headers["Retry-After"] = str(raised.retry_after)
        self.calls.append(call)
        self._changes.pulse()
        if status >= 500:
            return web.Response(status=status, text="<html>upstream</html>", content_type="text/html")
        return web.json_response(answer, status=status, headers=headers)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file = self.files.get(request.match_info["file"])
        authorization = request.headers.get("Authorization", "")
        self.downloads.append((request.match_info["file"], authorization))
        if authorization != f"Bearer {self.token}" or request.match_info["file"] in self.unreadable:
            return web.Response(text="<html>Sign in</html>", content_type="text/html")  # as Slack does, with a 200
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.data, content_type=file.payload()["mimetype"])

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        file = self._slots.get(request.match_info["slot"])
        self.uploads.append((request.match_info["slot"], request.headers.get("Authorization", "")))
        if file is None:
            return web.Response(status=404)
        data = await request.read()
        if len(data) != file.size:
            return web.Response(status=400, text="the length is not what was announced")
        file.data, file.uploaded = data, True
        return web.Response(text=f"OK - {len(data)}")

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            return web.Response(status=400, text="invalid_payload")
        self.responses.append(await request.json())
        return web.Response(text="ok")

    # The methods.

    async def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "url": self.root_url,
            "team": "Example",
            "user": "trayclaw",
            "team_id": TEAM,
            "user_id": BOT,
            "bot_id": BOT_ID,
        }

    async def _connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/link?ticket={self.sockets.ticket()}&app_id=A0APP"}

    async def _post_message(self, values: dict[str, Any]) -> dict[str, Any]:
        conversation = self._writable(values["channel"])
        text, blocks = self._content(values, TEXT_LIMIT)
        thread = str(values.get("thread_ts") or "")
        if thread and conversation.find(thread) is None:
            raise ApiError("thread_not_found")
        message = Message(conversation.id, self._ts(), BOT, text, thread, from_bot=True, bot_id=BOT_ID, blocks=blocks)
        message.versions.append(text)
        message.unfurl = values.get("unfurl_links", True) is not False or values.get("unfurl_media", True) is not False
        conversation.messages.append(message)
        conversation.statuses += [(thread, "")] if thread in conversation.assistants else []
        return {"channel": conversation.id, "ts": message.ts, "message": message.payload()}

    async def _update(self, values: dict[str, Any]) -> dict[str, Any]:
        message = self._own(values, "cant_update_message")
        text, blocks = self._content(values, UPDATE_LIMIT)
        message.text = text
        message.versions.append(text)
        if "blocks" in values:
            message.blocks = blocks
        return {"channel": message.channel, "ts": message.ts, "text": text}

    async def _delete(self, values: dict[str, Any]) -> dict[str, Any]:
        message = self._own(values, "cant_delete_message")
        message.deleted = True
        return {"channel": message.channel, "ts": message.ts}

    async def _react(self, values: dict[str, Any]) -> dict[str, Any]:
        message = self._reactable(values)
        if values["name"] in message.reactions:
            raise ApiError("already_reacted")
        message.reactions.append(values["name"])
        return {}

    async def _unreact(self, values: dict[str, Any]) -> dict[str, Any]:
        message = self._reactable(values)
        if values["name"] not in message.reactions:
            raise ApiError("no_reaction")
        message.reactions.remove(values["name"])
        return {}

    async def _user(self, values: dict[str, Any]) -> dict[str, Any]:
        person = self.people.get(values["user"])
        if person is None:
            raise ApiError("user_not_found")
        return {"user": person.payload()}

    async def _own_conversations(self, values: dict[str, Any]) -> dict[str, Any]:
        kinds = {"public_channel": "channel", "im": "im"}
        wanted = {kinds.get(kind) for kind in str(values.get("types") or "public_channel").split(",")}
        found = [one.payload() for one in self.conversations.values() if one.has_bot and one.kind in wanted]
        return {"channels": found, "response_metadata": {"next_cursor": ""}}

    async def _open(self, values: dict[str, Any]) -> dict[str, Any]:
        person = str(values.get("users") or "")
        if person not in self.people or person == BOT:
            raise ApiError("user_not_found")
        return {"channel": {"id": self.add_person(person)}}

    async def _info(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"channel": self._readable(values["channel"]).payload()}

    async def _history(self, values: dict[str, Any]) -> dict[str, Any]:
        conversation = self._readable(values["channel"])
        top = [one for one in conversation.messages if not one.deleted and one.thread_ts in ("", one.ts)]
        threads = {one.thread_ts for one in conversation.messages if one.thread_ts}
        payloads = [one.payload() | ({"thread_ts": one.ts} if one.ts in threads else {}) for one in top]
        return self._window(payloads[::-1], values)

    async def _replies(self, values: dict[str, Any]) -> dict[str, Any]:
        conversation = self._readable(values["channel"])
        parent = conversation.find(values["ts"])
        if parent is None:
            raise ApiError("thread_not_found")
        rest = [one for one in conversation.messages if one.thread_ts == parent.ts != one.ts and not one.deleted]
        page = self._window([one.payload(parent) for one in rest], values)
        page["messages"].insert(0, parent.payload() | {"thread_ts": parent.ts})
        return page

    async def _file(self, values: dict[str, Any]) -> dict[str, Any]:
        if (file := self.files.get(values["file"])) is None:
            raise ApiError("file_not_found")
        return {"file": file.payload()}

    async def _upload_url(self, values: dict[str, Any]) -> dict[str, Any]:
        try:
            size = int(values["length"])
        except ValueError:
            raise ApiError("invalid_arguments") from None
        if size <= 0:
            raise ApiError("invalid_arguments")
        file = self.add_file(values["filename"], b"", size=size, uploaded=False)
        slot = uuid.uuid4().hex
        self._slots[slot] = file
        return {"upload_url": f"{self.root_url}/upload/{slot}", "file_id": file.id}

    async def _complete_upload(self, values: dict[str, Any]) -> dict[str, Any]:
        wanted = [self.files.get(str(one.get("id"))) for one in values["files"]]
        found = [one for one in wanted if one is not None and one.uploaded]
        if not found or len(found) != len(wanted):
            raise ApiError("file_not_found")
        if channel := values.get("channel_id"):
            conversation = self._writable(channel)
            thread = str(values.get("thread_ts") or "")
            message = Message(conversation.id, self._ts(), BOT, "", thread, from_bot=True, bot_id=BOT_ID, files=found)
            conversation.messages.append(message)
        return {"files": [{"id": one.id, "title": one.name} for one in found]}

    async def _status(self, values: dict[str, Any]) -> dict[str, Any]:
        conversation = self._readable(values["channel_id"])
        if values["thread_ts"] not in conversation.assistants:
            raise ApiError("invalid_thread_ts")
        conversation.statuses.append((values["thread_ts"], str(values["status"])))
        return {}

    def _readable(self, channel: str) -> Conversation:
        conversation = self.conversations.get(channel)
        if conversation is None:
            raise ApiError("channel_not_found")
        if not conversation.has_bot:
            raise ApiError("not_in_channel")
        return conversation

    def _writable(self, channel: str) -> Conversation:
        conversation = self._readable(channel)
        if conversation.archived:
            raise ApiError("is_archived")
        return conversation

    def _own(self, values: dict[str, Any], refusal: str) -> Message:
        message = self._readable(values["channel"]).find(values["ts"])
        if message is None:
            raise ApiError("message_not_found")
        if not message.from_bot:
            raise ApiError(refusal)
        return message

    def _reactable(self, values: dict[str, Any]) -> Message:
        if values["name"] not in REACTIONS:
            raise ApiError("invalid_name")
        message = self._readable(values.get("channel", "")).find(values.get("timestamp", ""))
        if message is None:
            raise ApiError("message_not_found")
        return message

    def _content(self, values: dict[str, Any], limit: int) -> tuple[str, list[dict[str, Any]]]:
        text, blocks = values.get("text") or "", values.get("blocks") or []
        if not text and not blocks:
            raise ApiError("no_text")
        if slack_blocks.length(text) > limit:
            raise ApiError("msg_too_long")
        slack_blocks.check(blocks)
        return text, blocks

    def _window(self, payloads: list[dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
        try:
            limit, start = int(values.get("limit") or 100), int(values.get("cursor") or 0)
            oldest, latest = float(values.get("oldest") or 0), float(values.get("latest") or "inf")
        except ValueError:
            raise ApiError("invalid_cursor") from None
        if not 1 <= limit <= 999:
            raise ApiError("invalid_limit")
        inside = [one for one in payloads if oldest < float(one["ts"]) < latest]
        more = start + limit < len(inside)
        cursor = str(start + limit) if more else ""
        page = inside[start : start + limit]
        return {"messages": page, "has_more": more, "response_metadata": {"next_cursor": cursor}}


METHODS: dict[str, Callable[[SlackApi, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "auth.test": SlackApi._auth_test,
    "apps.connections.open": SlackApi._connections_open,
    "chat.postMessage": SlackApi._post_message,
    "chat.update": SlackApi._update,
    "chat.delete": SlackApi._delete,
    "reactions.add": SlackApi._react,
    "reactions.remove": SlackApi._unreact,
    "users.info": SlackApi._user,
    "users.conversations": SlackApi._own_conversations,
    "conversations.open": SlackApi._open,
    "conversations.info": SlackApi._info,
    "conversations.history": SlackApi._history,
    "conversations.replies": SlackApi._replies,
    "files.info": SlackApi._file,
    "files.getUploadURLExternal": SlackApi._upload_url,
    "files.completeUploadExternal": SlackApi._complete_upload,
    "assistant.threads.setStatus": SlackApi._status,
}


async def _console(api: SlackApi, user: str) -> None:
    """Read lines from stdin as the person's messages and print what the app shows."""
    shown: dict[str, str] = {}
    direct, channel = api.add_person(user), api.add_channel("C0GENERAL").id

    def unseen() -> list[Message]:
        both = [*api.transcript(direct), *api.transcript(channel)]
        return [one for one in both if one.from_bot and shown.get(one.ts) != one.shown + str(one.buttons)]

    async def show() -> None:
        while True:
            await api.wait_until(unseen, timeout=86_400)
            for message in unseen():
                where = f"{message.channel}{f' in {message.thread_ts}' if message.thread_ts else ''}"
                extra = "".join(f" [{label}]" for label in message.buttons)
                extra += "".join(f" ({file.name}, {len(file.data)} bytes)" for file in message.files)
                print(f"bot, {where}, edit {message.edits}: {message.shown}{extra}", flush=True)
                shown[message.ts] = message.shown + str(message.buttons)

    showing = asyncio.create_task(show())
    tokens = {"token": api.token, "app_token": api.app_token}
    print(json.dumps({"event": "ready", "api_base": api.api_base, **tokens, "user": user}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        text = line.decode().strip()
        buttons = [one for one in [*api.transcript(direct), *api.transcript(channel)] if text[1:] in one.buttons]
        if text.startswith("!") and buttons:
            await api.press(user, buttons[-1], text[1:])
        elif text.startswith("/"):
            await api.command(user, text[1:])
        elif text.startswith("#"):
            await api.say(user, f"<@{BOT}> {_escaped(text[1:])}", channel)
        elif text:
            await api.say(user, _escaped(text))
    showing.cancel()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def _run(api: SlackApi, user: str) -> None:
    async with api:
        await _console(api, user)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.slack_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, printed at the start")
    parser.add_argument("--token", default="xoxb-1-test-token")
    parser.add_argument("--app-token", default="xapp-1-test-token")
    parser.add_argument("--user", default="U0ADA", help="the member id of the person who types")
    chosen = parser.parse_args(arguments)
    try:
        asyncio.run(_run(SlackApi(chosen.token, chosen.app_token, port=chosen.port), chosen.user))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
