"""The connection to the Bot API through python-telegram-bot; its errors come out as ChannelError, without the token.

python-telegram-bot takes a good part of a second to import: that, and the TLS set-up, happen in a thread.
"""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.channels.channel import Button
from agent.channels.telegram_text import Piece
from agent.errors import ChannelError
from agent.providers.http import certificates, is_loopback, load_httpx

if TYPE_CHECKING:
    import httpx
    from telegram import Bot, InlineKeyboardMarkup, Update
    from telegram.error import NetworkError

POLL_SECONDS = 25
"""Telegram holds a request for updates open that long when there are none."""

_ANSWER_SECONDS = 10.0
_DOWNLOAD_SECONDS = 30.0
_CLOSE_SECONDS = 1.0
_PIECE_BYTES = 65_536
PHOTO_BYTES = 10_000_000
UPLOAD_BYTES = 50_000_000
"""What a bot may send (https://core.telegram.org/bots/api#sending-files)."""
_PHOTOS = (".jpg", ".jpeg", ".png", ".webp")
_VOICES = (".ogg", ".oga", ".opus")
UPDATES = ("message", "edited_message", "callback_query")
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid", "message to delete not found")


class TelegramBot:
    """One bot. Messages are identified by their number as text, chats as `chat_id_of` writes them: with the topic."""

    def __init__(self, bot: Bot, files: httpx.AsyncClient) -> None:
        self._bot = bot
        self._files = files

    @classmethod
    async def connect(cls, token: str, api_base: str) -> TelegramBot:
        """Log in. Raises ChannelError (wrong_token, network)."""
        self = cls(*await asyncio.to_thread(_build, token, api_base.rstrip("/")))
        try:
            async with _translated():
                await self._bot.initialize()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close the connections; gives up after a second."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS), _translated():
                await self._files.aclose()
                await self._bot.shutdown()
        except (ChannelError, TimeoutError):
            pass  # nothing depends on a farewell

    @property
    def address(self) -> str:
        """The name of the bot, with its @."""
        return f"@{self._bot.username}"

    @property
    def username(self) -> str:
        """The name of the bot, without the @."""
        return str(self._bot.username)

    @property
    def id(self) -> int:
        """The bot's own user id."""
        return int(self._bot.id)

    async def begin_polling(self, commands: Sequence[tuple[str, str]]) -> None:
        """Remove a webhook if there is one: with it Telegram refuses `updates`. `commands` (name, description) become
        the menu of the bot."""
        async with _translated():
            await self._bot.delete_webhook(drop_pending_updates=False)
            known = tuple((one.command, one.description) for one in await self._bot.get_my_commands())
            if known != tuple(commands):
                await self._bot.set_my_commands(list(commands))

    async def updates(self, offset: int, *, wait: bool) -> Sequence[Update]:
        """The updates from this number on, if need be after a wait.

        Asking tells Telegram that all before this number are taken care of.
        """
        async with _translated():
            return await self._bot.get_updates(
                offset=offset,
                timeout=POLL_SECONDS if wait else 0,
                read_timeout=_ANSWER_SECONDS,
                allowed_updates=list(UPDATES),
            )

    async def send(self, chat_id: str, piece: Piece, buttons: Sequence[Button] = (), reply_to: str = "") -> str:
        """Send one message and return its number; as plain text when Telegram cannot read the mark-up. `reply_to` is
        the number of a message of that chat."""
        async with _translated():
            sent = await self._formatted(self._bot.send_message, piece, **_where(chat_id, reply_to, buttons))
            return str(sent.message_id)

    async def send_file(self, chat_id: str, path: Path, caption: Piece, buttons: Sequence[Button] = ()) -> str:
        """Send a file as what it is: a photo, a voice message or a document. Raises `ChannelError` (rejected) for one
        that is not there or too large."""
        from telegram import InputFile

        try:
            data = await asyncio.to_thread(_read, path)
        except OSError as error:
            raise ChannelError("rejected", f"The file {path.name} cannot be read: {error.strerror}.") from error
        suffix = path.suffix.lower()
        call: Any = self._bot.send_document
        kind = "document"
        if suffix in _PHOTOS and len(data) <= PHOTO_BYTES:
            call, kind = self._bot.send_photo, "photo"
        elif suffix in _VOICES:
            call, kind = self._bot.send_voice, "voice"
        file = {kind: InputFile(data, filename=path.name), "write_timeout": _DOWNLOAD_SECONDS}
        async with _translated():
            sent = await self._captioned(call, caption, **file, **_where(chat_id, "", buttons))
            return str(sent.message_id)

    async def edit(self, chat_id: str, message_id: str, piece: Piece, buttons: Sequence[Button] = ()) -> None:
        """Replace the text of a message. Repeating it is harmless. `not_found`: the person deleted it."""
        try:
            async with _translated():
                await self._formatted(
                    self._bot.edit_message_text,
                    piece,
                    chat_id=_chat(chat_id),
                    message_id=int(message_id),
                    reply_markup=_keyboard(buttons),
                )
        except ChannelError as error:
            error.uncertain = False
            if "message is not modified" not in str(error).lower():
                raise

    async def delete(self, chat_id: str, message_id: str) -> None:
        """Take a message back."""
        async with _translated():
            await self._bot.delete_message(chat_id=_chat(chat_id), message_id=int(message_id))

    async def heard(self, query_id: str) -> None:
        """Tell the app of a person that the press of a button arrived; it waits for that."""
        async with _translated():
            await self._bot.answer_callback_query(query_id)

    async def remove_buttons(self, chat_id: str, message_id: str) -> None:
        """They were pressed and mean nothing any more."""
        async with _translated():
            await self._bot.edit_message_reply_markup(chat_id=_chat(chat_id), message_id=int(message_id))

    async def react(self, chat_id: str, message_id: str, emoji: str) -> None:
        """Show one reaction of the bot on a message, in place of an earlier one."""
        async with _translated():
            await self._bot.set_message_reaction(_chat(chat_id), int(message_id), emoji)

    async def show_typing(self, chat_id: str) -> None:
        """Telegram shows it for five seconds or until a message arrives."""
        async with _translated():
            chat, topic = split_chat_id(chat_id)
            await self._bot.send_chat_action(chat_id=chat, message_thread_id=topic, action="typing")

    async def download(self, file_id: str) -> bytes:
        """The content of a file that a person sent."""
        async with _translated():
            file = await self._bot.get_file(file_id)
            return bytes(await file.download_as_bytearray(read_timeout=_DOWNLOAD_SECONDS))

    async def pieces(self, file_id: str) -> AsyncIterator[bytes]:
        """The content of a file that a person sent, piece by piece. Raises `ChannelError`."""
        import httpx

        async with _translated():
            file = await self._bot.get_file(file_id)
        try:
            async with self._files.stream("GET", file.file_path or "") as response:
                if response.status_code != 200:
                    raise ChannelError("network", f"Telegram answered with {response.status_code}.")
                async for piece in response.aiter_bytes(_PIECE_BYTES):
                    yield piece
        except httpx.HTTPError as error:  # its text may hold the token
            raise ChannelError("network", f"the connection broke ({type(error).__name__})") from None

    async def _captioned(self, call: Any, caption: Piece, **arguments: Any) -> Any:
        from telegram.error import BadRequest

        if caption.html:
            try:
                return await call(caption=caption.html, parse_mode="HTML", **arguments)
            except BadRequest as error:
                if "can't parse entities" not in str(error).lower():
                    raise
        return await call(caption=caption.plain or None, **arguments)

    async def _formatted(self, call: Any, piece: Piece, **arguments: Any) -> Any:
        """Never with a link preview: Telegram would fetch an address that a model wrote, unasked."""
        from telegram import LinkPreviewOptions
        from telegram.error import BadRequest

        arguments["link_preview_options"] = LinkPreviewOptions(is_disabled=True)
        if piece.html:
            try:
                return await call(text=piece.html, parse_mode="HTML", **arguments)
            except BadRequest as error:
                if "can't parse entities" not in str(error).lower():
                    raise
        return await call(text=piece.plain, **arguments)


