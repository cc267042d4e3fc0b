"""Takes answers from the outbox to their chats: in order within a chat, no chat waiting for another, none lost.

The answer is committed before it is sent and marked before the transport is called, so that after a crash it is known
which ones may have arrived: these are sent again and say so.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from sqlite3 import Connection
from typing import TypeVar

from agent.channels.channel import Channel, Draft, Outbound
from agent.errors import ChannelError, StorageError
from agent.events import DeliveryChanged, Event
from agent.storage import outbox
from agent.storage.database import Database
from agent.storage.outbox import Pending

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
GIVE_UP_SECONDS = 24 * 3600.0
STOP_SECONDS = 1.0
_DISCARD_SECONDS = 0.5
AFTER_RESTART = "(sent again after a restart; you may see it twice)"
AFTER_BREAK = "(sent again, the connection broke; you may see it twice)"

_SAVE_AGAIN_SECONDS = 5.0
_DEFECT_ATTEMPTS = 5

T = TypeVar("T")


@dataclass(slots=True)
class _Chat:
    """The worker of a chat. `again`: something was put while it looked. `hurry`: the connection is back. `due`: when
    the next attempt is due (`time.monotonic()` seconds): a clock that is set back does not move it."""

    again: bool = False
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    waits_for_connection: bool = False
    due: float | None = None
    task: asyncio.Task[None] | None = None


class Delivery:
    """`channel` gives a connected channel by name, or None; `resume` is called when one is connected."""

    def __init__(
        self,
        database: Database,
        channel: Callable[[str], Channel | None],
        publish: Callable[[Event], None],
        *,
        first_retry: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._database = database
        self._channel = channel
        self._publish = publish
        self._first_retry = first_retry
        self._chats: dict[tuple[str, str], _Chat] = {}
        self._drafts: dict[int, Draft] = {}
        self._restarted: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def recover(self) -> None:
        """After a start, before any channel: what was being sent when the app died is uncertain and sent again."""
        ids = await self._database.write(outbox.recover)
        self._restarted.update(ids)
        for outbox_id in ids:
            row = await self._database.read(partial(outbox.get, outbox_id=outbox_id))
            if row is not None:
                self._publish(DeliveryChanged(row.conversation_id, row.id, "uncertain", AFTER_RESTART))

    def put(self, outbox_id: int, draft: Draft | None = None) -> None:
        """Deliver a committed answer; a draft that shows it already is finished with its text."""
        if self._stopping:
            return
        if draft is not None:
            self._drafts[outbox_id] = draft
        self._spawn(self._put(outbox_id))

    def resume(self, channel: str) -> None:
        """Deliver all that waits for this channel; what failed for lack of a connection is tried at once."""
        for (name, _), chat in self._chats.items():
            if name == channel and chat.waits_for_connection:
                chat.hurry.set()
        self._spawn(self._resume(channel))

    async def stop(self) -> None:
        """Let what is being sent arrive, for a moment, then end. What is left is delivered after the next start."""
        self._stopping = True
        sending = [chat.task for chat in self._chats.values() if chat.task is not None]
        for chat in self._chats.values():
            chat.again = False
        self._channel = lambda _: None  # the workers end before their next answer
        for chat in self._chats.values():
            chat.hurry.set()
        tasks = {*sending, *self._tasks}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        drafts, self._drafts = list(self._drafts.values()), {}
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                await asyncio.gather(*(draft.discard() for draft in drafts))
        except TimeoutError:
            log.info("some drafts could not be removed in time")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _put(self, outbox_id: int) -> None:
        row = await self._surely(lambda: self._database.read(lambda db: outbox.get(db, outbox_id)))
        if row is not None:
            self._wake(row.channel, row.chat_id)
        elif (draft := self._drafts.pop(outbox_id, None)) is not None:
            await draft.discard()

    async def _resume(self, channel: str) -> None:
        for row in await self._surely(lambda: self._database.read(lambda db: outbox.waiting(db, channel))):
            self._wake(row.channel, row.chat_id)

    def _wake(self, channel: str, chat_id: str) -> None:
        chat = self._chats.get((channel, chat_id))
        if chat is not None:
            chat.again = True
            return
        chat = self._chats[channel, chat_id] = _Chat()
        chat.task = asyncio.create_task(self._work(channel, chat_id, chat), name=f"delivery-{channel}-{chat_id}")

    async def _work(self, channel: str, chat_id: str, chat: _Chat) -> None:
        """Deliver all of a chat, oldest first; ends when there is no more, or no connection."""
        try:
            while True:
                chat.again = False
                row = await self._surely(lambda: self._database.read(lambda db: outbox.first(db, channel, chat_id)))
                if row is None:
                    if chat.again:
                        continue
                    return
                connector = self._channel(channel)
                if connector is None:
                    return
                if not await self._due(row, chat):
                    continue
                await self._deliver(connector, row, chat)
        finally:
            del self._chats[channel, chat_id]

    async def _due(self, row: Pending, chat: _Chat) -> bool:
        """Wait for the row's time, or until the connection that it lacked is back; False: look again."""
        if chat.due is not None:
            wait = chat.due - time.monotonic()
        else:
            wait = min(row.due_at - time.time(), LONGEST_RETRY_SECONDS)
        if wait <= 0 or (chat.waits_for_connection and chat.hurry.is_set()):
            chat.hurry.clear()
            return True
        try:
            async with asyncio.timeout(wait):
                await chat.hurry.wait()
        except TimeoutError:
            return True
        return False

    async def _deliver(self, connector: Channel, row: Pending, chat: _Chat) -> None:
        await self._write(lambda db: outbox.mark_sending(db, row.id))
        note = "" if not row.uncertain else AFTER_RESTART if row.id in self._restarted else AFTER_BREAK
        message = Outbound(row.id, row.chat_id, row.text, note, row.files, row.buttons, row.reply_to)
        draft = self._drafts.get(row.id)
        chat.due = None
        try:
            delivered = await (draft.finish(message) if draft is not None else connector.send(message))
        except ChannelError as error:
            await self._failed(row, chat, error)
            return
        except Exception as error:
            log.exception("an answer could not be sent on %s", row.channel)
            words = f"Unexpected failure: {type(error).__name__}."
            again = row.attempts < _DEFECT_ATTEMPTS
            await self._failed(row, chat, ChannelError("network" if again else "rejected", words))
            return
        await self._write(lambda db: outbox.mark_sent(db, row.id, delivered.transport_ids))
        self._drafts.pop(row.id, None)
        chat.waits_for_connection = False
        self._publish(DeliveryChanged(row.conversation_id, row.id, "sent"))

    async def _failed(self, row: Pending, chat: _Chat, error: ChannelError) -> None:
        now = time.time()
        words = f"{error} {error.hint}".strip()
        worth_it = error.retryable or error.kind in ("wrong_token", "conflict")  # a person can repair these
        if not worth_it or now - row.created_at > GIVE_UP_SECONDS:
            await self._write(lambda db: outbox.mark_failed(db, row.id, words))
            self._publish(DeliveryChanged(row.conversation_id, row.id, "failed", words))
            draft = self._drafts.pop(row.id, None)
            if draft is not None:
                await draft.discard()
            return
        wait = min(self._first_retry * 2 ** min(row.attempts, 10), LONGEST_RETRY_SECONDS)
        wait *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads the attempts
        if error.retry_after is not None:
            wait = error.retry_after
        chat.waits_for_connection = error.kind != "rate_limit"
        chat.due = time.monotonic() + wait
        await self._write(lambda db: outbox.mark_retry(db, row.id, words, now + wait, uncertain=error.uncertain))
        unknown = error.uncertain or row.uncertain
        self._publish(DeliveryChanged(row.conversation_id, row.id, "uncertain" if unknown else "waiting", words))

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._surely(lambda: self._database.write(work))

    async def _surely(self, work: Callable[[], Awaitable[T]]) -> T:
        """A full disk or a locked database must not make an answer forgotten, or sent twice: wait until it is over."""
        while True:
            try:
                return await work()
            except StorageError as error:
                if self._stopping:  # it is committed as far as it got: the next start goes on with it
                    raise asyncio.CancelledError from error
                log.error("deliveries wait for the database: %s", error)
                await asyncio.sleep(_SAVE_AGAIN_SECONDS)
