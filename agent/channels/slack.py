"""Slack: direct chats and threads with one app, by Socket Mode.

**When an event is acknowledged.** Slack wants to hear within three seconds that an event arrived, and sends it again
otherwise (three times within some minutes, over whatever connection there is). It is acknowledged when `receive` has
committed it. Where that takes longer (a large file, a slow disk), a message is acknowledged after 2.5 s all the same,
provided that a crash would not lose it: the stored position (`SlackMemory`) stays before it, and at the next start
everything after the position is read from Slack's history. What history would not give back (edits, buttons, commands,
threads that are not stored yet) is acknowledged after the commit alone: if that is late, Slack sends it again and it is
recognised; of buttons and commands Slack shows the person that nothing happened.

**What was missed.** After each connect the history of the bot's conversations and threads is read from ten minutes
before the position on, because Slack does not keep events for later; what is known already is recognised by its id.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from agent.channels.channel import Delivered, Draft, Mark, Needs, Outbound, Receive, ReportHealth
from agent.channels.open_drafts import OpenDrafts
from agent.channels.slack_bot import SlackBot
from agent.channels.slack_draft import SlackDraft, pieces_of, send_rest
from agent.channels.slack_inbound import message_at, place
from agent.channels.slack_intake import SlackIntake
from agent.channels.slack_memory import SlackMemory
from agent.channels.slack_socket import SlackSocket
from agent.errors import ChannelError, StorageError
from agent.settings import SlackSettings

log = logging.getLogger(__name__)

APP_KEY = "slack-app"
"""The name of the app-level token; the bot token has the name of the channel."""
_REACTIONS: Final[dict[Mark, str]] = {"seen": "eyes", "done": "white_check_mark", "failed": "warning"}


class SlackChannel:
    """Implements `agent.channels.channel.Channel`.

    Files are fetched only of senders that the agent knows: strangers get no download out of us.
    """

    name = "slack"
    label = "Slack"

    def __init__(self, settings: SlackSettings, needs: Needs) -> None:
        self._settings = settings
        self._needs = needs
        self._bot: SlackBot | None = None
        self._memory = SlackMemory(needs.notes)
        self._drafts = OpenDrafts(needs.notes)
        self._taken: dict[str, None] = {}
        self._partly_sent: dict[tuple[int, str], list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        """See `Channel`."""
        report("connecting", "")
        bot = await self._connect()
        intake = SlackIntake(bot, self._needs, self._memory, self._taken, receive, report)

        def ready() -> None:
            self._bot = bot
            report("ready", bot.address)
            intake.start_reading_up()

        socket = SlackSocket(bot.open_socket, intake.handle, ready)
        reading: asyncio.Task[None] | None = None
        try:
            await intake.patience.surely(lambda: self._memory.load(bot.now))
            await self._drafts.sweep(lambda chat_id, message_id: bot.delete(place(chat_id)[0], message_id))
            reading = asyncio.create_task(socket.run())
            await asyncio.wait({reading, intake.failed}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (intake.failed, reading):
                if ended.done():
                    ended.result()
        finally:
            self._bot = None
            if not intake.failed.cancel():
                intake.failed.exception()  # told already
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await intake.stop()
            await bot.close()

    async def send(self, message: Outbound) -> Delivered:
        """See `Channel`. Called again after an error, it goes on with the piece that failed."""
        bot = self._connected()
        pieces = await asyncio.to_thread(pieces_of, message)
        self._join(message.chat_id)
        channel, thread = place(message.chat_id)
        if channel[:1] in ("U", "W"):  # a person: the owners' own chats are named so
            channel = await bot.direct_chat(channel)
        key = (message.outbox_id, message.text)
        sent = self._partly_sent.setdefault(key, []) if message.outbox_id else []
        await send_rest(bot, channel, thread, pieces, sent, message.note, message.files)
        self._partly_sent.pop(key, None)
        return Delivered(tuple(sent))

    def draft(self, chat_id: str) -> Draft:
        """See `Channel`."""
        self._join(chat_id)
        return SlackDraft(self._connected, chat_id, self._drafts, has_status=self._memory.is_assistant(chat_id))

    async def mark(self, chat_id: str, transport_id: str, mark: Mark) -> None:
        """See `Channel`."""
        bot, found = self._bot, message_at(transport_id)
        if bot is None or found is None:
            return
        if mark != "seen":
            await bot.react(*found, _REACTIONS["seen"], add=False)
        await bot.react(*found, _REACTIONS[mark], add=True)

    async def identify(self) -> str:
        """See `Channel`. The app-level token is tried as well when there is one."""
        token, app_token = await self._needs.secret(self.name), await self._needs.secret(APP_KEY)
        bot = await SlackBot.connect(_there(token, "bot token"), app_token or "", self._settings.api_base)
        try:
            if app_token:
                await (await bot.open_socket()).close()
            return bot.address
        finally:
            await bot.close()

    async def _connect(self) -> SlackBot:
        token = _there(await self._needs.secret(self.name), "bot token")
        app_token = _there(await self._needs.secret(APP_KEY), "app-level token")
        return await SlackBot.connect(token, app_token, self._settings.api_base)

    def _connected(self) -> SlackBot:
        if self._bot is None:
            raise ChannelError("network", "Slack is not connected.")
        return self._bot

    def _join(self, chat_id: str) -> None:
        """The bot writes in a thread: replies there are meant for it, and are looked for after a break."""
        if place(chat_id)[1] and not self._memory.takes_part(chat_id):
            task = asyncio.create_task(self._remember(chat_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _remember(self, chat_id: str) -> None:
        try:
            await self._memory.join(chat_id)
        except StorageError as error:
            log.warning("a Slack thread could not be remembered: %s", error)


def _there(token: str | None, what: str) -> str:
    if token:
        return token
    raise ChannelError(
        "wrong_token",
        f"There is no {what} for Slack yet.",
        hint="Slack needs two, a bot token (xoxb-) and an app-level token (xapp-): enter both in Settings > Channels.",
    )
