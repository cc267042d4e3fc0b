"""Telegram: direct chats with one bot, by long polling.

The loop asks for updates itself instead of using `telegram.ext.Updater`: that one asks for the next updates, and so
tells Telegram that the last ones are taken care of, while they still wait in its memory; `kill -9` there loses them.
Here the next request goes out after `receive` has committed every message of the last one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from agent.channels.channel import Delivered, Draft, Inbound, Mark, Needs, Outbound, Receive, ReportHealth
from agent.channels.telegram_bot import TelegramBot
from agent.channels.telegram_draft import TelegramDraft, send_rest
from agent.channels.telegram_inbound import fetch_pictures, from_update
from agent.channels.telegram_text import message_pieces
from agent.errors import ChannelError, StorageError
from agent.settings import TelegramSettings

if TYPE_CHECKING:
    from telegram import Message

log = logging.getLogger(__name__)

SAVE_AGAIN_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.5
"""While a message takes long to fetch, how often Telegram is asked for others."""

T = TypeVar("T")


class _Taking(NamedTuple):
    chat_id: str
    task: asyncio.Task[None]


class TelegramChannel:
    """Implements `agent.channels.channel.Channel`.

    Pictures are fetched only of senders that the agent knows: strangers get no download out of us.
    """

    name = "telegram"
    label = "Telegram"

    def __init__(self, settings: TelegramSettings, needs: Needs) -> None:
        self._settings = settings
        self._needs = needs
        self._bot: TelegramBot | None = None
        self._partly_sent: dict[tuple[int, str], list[str]] = {}

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        """See `Channel`."""
        report("connecting", "")
        bot = await self._connect()
        try:
            await bot.begin_polling()
            self._bot = bot
            report("ready", bot.address)
            await self._poll(bot, receive, report)
        finally:
            self._bot = None
            await bot.close()

    async def send(self, message: Outbound) -> Delivered:
        """See `Channel`. Called again after an error, it goes on with the piece that failed."""
        bot = self._connected()
        parts = await asyncio.to_thread(message_pieces, message.text)
        key = (message.outbox_id, message.text)
        sent = self._partly_sent.setdefault(key, []) if message.outbox_id else []
        await send_rest(bot, message.chat_id, parts, sent, message.note)
        self._partly_sent.pop(key, None)
        return Delivered(tuple(sent))

    def draft(self, chat_id: str) -> Draft:
        """See `Channel`."""
        return TelegramDraft(self._connected, chat_id)

    async def mark(self, chat_id: str, transport_id: str, mark: Mark) -> None:
        """See `Channel`."""

    async def identify(self) -> str:
        """See `Channel`."""
        bot = await self._connect()
        try:
            return bot.address
        finally:
            await bot.close()

    async def _connect(self) -> TelegramBot:
        token = await self._needs.secret(self.name)
        if not token:
            raise ChannelError(
                "wrong_token",
                "There is no bot token for Telegram yet.",
                hint="Make a bot with @BotFather and enter its token in Settings > Channels.",
            )
        return await TelegramBot.connect(token, self._settings.api_base)

    def _connected(self) -> TelegramBot:
        if self._bot is None:
            raise ChannelError("network", "Telegram is not connected.")
        return self._bot

    async def _poll(self, bot: TelegramBot, receive: Receive, report: ReportHealth) -> None:
        """Hand messages over, in order within a chat; a slow picture in one chat holds no other chat up.

        The number that is asked for next passes a message only when it and all before it are committed.
        """
        taking: dict[int, _Taking] = {}
        offset = 0
        try:
            while True:
                for update in await bot.updates(offset, wait=not taking):
                    if update.update_id in taking or (found := from_update(update)) is None:
                        offset = offset if taking else update.update_id + 1
                        continue
                    inbound, message = found
                    before = [one.task for one in taking.values() if one.chat_id == inbound.chat_id]
                    work = self._take(bot, inbound, message, before, receive, report)
                    taking[update.update_id] = _Taking(inbound.chat_id, asyncio.create_task(work))
                if taking:
                    await asyncio.wait([one.task for one in taking.values()], timeout=LOOK_AGAIN_SECONDS)
                while taking and taking[first := min(taking)].task.done():
                    taking.pop(first).task.result()
                    offset = first + 1
        finally:
            tasks = [one.task for one in taking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(
        self,
        bot: TelegramBot,
        inbound: Inbound,
        message: Message,
        before: list[asyncio.Task[None]],
        receive: Receive,
        report: ReportHealth,
    ) -> None:
        """Hand a message over after those before it; returns when it is committed."""
        await asyncio.gather(*before)
        if await self._surely(lambda: self._needs.knows(inbound.sender_id), report, bot.address):
            images, unread = await fetch_pictures(bot, message)
            text = "\n\n".join(part for part in (inbound.text, unread) if part)
            if not text and not images:
                return  # a pinned message, a new chat photo: nothing was said
            inbound = dataclasses.replace(inbound, text=text, images=images)
        await self._surely(lambda: receive(inbound), report, bot.address)

    async def _surely(self, work: Callable[[], Awaitable[T]], report: ReportHealth, address: str) -> T:
        """Do it again while the database cannot take it; meanwhile nothing is acknowledged."""
        failed = False
        while True:
            try:
                result = await work()
            except StorageError as error:
                log.error("a message from Telegram waits there: %s", error)
                report("degraded", f"New messages cannot be saved: {error}")
                failed = True
                await asyncio.sleep(SAVE_AGAIN_SECONDS)
            else:
                if failed:
                    report("ready", address)
                return result
