"""Groups of messengers that an owner enabled: only there do members reach the agent."""

from __future__ import annotations

import sqlite3
import time

from agent.views import Group


def is_enabled(db: sqlite3.Connection, channel: str, group_id: str) -> bool:
    """Whether an owner enabled it."""
    row = db.execute("SELECT 1 FROM groups WHERE channel = ? AND group_id = ?", (channel, group_id)).fetchone()
    return row is not None


def enable(db: sqlite3.Connection, channel: str, group_id: str, title: str, by: str) -> None:
    """From now on its members are answered."""
    db.execute(
        "INSERT OR REPLACE INTO groups (channel, group_id, title, enabled_by, since) VALUES (?, ?, ?, ?, ?)",
        (channel, group_id, title, by, time.time()),
    )


def disable(db: sqlite3.Connection, channel: str, group_id: str) -> bool:
    """Not any more; whether it was enabled."""
    cursor = db.execute("DELETE FROM groups WHERE channel = ? AND group_id = ?", (channel, group_id))
    return bool(cursor.rowcount)


def every(db: sqlite3.Connection) -> list[Group]:
    """All of them, the first one first."""
    rows = db.execute("SELECT * FROM groups ORDER BY since, channel, group_id")
    return [Group(row["channel"], row["group_id"], row["title"], row["since"]) for row in rows]
