"""What a person permitted beyond one call, kept in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.events import Event, SettingsChanged
from agent.safety.grants import Grant, Rule
from agent.storage import grants as rows
from agent.storage.database import Database


@dataclass(slots=True)
class Grants:
    """The permissions, read again after every change. Another process's change counts from the next start of a turn."""

    database: Database
    publish: Callable[[Event], None]
    _valid: dict[int, tuple[Rule, ...]] = field(default_factory=dict)

    def forget(self) -> None:
        """Read them again: another process may have written."""
        self._valid.clear()

    async def valid(self, conversation_id: int) -> tuple[Rule, ...]:
        """The rules that count in a conversation."""
        if conversation_id not in self._valid:
            self._valid[conversation_id] = await self.database.read(lambda db: rows.valid(db, conversation_id))
        return self._valid[conversation_id]

    async def has(self, rule: Rule) -> bool:
        """Whether this was permitted everywhere."""
        return any(grant.conversation_id is None and grant.rule.covers(rule) for grant in await self.every())

    async def add(self, rule: Rule, conversation_id: int | None, by: str) -> None:
        """Permit it, everywhere or in one conversation."""
        await self.database.write(lambda db: rows.add(db, rule, conversation_id, by))
        self._changed()

    async def used(self, rule: Rule, conversation_id: int) -> None:
        """Something ran because of it."""
        await self.database.write(lambda db: rows.used(db, rule, conversation_id))

    async def every(self) -> list[Grant]:
        """All of them, the newest first."""
        return await self.database.read(rows.every)

    async def revoke(self, grant_id: int) -> bool:
        """Take one back; False when there is none."""
        taken: bool = await self.database.write(lambda db: rows.revoke(db, grant_id))
        self._changed()
        return taken

    def _changed(self) -> None:
        self.forget()
        self.publish(SettingsChanged(("grants",)))
