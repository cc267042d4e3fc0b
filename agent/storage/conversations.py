"""Conversations: one per chat of a channel."""

from __future__ import annotations

import sqlite3
import time
from typing import Literal

from agent.settings import QueueMode
from agent.views import Conversation

LOCAL = "local"
"""The channel of the window and the terminal."""

_PREVIEW_CHARS = 120
_TITLE_CHARS = 60


def ensure(db: sqlite3.Connection, channel: str, chat_id: str, title: str = "") -> int:
    """The id of the conversation of that chat, created when new."""
    if (found := known(db, channel, chat_id)) is not None:
        return found
    now = time.time()
    cursor = db.execute(
        "INSERT INTO conversations (channel, chat_id, title, model, created_at, updated_at, preview, context_from)"
        " VALUES (?, ?, ?, '', ?, ?, '', 0)",
        (channel, chat_id, title, now, now),
    )
    return int(cursor.lastrowid or 0)


def known(db: sqlite3.Connection, channel: str, chat_id: str) -> int | None:
    """The id of the conversation of that chat, None when there is none."""
    row = db.execute("SELECT id FROM conversations WHERE channel = ? AND chat_id = ?", (channel, chat_id)).fetchone()
    return int(row[0]) if row is not None else None


def touch(db: sqlite3.Connection, conversation_id: int, preview: str) -> None:
    """Note that something was said; the first words also become the title of a conversation that has none."""
    line = _line(preview)
    title = first_words(preview)
    db.execute(
        "UPDATE conversations SET updated_at = ?, preview = ?, title = CASE title WHEN '' THEN ? ELSE title END"
        " WHERE id = ?",
        (time.time(), line[:_PREVIEW_CHARS], title, conversation_id),
    )


def first_words(text: str) -> str:
    """The title of a conversation that begins with this."""
    line = _line(text)
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 1].rstrip() + "…"


def _line(text: str) -> str:
    return " ".join(text[: _PREVIEW_CHARS * 2].split())


def get(db: sqlite3.Connection, conversation_id: int) -> Conversation | None:
    """One conversation, or None."""
    row = db.execute("SELECT * FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    return _view(row) if row is not None else None


def find(db: sqlite3.Connection, query: str = "", limit: int = 200) -> list[Conversation]:
    """Newest first; with a query, those whose title or messages contain it (case-insensitive for ASCII)."""
    if not query:
        rows = db.execute("SELECT * FROM conversations ORDER BY updated_at DESC LIMIT ?", (limit,))
        return [_view(row) for row in rows]
    pattern = "%" + query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = db.execute(
        "SELECT * FROM conversations c WHERE title LIKE :q ESCAPE '\\' OR EXISTS ("
        "  SELECT 1 FROM messages m, json_each(m.parts) p WHERE m.conversation_id = c.id"
        "  AND json_extract(p.value, '$.type') = 'text' AND json_extract(p.value, '$.text') LIKE :q ESCAPE '\\')"
        " ORDER BY updated_at DESC LIMIT :limit",
        {"q": pattern, "limit": limit},
    )
    return [_view(row) for row in rows]


def rename(db: sqlite3.Connection, conversation_id: int, title: str) -> None:
    """Give it another title."""
    db.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, conversation_id))


def retitle(db: sqlite3.Connection, conversation_id: int, before: str, title: str) -> bool:
    """Give it another title, unless it has changed meanwhile; whether that was done."""
    changed = db.execute(
        "UPDATE conversations SET title = ? WHERE id = ? AND title = ?", (title, conversation_id, before)
    )
    return changed.rowcount > 0


def summary(db: sqlite3.Connection, conversation_id: int) -> str:
    """Notes that stand for what was said up to `summary_upto`; empty where there are none."""
    row = db.execute("SELECT summary FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    return str(row[0]) if row is not None else ""


def set_summary(db: sqlite3.Connection, conversation_id: int, text: str, upto: int) -> None:
    """From now on the notes stand for the messages up to that id, which stay in the database."""
    db.execute("UPDATE conversations SET summary = ?, summary_upto = ? WHERE id = ?", (text, upto, conversation_id))


def set_model(db: sqlite3.Connection, conversation_id: int, model: str) -> None:
    """The model of this conversation; empty for the default one."""
    db.execute("UPDATE conversations SET model = ? WHERE id = ?", (model, conversation_id))


def queue_mode(db: sqlite3.Connection, conversation_id: int) -> QueueMode | Literal[""]:
    """How messages wait in it; "" as the settings say."""
    row = db.execute("SELECT queue_mode FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    mode: QueueMode | Literal[""] = row[0] if row is not None else ""
    return mode


def set_modes(
    db: sqlite3.Connection, conversation_id: int, *, queue: str | None = None, safety: str | None = None
) -> None:
    """How messages wait in it, and how much happens unasked; "" as the settings say, None as it is."""
    db.execute(
        "UPDATE conversations SET queue_mode = COALESCE(?, queue_mode), safety_mode = COALESCE(?, safety_mode)"
        " WHERE id = ?",
        (queue, safety, conversation_id),
    )


def start_afresh(db: sqlite3.Connection, conversation_id: int) -> None:
    """What was said until now is no longer shown to the model; it stays in the database."""
    db.execute(
        "UPDATE conversations SET summary = '', summary_upto = 0, context_from ="
        " (SELECT COALESCE(MAX(id), 0) + 1 FROM messages WHERE conversation_id = :id) WHERE id = :id",
        {"id": conversation_id},
    )


def delete(db: sqlite3.Connection, conversation_id: int) -> None:
    """Remove a conversation with all that belongs to it; what it cost stays on the record."""
    of_turn = "turn_id IN (SELECT id FROM turns WHERE conversation_id = ?)"
    # Numbers of rows are given again: what remains must not be counted as somebody else's.
    db.execute("UPDATE usage SET conversation_id = NULL, turn_id = NULL WHERE conversation_id = ?", (conversation_id,))
    for statement in (
        f"DELETE FROM effects WHERE {of_turn}",  # noqa: S608 - a constant
        "DELETE FROM approvals WHERE conversation_id = ?",
        "DELETE FROM questions WHERE conversation_id = ?",
        "DELETE FROM outbox WHERE conversation_id = ?",
        "DELETE FROM messages WHERE conversation_id = ?",
        "DELETE FROM turns WHERE conversation_id = ?",
        "DELETE FROM inbox WHERE conversation_id = ?",
        "DELETE FROM conversations WHERE id = ?",
    ):
        db.execute(statement, (conversation_id,))


def _view(row: sqlite3.Row) -> Conversation:
    return Conversation(
        row["id"],
        row["channel"],
        row["chat_id"],
        row["title"],
        row["model"],
        row["created_at"],
        row["updated_at"],
        row["preview"],
        queue_mode=row["queue_mode"],
        safety_mode=row["safety_mode"],
    )
