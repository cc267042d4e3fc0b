"""Discord on loopback, REST and gateway, driven by tests as its users would drive the real one.

By hand, `python -m tests.peers.discord_api --port 8082` gives a direct chat on the terminal: what is typed is said by
user 4242 ("/status" is a slash command, "!LABEL" presses a button), what the bot sends is printed.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from tests.peers import discord_rules
from tests.peers.changes import Changes
from tests.peers.discord_gateway import MESSAGE_CONTENT, Gateway, Session
from tests.peers.discord_world import (
    DIRECT,
    EPHEMERAL,
    MENTION,
    TEXT,
    THREAD,
    ApiCall,
    ApiError,
    Bucket,
    Channel,
    FailedAfter,
    Fault,
    File,
    Guild,
    Interaction,
    LostAfter,
    LostBefore,
    Message,
    RateLimit,
    TooMany,
    User,
    invalid,
    now,
    sent_at,
    snowflake,
    unknown,
)

GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 9, 1 << 12
ANSWER_SECONDS = 3.0
"""An interaction that is not answered within this time has failed."""
ANSWERS = {2: (4, 5), 3: (4, 5, 6, 7)}
"""Which callbacks fit a command and a button."""


class DiscordApi:
    """`async with DiscordApi() as api:` gives a bot with `api.token` at `api.api_base` and `api.gateway_url`.

    `limits` holds rate limits by route, as in `calls`; leaving the block fails for calls that no such service has.
    """

    def __init__(self, token: str = "NzAwNzAw.test.token", *, name: str = "TrayClaw", port: int = 0) -> None:
        self.token = token
        self.bot = User(700_700_000_000_000_001, name, bot=True)
        self.port = port
        self._changes = Changes()
        self.gateway = Gateway(token, self._changes.pulse)
        self.calls: list[ApiCall] = []
        self.limits: dict[str, RateLimit] = {}
        self.commands: list[dict[str, Any]] = []
        self.interactions: list[Interaction] = []
        self.unexpected: list[str] = []
        self.downloads: list[str] = []
        self.users: dict[int, User] = {self.bot.id: self.bot}
        self.channels: dict[int, Channel] = {}
        self.guilds: dict[int, Guild] = {}
        self._files: dict[int, File] = {}
        self._buckets: dict[tuple[str, int], Bucket] = {}
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self._tokens = itertools.count(1)
        self._runner: web.AppRunner | None = None

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v10"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/gateway"

    async def start(self) -> None:
        app = web.Application(client_max_size=discord_rules.UPLOAD_LIMIT * 2)
        app.router.add_get("/gateway", self._gateway)
        app.router.add_get("/cdn/{file}", self._download)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.gateway.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        assert kind or not self.unexpected, f"calls that the service does not have: {self.unexpected}"

    # What users do.

    def add_user(self, user_id: int, name: str = "Ada", *, bot: bool = False) -> User:
        return self.users.setdefault(user_id, User(user_id, name, bot))

    def dm(self, user_id: int) -> Channel:
        """The direct channel of the bot and a user."""
        person = self.add_user(user_id)
        for channel in self.channels.values():
            if channel.person is person:
                return channel
        return self._channel(Channel(snowflake(), DIRECT, person=person))

    def add_channel(self, name: str = "general", guild: str = "Friends") -> Channel:
        """A text channel in a server with the bot in it. Before the bot connects: it is not told of new ones."""
        found = next((one for one in self.guilds.values() if one.name == guild), None)
        if found is None:
            found = Guild(snowflake(), guild)
            self.guilds[found.id] = found
        channel = self._channel(Channel(snowflake(), TEXT, name, found.id))
        found.channels.append(channel)
        return channel

    async def invite(self, guild: str) -> Guild:
        """Somebody lets the bot into a server, with a channel."""
        found = self.guilds[self.add_channel(guild=guild).guild_id or 0]
        payload = found.payload()
        del payload["unavailable"]
        await self.gateway.dispatch("GUILD_CREATE", payload, 1)
        return found

    async def add_thread(self, parent: Channel, name: str = "a thread", *, hidden: bool = False) -> Channel:
        assert parent.guild_id is not None
        thread = self._channel(Channel(snowflake(), THREAD, name, parent.guild_id, parent.id, hidden=hidden))
        self.guilds[parent.guild_id].channels.append(thread)
        if not hidden:
            await self.gateway.dispatch("THREAD_CREATE", {**thread.payload(), "newly_created": True}, 1)
        return thread

    async def say(
        self,
        user_id: int,
        text: str,
        channel: Channel | None = None,
        *,
        reply_to: Message | None = None,
        files: Iterable[tuple[str, bytes, str]] = (),
        kind: int = 0,
    ) -> Message:
        """The user writes to the bot, or into a channel; `files` are names, contents and media types."""
        author = self.add_user(user_id)
        channel = channel or self.dm(user_id)
        kept = [File(snowflake(), *one) for one in files]
        self._files.update({one.id: one for one in kept})
        message = Message(snowflake(), channel.id, author, text, kept, versions=[text], kind=kind)
        if reply_to is not None:
            message.reply_to, message.kind = reply_to.id, 19
        channel.messages.append(message)
        await self._publish("MESSAGE_CREATE", message)
        return message

    async def edit(self, message: Message, text: str) -> None:
        """The author edits the message."""
        message.text, message.edited_at = text, now()
        message.versions.append(text)
        await self._publish("MESSAGE_UPDATE", message)

    async def unfurl(self, message: Message) -> None:
        """The service adds the preview of a link: an update that is no edit."""
        await self._publish("MESSAGE_UPDATE", message)

    async def press(self, user_id: int, message: Message, label: str) -> Interaction:
        """The user presses the button with this label."""
        buttons = [button for row in message.components for button in row["components"]]
        button = next((one for one in buttons if one["label"] == label), None)
        assert button is not None, f"no button {label!r}, only {message.buttons}"
        data = {"component_type": 2, "custom_id": button["custom_id"], "id": 1}
        return await self._interact(user_id, 3, self.channels[message.channel_id], data, message)

    async def command(self, user_id: int, name: str, channel: Channel | None = None, **options: str) -> Interaction:
        """The user uses a slash command, which must be registered with these options."""
        found = next((one for one in self.commands if one["name"] == name), None)
        assert found is not None, f"no command {name!r}, only {[one['name'] for one in self.commands]}"
        known = {one["name"] for one in found.get("options", ())}
        assert set(options) <= known, f"{name} has only the options {known}"
        given = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
        data = {"id": found["id"], "name": name, "type": 1, "options": given}
        self.add_user(user_id)
        return await self._interact(user_id, 2, channel or self.dm(user_id), data)

    async def _interact(
        self, user_id: int, kind: int, channel: Channel, data: dict[str, Any], message: Message | None = None
    ) -> Interaction:
        token = f"interaction-token-{next(self._tokens)}"
        interaction = Interaction(snowflake(), token, kind, channel, time.monotonic())
        self.interactions.append(interaction)
        person = self.users[user_id].payload()
        payload: dict[str, Any] = {
            "id": str(interaction.id),
            "application_id": str(self.bot.id),
            "type": kind,
            "data": data,
            "channel": channel.payload(),
            "channel_id": str(channel.id),
            "token": token,
            "version": 1,
            "app_permissions": "0",
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {},
            "context": 0 if channel.guild_id else 1,
            "attachment_size_limit": discord_rules.UPLOAD_LIMIT,
        }
        if channel.guild_id:
            payload.update(guild_id=str(channel.guild_id), member=self._member(person, permissions="0"))
        else:
            payload["user"] = person
        if message is not None:
            payload["message"] = self._payload(message)
        await self.gateway.dispatch("INTERACTION_CREATE", payload)
        return interaction

    # What users see.

    def transcript(self, channel: Channel) -> list[Message]:
        """The channel as it stands, without deleted messages."""
        return [message for message in channel.messages if not message.deleted]

    def replies(self, channel: Channel) -> list[Message]:
        """What the bot sent since the last message of a user."""
        found = itertools.takewhile(lambda one: one.author is self.bot, reversed(self.transcript(channel)))
        return list(found)[::-1]

    async def wait_for_reply(
        self, channel: Channel, predicate: Callable[[Message], bool] | None = None, timeout: float = 8.0
    ) -> Message:
        """The bot's first message since the user's last one that fits, as sent or after an edit."""

        def found() -> Message | None:
            return next((one for one in self.replies(channel) if predicate is None or predicate(one)), None)

        try:
            message = await self._changes.until(found, timeout, what="a fitting reply")
        except AssertionError as error:
            seen = [one.text for one in self.replies(channel)]
            raise AssertionError(f"{error}; the channel shows {seen!r}") from None
        assert message is not None
        return message

    async def wait_until(self, predicate: Callable[[], object], timeout: float = 8.0, what: str = "the change") -> None:
        """Return when `predicate` over this server's state is true; it is asked after every call."""
        await self._changes.until(predicate, timeout, what=what)

    async def wait_connected(self, timeout: float = 8.0) -> None:
        await self._changes.until(self.gateway.connected, timeout, what="the connection to the gateway")

    def fail(self, route: str, *faults: Fault) -> None:
        """The next calls of a route ("POST /channels/{channel}/messages", "*": of any) end so, one fault a call."""
        self._faults[route].extend(faults)

    def called(self, route: str) -> list[ApiCall]:
        return [one for one in self.calls if one.route == route]

    # Payloads.

    def _channel(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        return channel

    def _member(self, user: dict[str, Any], **more: str) -> dict[str, Any]:
        base = {"roles": [], "joined_at": now(), "deaf": False, "mute": False, "flags": 0, "nick": None, "avatar": None}
        return {**base, "user": user, **more}

    def _payload(self, message: Message, *, quoting: bool = True) -> dict[str, Any]:
        mentioned = {int(one) for one in MENTION.findall(message.text)} & set(self.users)
        original = self._find(message.channel_id, message.reply_to)
        if original is not None:
            mentioned.add(original.author.id)
        payload: dict[str, Any] = {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "author": message.author.payload(),
            "content": message.text,
            "timestamp": sent_at(message.id),
            "edited_timestamp": message.edited_at,
            "tts": False,
            "mention_everyone": False,
            "mentions": [self.users[one].payload() for one in mentioned],
            "mention_roles": [],
            "attachments": [self._attachment(one) for one in message.files],
            "embeds": [],
            "pinned": False,
            "type": message.kind,
            "flags": message.flags,
            "components": message.components,
        }
        if message.nonce is not None:
            payload["nonce"] = message.nonce
        if message.reply_to is not None:
            payload["message_reference"] = {"channel_id": str(message.channel_id), "message_id": str(message.reply_to)}
            if quoting:
                payload["referenced_message"] = None if original is None else self._payload(original, quoting=False)
        return payload

    def _attachment(self, file: File) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/cdn/{file.id}"
        return {
            "id": str(file.id),
            "filename": file.name,
            "size": len(file.data),
            "url": url,
            "proxy_url": url,
            "content_type": file.media_type,
        }

    def _find(self, channel_id: int, message_id: int | None) -> Message | None:
        messages = self.transcript(self.channels[channel_id])
        return next((one for one in messages if one.id == message_id), None)

    async def _publish(self, event: str, message: Message) -> None:
        channel = self.channels[message.channel_id]
        payload = self._payload(message)
        self._changes.pulse()
        if channel.guild_id is None:
            await self.gateway.dispatch(event, payload, DIRECT_MESSAGES)
            return
        payload.update(guild_id=str(channel.guild_id), member=self._member({}))
        for session in self.gateway.sessions:
            for_bot = str(self.bot.id) in {one["id"] for one in payload["mentions"]} or message.author is self.bot
            if not session.intents & MESSAGE_CONTENT and not for_bot:
                payload = {**payload, "content": "", "attachments": [], "components": []}
        await self.gateway.dispatch(event, payload, GUILD_MESSAGES)

    def _ready(self, session: Session) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
        first = {
            "v": 10,
            "user": self.bot.payload(),
            "guilds": [{"id": str(one), "unavailable": True} for one in self.guilds],
            "session_id": session.id,
            "resume_gateway_url": self.gateway_url,
            "application": {"id": str(self.bot.id), "flags": 1 << 19},
        }
        self._changes.pulse()
        return first, [("GUILD_CREATE", one.payload()) for one in self.guilds.values()]

    # The HTTP side.

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self.gateway.handle(request, self._ready)
        finally:
            self._changes.pulse()

    async def _download(self, request: web.Request) -> web.Response:
        file = self._files.get(int(request.match_info["file"]))
        if file is None:
            return web.Response(status=404)
        self.downloads.append(file.name)
        return web.Response(body=file.data, content_type=file.media_type.partition(";")[0])

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = request.raw_path.partition("?")[0].removeprefix("/api/v10")
        route, handler, values = self._route(request.method, raw)
        body: Any = None
        uploads: list[discord_rules.Upload] = []
        headers: dict[str, str] = {}
        result: Any = None
        status = 200
        fault = self._next_fault(route)
        try:
            if handler is None:
                self.unexpected.append(f"{request.method} {request.raw_path}")
                raise ApiError(404, 0, "404: Not Found")
            if "{token}" not in route:
                self._check_client(request)
            if request.method in ("POST", "PUT", "PATCH") and request.can_read_body:
                body, uploads = await discord_rules.read(request)
            if isinstance(fault, ApiError | TooMany):
                raise _Refused(fault)
            if not isinstance(fault, LostBefore):
                headers = self._take(route, int(values.get("channel", 0)))
                result = await handler(self, values, body, uploads, request)
            if fault is not None:
                raise _Refused(fault)
            status = 204 if result is None else 200
        except _Refused as refused:
            match refused.fault:
                case LostBefore() | LostAfter():
                    self._note(route, raw, body, 0)
                    assert request.transport is not None
                    request.transport.abort()
                    return web.Response()
                case TooMany() as many:
                    status, result = 429, _wait(many.retry_after, everywhere=many.everywhere)
                    headers = {**headers, **_waiting(many)}
                    if many.by_edge:
                        self._note(route, raw, body, 429)
                        return web.Response(status=429, text="error code: 1015", headers=headers)
                case FailedAfter() as failed:
                    self._note(route, raw, body, failed.status)
                    return web.Response(status=failed.status, text="bad gateway")
                case ApiError() as error:
                    status, result = error.status, error.payload()
        except ApiError as error:
            status, result = error.status, error.payload()
        self._note(route, raw, body, status)
        if status == 204:
            return web.Response(status=204, headers=headers)
        # Exactly this, without a charset: discord.py reads anything else as text.
        headers["Content-Type"] = "application/json"
        return web.Response(status=status, body=json.dumps(result).encode(), headers=headers)

    def _route(self, method: str, path: str) -> tuple[str, Any, dict[str, str]]:
        for (known, pattern), handler in ROUTES.items():
            expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
            if known == method and (found := re.fullmatch(expression, path)):
                return f"{method} {pattern}", handler, {key: unquote(value) for key, value in found.groupdict().items()}
        return f"{method} {path}", None, {}

    def _check_client(self, request: web.Request) -> None:
        if not re.match(r"DiscordBot \(\S+ \S+\)", request.headers.get("User-Agent", "")):
            raise ApiError(403, 40333, "internal network error")
        if request.headers.get("Authorization") != f"Bot {self.token}":
            raise ApiError(401, 0, "401: Unauthorized")

    def _next_fault(self, route: str) -> Fault | None:
        for key in (route, "*"):
            if self._faults[key]:
                return self._faults[key].pop(0)
        return None

    def _take(self, route: str, major: int) -> dict[str, str]:
        limit = self.limits.get(route, RateLimit())
        at = time.monotonic()
        bucket = self._buckets.get((route, major))
        if bucket is None or at >= bucket.resets_at:
            bucket = self._buckets[route, major] = Bucket(limit.limit, at + limit.per)
        left = bucket.resets_at - at
        headers = {
            "X-RateLimit-Limit": str(limit.limit),
            "X-RateLimit-Remaining": str(max(bucket.remaining - 1, 0)),
            "X-RateLimit-Reset": f"{time.time() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": f"{abs(hash(route)):x}",
            "Via": "1.1 google",
        }
        if bucket.remaining <= 0:
            raise _Refused(TooMany(left))
        bucket.remaining -= 1
        return headers

    def _note(self, route: str, path: str, body: Any, status: int) -> None:
        self.calls.append(ApiCall(route, path, body, time.monotonic(), status))
        self._changes.pulse()

    # The routes.

    async def _me(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        return self.bot.payload()

    async def _application(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        content = bool(self.gateway.allowed_intents & MESSAGE_CONTENT)
        return {
            "id": str(self.bot.id),
            "name": self.bot.name,
            "description": "",
            "icon": None,
            "bot_public": False,
            "bot_require_code_grant": False,
            "owner": User(1, "Owner").payload(),
            "verify_key": "",
            "flags": 1 << 19 if content else 0,
            "interactions_endpoint_url": None,
        }

    async def _put_commands(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        self._own(values)
        checked = discord_rules.check_commands(body)
        self.commands = [{**one, "id": str(snowflake()), "application_id": str(self.bot.id)} for one in checked]
        return self.commands

    async def _get_commands(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        self._own(values)
        return self.commands

    async def _open_dm(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        person = self.users.get(int(body.get("recipient_id", 0)))
        if person is None:
            raise invalid("recipient_id", "INVALID_RECIPIENT", "Invalid Recipient(s)")
        return self.dm(person.id).payload()

    async def _get_channel(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        return self._reachable(values).payload()

    async def _post_message(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        channel = self._reachable(values, writing=True)
        discord_rules.check_message(body, uploads)
        nonce = body.get("nonce")
        if nonce is not None and body.get("enforce_nonce"):
            for known in channel.messages:
                if known.nonce == str(nonce):
                    return self._payload(known)
        reference = body.get("message_reference")
        reply_to = int(reference["message_id"]) if reference else None
        if reply_to is not None and self._find(channel.id, reply_to) is None:
            if reference.get("fail_if_not_exists", True):
                raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
            reply_to = None
        files = [File(snowflake(), name, data, "application/octet-stream") for name, data in uploads]
        self._files.update({one.id: one for one in files})
        text = body.get("content") or ""
        message = Message(
            snowflake(),
            channel.id,
            self.bot,
            text,
            files,
            reply_to=reply_to,
            components=body.get("components") or [],
            flags=int(body.get("flags") or 0),
            nonce=None if nonce is None else str(nonce),
            allowed_mentions=body.get("allowed_mentions"),
            versions=[text],
            kind=0 if reply_to is None else 19,
        )
        channel.messages.append(message)
        await self._publish("MESSAGE_CREATE", message)
        return self._payload(message)

    async def _history(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        channel = self._reachable(values)
        limit = int(request.query.get("limit", "50"))
        if not 1 <= limit <= 100:
            raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        messages = self.transcript(channel)
        if "after" in request.query:
            messages = [one for one in messages if one.id > int(request.query["after"])][:limit]
        elif "before" in request.query:
            messages = [one for one in messages if one.id < int(request.query["before"])][-limit:]
        else:
            messages = messages[-limit:]
        return [self._payload(one) for one in reversed(messages)]

    async def _get_message(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        return self._payload(self._message(values))

    async def _patch_message(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        message = self._message(values)
        if message.author is not self.bot:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        discord_rules.check_message(body, uploads, edit=True)
        if "content" in body:
            message.text = body["content"]
            message.versions.append(message.text)
        if "components" in body:
            message.components = body["components"] or []
        message.flags = int(body.get("flags") or message.flags)
        message.edited_at = now()
        await self._publish("MESSAGE_UPDATE", message)
        return self._payload(message)

    async def _delete_message(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        message = self._message(values)
        if message.author is not self.bot:
            raise ApiError(403, 50003, "Cannot execute action on a DM channel")
        message.deleted = True

    async def _typing(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        self._reachable(values).typing.append(time.monotonic())

    async def _react(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        message = self._message(values)
        discord_rules.check_reaction(values["emoji"], self.channels[message.channel_id])
        if values["emoji"] not in message.reactions:
            message.reactions.append(values["emoji"])

    async def _unreact(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        message = self._message(values)
        discord_rules.check_reaction(values["emoji"], self.channels[message.channel_id])
        if values["emoji"] in message.reactions:
            message.reactions.remove(values["emoji"])

    async def _answer(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        interaction = self._interaction(values["token"])
        if str(interaction.id) != values["interaction"] or time.monotonic() - interaction.at > ANSWER_SECONDS:
            raise unknown("interaction", 10062)
        if interaction.answer is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        if body.get("type") not in ANSWERS[interaction.kind]:
            raise invalid("type", "BASE_TYPE_CHOICES", "Value must be one of the choices")
        interaction.answer, interaction.answered_at = body["type"], time.monotonic()
        interaction.ephemeral = bool(int((body.get("data") or {}).get("flags", 0)) & EPHEMERAL)
        if request.query.get("with_response") != "1":
            return None
        return {"interaction": {"id": str(interaction.id), "type": interaction.kind}}

    async def _delete_answer(self, values: dict[str, str], body: Any, uploads: Any, request: web.Request) -> Any:
        self._own(values)
        interaction = self._interaction(values["token"])
        if interaction.answer not in (4, 5) or interaction.deleted:
            raise unknown("Message", 10008)
        interaction.deleted = True

    def _own(self, values: dict[str, str]) -> None:
        if values["application"] != str(self.bot.id):
            raise ApiError(403, 20012, "You are not authorized to perform this action on this application")

    def _interaction(self, token: str) -> Interaction:
        found = next((one for one in self.interactions if one.token == token), None)
        if found is None:
            raise unknown("Webhook", 10015)
        return found

    def _reachable(self, values: dict[str, str], *, writing: bool = False) -> Channel:
        channel = self.channels.get(int(values["channel"])) if values["channel"].isdigit() else None
        if channel is None:
            raise unknown("Channel", 10003)
        if channel.closed and channel.kind == DIRECT and writing:
            raise ApiError(403, 50007, "Cannot send messages to this user")
        if channel.closed and channel.kind != DIRECT:
            raise ApiError(403, 50001, "Missing Access")
        return channel

    def _message(self, values: dict[str, str]) -> Message:
        message = self._find(self._reachable(values).id, int(values["message"]))
        if message is None:
            raise unknown("Message", 10008)
        return message


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(repr(fault))
        self.fault = fault


def _wait(seconds: float, *, everywhere: bool) -> dict[str, Any]:
    return {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": everywhere}


def _waiting(many: TooMany) -> dict[str, str]:
    headers = {"Retry-After": str(max(1, round(many.retry_after)))}
    if many.everywhere:
        headers["X-RateLimit-Global"] = "true"
    if not many.by_edge:
        headers["Via"] = "1.1 google"
        headers["X-RateLimit-Scope"] = "global" if many.everywhere else "user"
    return headers


Handler = Callable[[DiscordApi, dict[str, str], Any, Any, web.Request], Awaitable[Any]]

_MESSAGE = "/channels/{channel}/messages/{message}"
ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "/users/@me"): DiscordApi._me,
    ("GET", "/oauth2/applications/@me"): DiscordApi._application,
    ("PUT", "/applications/{application}/commands"): DiscordApi._put_commands,
    ("GET", "/applications/{application}/commands"): DiscordApi._get_commands,
    ("POST", "/users/@me/channels"): DiscordApi._open_dm,
    ("GET", "/channels/{channel}"): DiscordApi._get_channel,
    ("POST", "/channels/{channel}/messages"): DiscordApi._post_message,
    ("GET", "/channels/{channel}/messages"): DiscordApi._history,
    ("GET", _MESSAGE): DiscordApi._get_message,
    ("PATCH", _MESSAGE): DiscordApi._patch_message,
    ("DELETE", _MESSAGE): DiscordApi._delete_message,
    ("POST", "/channels/{channel}/typing"): DiscordApi._typing,
    ("PUT", _MESSAGE + "/reactions/{emoji}/@me"): DiscordApi._react,
    ("DELETE", _MESSAGE + "/reactions/{emoji}/@me"): DiscordApi._unreact,
    ("POST", "/interactions/{interaction}/{token}/callback"): DiscordApi._answer,
    ("DELETE", "/webhooks/{application}/{token}/messages/@original"): DiscordApi._delete_answer,
}


async def _console(api: DiscordApi, user_id: int) -> None:
    """Read lines from stdin as the user's messages and print what the bot shows."""
    channel = api.dm(user_id)
    shown: dict[int, tuple[str, list[str]]] = {}

    def unseen() -> list[Message]:
        return [
            one
            for one in api.transcript(channel)
            if one.author is api.bot and shown.get(one.id) != (one.text, one.buttons)
        ]

    async def show() -> None:
        while True:
            await api.wait_until(unseen, timeout=86_400)
            for message in unseen():
                edited = f" (edit {message.edits})" if message.edits else ""
                extra = "".join(f" [{label}]" for label in message.buttons)
                extra += "".join(f" <{file.name}, {len(file.data)} bytes>" for file in message.files)
                number = channel.messages.index(message) + 1
                print(f"bot #{number}{edited}: {message.text}{extra}", flush=True)
                shown[message.id] = (message.text, message.buttons)

    showing = asyncio.create_task(show())
    addresses = {"api_base": api.api_base, "gateway_url": api.gateway_url, "token": api.token, "user": user_id}
    print(json.dumps({"event": "ready", **addresses}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        text = line.decode().strip()
        name, _, argument = text.removeprefix("/").partition(" ")
        command = next((one for one in api.commands if text.startswith("/") and one["name"] == name), None)
        if text.startswith("!"):
            asked = next((one for one in reversed(channel.messages) if text[1:] in one.buttons), None)
            if asked is not None:
                await api.press(user_id, asked, text[1:])
        elif command is not None:
            options = [one["name"] for one in command.get("options", ())][:1]
            await api.command(user_id, name, **(dict.fromkeys(options, argument) if argument else {}))
        elif text:
            await api.say(user_id, text)
    showing.cancel()


async def _run(api: DiscordApi, user_id: int) -> None:
    async with api:
        await _console(api, user_id)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.discord_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, printed at the start")
    parser.add_argument("--token", default="NzAwNzAw.test.token")
    parser.add_argument("--user", type=int, default=4242, help="the numeric id of the user who types")
    chosen = parser.parse_args(arguments)
    try:
        asyncio.run(_run(DiscordApi(chosen.token, port=chosen.port), chosen.user))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
