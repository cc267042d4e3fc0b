"""A Telegram Bot API server on loopback, driven by tests as its users would drive the real one.

Formatting is HTML only; other parse modes are refused. By hand,
`python -m tests.peers.telegram_api --port 8081 --token 1:abc` gives a chat on the terminal: what is typed is said by
user 4242, what the bot sends is printed.
"""

import argparse
import asyncio
import itertools
import json
import mimetypes
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.peers import telegram_html, telegram_parameters
from tests.peers.changes import Changes
from tests.peers.telegram_chats import (
    ApiCall,
    ApiError,
    Bucket,
    Chat,
    ChatMessage,
    Fault,
    LostAfter,
    RateLimit,
    Stalled,
    User,
    bad_request,
    entities_in,
    not_modified,
    too_many_requests,
)
from tests.peers.telegram_html import Entity
from tests.peers.telegram_parameters import Parameters

TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]+")
REACTIONS = frozenset(
    "👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋"
    "🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾🤷😡"
)
"""See https://core.telegram.org/bots/api#reactiontypeemoji; those of several code points are left out."""
ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
DOWNLOAD_LIMIT = 20 * 1024 * 1024
UPLOAD_LIMIT = 50 * 1024 * 1024
CONFLICT = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"


class TelegramApi:
    """`async with TelegramApi() as api:` gives a bot with `api.token` at `api.base_url`.

    `rate_limit` holds for messages to one chat, `edit_limit` for edits in one chat; None switches a limit off. With
    `privacy_mode` the bot gets only commands, mentions and replies from groups.
    """

    def __init__(
        self,
        token: str = "700700:test-token",
        *,
        username: str = "trayclaw_test_bot",
        rate_limit: RateLimit | None = RateLimit(),  # noqa: B008 (frozen)
        edit_limit: RateLimit | None = None,
        privacy_mode: bool = True,
        port: int = 0,
    ) -> None:
        self.token = token
        self.bot_id = int(token.partition(":")[0])
        self.username = username
        self.rate_limit = rate_limit
        self.edit_limit = edit_limit
        self.privacy_mode = privacy_mode
        self.port = port
        self.calls: list[ApiCall] = []
        self.commands: list[dict[str, str]] = []
        self.callback_answers: list[Parameters] = []
        self._users: dict[int, User] = {}
        self._chats: dict[int, Chat] = {}
        self._files: dict[str, tuple[str, bytes]] = {}
        self._updates: list[dict[str, Any]] = []
        self._allowed: list[str] | None = None
        self._poll: asyncio.Future[None] | None = None
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self._update_ids = itertools.count(810_000_001)
        self._message_ids = itertools.count(1)
        self._callback_ids = itertools.count(1)
        self._changes = Changes()
        self._runner: web.AppRunner | None = None

    @property
    def root_url(self) -> str:
        """What `channels.telegram.api_base` is set to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What python-telegram-bot calls base_url; it appends the token."""
        return f"{self.root_url}/bot"

    @property
    def base_file_url(self) -> str:
        return f"{self.root_url}/file/bot"

    async def start(self) -> None:
        app = web.Application(client_max_size=UPLOAD_LIMIT + 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._handle)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_exception(ApiError(502, "Bad Gateway"))
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # What users do.

    def add_user(self, user_id: int, first_name: str = "Ada", username: str | None = None) -> User:
        """A user who has started the bot, without an update; a user not added has no chat with the bot."""
        assert user_id > 0 and user_id != self.bot_id, "a user's id is positive and not the bot's"
        user = self._users.setdefault(user_id, User(user_id, first_name, username))
        self._chats.setdefault(user_id, Chat(user_id, "private", user.first_name))
        return user

    def add_group(self, chat_id: int, title: str = "A group") -> Chat:
        """A group with the bot in it; `chat_id` is negative."""
        return self._chats.setdefault(chat_id, Chat(chat_id, "supergroup", title))

    def block(self, user_id: int) -> None:
        """The user blocks the bot; what the bot sends them fails with 403 until they say something again."""
        self.add_user(user_id).blocked = True

    def unblock(self, user_id: int) -> None:
        """The user lets the bot write again."""
        self.add_user(user_id).blocked = False

    async def say(
        self, user_id: int, text: str, chat_id: int | None = None, reply_to: int | None = None
    ) -> ChatMessage:
        """The user sends a text to the bot, or to the group `chat_id`."""
        user, chat = self._entered(user_id, chat_id)
        message = self._add(chat, user_id, text, entities=entities_in(text), reply_to=reply_to)
        if self._reaches_bot(chat, message):
            self._push("message", self._payload(message, user))
        return message

    async def say_in_topic(self, user_id: int, text: str, chat_id: int, topic: int) -> ChatMessage:
        """The user writes in a topic of a forum that the bot hears all of."""
        user, chat = self._entered(user_id, chat_id)
        message = self._add(chat, user_id, text, entities=entities_in(text), topic=topic)
        if self._reaches_bot(chat, message):
            self._push("message", self._payload(message, user))
        return message

    async def send_photos(self, user_id: int, *photos: bytes, caption: str = "") -> list[ChatMessage]:
        """The user sends an album; the caption stands below its first picture."""
        user, chat = self._entered(user_id, None)
        album = f"album-{next(self._message_ids)}"
        sent = []
        for number, data in enumerate(photos):
            file = self._store(f"photo{number}.jpg", data)
            text = caption if not number else ""
            message = self._add(chat, user_id, text, file=file, file_kind="photo", album=album)
            self._push("message", self._payload(message, user))
            sent.append(message)
        return sent

    async def send_voice(self, user_id: int, data: bytes) -> ChatMessage:
        """The user speaks."""
        user, chat = self._entered(user_id, None)
        file = {**self._store("voice.oga", data), "mime_type": "audio/ogg", "duration": 3}
        file.pop("file_name")
        message = self._add(chat, user_id, "", file=file, file_kind="voice")
        self._push("message", self._payload(message, user))
        return message

    async def send_location(self, user_id: int, latitude: float, longitude: float) -> ChatMessage:
        """The user shows where they are."""
        user, chat = self._entered(user_id, None)
        message = self._add(chat, user_id, "", location={"latitude": latitude, "longitude": longitude})
        self._push("message", self._payload(message, user))
        return message

    async def edit(self, user_id: int, message: ChatMessage, text: str) -> None:
        """The user edits an own message."""
        assert message.sender_id == user_id, "users edit their own messages only"
        message.text, message.entities, message.edited_at = text, entities_in(text), int(time.time())
        message.versions.append(text)
        if self._reaches_bot(self._chats[message.chat_id], message):
            self._push("edited_message", self._payload(message, self._users[user_id]))

    async def send_document(
        self, user_id: int, name: str, data: bytes, caption: str = "", chat_id: int | None = None
    ) -> ChatMessage:
        """The user sends a file."""
        user, chat = self._entered(user_id, chat_id)
        message = self._add(chat, user_id, caption, entities=entities_in(caption), file=self._store(name, data))
        if self._reaches_bot(chat, message):
            self._push("message", self._payload(message, user))
        return message

    async def press(self, user_id: int, message: ChatMessage, label: str) -> str:
        """The user presses the inline button with this label; return the id of the callback query."""
        rows = (message.markup or {}).get("inline_keyboard", ())
        button = next((one for row in rows for one in row if one["text"] == label), None)
        assert button is not None, f"no button {label!r}, only {message.buttons}"
        query_id = str(next(self._callback_ids))
        query = {
            "id": query_id,
            "from": self._users[user_id].payload(),
            "chat_instance": "1",
            "data": button["callback_data"],
            "message": self._payload(message),
        }
        self._push("callback_query", query)
        return query_id

    # What users see.

    def transcript(self, chat_id: int) -> list[ChatMessage]:
        """The chat as it stands, without deleted messages."""
        chat = self._chats.get(chat_id)
        return [message for message in chat.messages if not message.deleted] if chat else []

    def chat(self, chat_id: int) -> Chat:
        return self._chats[chat_id]

    def replies(self, chat_id: int) -> list[ChatMessage]:
        """What the bot sent since the last message of a user."""
        found: list[ChatMessage] = []
        for message in reversed(self.transcript(chat_id)):
            if not message.from_bot:
                break
            found.append(message)
        return found[::-1]

    async def wait_for_reply(
        self, chat_id: int, predicate: Callable[[ChatMessage], bool] | None = None, timeout: float = 5.0
    ) -> ChatMessage:
        """Return the bot's first message since the user's last one that fits, as sent or after an edit."""

        def found() -> ChatMessage | None:
            return next((one for one in self.replies(chat_id) if predicate is None or predicate(one)), None)

        try:
            message = await self._changes.until(found, timeout, what="a fitting reply")
        except AssertionError as error:
            seen = [one.text for one in self.replies(chat_id)]
            raise AssertionError(f"{error}; the chat shows {seen!r}") from None
        assert message is not None
        return message

    async def wait_until(self, predicate: Callable[[], object], timeout: float = 5.0, what: str = "the change") -> None:
        """Return when `predicate` over this server's state is true; it is asked after every call and update."""
        await self._changes.until(predicate, timeout, what=what)

    async def wait_confirmed(self, timeout: float = 5.0) -> None:
        """Return when the bot has confirmed every update (asked for a later offset)."""
        await self._changes.until(lambda: not self._updates, timeout, what="the confirmation of all updates")

    @property
    def pending_updates(self) -> list[dict[str, Any]]:
        """Updates not confirmed yet; getUpdates returns them again."""
        return list(self._updates)

    @property
    def polling(self) -> bool:
        return self._poll is not None and not self._poll.done()

    def fail(self, method: str, *faults: Fault) -> None:
        """The next calls of `method` ("*": of any) end so, one fault a call."""
        self._faults[method.lower()].extend(faults)

    def _entered(self, user_id: int, chat_id: int | None) -> tuple[User, Chat]:
        user = self.add_user(user_id)
        if chat_id is not None and chat_id != user_id:
            return user, self.add_group(chat_id)
        user.blocked = False
        return user, self._chats[user_id]

    def _reaches_bot(self, chat: Chat, message: ChatMessage) -> bool:
        if chat.kind == "private" or not self.privacy_mode:
            return True
        if any(one.message_id == message.reply_to and one.from_bot for one in chat.messages):
            return True
        return message.text.startswith("/") or f"@{self.username}".lower() in message.text.lower()

    def _add(self, chat: Chat, sender_id: int, text: str, **fields: Any) -> ChatMessage:
        from_bot = sender_id == self.bot_id
        message = ChatMessage(next(self._message_ids), chat.id, sender_id, from_bot, text, versions=[text], **fields)
        chat.messages.append(message)
        self._changes.pulse()
        return message

    def _push(self, kind: str, payload: dict[str, Any]) -> None:
        if self._allowed and kind not in self._allowed:
            return
        self._updates.append({"update_id": next(self._update_ids), kind: payload})
        self._changes.pulse()

    def _store(self, name: str, data: bytes) -> dict[str, Any]:
        number = len(self._files) + 1
        suffix = f".{name.rpartition('.')[2]}" if "." in name else ""
        file_id = f"file-{number}"
        self._files[file_id] = (f"documents/file_{number}{suffix}", data)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return {
            "file_id": file_id,
            "file_unique_id": f"unique-{number}",
            "file_name": name,
            "mime_type": kind,
            "file_size": len(data),
        }

    def _payload(self, message: ChatMessage, user: User | None = None) -> dict[str, Any]:
        sender = user or self._users.get(message.sender_id)
        payload: dict[str, Any] = {
            "message_id": message.message_id,
            "from": sender.payload() if sender and not message.from_bot else self._me(),
            "chat": self._chats[message.chat_id].payload(),
            "date": message.at,
        }
        if message.edited_at is not None:
            payload["edit_date"] = message.edited_at
        if message.topic is not None:
            payload |= {"message_thread_id": message.topic, "is_topic_message": True}
        if message.album:
            payload["media_group_id"] = message.album
        if message.location is not None:
            payload["location"] = message.location
        if message.file is not None:
            file = message.file
            payload[message.file_kind] = [{**file, "width": 90, "height": 90}] if message.file_kind == "photo" else file
        text, entities = ("caption", "caption_entities") if message.file is not None else ("text", "entities")
        if message.text:
            payload[text] = message.text
        if message.entities:
            payload[entities] = message.entities
        if message.markup and "inline_keyboard" in message.markup:
            payload["reply_markup"] = message.markup
        original = self._find(message.chat_id, message.reply_to)
        if original is not None:
            original_payload = self._payload(original)
            original_payload.pop("reply_to_message", None)
            payload["reply_to_message"] = original_payload
        return payload

    def _find(self, chat_id: int, message_id: int | None) -> ChatMessage | None:
        return next((one for one in self.transcript(chat_id) if one.message_id == message_id), None)

    def _me(self) -> dict[str, Any]:
        return {"id": self.bot_id, "is_bot": True, "first_name": "TrayClaw", "username": self.username}

    # The HTTP side.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        token, name = request.match_info["token"], request.match_info["method"]
        parameters: Parameters = {}
        result: Any = None
        error: ApiError | None = None
        try:
            if not TOKEN.fullmatch(token):
                raise ApiError(404, "Not Found")
            if token != self.token:
                raise ApiError(401, "Unauthorized")
            parameters = await telegram_parameters.read(request)
            handler = METHODS.get(name.lower())
            if handler is None:
                raise ApiError(404, "Not Found: method not found")
            fault = self._next_fault(name.lower())
            if isinstance(fault, ApiError):
                raise fault
            if isinstance(fault, Stalled):
                await asyncio.sleep(fault.seconds)
            if fault is None or isinstance(fault, Stalled):
                result = await handler(self, parameters)
            else:
                if isinstance(fault, LostAfter):
                    await handler(self, parameters)
                self.calls.append(ApiCall(name, parameters, time.monotonic(), 0))
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
        except ApiError as raised:
            error = raised
        finally:
            self._changes.pulse()
        status = 200 if error is None else error.code
        self.calls.append(ApiCall(name, parameters, time.monotonic(), status))
        self._changes.pulse()
        return web.json_response({"ok": True, "result": result} if error is None else error.payload(), status=status)

    def _next_fault(self, method: str) -> Fault | None:
        for key in (method, "*"):
            if self._faults[key]:
                return self._faults[key].pop(0)
        return None

    async def _download(self, request: web.Request) -> web.Response:
        found = next((data for path, data in self._files.values() if path == request.match_info["path"]), None)
        if request.match_info["token"] != self.token or found is None:
            return web.json_response(ApiError(404, "Not Found").payload(), status=404)
        return web.Response(body=found, content_type="application/octet-stream")

    # The methods of the Bot API, in the order of its reference.

    async def _get_updates(self, parameters: Parameters) -> list[dict[str, Any]]:
        offset = telegram_parameters.integer(parameters, "offset", 0)
        limit = min(100, max(1, telegram_parameters.integer(parameters, "limit", 100)))
        timeout = min(50, max(0, telegram_parameters.integer(parameters, "timeout", 0)))
        if "allowed_updates" in parameters:
            self._allowed = telegram_parameters.json_object(parameters, "allowed_updates", list) or None
        if self._poll is not None and not self._poll.done():
            self._poll.set_exception(ApiError(409, CONFLICT))
        if offset < 0:
            self._updates = self._updates[offset:]
        else:
            self._updates = [update for update in self._updates if update["update_id"] >= offset]
        self._changes.pulse()
        if not self._updates and timeout:
            await self._long_poll(timeout)
        return self._updates[:limit]

    async def _long_poll(self, timeout: float) -> None:
        poll: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._poll = poll
        arrival = asyncio.create_task(self._changes.until(lambda: bool(self._updates), timeout))
        try:
            await asyncio.wait((poll, arrival), return_when=asyncio.FIRST_COMPLETED)
            if poll.done():
                poll.result()
        finally:
            poll.cancel()
            arrival.cancel()
            await asyncio.gather(arrival, return_exceptions=True)

    async def _delete_webhook(self, parameters: Parameters) -> bool:
        if telegram_parameters.boolean(parameters, "drop_pending_updates"):
            self._updates.clear()
        return True

    async def _get_webhook_info(self, parameters: Parameters) -> dict[str, Any]:
        return {"url": "", "has_custom_certificate": False, "pending_update_count": len(self._updates)}

    async def _get_me(self, parameters: Parameters) -> dict[str, Any]:
        abilities = {
            "can_join_groups": True,
            "can_read_all_group_messages": not self.privacy_mode,
            "supports_inline_queries": False,
        }
        return {**self._me(), **abilities}

    async def _send_message(self, parameters: Parameters) -> dict[str, Any]:
        chat = self._reachable(parameters)
        text, entities = telegram_parameters.formatted(parameters, "text", "entities")
        if not text:
            raise bad_request("message text is empty")
        if telegram_html.utf16_length(text) > TEXT_LIMIT:
            raise bad_request("message is too long")
        return self._deliver(chat, parameters, text, entities, source=str(parameters.get("text", "")))

    async def _send_document(self, parameters: Parameters) -> dict[str, Any]:
        return self._send_file(parameters, "document")

    async def _send_voice(self, parameters: Parameters) -> dict[str, Any]:
        payload = self._send_file(parameters, "voice")
        payload["voice"]["duration"] = 1
        return payload

    async def _set_message_reaction(self, parameters: Parameters) -> bool:
        chat = self._reachable(parameters)
        message = self._find(chat.id, telegram_parameters.integer(parameters, "message_id", 0))
        if message is None:
            raise bad_request("message to react not found")
        reaction = telegram_parameters.json_object(parameters, "reaction", list) or []
        if len(reaction) > 1:
            raise bad_request("too many reactions set on the message")
        if any(one.get("type") != "emoji" or one.get("emoji") not in REACTIONS for one in reaction):
            raise bad_request("REACTION_INVALID")
        message.reactions = [one["emoji"] for one in reaction]
        return True

    async def _send_photo(self, parameters: Parameters) -> dict[str, Any]:
        return self._send_file(parameters, "photo")

    def _send_file(self, parameters: Parameters, kind: str) -> dict[str, Any]:
        chat = self._reachable(parameters)
        upload = parameters.get(kind)
        if isinstance(upload, str) and upload.startswith("attach://"):
            upload = parameters.get(upload.removeprefix("attach://"))
        if isinstance(upload, web.FileField):
            data = upload.file.read()
            if not data:
                raise bad_request("file must be non-empty")
            if len(data) > UPLOAD_LIMIT:
                raise ApiError(413, "Request Entity Too Large")
            file = self._store(upload.filename, data)
        elif isinstance(upload, str) and upload in self._files:
            file = {"file_id": upload, "file_unique_id": upload, "file_size": len(self._files[upload][1])}
        else:
            raise bad_request(f"there is no {kind} in the request")
        caption, entities = telegram_parameters.formatted(parameters, "caption", "caption_entities")
        if telegram_html.utf16_length(caption) > CAPTION_LIMIT:
            raise bad_request("message caption is too long")
        return self._deliver(chat, parameters, caption, entities, file=file, file_kind=kind)

    async def _send_message_draft(self, parameters: Parameters) -> bool:
        chat = self._reachable(parameters)
        if chat.kind != "private":
            raise bad_request("TEXTDRAFT_PEER_INVALID")
        if not telegram_parameters.integer(parameters, "draft_id", 0):
            raise bad_request("RANDOM_ID_INVALID")
        text, _ = telegram_parameters.formatted(parameters, "text", "entities")
        if telegram_html.utf16_length(text) > TEXT_LIMIT:
            raise bad_request("message is too long")
        chat.drafts.append(text)
        return True

    async def _send_chat_action(self, parameters: Parameters) -> bool:
        chat = self._reachable(parameters)
        if parameters.get("action") not in ACTIONS:
            raise bad_request("wrong parameter action in request")
        chat.actions.append((parameters["action"], time.monotonic()))
        return True

    async def _get_file(self, parameters: Parameters) -> dict[str, Any]:
        file_id = str(parameters.get("file_id", ""))
        if file_id not in self._files:
            raise bad_request("invalid file_id" if file_id else "file_id not specified")
        path, data = self._files[file_id]
        if len(data) > DOWNLOAD_LIMIT:
            raise bad_request("file is too big")
        return {"file_id": file_id, "file_unique_id": file_id, "file_size": len(data), "file_path": path}

    async def _answer_callback_query(self, parameters: Parameters) -> bool:
        if not parameters.get("callback_query_id"):
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        self.callback_answers.append(parameters)
        return True

    async def _set_my_commands(self, parameters: Parameters) -> bool:
        commands = telegram_parameters.json_object(parameters, "commands", list)
        for command in commands or ():
            if not re.fullmatch(r"[a-z0-9_]{1,32}", str(command.get("command", ""))):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(str(command.get("description", ""))) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands = commands or []
        return True

    async def _get_my_commands(self, parameters: Parameters) -> list[dict[str, str]]:
        return self.commands

    async def _delete_my_commands(self, parameters: Parameters) -> bool:
        self.commands = []
        return True

    async def _edit_message_text(self, parameters: Parameters) -> dict[str, Any]:
        chat = self._reachable(parameters)
        text, entities = telegram_parameters.formatted(parameters, "text", "entities")
        message = self._editable(chat, parameters)
        if not text:
            raise bad_request("message text is empty")
        if telegram_html.utf16_length(text) > TEXT_LIMIT:
            raise bad_request("MESSAGE_TOO_LONG")
        markup = telegram_parameters.markup(parameters)
        if (text, entities, markup) == (message.text, message.entities, message.markup):
            raise not_modified()
        self._limit(chat, "edit_bucket", self.edit_limit)
        message.text, message.entities, message.markup = text, entities, markup
        message.source, message.parse_mode = str(parameters.get("text", "")), parameters.get("parse_mode")
        message.edited_at = int(time.time())
        message.versions.append(text)
        return self._payload(message)

    async def _edit_message_reply_markup(self, parameters: Parameters) -> dict[str, Any]:
        chat = self._reachable(parameters)
        message = self._editable(chat, parameters)
        markup = telegram_parameters.markup(parameters)
        if markup == message.markup:
            raise not_modified()
        message.markup = markup
        return self._payload(message)

    async def _delete_message(self, parameters: Parameters) -> bool:
        chat = self._reachable(parameters)
        message = self._find(chat.id, telegram_parameters.integer(parameters, "message_id", 0))
        if message is None:
            raise bad_request("message to delete not found")
        if not message.from_bot and chat.kind != "private":
            raise bad_request("message can't be deleted")
        message.deleted = True
        return True

    async def _get_chat(self, parameters: Parameters) -> dict[str, Any]:
        kinds = dict.fromkeys(
            ("disallowed_gifts", "unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription"), False
        )
        extra = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": kinds}
        return {**self._reachable(parameters).payload(), **extra}

    def _reachable(self, parameters: Parameters) -> Chat:
        """The chat the call names; raise what the service says when the bot cannot write there."""
        if parameters.get("chat_id") in (None, ""):
            raise bad_request("chat_id is empty")
        try:
            chat = self._chats.get(int(parameters["chat_id"]))
        except ValueError:
            chat = None
        if chat is None:
            raise bad_request("chat not found")
        if chat.kind == "private" and self._users[chat.id].blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return chat

    def _editable(self, chat: Chat, parameters: Parameters) -> ChatMessage:
        message = self._find(chat.id, telegram_parameters.integer(parameters, "message_id", 0))
        if message is None:
            raise bad_request("message to edit not found")
        if not message.from_bot:
            raise bad_request("message can't be edited")
        return message

    def _deliver(
        self, chat: Chat, parameters: Parameters, text: str, entities: list[Entity], **fields: Any
    ) -> dict[str, Any]:
        reply = telegram_parameters.json_object(parameters, "reply_parameters", dict) or {}
        reply_to = reply.get("message_id") or telegram_parameters.integer(parameters, "reply_to_message_id", 0) or None
        if reply_to is not None and self._find(chat.id, int(reply_to)) is None:
            if not reply.get("allow_sending_without_reply"):
                raise bad_request("message to be replied not found")
            reply_to = None
        markup = telegram_parameters.markup(parameters)
        topic = telegram_parameters.integer(parameters, "message_thread_id", 0) or None
        if topic is not None and not any(one.topic == topic for one in chat.messages):
            raise bad_request("message thread not found")
        self._limit(chat, "bucket", self.rate_limit)
        message = self._add(
            chat,
            self.bot_id,
            text,
            entities=entities,
            parse_mode=parameters.get("parse_mode"),
            reply_to=reply_to,
            markup=markup,
            topic=topic,
            **fields,
        )
        return self._payload(message)

    def _limit(self, chat: Chat, which: str, limit: RateLimit | None) -> None:
        if limit is None:
            return
        now = time.monotonic()
        bucket = getattr(chat, which)
        if bucket is None:
            bucket = Bucket(limit, float(limit.burst), now)
            setattr(chat, which, bucket)
        if wait := bucket.take(now):
            raise too_many_requests(wait)


