"""Effects: the rows of a turn's receipt. An effect is committed as begun before anything happens."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any, Literal

from agent.views import LOOKS

State = Literal["begun", "done", "failed", "denied"]


def begin(
    db: sqlite3.Connection, turn_id: int, call_id: str, tool: str, kind: str, summary: str, detail: Mapping[str, Any]
) -> int:
    """Note what is about to happen."""
    cursor = db.execute(
        "INSERT INTO effects (turn_id, call_id, tool, kind, summary, detail, state, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 'begun', ?)",
        (turn_id, call_id, tool, kind, _utf8(summary), _json(detail), time.time()),
    )
    return int(cursor.lastrowid or 0)


def end(db: sqlite3.Connection, effect_id: int, state: State, seconds: float, detail: Mapping[str, Any]) -> None:
    """Note how it went; `detail` is added to what is known already."""
    row = db.execute("SELECT detail FROM effects WHERE id = ?", (effect_id,)).fetchone()
    known = json.loads(row["detail"] or "{}") if row else {}
    db.execute(
        "UPDATE effects SET state = ?, seconds = ?, detail = ? WHERE id = ?",
        (state, seconds, _json({**known, **detail}), effect_id),
    )


def of_turn(db: sqlite3.Connection, turn_id: int) -> list[Mapping[str, Any]]:
    """The receipt of a turn."""
    rows = db.execute("SELECT * FROM effects WHERE turn_id = ? ORDER BY id", (turn_id,))
    return [
        {
            "id": row["id"],
            "call_id": row["call_id"],
            "tool": row["tool"],
            "kind": row["kind"],
            "summary": row["summary"],
            "state": row["state"],
            "seconds": row["seconds"],
            "detail": json.loads(row["detail"] or "{}"),
        }
        for row in rows
    ]


def happened(db: sqlite3.Connection, turn_id: int) -> list[str]:
    """Summaries of what a turn did or may have done to the world. A request counts: an address may be one that acts."""
    return [row["summary"] for row in _not_denied(db, turn_id) if row["kind"] == "fetch" or row["kind"] not in LOOKS]


def changed(db: sqlite3.Connection, turn_id: int) -> bool:
    """Whether a turn did or may have done more than look."""
    return any(row["kind"] not in LOOKS for row in _not_denied(db, turn_id))


def _not_denied(db: sqlite3.Connection, turn_id: int) -> list[sqlite3.Row]:
    query = "SELECT kind, summary FROM effects WHERE turn_id = ? AND state != 'denied' ORDER BY id"
    return db.execute(query, (turn_id,)).fetchall()


def _json(detail: Mapping[str, Any]) -> str:
    return _utf8(json.dumps(detail, ensure_ascii=False))


def _utf8(text: str) -> str:
    """Lone surrogates, which a model may write as an escape and UTF-8 cannot carry, are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
