"""What a person does about answers that did not arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.events import DeliveryChanged, Event, SettingsChanged
from agent.storage import outbox
from agent.storage.database import Database
from agent.views import Undelivered


@dataclass(frozen=True, slots=True)
class Deliveries:
    """`deliver` sends what stands in the outbox by that number."""

    database: Database
    publish: Callable[[Event], None]
    deliver: Callable[[int], None]

    async def undelivered(self) -> list[Undelivered]:
        """Answers that did not arrive and are not tried again, the newest first."""
        return await self.database.read(outbox.undelivered)

    async def resend(self, outbox_id: int) -> bool:
        """Try an undelivered answer once more; False when it is not undelivered (any more)."""
        row = await self.database.write(lambda db: outbox.again(db, outbox_id))
        if row is None:
            return False
        self.publish(DeliveryChanged(row.conversation_id, row.id, "waiting"))
        self.deliver(outbox_id)
        return True

    async def resend_turn(self, turn_id: int) -> bool:
        """Try what did not arrive of a turn's answer once more; False when all did."""
        found = await self.database.read(lambda db: outbox.failed_of(db, turn_id))
        return any([await self.resend(outbox_id) for outbox_id in found])

    async def give_up(self, outbox_id: int) -> bool:
        """Take an undelivered answer off the list; it stays in its conversation."""
        dropped = await self.database.write(lambda db: outbox.give_up(db, outbox_id))
        if dropped:
            self.publish(SettingsChanged(("undelivered",)))
        return dropped