METHODS = {
    "getupdates": TelegramApi._get_updates,
    "deletewebhook": TelegramApi._delete_webhook,
    "getwebhookinfo": TelegramApi._get_webhook_info,
    "getme": TelegramApi._get_me,
    "sendmessage": TelegramApi._send_message,
    "senddocument": TelegramApi._send_document,
    "sendphoto": TelegramApi._send_photo,
    "sendvoice": TelegramApi._send_voice,
    "setmessagereaction": TelegramApi._set_message_reaction,
    "sendmessagedraft": TelegramApi._send_message_draft,
    "sendchataction": TelegramApi._send_chat_action,
    "getfile": TelegramApi._get_file,
    "getchat": TelegramApi._get_chat,
    "answercallbackquery": TelegramApi._answer_callback_query,
    "setmycommands": TelegramApi._set_my_commands,
    "getmycommands": TelegramApi._get_my_commands,
    "deletemycommands": TelegramApi._delete_my_commands,
    "editmessagetext": TelegramApi._edit_message_text,
    "editmessagereplymarkup": TelegramApi._edit_message_reply_markup,
    "deletemessage": TelegramApi._delete_message,
}


async def _console(api: TelegramApi, user_id: int) -> None:
    """Read lines from stdin as the user's messages and print what the bot shows."""
    shown: dict[int, str] = {}

    async def show() -> None:
        while True:
            await api.wait_until(lambda: _unseen(api, user_id, shown), timeout=86_400)
            for message in _unseen(api, user_id, shown):
                edited = f" (edit {message.edits})" if message.edits else ""
                buttons = "".join(f" [{label}]" for label in message.buttons)
                print(f"bot #{message.message_id}{edited}: {message.text}{buttons}", flush=True)
                shown[message.message_id] = message.text

    showing = asyncio.create_task(show())
    api.add_user(user_id)
    print(json.dumps({"event": "ready", "api_base": api.root_url, "token": api.token, "user": user_id}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if text := line.decode().strip():
            await api.say(user_id, text)
    showing.cancel()


def _unseen(api: TelegramApi, chat_id: int, shown: dict[int, str]) -> list[ChatMessage]:
    return [one for one in api.transcript(chat_id) if one.from_bot and shown.get(one.message_id) != one.text]


async def _run(api: TelegramApi, user_id: int) -> None:
    async with api:
        await _console(api, user_id)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.telegram_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, printed at the start")
    parser.add_argument("--token", default="700700:test-token")
    parser.add_argument("--user", type=int, default=4242, help="the numeric id of the user who types")
    chosen = parser.parse_args(arguments)
    try:
        asyncio.run(_run(TelegramApi(chosen.token, port=chosen.port), chosen.user))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
