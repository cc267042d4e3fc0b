"""What channels must remember beyond the life of the process, by keys of their own."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from agent.storage.database import Database


def get(db: sqlite3.Connection, channel: str, key: str) -> str | None:
    """The value of a key, None where there is none."""
    row = db.execute("SELECT value FROM channel_notes WHERE channel = ? AND key = ?", (channel, key)).fetchone()
    return None if row is None else str(row["value"])


def put(db: sqlite3.Connection, channel: str, key: str, value: str) -> None:
    """Remember it."""
    db.execute(
        "INSERT INTO channel_notes (channel, key, value) VALUES (?, ?, ?)"
        " ON CONFLICT (channel, key) DO UPDATE SET value = excluded.value",
        (channel, key, value),
    )


@dataclass(frozen=True, slots=True)
class ChannelNotes:
    """The notes of one channel; implements `agent.channels.channel.Notes`."""

    database: Database
    channel: str

    async def get(self, key: str) -> str | None:
        """See `Notes`."""
        return await self.database.read(lambda db: get(db, self.channel, key))

    async def set(self, key: str, value: str) -> None:
        """See `Notes`."""
        await self.database.write(lambda db: put(db, self.channel, key, value))
