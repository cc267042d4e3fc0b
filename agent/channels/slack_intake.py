"""Takes Slack's events one by one: in order within a conversation, committed before Slack is told, none twice."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from agent.channels import slack_files
from agent.channels.channel import Inbound, Needs, Receive, ReportHealth
from agent.channels.patience import Patience
from agent.channels.slack_bot import SlackBot
from agent.channels.slack_inbound import (
    COMMAND,
    Event,
    Found,
    from_command,
    from_message,
    from_press,
    people_in,
    place,
    readable,
)
from agent.channels.slack_memory import SlackMemory
from agent.channels.slack_socket import Acknowledge, Envelope
from agent.channels.slack_text import context
from agent.errors import ChannelError

log = logging.getLogger(__name__)

GATE_SECONDS = 10.0
ACKNOWLEDGE_SECONDS = 2.5
OVERLAP_SECONDS = 600.0
"""Slack may deliver in another order than it was written, and tries again for some minutes."""
AGAIN_SECONDS = 5.0
_MOST_TAKEN = 5000
_MOST_NAMES = 20
_ELSEWHERE = (
    f"`{COMMAND}` works in the direct chat with me. Here, mention me with the command, in the thread it is for."
)

T = TypeVar("T")


Place = tuple[str, str]
"""A channel and a thread, empty for the top of the channel."""


class _Gate(NamedTuple):
    place: Place
    ts: float
    opened: asyncio.Event


class SlackIntake:
    """One connection's life. `taken` are transport ids that were committed, the latest last; they outlive it."""

    def __init__(
        self,
        bot: SlackBot,
        needs: Needs,
        memory: SlackMemory,
        taken: dict[str, None],
        receive: Receive,
        report: ReportHealth,
    ) -> None:
        self._bot = bot
        self._needs = needs
        self._memory = memory
        self._taken = taken
        self._receive = receive
        self._report = report
        self.patience = Patience("Slack", report, lambda: report("ready", bot.address))
        self._taking: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, asyncio.Task[Any] | None] = {}
        """Of each conversation, the message that is taken last."""
        self._readable: set[str] = set()
        self._unread: dict[Place, None] | None = None
        self._gates: dict[str, _Gate] = {}
        self._last_chat: dict[str, str] = {}
        """Of each direct chat, where the person wrote last."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with the error of a defect."""

    def handle(self, envelope: Envelope, acknowledge: Acknowledge) -> None:
        """Take what an envelope holds; it is acknowledged in time."""
        payload: Event = envelope.get("payload") or {}
        found: Found | None = None
        match envelope.get("type"):
            case "events_api":
                event = payload.get("event") or {}
                if event.get("type") in ("message", "app_mention"):
                    found = from_message(event, self._bot.user_id, self._bot.bot_id)
                elif event.get("type") == "assistant_thread_started":
                    self._spawn(self._open_assistant(event.get("assistant_thread") or {}))
            case "interactive":
                found = from_press(payload)
            case "slash_commands":
                found = from_command(payload, self._last_chat)
                if found is None:
                    self._spawn(_told(acknowledge, {"response_type": "ephemeral", "text": _ELSEWHERE}))
                    return
        if found is None or found.inbound.transport_id in self._taken:
            self._spawn(_told(acknowledge))
            return
        task = self._begin(found, payload)
        self._spawn(self._acknowledge(task, found, acknowledge))

    async def read_up(self) -> None:
        """Take what was written while nobody listened. New messages wait until what was missed before them in their
        place is taken; places where some wait are read first."""
        channels = await self._patiently(self._bot.conversations, self._cannot_read_up) or []
        self._readable = set(channels)
        places = [(channel, "") for channel in channels] + [place(chat_id) for chat_id in self._memory.threads]
        self._unread = dict.fromkeys(places)
        self._open_gates()
        oldest = self._memory.oldest(OVERLAP_SECONDS)
        while self._unread:
            wanted = [gate.place for gate in self._gates.values() if gate.place in self._unread]
            at = wanted[0] if wanted else next(iter(self._unread))
            await self._read_place(at, oldest)
            del self._unread[at]
            self._open_gates()
        await self.patience.surely(self._memory.read_up)

    async def _read_place(self, at: Place, oldest: str) -> None:
        for message in await self._patiently(partial(self._bot.messages, *at, oldest)) or ():
            found = from_message({**message, "channel": at[0]}, self._bot.user_id, self._bot.bot_id)
            if found is None or found.inbound.transport_id in self._taken:
                continue
            if (gate := self._gates.get(found.inbound.transport_id)) is not None:
                gate.opened.set()
            await self._begin(found, {}, missed=True)

    def _open_gates(self) -> None:
        for gate in sorted(self._gates.values(), key=lambda gate: gate.ts):
            if self._unread is not None and gate.place not in self._unread:
                gate.opened.set()

    async def _wait_for_earlier(self, key: str) -> None:
        """Until what was missed before it is taken; not for ever: Slack may want us to ask slowly."""
        try:
            async with asyncio.timeout(GATE_SECONDS):
                await self._gates[key].opened.wait()
        except TimeoutError:
            log.info("a new message is taken before older ones that were missed")
        finally:
            del self._gates[key]

    async def stop(self) -> None:
        """End what is under way: what was not committed comes again."""
        tasks = [*self._tasks, *self._taking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start_reading_up(self) -> None:
        """Read up in the background."""
        self._spawn(self.read_up())

    def _begin(self, found: Found, payload: Event, *, missed: bool = False) -> asyncio.Task[None]:
        """Take it, or give the task that does already: `message` and `app_mention` tell of the same one."""
        inbound = found.inbound
        key = inbound.transport_id
        if (known := self._taking.get(key)) is not None:
            return known
        said = bool(found.ts) and not inbound.pressed
        self._memory.begin(key, found.ts if said and not inbound.edits else "")
        at = (found.channel, found.thread)
        if said and not missed and (self._unread is None or at in self._unread):
            self._gates[key] = _Gate(at, float(found.ts), asyncio.Event())
        task = asyncio.create_task(self._take(found, payload))
        self._taking[key] = task
        task.add_done_callback(self._ended)
        return task

    async def _take(self, found: Found, payload: Event) -> None:
        """Hand a message over after those before it; returns when it is committed."""
        if found.inbound.transport_id in self._gates:
            await self._wait_for_earlier(found.inbound.transport_id)
        chat, this = found.inbound.chat_id, asyncio.current_task()
        before, self._last[chat] = self._last.get(chat), this
        if before is not None:
            await asyncio.gather(before)
        await self._commit(found, payload)
        if self._last[chat] is this:
            del self._last[chat]

    async def _commit(self, found: Found, payload: Event) -> None:
        key = found.inbound.transport_id
        known = await self.patience.surely(lambda: self._needs.knows(found.inbound.sender_id))
        inbound = await self._completed(found, fetch=known)
        if inbound.text or inbound.images or inbound.files:
            await self.patience.surely(lambda: self._receive(inbound))
        if inbound.direct:
            self._last_chat[found.channel] = inbound.chat_id
        self._taken[key] = None
        while len(self._taken) > _MOST_TAKEN:
            del self._taken[next(iter(self._taken))]
        await self.patience.surely(lambda: self._memory.committed(key))
        if inbound.files:
            await self.patience.surely(lambda: self._memory.add_fetched(key))
        del self._taking[key]
        if inbound.pressed and known:
            self._spawn(self._show_choice(payload, inbound.sender_name))

    async def _completed(self, found: Found, *, fetch: bool) -> Inbound:
        """With names for ids, and with its files."""
        inbound = found.inbound
        name = inbound.sender_name or await self._bot.name_of(inbound.sender_id)
        title = name if inbound.direct else await self._bot.name_of_channel(found.channel)
        text = inbound.text
        if not inbound.pressed and found.ts:
            names = {user: await self._bot.name_of(user) for user in sorted(people_in(text))[:_MOST_NAMES]}
            text = readable(text, names)
        inbound = dataclasses.replace(
            inbound,
            sender_name=name,
            title=title,
            text=text,
            addressed=inbound.addressed or self._memory.takes_part(inbound.chat_id),
        )
        if not fetch or not found.files or self._memory.was_fetched(inbound.transport_id):
            return inbound
        fetched = await slack_files.fetch(self._bot, self._needs.files, found.files)
        text = "\n\n".join(part for part in (text, *fetched.notes) if part)
        return dataclasses.replace(inbound, text=text, images=fetched.images, files=fetched.files)

    async def _acknowledge(self, task: asyncio.Task[None], found: Found, acknowledge: Acknowledge) -> None:
        """See the docstring of `agent.channels.slack`."""
        await asyncio.wait({task}, timeout=ACKNOWLEDGE_SECONDS)
        inbound = found.inbound
        safe = (
            not (inbound.edits or inbound.pressed)
            and found.channel in self._readable
            and self._memory.can_be_read_again(found.ts, inbound.chat_id, found.thread)
        )
        if not task.done() and not safe:
            await asyncio.wait({task})
        if not task.done() or (not task.cancelled() and task.exception() is None):
            await acknowledge()

    async def _show_choice(self, payload: Event, name: str) -> None:
        """Put what was pressed in place of the buttons."""
        message, action = payload.get("message") or {}, payload["actions"][0]
        label = str((action.get("text") or {}).get("text") or action.get("value"))
        kept = [block for block in message.get("blocks") or () if block.get("type") != "actions"]
        channel, ts = str(payload["channel"]["id"]), str(message.get("ts") or "")
        try:
            await self._bot.edit(channel, ts, str(message.get("text") or label), [*kept, context(f"{label} · {name}")])
        except ChannelError as error:
            log.info("the buttons of a Slack message stay: %s", error)

    async def _open_assistant(self, thread: Event) -> None:
        channel, ts = thread.get("channel_id"), thread.get("thread_ts")
        if channel and ts:
            await self.patience.surely(lambda: self._memory.add_assistant(f"{channel}:{ts}"))

    async def _patiently(
        self, ask: Callable[[], Awaitable[T]], refused: Callable[[ChannelError], None] | None = None
    ) -> T | None:
        """The answer, after waits that Slack asks for; None where the app may not ask."""
        while True:
            try:
                return await ask()
            except ChannelError as error:
                if not error.retryable:
                    log.info("missed messages cannot be read: %s", error)
                    if refused is not None:
                        refused(error)
                    return None
                await asyncio.sleep(error.retry_after or AGAIN_SECONDS)

    def _cannot_read_up(self, error: ChannelError) -> None:
        self._report("ready", f"{self._bot.address}. What is said while it is off will be missed: {error}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)


async def _told(acknowledge: Acknowledge, answer: dict[str, Any] | None = None) -> None:
    await acknowledge(answer)
