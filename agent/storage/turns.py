"""Turns: one run of the agent on one message, and how it ended."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from agent.events import Failure, TurnStatus
from agent.providers.types import NOTHING, Message, Reasoning, Text, ToolCall, ToolResult
from agent.storage import inbox, messages, outbox, usage
from agent.storage.inbox import Waiting
from agent.views import LOOKS, ReasoningItem, SentItem, TextItem, ToolItem, TurnItem, TurnRow, TurnView

_JOINED = Message("notice", (Text("Answered together with the message before."),))


def begin(db: sqlite3.Connection, conversation_id: int, inbox_id: int, model: str) -> int:
    """A new running turn."""
    cursor = db.execute(
        "INSERT INTO turns (conversation_id, inbox_id, status, model, started_at, seconds)"
        " VALUES (?, ?, 'running', ?, ?, 0)",
        (conversation_id, inbox_id, model, time.time()),
    )
    return int(cursor.lastrowid or 0)


def refused_question(db: sqlite3.Connection, conversation_id: int) -> int | None:
    """The inbox id of the last question, if a spending limit kept it from being answered."""
    row = db.execute(
        "SELECT inbox_id, failure FROM turns WHERE conversation_id = ? AND model != '' ORDER BY id DESC LIMIT 1",
        (conversation_id,),
    ).fetchone()
    if row is None or not row["failure"] or json.loads(row["failure"]).get("kind") != "budget":
        return None
    return int(row["inbox_id"])


def finish(
    db: sqlite3.Connection,
    turn_id: int,
    status: TurnStatus,
    *,
    model: str | None = None,
    seconds: float = 0.0,
    failure: Failure | None = None,
) -> None:
    """Note how it ended; `model` is the one that answered in the end."""
    db.execute(
        "UPDATE turns SET status = ?, model = COALESCE(?, model), seconds = ?, failure = ? WHERE id = ?",
        (status, model, seconds, json.dumps(asdict(failure)) if failure else None, turn_id),
    )


def set_sources(db: sqlite3.Connection, turn_id: int, sources: list[str]) -> None:
    """Note which untrusted texts it read."""
    if sources:
        db.execute("UPDATE turns SET sources = ? WHERE id = ?", (json.dumps(sources), turn_id))


def earlier_sources(db: sqlite3.Connection, conversation_id: int, turn_id: int) -> list[str]:
    """The untrusted texts that earlier turns read and that a model may still be shown: those since /new."""
    rows = db.execute(
        "SELECT DISTINCT t.sources FROM turns t JOIN conversations c ON c.id = t.conversation_id"
        " WHERE t.conversation_id = ? AND t.id < ? AND t.sources != '[]'"
        " AND EXISTS (SELECT 1 FROM messages m WHERE m.turn_id = t.id AND m.id >= c.context_from)"
        " ORDER BY t.id DESC LIMIT 50",
        (conversation_id, turn_id),
    )
    found = [f"{source} (read earlier)" for row in rows for source in json.loads(row["sources"])]
    return list(dict.fromkeys(found))[:20]


@dataclass(frozen=True, slots=True)
class Marks:
    """What is known of a turn besides its messages."""

    conversation_id: int
    started_at: float
    sources: tuple[str, ...]
    undone: bool


def marks(db: sqlite3.Connection, turn_id: int) -> Marks | None:
    """Of one turn; None when it does not exist."""
    row = db.execute("SELECT * FROM turns WHERE id = ?", (turn_id,)).fetchone()
    if row is None:
        return None
    sources = tuple(json.loads(row["sources"]))
    return Marks(row["conversation_id"], row["started_at"], sources, row["undone_at"] is not None)


def to_undo(
    db: sqlite3.Connection, turn_id: int | None, conversation_id: int | None, *, rewind: bool
) -> list[tuple[int, int]]:
    """(turn, conversation) of what an undo is about, the newest first: the turn, or with `rewind` it and all after it
    in its conversation; without a turn the last one that acted. Only those that acted and are not undone."""
    acted = (
        "SELECT t.id, t.conversation_id FROM turns t WHERE t.undone_at IS NULL AND t.status != 'running' AND EXISTS"
        " (SELECT 1 FROM effects e WHERE e.turn_id = t.id AND e.state != 'denied'"
        " AND e.kind IN ('write', 'execute', 'send', 'use'))"
    )
    if turn_id is None:
        row = db.execute(
            acted + " AND (:c IS NULL OR t.conversation_id = :c) ORDER BY t.id DESC LIMIT 1", {"c": conversation_id}
        ).fetchone()
        return [(row[0], row[1])] if row else []
    if not rewind:
        return [tuple(row) for row in db.execute(acted + " AND t.id = ?", (turn_id,))]
    later = " AND t.id >= :id AND t.conversation_id = (SELECT conversation_id FROM turns WHERE id = :id)"
    rows = db.execute(acted + later + " ORDER BY t.id DESC", {"id": turn_id})
    return [tuple(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose message a turn answers."""

    channel: str
    chat_id: str
    role: str
    name: str


