"""The connection to the Bot API through python-telegram-bot; its errors come out as ChannelError, without the token.

python-telegram-bot takes a good part of a second to import: that, and the TLS set-up, happen in a thread.
"""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agent.channels.telegram_text import Piece
from agent.errors import ChannelError
from agent.providers.http import certificates, is_loopback, load_httpx

if TYPE_CHECKING:
    from telegram import Bot, Update
    from telegram.error import NetworkError

POLL_SECONDS = 25
"""Telegram holds a request for updates open that long when there are none."""

_ANSWER_SECONDS = 10.0
_DOWNLOAD_SECONDS = 30.0
_CLOSE_SECONDS = 1.0
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid", "message to delete not found")


class TelegramBot:
    """One bot. Messages are identified by their number as text."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    @classmethod
    async def connect(cls, token: str, api_base: str) -> TelegramBot:
        """Log in. Raises ChannelError (wrong_token, network)."""
        bot = await asyncio.to_thread(_build, token, api_base.rstrip("/"))
        self = cls(bot)
        try:
            async with _translated():
                await bot.initialize()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close the connections; gives up after a second."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS), _translated():
                await self._bot.shutdown()
        except (ChannelError, TimeoutError):
            pass  # nothing depends on a farewell

    @property
    def address(self) -> str:
        """The name of the bot, with its @."""
        return f"@{self._bot.username}"

    async def begin_polling(self) -> None:
        """Remove a webhook if there is one: with it Telegram refuses `updates`."""
        async with _translated():
            await self._bot.delete_webhook(drop_pending_updates=False)

    async def updates(self, offset: int, *, wait: bool) -> Sequence[Update]:
        """The updates from this number on, if need be after a wait.

        Asking tells Telegram that all before this number are taken care of.
        """
        async with _translated():
            return await self._bot.get_updates(
                offset=offset,
                timeout=POLL_SECONDS if wait else 0,
                read_timeout=_ANSWER_SECONDS,
                allowed_updates=["message"],
            )

    async def send(self, chat_id: str, piece: Piece) -> str:
        """Send one message and return its number; as plain text when Telegram cannot read the mark-up."""
        async with _translated():
            sent = await self._formatted(self._bot.send_message, piece, chat_id=int(chat_id))
            return str(sent.message_id)

    async def edit(self, chat_id: str, message_id: str, piece: Piece) -> None:
        """Replace the text of a message. Repeating it is harmless. `not_found`: the person deleted it."""
        try:
            async with _translated():
                await self._formatted(
                    self._bot.edit_message_text, piece, chat_id=int(chat_id), message_id=int(message_id)
                )
        except ChannelError as error:
            error.uncertain = False
            if "message is not modified" not in str(error).lower():
                raise

    async def delete(self, chat_id: str, message_id: str) -> None:
        """Take a message back."""
        async with _translated():
            await self._bot.delete_message(chat_id=int(chat_id), message_id=int(message_id))

    async def show_typing(self, chat_id: str) -> None:
        """Telegram shows it for five seconds or until a message arrives."""
        async with _translated():
            await self._bot.send_chat_action(chat_id=int(chat_id), action="typing")

    async def download(self, file_id: str) -> bytes:
        """The content of a file that a person sent."""
        async with _translated():
            file = await self._bot.get_file(file_id)
            return bytes(await file.download_as_bytearray(read_timeout=_DOWNLOAD_SECONDS))

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


def _build(token: str, api_base: str) -> Bot:
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # else each RetryAfter warns that its type will change
    load_httpx()
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

    return Bot(
        token,
        base_url=f"{api_base}/bot",
        base_file_url=f"{api_base}/file/bot",
        request=request(32),
        get_updates_request=request(1),
    )


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
