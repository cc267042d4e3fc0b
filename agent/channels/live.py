"""Shows a turn in its chat while it runs: from the agent's events to the channel's draft, and then into delivery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from agent.channels.channel import Channel, Draft, Mark
from agent.channels.delivery import Delivery
from agent.errors import StorageError
from agent.events import DeliveryChanged, Event, ToolCalled, TurnFinished, TurnStarted, TurnText
from agent.storage import conversations, inbox, outbox
from agent.storage.conversations import LOCAL
from agent.storage.database import Database
from agent.views import Conversation

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
SEEN_SECONDS = 3.0


@dataclass(slots=True)
class _Answer:
    """What a turn has said so far. `look`: something happened that a draft may have waited for."""

    conversation_id: int
    inbox_id: int
    opening: asyncio.Task[None] | None = None
    look: asyncio.Event = field(default_factory=asyncio.Event)
    text: str = ""
    new_paragraph: bool = False
    ended: bool = False
    draft: Draft | None = None
    marked: bool = False
    marking: asyncio.Lock = field(default_factory=asyncio.Lock)


class LiveAnswers:
    """Subscribe `on_event` to the bus. Turns of the window and the terminal need nothing of it."""

    def __init__(self, database: Database, channel: Callable[[str], Channel | None], delivery: Delivery) -> None:
        self._database = database
        self._channel = channel
        self._delivery = delivery
        self._local: set[int] = set()
        self._answers: dict[int, _Answer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on_event(self, event: Event) -> None:
        """A listener of the EventBus."""
        match event:
            case TurnStarted():
                if event.conversation_id not in self._local:
                    begun = self._answers[event.turn_id] = _Answer(event.conversation_id, event.inbox_id)
                    begun.opening = self._spawn(self._open(begun))
            case TurnText() if (answer := self._answers.get(event.turn_id)) is not None:
                gap = "\n\n" if answer.new_paragraph and answer.text else ""
                answer.text += gap + event.delta
                answer.new_paragraph = False
                if answer.draft is not None:
                    answer.draft.update(answer.text)
            case ToolCalled() if (answer := self._answers.get(event.turn_id)) is not None:
                answer.new_paragraph = True
            case TurnFinished():
                answer = self._answers.pop(event.turn_id, None)
                if answer is not None:
                    answer.ended = True
                    answer.look.set()
                    self._spawn(self._finish(answer, event.outbox_id))
                    if answer.marked:
                        self._spawn(self._mark(answer, "done" if event.status == "answered" else "failed"))
                elif event.outbox_id is not None:
                    self._delivery.put(event.outbox_id)
            case DeliveryChanged():
                for growing in self._answers.values():
                    if growing.conversation_id == event.conversation_id:
                        growing.look.set()

    async def stop(self) -> None:
        """Close what is still shown; returns within two seconds."""
        for answer in self._answers.values():
            answer.ended = True
            answer.look.set()
            self._spawn(self._finish(answer, None))
        self._answers.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self, answer: _Answer) -> None:
        try:
            conversation = await self._database.read(lambda db: conversations.get(db, answer.conversation_id))
            if conversation is None:
                return
            if conversation.channel == LOCAL:
                # Only these are remembered: the number of a deleted conversation may come back as another's chat.
                self._local.add(answer.conversation_id)
                return
            await self._caught_up(conversation, answer)
        except StorageError as error:
            log.warning("the chat of a turn cannot be read: %s", error)
            return
        channel = self._channel(conversation.channel)
        if channel is None or answer.ended:
            return
        self._spawn(self._seen(answer))
        answer.draft = channel.draft(conversation.chat_id)
        if answer.text:
            answer.draft.update(answer.text)

    async def _seen(self, answer: _Answer) -> None:
        """What takes long is marked as seen; a quick answer is receipt enough."""
        await asyncio.sleep(SEEN_SECONDS)
        if not answer.ended:
            answer.marked = True
            await self._mark(answer, "seen")

    async def _mark(self, answer: _Answer, mark: Mark) -> None:
        """A receipt on the person's message. Cosmetic: where it does not work, nothing is said about it."""
        if answer.opening is not None:
            await asyncio.wait({answer.opening})
        async with answer.marking:
            try:
                asked = await self._database.read(lambda db: inbox.get(db, answer.conversation_id, answer.inbox_id))
                sent_as = await self._database.read(lambda db: inbox.transport_id(db, answer.inbox_id))
            except StorageError:
                return
            channel = self._channel(asked.channel) if asked is not None and asked.channel != LOCAL else None
            if channel is not None and asked is not None and sent_as and (mark != "seen" or not answer.ended):
                await channel.mark(asked.chat_id, sent_as, mark)

    async def _caught_up(self, conversation: Conversation, answer: _Answer) -> None:
        """Wait for the answers before this one: its draft must not stand above them in the chat."""
        while not answer.ended:
            answer.look.clear()
            older = await self._database.read(lambda db: outbox.first(db, conversation.channel, conversation.chat_id))
            if older is None:
                return
            await answer.look.wait()

    async def _finish(self, answer: _Answer, outbox_id: int | None) -> None:
        if answer.opening is not None:
            await asyncio.wait({answer.opening})
        if outbox_id is not None:
            self._delivery.put(outbox_id, answer.draft)
        elif answer.draft is not None:
            await answer.draft.discard()