def split_chat_id(chat_id: str) -> tuple[int, int | None]:
    """The chat and the topic of a conversation."""
    chat, _, topic = chat_id.partition(":")
    return int(chat), int(topic) if topic else None


def _chat(chat_id: str) -> int:
    return split_chat_id(chat_id)[0]


def _where(chat_id: str, reply_to: str, buttons: Sequence[Button]) -> dict[str, Any]:
    from telegram import ReplyParameters

    chat, topic = split_chat_id(chat_id)
    reply = ReplyParameters(int(reply_to), allow_sending_without_reply=True) if reply_to else None
    return {
        "chat_id": chat,
        "message_thread_id": topic,
        "reply_parameters": reply,
        "reply_markup": _keyboard(buttons),
    }


def _keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    """Two in a row. A command has at most 64 bytes there; what is longer has no button and stands in the text."""
    if not buttons:
        return None
    from telegram import InlineKeyboardButton, InlineKeyboardMarkup

    keys = [
        InlineKeyboardButton(button.label, callback_data=button.command)
        for button in buttons
        if len(button.command.encode()) <= 64
    ]
    return InlineKeyboardMarkup([keys[at : at + 2] for at in range(0, len(keys), 2)])


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > UPLOAD_BYTES:
        raise ChannelError("rejected", f"{path.name} has {size / 1e6:.0f} MB; Telegram takes 50 MB from a bot.")
    return path.read_bytes()


