"""Messages: what was said, part by part, as the model is shown it. Append-only."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable

from agent.providers.types import Message, part_from_json, part_to_json


def append(db: sqlite3.Connection, conversation_id: int, turn_id: int, messages: Iterable[Message]) -> None:
    """Add messages at the end of a conversation."""
    now = time.time()
    db.executemany(
        "INSERT INTO messages (conversation_id, turn_id, role, parts, created_at) VALUES (?, ?, ?, ?, ?)",
        [(conversation_id, turn_id, message.role, dump(message), now) for message in messages],
    )


def context(db: sqlite3.Connection, conversation_id: int, limit: int) -> list[Message]:
    """The last `limit` messages since the conversation was started afresh or summarised, oldest first, beginning with a
    person's.

    More when the last turn alone is longer. Turns of two processes in one conversation do not come out interleaved.
    """
    since = "(SELECT MAX(context_from, summary_upto + 1) FROM conversations WHERE id = :id)"
    kind = "role != 'notice'"
    rows = db.execute(
        f"SELECT turn_id, role, parts FROM messages WHERE conversation_id = :id AND {kind} AND id >= MAX({since},"  # noqa: S608
        f"  MIN(COALESCE((SELECT id FROM messages WHERE conversation_id = :id AND {kind} ORDER BY id DESC"
        f"    LIMIT 1 OFFSET :limit - 1), 0),"
        f"   COALESCE((SELECT MAX(id) FROM messages WHERE conversation_id = :id AND role = 'user'), 0)))"
        " ORDER BY id",
        {"id": conversation_id, "limit": limit},
    ).fetchall()
    rows.sort(key=lambda row: row["turn_id"])
    found = [load(row["role"], row["parts"]) for row in rows]
    while found and found[0].role != "user":
        del found[0]
    return found


def take_back(db: sqlite3.Connection, inbox_id: int, *, answered: bool = False) -> None:
    """A question that got no answer is asked again: the models are not shown it twice. The inbox keeps it. `answered`:
    also one that got one, which its person has reworded; the answer stays in view as words for people alone."""
    if answered:
        of_turns = "turn_id IN (SELECT id FROM turns WHERE inbox_id = ?)"
        db.execute(f"UPDATE messages SET role = 'notice' WHERE role = 'assistant' AND {of_turns}", (inbox_id,))  # noqa: S608
        db.execute(f"DELETE FROM messages WHERE role != 'notice' AND {of_turns}", (inbox_id,))  # noqa: S608
        return
    db.execute(
        "DELETE FROM messages WHERE turn_id IN (SELECT id FROM turns t WHERE inbox_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.turn_id = t.id AND m.role != 'user'))",
        (inbox_id,),
    )


def last_before(db: sqlite3.Connection, conversation_id: int, count: int) -> int:
    """The id of the message before the last `count`; 0 where there is none."""
    row = db.execute(
        "SELECT id FROM messages WHERE conversation_id = ? AND role != 'notice' ORDER BY id DESC LIMIT 1 OFFSET ?",
        (conversation_id, count),
    ).fetchone()
    return int(row[0]) if row is not None else 0


def of_turns(db: sqlite3.Connection, turn_ids: list[int]) -> dict[int, list[Message]]:
    """The messages of some turns, in order."""
    found: dict[int, list[Message]] = {turn_id: [] for turn_id in turn_ids}
    marks = ",".join("?" * len(turn_ids))
    rows = db.execute(f"SELECT turn_id, role, parts FROM messages WHERE turn_id IN ({marks}) ORDER BY id", turn_ids)  # noqa: S608
    for row in rows:
        found[row["turn_id"]].append(load(row["role"], row["parts"]))
    return found


def dump(message: Message) -> str:
    """The parts of a message as JSON; lone surrogates, which UTF-8 cannot carry, are replaced."""
    text = json.dumps([part_to_json(part) for part in message.parts], ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def load(role: str, parts: str) -> Message:
    """The reverse of `dump`."""
    return Message(role, tuple(part_from_json(part) for part in json.loads(parts)))  # type: ignore[arg-type]
