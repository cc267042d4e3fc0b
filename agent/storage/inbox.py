"""The inbox: every message from a person, committed before its transport is told that it arrived."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from agent.channels.channel import Role
from agent.providers.types import Message
from agent.settings import QueueMode
from agent.storage import messages


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that no turn has answered yet."""

    id: int
    conversation_id: int
    channel: str
    chat_id: str
    sender_id: str
    sender_name: str
    sender_role: Role
    message: Message
    model: str
    received_at: float
    queue: QueueMode = "queue"


def add(
    db: sqlite3.Connection,
    *,
    conversation_id: int,
    channel: str,
    transport_id: str,
    chat_id: str,
    sender_id: str,
    sender_name: str,
    sender_role: Role,
    message: Message,
    model: str,
    owner: str,
) -> int | None:
    """The id of the new row; None for a message that was received before."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO inbox (conversation_id, channel, transport_id, chat_id, sender_id, sender_name,"
        " sender_role, parts, model, received_at, state, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
        (
            conversation_id,
            channel,
            transport_id,
            chat_id,
            sender_id,
            sender_name,
            sender_role,
            messages.dump(message),
            model,
            time.time(),
            owner,
        ),
    )
    return cursor.lastrowid if cursor.rowcount else None


def claim(db: sqlite3.Connection, inbox_id: int, owner: str) -> bool:
    """Begin to work on a waiting message; False when it is no longer waiting."""
    cursor = db.execute(
        "UPDATE inbox SET state = 'working', owner = ? WHERE id = ? AND state = 'waiting'", (owner, inbox_id)
    )
    return bool(cursor.rowcount)


def state_of(db: sqlite3.Connection, inbox_id: int) -> str:
    """waiting, working or done; empty when it was removed."""
    row = db.execute("SELECT state FROM inbox WHERE id = ?", (inbox_id,)).fetchone()
    return str(row["state"]) if row is not None else ""


def get(db: sqlite3.Connection, conversation_id: int, inbox_id: int) -> Waiting | None:
    """What a person said, whatever its state; None when it was removed."""
    row = db.execute("SELECT * FROM inbox WHERE id = ? AND conversation_id = ?", (inbox_id, conversation_id)).fetchone()
    return waiting(row) if row is not None else None


def wordings(db: sqlite3.Connection, channel: str, transport_id: str) -> list[tuple[Waiting, str]]:
    """The message of that transport id and what its person reworded it to, oldest first, each with its state; empty
    when it never came."""
    rows = db.execute(
        "SELECT * FROM inbox WHERE channel = :channel AND (transport_id = :id"
        " OR (transport_id >= :id || ':' AND transport_id < :id || ';')) ORDER BY id",
        {"channel": channel, "id": transport_id},
    ).fetchall()
    return [(waiting(row), str(row["state"])) for row in rows if row["sender_id"] == rows[0]["sender_id"]]


def came(db: sqlite3.Connection, channel: str, transport_id: str) -> bool:
    """Whether a message was received before."""
    found = db.execute("SELECT 1 FROM inbox WHERE channel = ? AND transport_id = ?", (channel, transport_id))
    return found.fetchone() is not None


def taken_along(db: sqlite3.Connection, inbox_id: int) -> list[Waiting]:
    """What is worked on by the turn of this message besides it: of a conversation a process works on one at a time."""
    rows = db.execute(
        "SELECT o.* FROM inbox i JOIN inbox o ON o.conversation_id = i.conversation_id AND o.owner = i.owner"
        " WHERE i.id = ? AND o.id != i.id AND o.state = 'working' ORDER BY o.id",
        (inbox_id,),
    )
    return [waiting(row) for row in rows]


def replace(db: sqlite3.Connection, inbox_id: int, message: Message) -> bool:
    """Another wording of a message that still waits; False when it does not wait any more."""
    cursor = db.execute(
        "UPDATE inbox SET parts = ? WHERE id = ? AND state = 'waiting'", (messages.dump(message), inbox_id)
    )
    return bool(cursor.rowcount)


def is_last(db: sqlite3.Connection, conversation_id: int, inbox_id: int) -> bool:
    """Whether nothing came after it in its conversation."""
    row = db.execute("SELECT MAX(id) FROM inbox WHERE conversation_id = ?", (conversation_id,)).fetchone()
    return bool(row[0] == inbox_id)


def transport_id(db: sqlite3.Connection, inbox_id: int) -> str:
    """The transport's id of a message; empty when it was removed."""
    row = db.execute("SELECT transport_id FROM inbox WHERE id = ?", (inbox_id,)).fetchone()
    return str(row[0]) if row is not None else ""


def finish(db: sqlite3.Connection, inbox_id: int) -> None:
    """It was dealt with: answered, stopped or failed visibly."""
    db.execute("UPDATE inbox SET state = 'done' WHERE id = ?", (inbox_id,))


def release(db: sqlite3.Connection, inbox_id: int, owner: str) -> None:
    """Put it back, to be answered from the beginning by that process."""
    db.execute("UPDATE inbox SET state = 'waiting', owner = ? WHERE id = ?", (owner, inbox_id))


def unfinished(db: sqlite3.Connection) -> list[tuple[Waiting, str, str]]:
    """All that is not done, oldest first, with its state and the process it belongs to."""
    rows = db.execute("SELECT * FROM inbox WHERE state IN ('waiting', 'working') ORDER BY id")
    return [(waiting(row), row["state"], row["owner"] or "") for row in rows]


def waiting(row: sqlite3.Row) -> Waiting:
    """A row as a value."""
    return Waiting(
        row["id"],
        row["conversation_id"],
        row["channel"],
        row["chat_id"] or "",
        row["sender_id"] or "",
        row["sender_name"] or "",
        row["sender_role"],
        messages.load("user", row["parts"]),
        row["model"] or "",
        row["received_at"],
    )
