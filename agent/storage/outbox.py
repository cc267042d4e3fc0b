"""The outbox: every answer for a channel, committed before it is sent."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.channels.channel import Button
from agent.views import SentItem, Undelivered

_SELECT = (
    "SELECT o.*, COALESCE(i.transport_id, '') AS reply_to FROM outbox o"
    " LEFT JOIN turns t ON t.id = o.turn_id LEFT JOIN inbox i ON i.id = t.inbox_id AND i.sender_id != ''"
)


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that has not been delivered. `uncertain`: it was being sent when the app died. `reply_to` is the
    transport id of the message that it answers, empty for none."""

    id: int
    conversation_id: int
    turn_id: int | None
    channel: str
    chat_id: str
    text: str
    created_at: float
    uncertain: bool
    attempts: int
    due_at: float
    files: tuple[Path, ...] = ()
    buttons: tuple[Button, ...] = ()
    reply_to: str = ""


def add(
    db: sqlite3.Connection,
    conversation_id: int,
    channel: str,
    chat_id: str,
    turn_id: int | None,
    text: str,
    *,
    files: Sequence[Path] = (),
    buttons: Sequence[Button] = (),
) -> int:
    """Queue an answer; it is due at once."""
    now = time.time()
    extras = {"files": [str(path) for path in files], "buttons": [asdict(button) for button in buttons]}
    cursor = db.execute(
        "INSERT INTO outbox (conversation_id, turn_id, channel, chat_id, text, created_at, state, uncertain, attempts,"
        " due_at, extras) VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0, 0, ?, ?)",
        (
            conversation_id,
            turn_id,
            channel,
            chat_id,
            text,
            now,
            now,
            json.dumps({key: value for key, value in extras.items() if value}),
        ),
    )
    return int(cursor.lastrowid or 0)


def keep_shown(
    db: sqlite3.Connection,
    conversation_id: int,
    chat_id: str,
    turn_id: int,
    call_id: str,
    text: str,
    files: Sequence[Path],
) -> None:
    """What a turn of the window sent to itself: there is nothing to deliver, it is shown below its call."""
    extras = {"files": [str(path) for path in files], "call_id": call_id}
    now = time.time()
    db.execute(
        "INSERT INTO outbox (conversation_id, turn_id, channel, chat_id, text, created_at, state, uncertain, attempts,"
        " due_at, extras) VALUES (?, ?, 'local', ?, ?, ?, 'sent', 0, 0, ?, ?)",
        (conversation_id, turn_id, chat_id, text, now, now, json.dumps(extras)),
    )


def shown(db: sqlite3.Connection, turn_ids: Sequence[int]) -> dict[tuple[int, str], SentItem]:
    """The same again, by turn and call."""
    marks = ",".join("?" * len(turn_ids))
    query = f"SELECT turn_id, text, extras FROM outbox WHERE channel = 'local' AND turn_id IN ({marks})"  # noqa: S608
    found = {}
    for row in db.execute(query, list(turn_ids)):
        extras = json.loads(row["extras"])
        files = tuple(map(Path, extras.get("files", ())))
        found[row["turn_id"], extras.get("call_id", "")] = SentItem(row["text"], files)
    return found


def waiting(db: sqlite3.Connection, channel: str) -> list[Pending]:
    """All undelivered answers of a channel in the order they were made."""
    rows = db.execute(f"{_SELECT} WHERE o.channel = ? AND o.state IN ('waiting', 'sending') ORDER BY o.id", (channel,))
    return [_pending(row) for row in rows]


def first(db: sqlite3.Connection, channel: str, chat_id: str) -> Pending | None:
    """The oldest undelivered answer of a chat."""
    row = db.execute(
        f"{_SELECT} WHERE o.channel = ? AND o.chat_id = ? AND o.state IN ('waiting', 'sending') ORDER BY o.id LIMIT 1",
        (channel, chat_id),
    ).fetchone()
    return _pending(row) if row else None


def get(db: sqlite3.Connection, outbox_id: int) -> Pending | None:
    """One answer that is not delivered yet, or None."""
    row = db.execute(f"{_SELECT} WHERE o.id = ? AND o.state IN ('waiting', 'sending')", (outbox_id,)).fetchone()
    return _pending(row) if row else None