def asker(db: sqlite3.Connection, turn_id: int) -> Asker | None:
    """Of one turn; None when it does not exist."""
    row = db.execute(
        "SELECT i.channel, i.chat_id, i.sender_role, i.sender_name FROM turns t"
        " JOIN inbox i ON i.id = t.inbox_id WHERE t.id = ?",
        (turn_id,),
    ).fetchone()
    return Asker(*row) if row else None


def mark_undone(db: sqlite3.Connection, turn_ids: Iterable[int]) -> None:
    """Note that what they did was taken back."""
    now = time.time()
    db.executemany("UPDATE turns SET undone_at = ? WHERE id = ?", [(now, turn_id) for turn_id in turn_ids])


def is_running(db: sqlite3.Connection, turn_id: int, inbox_id: int) -> bool:
    """Whether it is still there and not ended: its conversation may have been removed, even by another process."""
    row = db.execute(
        "SELECT 1 FROM turns WHERE id = ? AND inbox_id = ? AND status = 'running'", (turn_id, inbox_id)
    ).fetchone()
    return row is not None


def running_of(db: sqlite3.Connection, inbox_id: int) -> int | None:
    """The turn that was under way for a message."""
    row = db.execute(
        "SELECT id FROM turns WHERE inbox_id = ? AND status = 'running' ORDER BY id DESC LIMIT 1", (inbox_id,)
    ).fetchone()
    return int(row[0]) if row else None


def of_message(db: sqlite3.Connection, inbox_id: int) -> int | None:
    """The last turn on a message, however it ended."""
    row = db.execute("SELECT MAX(id) FROM turns WHERE inbox_id = ?", (inbox_id,)).fetchone()
    return int(row[0]) if row[0] is not None else None


def close_joined(db: sqlite3.Connection, item: Waiting, status: TurnStatus) -> None:
    """A message that another one's turn took along stands in the conversation as such."""
    own = begin(db, item.conversation_id, item.id, "")
    messages.append(db, item.conversation_id, own, [_JOINED])
    finish(db, own, status)
    inbox.finish(db, item.id)


def is_joined(db: sqlite3.Connection, turn_id: int) -> bool:
    """Whether it only says that another turn took the message along."""
    row = db.execute(
        "SELECT 1 FROM messages WHERE turn_id = ? AND role = 'notice' AND parts = ?", (turn_id, messages.dump(_JOINED))
    ).fetchone()
    return row is not None


def discard(db: sqlite3.Connection, turn_id: int) -> None:
    """Forget a turn that ended before it did anything, so that its message can be answered from the beginning."""
    db.execute("DELETE FROM messages WHERE turn_id = ?", (turn_id,))
    db.execute("DELETE FROM approvals WHERE turn_id = ?", (turn_id,))
    db.execute("DELETE FROM questions WHERE turn_id = ?", (turn_id,))
    db.execute("DELETE FROM effects WHERE turn_id = ?", (turn_id,))
    db.execute("UPDATE usage SET turn_id = NULL WHERE turn_id = ?", (turn_id,))
    db.execute("DELETE FROM turns WHERE id = ?", (turn_id,))


def timeline(db: sqlite3.Connection, conversation_id: int, before: int | None, limit: int) -> list[TurnView]:
    """What a window shows of a conversation: the last messages with everything done about them, oldest first. One that
    answered a question of a turn has none of its own and stands there."""
    rows = db.execute(
        _VIEW + " WHERE i.conversation_id = ? AND i.id < ? AND (t.id IS NOT NULL OR i.state != 'done')"
        " ORDER BY i.id DESC LIMIT ?",
        (conversation_id, before if before is not None else 1 << 62, limit),
    ).fetchall()
    return _views(db, list(reversed(rows)))


def view(db: sqlite3.Connection, turn_id: int) -> TurnView | None:
    """One turn as a window shows it."""
    found = _views(db, db.execute(_VIEW + " WHERE t.id = ?", (turn_id,)).fetchall())
    return found[0] if found else None


def recent(db: sqlite3.Connection, limit: int) -> list[TurnRow]:
    """The newest turns of all conversations."""
    rows = db.execute(
        "SELECT t.id, t.conversation_id, c.title, i.parts, t.status, t.model, t.started_at, t.seconds,"
        " COALESCE((SELECT SUM(cost_usd) FROM usage u WHERE u.turn_id = t.id), 0) AS cost"
        " FROM turns t JOIN inbox i ON i.id = t.inbox_id JOIN conversations c ON c.id = t.conversation_id"
        " ORDER BY t.id DESC LIMIT ?",
        (limit,),
    )
    return [
        TurnRow(
            row["id"],
            row["conversation_id"],
            row["title"],
            messages.load("user", row["parts"]).text,
            row["status"],
            row["model"],
            row["started_at"],
            row["seconds"],
            row["cost"],
        )
        for row in rows
    ]


