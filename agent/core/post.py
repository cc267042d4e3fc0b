"""Messages that the agent sends besides its answers: through the outbox, or shown in the window where they belong."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from agent.errors import ToolError
from agent.events import ConversationChanged, DeliveryChanged, Event, EventBus, MessageSent
from agent.providers.types import assistant, user
from agent.storage import conversations, inbox, messages, outbox, turns
from agent.storage.conversations import LOCAL
from agent.storage.database import Database
from agent.tools import enclosures
from agent.tools.send_message import Recipient
from agent.tools.tool import Outcome, ToolContext

ARRIVAL_SECONDS: Final = 5.0
"""How long it is watched on its way; then it goes on alone."""
WHENCE: Final = "[Nobody wrote here; you sent the following from another conversation.]"
"""A history begins with a word of the other side, and alternates."""
KEPT_SECONDS: Final = 86_400.0
"""Copies of files that nobody waits for any more are removed so long after they were made."""


@dataclass(frozen=True, slots=True)
class PostOffice:
    """Implements `agent.tools.send_message.Post`. `folder` holds copies of files until they are delivered; `connected`
    tells whether a channel is. `forget` is told of conversations that have got something to remember."""

    database: Database
    events: EventBus
    deliver: Callable[[int], None]
    connected: Callable[[str], bool]
    forget: Callable[[int], None]
    folder: Path

    async def send(self, context: ToolContext, to: Recipient, text: str, files: Sequence[Path]) -> Outcome:
        """See `Post`."""
        if to.channel == LOCAL:
            return await self._show(context, to, text, files)
        copies = await asyncio.to_thread(self._copies, context, files)
        said = f"{text}\n\n({', '.join(path.name for path in files)})" if files else text
        elsewhere = to.key != context.here

        def put(db: Connection) -> tuple[int, int | None]:
            turn_id = _put_down(db, to, said, context.sources) if elsewhere else None
            added = outbox.add(db, to.conversation_id, to.channel, to.chat_id, turn_id, text, files=copies)
            return added, turn_id

        outbox_id, turn_id = await self.database.write(put)
        if turn_id is not None:
            self._tell_there(to, turn_id, said)
        detail = {"outbox_id": outbox_id}
        if not self.connected(to.channel):
            self.deliver(outbox_id)
            return Outcome(f"Kept, and sent as soon as {to.channel} is connected.", detail=detail)
        state, words = await self._arrival(outbox_id)
        match state:
            case "sent":
                return Outcome("Sent.", detail=detail)
            case "failed":
                return Outcome(f"It could not be delivered: {words}", ok=False, detail=detail)
        return Outcome(f"On its way, not delivered yet. {words}".strip(), detail=detail)

    async def _show(self, context: ToolContext, to: Recipient, text: str, files: Sequence[Path]) -> Outcome:
        """In the window: below its call, or as a turn of its own in another conversation."""
        if to.key == context.here:
            turn, call = context.turn_id, context.call_id
            await self.database.write(
                lambda db: outbox.keep_shown(db, to.conversation_id, to.chat_id, turn, call, text, files)
            )
            self.events.publish(MessageSent(to.conversation_id, turn, call, text, tuple(files)))
            return Outcome("Shown to the person.")

        def put(db: Connection) -> int:
            turn_id = _put_down(db, to, text, context.sources)
            if files:
                outbox.keep_shown(db, to.conversation_id, to.chat_id, turn_id, "", "", files)
            return turn_id

        self._tell_there(to, await self.database.write(put), text)
        return Outcome("It stands in that conversation.")

    def _tell_there(self, to: Recipient, turn_id: int, said: str) -> None:
        self.forget(to.conversation_id)
        self.events.publish(MessageSent(to.conversation_id, turn_id, "", said, ()))
        self.events.publish(ConversationChanged(to.conversation_id))

    async def _arrival(self, outbox_id: int) -> tuple[str, str]:
        """How far it came, and why no further."""
        ended = asyncio.Event()
        last = ("", "")

        def hear(event: Event) -> None:
            nonlocal last
            if isinstance(event, DeliveryChanged) and event.outbox_id == outbox_id:
                last = event.state, event.detail
                if event.state in ("sent", "failed"):
                    ended.set()

        unsubscribe = self.events.subscribe(hear)
        try:
            self.deliver(outbox_id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), ARRIVAL_SECONDS)
        finally:
            unsubscribe()
        return last

    def _copies(self, context: ToolContext, files: Sequence[Path]) -> list[Path]:
        """The files as they were decided upon: what changes in the workspace afterwards does not go out."""
        if not files:
            return []
        folder = self.folder / uuid.uuid4().hex
        try:
            copies = enclosures.copy(files, folder)
            if context.effect is None or enclosures.sizes_and_digest(copies)[1] != context.effect.digest:
                raise ToolError("A file changed meanwhile; nothing was sent. Call again.")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return copies

    async def tidy(self) -> None:
        """Remove copies that are delivered or given up; one that waits, or that a person may send again, stays."""
        wanted = await self.database.read(outbox.undelivered_files)
        await asyncio.to_thread(self._remove_all_but, {folder for path in wanted for folder in path.parents})

    def _remove_all_but(self, wanted: set[Path]) -> None:
        oldest = time.time() - KEPT_SECONDS
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # a call that failed has removed its own
                if folder not in wanted and folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)


def _put_down(db: Connection, to: Recipient, said: str, sources: Sequence[str]) -> int:
    """A turn of the other conversation that nobody asked for: whoever answers there is understood. Its id."""
    inbox_id = inbox.add(
        db,
        conversation_id=to.conversation_id,
        channel=to.channel,
        transport_id=f"sent-{uuid.uuid4().hex}",
        chat_id=to.chat_id,
        sender_id="",
        sender_name="",
        sender_role="member",
        message=user(""),
        model="",
        owner="",
    )
    assert inbox_id is not None, "a fresh transport id cannot be a repeat"
    turn_id = turns.begin(db, to.conversation_id, inbox_id, "")
    messages.append(db, to.conversation_id, turn_id, [user(WHENCE), assistant(said)])
    turns.finish(db, turn_id, "answered")
    turns.set_sources(db, turn_id, list(sources))
    inbox.finish(db, inbox_id)
    conversations.touch(db, to.conversation_id, said)
    return turn_id
