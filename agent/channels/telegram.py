"""Telegram: direct chats, groups and their topics with one bot, by long polling.

The loop asks for updates itself instead of using `telegram.ext.Updater`: that one asks for the next updates, and so
tells Telegram that the last ones are taken care of, while they still wait in its memory; `kill -9` there loses them.
Here the next request goes out after `receive` has committed every message of the last one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from agent.channels.channel import Delivered, Draft, Mark, Needs, Outbound, Receive, ReportHealth
from agent.channels.open_drafts import OpenDrafts
from agent.channels.patience import Patience
from agent.channels.telegram_bot import TelegramBot
from agent.channels.telegram_draft import TelegramDraft, send_rest
from agent.channels.telegram_inbound import Said, album_of, fetched, from_update
from agent.channels.telegram_text import message_pieces
from agent.errors import ChannelError
from agent.settings import TelegramSettings

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 0.5
"""While a message takes long to fetch, how often Telegram is asked for others."""
ALBUM_SECONDS = 1.2
"""An album comes as a message a picture; it is whole when so long no other one came."""
MARKS: dict[Mark, str] = {"seen": "👀", "done": "👌", "failed": "😢"}
"""Of those that bots may use (https://core.telegram.org/bots/api#reactiontypeemoji)."""
COMMANDS = (
    ("new", "Start afresh"),
    ("stop", "Stop what I am doing"),
    ("undo", "Take back what was done to files"),
    ("status", "Model, work and money"),
    ("model", "Use another model here"),
    ("usage", "What was spent"),
    ("approvals", "Questions that wait"),
    ("queue", "What a message does while I work"),
    ("mode", "How much I do without asking"),
    ("help", "All commands"),
)


@dataclass(slots=True)
class _Taking:
    """A message that is being handed over, with the rest of its album."""

    album: list[Said]
    name: str
    """Of the album; empty for a message of its own."""
    task: asyncio.Task[None] | None = None
    grown: asyncio.Event = field(default_factory=asyncio.Event)


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
        self._drafts = OpenDrafts(needs.notes)
        self._partly_sent: dict[tuple[int, str], list[str]] = {}

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        """See `Channel`."""
        report("connecting", "")
        bot = await self._connect()
        try:
            await bot.begin_polling(COMMANDS)
            await self._drafts.sweep(bot.delete)
            self._bot = bot
            report("ready", bot.address)
            patience = Patience(self.label, report, lambda: report("ready", bot.address))
            await self._poll(bot, receive, patience)
        finally:
            self._bot = None
            await bot.close()

    async def send(self, message: Outbound) -> Delivered:
        """See `Channel`. Called again after an error, it goes on with the piece that failed."""
        bot = self._connected()
        parts = await asyncio.to_thread(message_pieces, message.text)
        key = (message.outbox_id, message.text)
        sent = self._partly_sent.setdefault(key, []) if message.outbox_id else []
        await send_rest(bot, message, parts, sent, message.note)
        self._partly_sent.pop(key, None)
        return Delivered(tuple(sent))

    def draft(self, chat_id: str) -> Draft:
        """See `Channel`."""
        return TelegramDraft(self._connected, chat_id, self._drafts)

    async def mark(self, chat_id: str, transport_id: str, mark: Mark) -> None:
        """See `Channel`."""
        bot, (_, _, number) = self._bot, transport_id.partition(":")
        if bot is None or not number.isdigit():
            return
        try:
            await bot.react(chat_id, number, MARKS[mark])
        except ChannelError as error:
            log.debug("no reaction could be shown: %s", error)  # groups may forbid them

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

    async def _poll(self, bot: TelegramBot, receive: Receive, patience: Patience) -> None:
        """Hand messages over, in order within a chat; a slow picture in one chat holds no other chat up.

        The number that is asked for next passes a message only when it and all before it are committed.
        """
        taking: dict[int, _Taking] = {}
        offset = 0
        try:
            while True:
                for update in await bot.updates(offset, wait=not taking):
                    if update.update_id in taking:
                        continue
                    said = from_update(update, bot.username, bot.id)
                    if said is None:
                        offset = offset if taking else update.update_id + 1
                        continue
                    name = album_of(said)
                    begun = next((one for one in taking.values() if name and one.name == name), None)
                    if begun is not None:
                        begun.album.append(said)
                        begun.grown.set()
                        taking[update.update_id] = begun
                        continue
                    chat = said.inbound.chat_id
                    before = [one.task for one in taking.values() if one.task and one.album[0].inbound.chat_id == chat]
                    new = taking[update.update_id] = _Taking([said], name)
                    new.task = asyncio.create_task(self._take(bot, new, before, receive, patience))
                tasks = {one.task for one in taking.values() if one.task is not None}
                if tasks:
                    await asyncio.wait(tasks, timeout=LOOK_AGAIN_SECONDS)
                while taking and (task := taking[first := min(taking)].task) is not None and task.done():
                    taking.pop(first)
                    task.result()
                    offset = first + 1
        finally:
            tasks = {one.task for one in taking.values() if one.task is not None}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(
        self,
        bot: TelegramBot,
        taking: _Taking,
        before: list[asyncio.Task[None]],
        receive: Receive,
        patience: Patience,
    ) -> None:
        """Hand a message over after those before it; returns when it is committed."""
        first = taking.album[0]
        if taking.name:
            await self._whole(taking)
        await asyncio.gather(*before)
        inbound = first.inbound
        known = await patience.surely(lambda: self._needs.knows(inbound.sender_id))
        if known or not inbound.direct:
            inbound = await fetched(bot, taking.album, self._needs.files) if known else inbound
            if not inbound.text and not inbound.images and not inbound.files:
                return  # a pinned message, a new chat photo: nothing was said
        await patience.surely(lambda: receive(inbound))
        if first.query is not None:
            await self._was_pressed(bot, first, known=known)

    async def _whole(self, taking: _Taking) -> None:
        """Wait until no more of an album comes."""
        while True:
            taking.grown.clear()
            try:
                async with asyncio.timeout(ALBUM_SECONDS):
                    await taking.grown.wait()
            except TimeoutError:
                return

    async def _was_pressed(self, bot: TelegramBot, said: Said, *, known: bool) -> None:
        """The press is committed: the person's app stops waiting, and the buttons go. Cosmetic."""
        query = said.query
        try:
            if query is not None:
                await bot.heard(query.id)
                if known and query.message is not None:
                    await bot.remove_buttons(said.inbound.chat_id, str(query.message.message_id))
        except ChannelError as error:
            log.debug("a pressed button could not be taken away: %s", error)