_VIEW = (
    "SELECT i.id AS inbox_id, i.parts, i.sender_id, i.sender_name, i.received_at, t.id AS turn_id, t.status, t.model,"
    " t.seconds, t.failure, t.undone_at, EXISTS (SELECT 1 FROM effects e WHERE e.turn_id = t.id AND e.state != 'denied'"
    "   AND e.kind NOT IN <looks>) AS acted,"
    " (SELECT CASE WHEN o.uncertain AND o.state != 'failed' THEN 'uncertain'"
    "   WHEN o.state = 'sending' THEN 'waiting' WHEN o.state = 'dropped' THEN '' ELSE o.state END"
    "   FROM outbox o WHERE o.turn_id = t.id AND o.channel != 'local' ORDER BY o.id DESC LIMIT 1) AS delivery"
    " FROM inbox i LEFT JOIN turns t ON t.id = (SELECT MAX(id) FROM turns WHERE inbox_id = i.id)"
).replace("<looks>", str(LOOKS))


def _views(db: sqlite3.Connection, rows: list[sqlite3.Row]) -> list[TurnView]:
    turn_ids = [row["turn_id"] for row in rows if row["turn_id"] is not None]
    said = messages.of_turns(db, turn_ids)
    spent = usage.of_turns(db, turn_ids)
    effects = _effects(db, turn_ids)
    sent = outbox.shown(db, turn_ids)
    views = []
    for row in rows:
        turn_id = row["turn_id"]
        tokens, cost = spent.get(turn_id, (NOTHING, 0.0))
        views.append(
            TurnView(
                inbox_id=row["inbox_id"],
                turn_id=turn_id,
                question=messages.load("user", row["parts"]).text,
                sender_name=row["sender_name"] or "",
                asked_at=row["received_at"],
                status=row["status"] or "waiting",
                items=_items(
                    said.get(turn_id, []),
                    effects.get(turn_id, {}),
                    {call_id: item for (turn, call_id), item in sent.items() if turn == turn_id},
                ),
                model=row["model"] or "",
                usage=tokens,
                cost_usd=cost,
                seconds=row["seconds"] or 0.0,
                failure=Failure(**json.loads(row["failure"])) if row["failure"] else None,
                delivery=row["delivery"] or "",
                acted=bool(row["acted"]),
                undone=row["undone_at"] is not None,
                unasked=row["sender_id"] == "",
            )
        )
    return views


def _effects(db: sqlite3.Connection, turn_ids: list[int]) -> dict[int, dict[str, ToolItem]]:
    """What the receipts know of calls, by turn and call; that of a subagent has no other record."""
    found: dict[int, dict[str, ToolItem]] = {}
    marks = ",".join("?" * len(turn_ids))
    query = f"SELECT * FROM effects WHERE turn_id IN ({marks}) ORDER BY id"  # noqa: S608
    for row in db.execute(query, turn_ids):
        call_id, ended = row["call_id"], row["state"] != "begun"
        text = json.loads(row["detail"] or "{}").get("text", "") if ended else None
        ok = row["state"] == "done" if ended else None
        item = ToolItem(call_id, row["tool"], {}, row["summary"], text, ok, row["seconds"])
        found.setdefault(row["turn_id"], {})[call_id] = item
    return found


def _items(said: list[Message], effects: dict[str, ToolItem], sent: dict[str, SentItem]) -> tuple[TurnItem, ...]:
    results = {part.call_id: part for message in said for part in message.parts if isinstance(part, ToolResult)}
    items: list[TurnItem] = []
    for message in said:
        if message.role not in ("assistant", "notice"):
            continue
        for part in message.parts:
            match part:
                case Text(text):
                    items.append(TextItem(text))
                case Reasoning(text=text):
                    items.append(ReasoningItem(text))
                case ToolCall():
                    result = results.get(part.id)
                    effect = effects.get(part.id)
                    inner = (item for call_id, item in effects.items() if call_id.startswith(f"{part.id}/"))
                    items.append(
                        ToolItem(
                            part.id,
                            part.name,
                            part.arguments,
                            effect.summary if effect else part.name,
                            result.text if result else None,
                            result.ok if result else None,
                            effect.seconds if effect else None,
                            tuple(inner),
                        )
                    )
                    if part.id in sent:
                        items.append(sent[part.id])
    if "" in sent:  # from another conversation: by no call of this one
        items.append(sent[""])
    return tuple(items)