def mark_sending(db: sqlite3.Connection, outbox_id: int) -> None:
    """Commit this before the transport is called: after a crash the answer is then known to be uncertain."""
    db.execute("UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ?", (outbox_id,))


def mark_sent(db: sqlite3.Connection, outbox_id: int, transport_ids: tuple[str, ...]) -> None:
    """It arrived."""
    db.execute(
        "UPDATE outbox SET state = 'sent', error = NULL, transport_ids = ? WHERE id = ?",
        (json.dumps(transport_ids), outbox_id),
    )


def mark_retry(db: sqlite3.Connection, outbox_id: int, error: str, due_at: float, *, uncertain: bool = False) -> None:
    """It did not arrive, or nobody knows (`uncertain`); try again at a Unix time."""
    db.execute(
        "UPDATE outbox SET state = 'waiting', error = ?, due_at = ?, uncertain = MAX(uncertain, ?) WHERE id = ?",
        (error, due_at, int(uncertain), outbox_id),
    )


def mark_failed(db: sqlite3.Connection, outbox_id: int, error: str) -> None:
    """It will not arrive; people see it as undelivered."""
    db.execute("UPDATE outbox SET state = 'failed', error = ? WHERE id = ?", (error, outbox_id))


def undelivered(db: sqlite3.Connection) -> list[Undelivered]:
    """What will not arrive by itself, the newest first."""
    rows = db.execute(
        "SELECT o.*, c.title FROM outbox o JOIN conversations c ON c.id = o.conversation_id WHERE o.state = 'failed'"
        " ORDER BY o.id DESC LIMIT 200"
    )
    return [
        Undelivered(
            row["id"],
            row["conversation_id"],
            row["title"],
            row["channel"],
            row["text"],
            row["created_at"],
            row["error"] or "",
        )
        for row in rows
    ]


def failed_of(db: sqlite3.Connection, turn_id: int) -> list[int]:
    """What did not arrive of a turn's answer."""
    return [row[0] for row in db.execute("SELECT id FROM outbox WHERE turn_id = ? AND state = 'failed'", (turn_id,))]


def again(db: sqlite3.Connection, outbox_id: int) -> Pending | None:
    """Try a failed answer once more, behind what waits in its chat; None when it is not failed."""
    now = time.time()
    cursor = db.execute(
        "UPDATE outbox SET state = 'waiting', attempts = 0, due_at = ?, created_at = ?, error = NULL"
        " WHERE id = ? AND state = 'failed'",
        (now, now, outbox_id),
    )
    return get(db, outbox_id) if cursor.rowcount else None


def give_up(db: sqlite3.Connection, outbox_id: int) -> bool:
    """A person does not want it delivered any more; whether it was failed."""
    cursor = db.execute("UPDATE outbox SET state = 'dropped' WHERE id = ? AND state = 'failed'", (outbox_id,))
    return bool(cursor.rowcount)


def undelivered_files(db: sqlite3.Connection) -> list[Path]:
    """The files of all that waits or did not arrive."""
    rows = db.execute("SELECT extras FROM outbox WHERE state IN ('waiting', 'sending', 'failed')")
    return [Path(path) for row in rows for path in json.loads(row["extras"]).get("files", ())]


def recover(db: sqlite3.Connection) -> list[int]:
    """After a crash: what was being sent waits again, marked as uncertain. Returns these ids."""
    rows = db.execute("SELECT id FROM outbox WHERE state = 'sending'").fetchall()
    db.execute("UPDATE outbox SET state = 'waiting', uncertain = 1 WHERE state = 'sending'")
    return [row[0] for row in rows]


def _pending(row: sqlite3.Row) -> Pending:
    extras = json.loads(row["extras"])
    return Pending(
        row["id"],
        row["conversation_id"],
        row["turn_id"],
        row["channel"],
        row["chat_id"],
        row["text"],
        row["created_at"],
        bool(row["uncertain"]),
        row["attempts"],
        row["due_at"],
        tuple(map(Path, extras.get("files", ()))),
        tuple(Button(**button) for button in extras.get("buttons", ())),
        row["reply_to"],
    )
