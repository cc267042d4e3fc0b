"""Grants: what a person permitted for a conversation or for always."""

from __future__ import annotations

import sqlite3
import time

from agent.safety.grants import Grant, Rule


def add(db: sqlite3.Connection, rule: Rule, conversation_id: int | None, by: str) -> int:
    """Note a permission; the same one is not noted twice."""
    found = db.execute(
        "SELECT id FROM grants WHERE kind = ? AND effect = ? AND value = ? AND conversation_id IS ?",
        (rule.kind, rule.effect, rule.value, conversation_id),
    ).fetchone()
    if found:
        return int(found["id"])
    cursor = db.execute(
        "INSERT INTO grants (kind, effect, value, words, conversation_id, created_at, by) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (rule.kind, rule.effect, rule.value, rule.words, conversation_id, time.time(), by),
    )
    return int(cursor.lastrowid or 0)


def valid(db: sqlite3.Connection, conversation_id: int) -> tuple[Rule, ...]:
    """The rules that count in a conversation."""
    rows = db.execute("SELECT * FROM grants WHERE conversation_id IS NULL OR conversation_id = ?", (conversation_id,))
    return tuple(_rule(row) for row in rows)


def every(db: sqlite3.Connection) -> list[Grant]:
    """All permissions, the newest first."""
    rows = db.execute("SELECT * FROM grants ORDER BY id DESC")
    return [
        Grant(row["id"], _rule(row), row["conversation_id"], row["created_at"], row["by"], row["used_at"])
        for row in rows
    ]


def revoke(db: sqlite3.Connection, grant_id: int) -> bool:
    """Take a permission back; False when there is none."""
    return db.execute("DELETE FROM grants WHERE id = ?", (grant_id,)).rowcount > 0


def used(db: sqlite3.Connection, rule: Rule, conversation_id: int) -> None:
    """Note that something ran because of this rule."""
    db.execute(
        "UPDATE grants SET used_at = ? WHERE kind = ? AND effect = ? AND value = ?"
        " AND (conversation_id IS NULL OR conversation_id = ?)",
        (time.time(), rule.kind, rule.effect, rule.value, conversation_id),
    )


def _rule(row: sqlite3.Row) -> Rule:
    return Rule(row["kind"], row["effect"], row["value"], row["words"])