def _build(token: str, api_base: str) -> tuple[Bot, httpx.AsyncClient]:
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # else each RetryAfter warns that its type will change
    load_httpx()
    import httpx
    from telegram import Bot
    from telegram.request import HTTPXRequest

    client = {
        "verify": certificates() if api_base.startswith("https:") else False,
        "trust_env": not is_loopback(api_base),
    }

    def request(connections: int) -> HTTPXRequest:
        return HTTPXRequest(
            connections,
            read_timeout=_ANSWER_SECONDS,
            write_timeout=_ANSWER_SECONDS,
            connect_timeout=_ANSWER_SECONDS,
            pool_timeout=_ANSWER_SECONDS,
            httpx_kwargs=client,
        )

    files = httpx.AsyncClient(**client, timeout=_DOWNLOAD_SECONDS)  # type: ignore[arg-type]
    bot = Bot(
        token,
        base_url=f"{api_base}/bot",
        base_file_url=f"{api_base}/file/bot",
        request=request(32),
        get_updates_request=request(1),
    )
    return bot, files


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    from telegram.error import TelegramError

    try:
        yield
    except TelegramError as error:
        # The original is not chained: some of these carry the token in their message.
        raise _channel_error(error) from None


def _channel_error(error: Exception) -> ChannelError:
    from telegram import error as kinds

    match error:
        case kinds.RetryAfter():
            wait = error.retry_after
            seconds = wait.total_seconds() if isinstance(wait, datetime.timedelta) else float(wait)
            return ChannelError("rate_limit", f"Telegram asks to wait {seconds:.0f} s.", retry_after=seconds)
        case kinds.InvalidToken() | kinds.EndPointNotFound():
            return ChannelError(
                "wrong_token",
                "Telegram does not accept the bot token.",
                hint="Copy it again from @BotFather into Settings > Channels.",
            )
        case kinds.Conflict():
            return ChannelError(
                "conflict",
                "Another program is using this bot.",
                hint="Stop the other program, or make a second bot with @BotFather.",
            )
        case kinds.Forbidden():
            return ChannelError("forbidden", f"Telegram refuses the message: {error}.")
        case kinds.BadRequest():
            text = str(error)
            gone = "chat not found" in text.lower() or any(words in text.lower() for words in _GONE)
            return ChannelError("not_found" if gone else "rejected", f"Telegram says: {text}.")
        case kinds.NetworkError():
            return ChannelError("network", "Telegram cannot be reached.", uncertain=_may_have_arrived(error))
        case _:
            return ChannelError("rejected", f"Telegram says: {error}.")


def _may_have_arrived(error: NetworkError) -> bool:
    """Whether the request was on its way when the connection broke. A status of 5xx is an answer, not a break."""
    import httpx

    unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
    return isinstance(error.__cause__, httpx.HTTPError) and not isinstance(error.__cause__, unsent)
