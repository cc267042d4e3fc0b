"""What a person looked at and accepted, kept in the database."""

from __future__ import annotations

from dataclasses import dataclass

from agent.storage import pins
from agent.storage.database import Database
from agent.storage.pins import Pin


@dataclass(slots=True)
class Pins:
    """The pins of one kind ("mcp", "skill")."""

    database: Database
    kind: str

    async def every(self) -> dict[str, Pin]:
        """By name."""
        return await self.database.read(lambda db: pins.of_kind(db, self.kind))

    async def put(self, pin: Pin) -> None:
        """Accept it, in place of what was accepted before."""
        await self.database.write(lambda db: pins.put(db, self.kind, pin))

    async def forget(self, prefix: str) -> None:
        """Remove those whose names begin so."""
        await self.database.write(lambda db: pins.forget(db, self.kind, prefix))
