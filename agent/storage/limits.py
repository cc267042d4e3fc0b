"""Spending limits: what was raised for a day or a month, the notices that were given, conversations' own limits."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from agent.views import Period


def add_raise(db: sqlite3.Connection, scope: str, period: Period, at: str, usd: float) -> None:
    """Raise a limit by so much, for the day ("2026-03-01") or the month ("2026-03") `at`."""
    db.execute(
        "INSERT INTO limit_raises (scope, period, at, usd) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (scope, period, at) DO UPDATE SET usd = usd + excluded.usd",
        (scope, period, at, usd),
    )


def raises(db: sqlite3.Connection, at: Mapping[Period, str]) -> dict[tuple[str, Period], float]:
    """What the limits are raised by now, by scope and period; `at` names the current day and month."""
    rows = db.execute(
        "SELECT scope, period, usd FROM limit_raises"
        " WHERE (period = 'day' AND at = ?) OR (period = 'month' AND at = ?)",
        (at["day"], at["month"]),
    )
    return {(row["scope"], row["period"]): row["usd"] for row in rows}


def add_notice(db: sqlite3.Connection, scope: str, period: Period, at: str) -> bool:
    """Note that a person was told; False when that was noted before."""
    added = db.execute("INSERT OR IGNORE INTO limit_notices (scope, period, at) VALUES (?, ?, ?)", (scope, period, at))
    return added.rowcount > 0


def own(db: sqlite3.Connection) -> dict[int, tuple[float, str]]:
    """The conversations that have a daily limit of their own: the limit in USD, and the title."""
    rows = db.execute("SELECT id, daily_usd, title FROM conversations WHERE daily_usd IS NOT NULL ORDER BY id")
    return {row["id"]: (row["daily_usd"], row["title"]) for row in rows}


def set_own(db: sqlite3.Connection, conversation_id: int, daily_usd: float | None) -> None:
    """Give a conversation a daily limit of its own, or none."""
    db.execute("UPDATE conversations SET daily_usd = ? WHERE id = ?", (daily_usd, conversation_id))
