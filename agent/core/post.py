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
from typing import Final

from agent.errors import ToolError
from agent.events import DeliveryChanged, Event, EventBus, MessageSent
from agent.storage import outbox
from agent.storage.conversations import LOCAL
from agent.storage.database import Database
from agent.tools import enclosures
from agent.tools.send_message import Recipient
from agent.tools.tool import Outcome, ToolContext

ARRIVAL_SECONDS: Final = 5.0
"""How long it is watched on its way; then it goes on alone."""
KEPT_SECONDS: Final = 2 * 86_400.0
"""Copies of files are kept for longer than delivery tries."""


@dataclass(frozen=True, slots=True)
class PostOffice:
    """Implements `agent.tools.send_message.Post`. `folder` holds copies of files until they are delivered; `connected`
    tells whether a channel is."""

    database: Database
    events: EventBus
    deliver: Callable[[int], None]
    connected: Callable[[str], bool]
    folder: Path

    async def send(self, context: ToolContext, to: Recipient, text: str, files: Sequence[Path]) -> Outcome:
        """See `Post`."""
        if to.channel == LOCAL:
            return await self._show(context, to, text, files)
        copies = await asyncio.to_thread(self._copies, context, files)
        outbox_id = await self.database.write(
            lambda db: outbox.add(db, to.conversation_id, to.channel, to.chat_id, None, text, files=copies)
        )
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
        await self.database.write(
            lambda db: outbox.keep_shown(
                db, to.conversation_id, to.chat_id, context.turn_id, context.call_id, text, files
            )
        )
        self.events.publish(MessageSent(to.conversation_id, context.turn_id, context.call_id, text, tuple(files)))
        return Outcome("Shown to the person.")

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

    def tidy(self) -> None:
        """Remove copies that are delivered or given up. Blocks."""
        if not self.folder.is_dir():
            return
        oldest = time.time() - KEPT_SECONDS
        for folder in self.folder.iterdir():
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
