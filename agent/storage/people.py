"""Who may talk to the agent, and who asked to. A request is deleted when its hour is over or its person was told."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from agent.views import PairingRequest, Person

RequestState = Literal["pending", "approved", "denied"]


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A pairing request with what only the agent needs to know of it."""

    request: PairingRequest
    chat_id: str
    state: RequestState


def is_paired(db: sqlite3.Connection, channel: str, user_id: str) -> bool:
    """Whether this person was let in."""
    row = db.execute("SELECT 1 FROM people WHERE channel = ? AND user_id = ?", (channel, user_id)).fetchone()
    return row is not None


def ask(db: sqlite3.Connection, request: PairingRequest, chat_id: str, most_pending: int) -> bool:
    """Note a request; False when this person asked within the hour, or too many others wait on that channel."""
    db.execute("DELETE FROM pairing_requests WHERE expires_at <= ?", (request.asked_at,))
    asked = db.execute(
        "SELECT user_id, state FROM pairing_requests WHERE channel = ? AND state != 'approved'", (request.channel,)
    ).fetchall()
    if any(row["user_id"] == request.user_id for row in asked):
        return False
    if sum(1 for row in asked if row["state"] == "pending") >= most_pending:
        return False
    db.execute(
        "INSERT INTO pairing_requests (code, channel, user_id, chat_id, name, asked_at, expires_at, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'pending')",
        (
            request.code,
            request.channel,
            request.user_id,
            chat_id,
            request.name,
            request.asked_at,
            request.expires_at,
        ),
    )
    return True


def decide(db: sqlite3.Connection, code: str, approve: bool, now: float) -> StoredRequest | None:
    """Let the person in, or not; None when there is no such open request. Approving makes them a paired person."""
    row = db.execute(
        "SELECT * FROM pairing_requests WHERE code = ? AND state = 'pending' AND expires_at > ?", (code, now)
    ).fetchone()
    if row is None:
        return None
    state: RequestState = "approved" if approve else "denied"
    db.execute("UPDATE pairing_requests SET state = ? WHERE code = ?", (state, code))
    if approve:
        db.execute(
            "INSERT OR REPLACE INTO people (channel, user_id, chat_id, name, role, since)"
            " VALUES (?, ?, ?, ?, 'paired', ?)",
            (row["channel"], row["user_id"], row["chat_id"], row["name"], now),
        )
    return _stored(row, state)


def requests(db: sqlite3.Connection, now: float) -> list[StoredRequest]:
    """All requests whose hour is not over, oldest first."""
    rows = db.execute("SELECT * FROM pairing_requests WHERE expires_at > ? ORDER BY asked_at, code", (now,))
    return [_stored(row, row["state"]) for row in rows]


def forget_request(db: sqlite3.Connection, code: str) -> None:
    """The person was told, or could not be asked: nothing waits any more."""
    db.execute("DELETE FROM pairing_requests WHERE code = ?", (code,))


def everybody(db: sqlite3.Connection) -> list[Person]:
    """All paired people, the first one first."""
    rows = db.execute("SELECT * FROM people ORDER BY since, channel, user_id")
    return [Person(row["channel"], row["user_id"], row["name"], "paired", row["since"]) for row in rows]


def remove(db: sqlite3.Connection, channel: str, user_id: str) -> bool:
    """Nobody any more; whether they were somebody."""
    db.execute("DELETE FROM pairing_requests WHERE channel = ? AND user_id = ?", (channel, user_id))
    cursor = db.execute("DELETE FROM people WHERE channel = ? AND user_id = ?", (channel, user_id))
    return bool(cursor.rowcount)


def _stored(row: sqlite3.Row, state: RequestState) -> StoredRequest:
    request = PairingRequest(
        row["code"], row["channel"], row["user_id"], row["name"], row["asked_at"], row["expires_at"]
    )
    return StoredRequest(request, row["chat_id"], state)
