"""Receipts: what every turn did, each sealed with the hash of the one before."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any

from agent.storage import effects


def append(db: sqlite3.Connection, turn_id: int, body: Mapping[str, Any]) -> str:
    """Seal what a turn did; its hash. Called in the transaction that ends the turn."""
    last = db.execute("SELECT hash FROM receipts ORDER BY id DESC LIMIT 1").fetchone()
    previous = last["hash"] if last else ""
    text = json.dumps(body, sort_keys=True)
    sealed = _seal(previous, text)
    db.execute(
        "INSERT INTO receipts (turn_id, body, previous, hash, created_at) VALUES (?, ?, ?, ?, ?)",
        (turn_id, text, previous, sealed, time.time()),
    )
    return sealed


def body(
    turn_id: int, status: str, model: str, sources: Iterable[str], rows: Iterable[Mapping[str, Any]], cost_usd: float
) -> dict[str, Any]:
    """What is sealed: how the turn ended, and a digest of each of its effects."""
    return {
        "turn": turn_id,
        "status": status,
        "model": model,
        "sources": list(sources),
        "effects": [digest(row) for row in rows],
        "cost_usd": cost_usd,
    }


def digest(row: Mapping[str, Any]) -> str:
    """The hash of one row of a receipt."""
    exact = [row["tool"], row["kind"], row["summary"], row["state"], row["detail"]]
    return hashlib.sha256(json.dumps(exact, sort_keys=True).encode()).hexdigest()


def of_turn(db: sqlite3.Connection, turn_id: int) -> tuple[str, bool]:
    """(hash, whether it still says what happened: its seal, the one before it, and the rows it was made from)."""
    row = db.execute("SELECT * FROM receipts WHERE turn_id = ? ORDER BY id DESC LIMIT 1", (turn_id,)).fetchone()
    if row is None:
        return "", True
    before = db.execute("SELECT hash FROM receipts WHERE id < ? ORDER BY id DESC LIMIT 1", (row["id"],)).fetchone()
    known = json.loads(row["body"])
    holds = (
        row["hash"] == _seal(row["previous"], row["body"])
        and row["previous"] == (before["hash"] if before else "")
        and known["effects"] == [digest(effect) for effect in effects.of_turn(db, turn_id)]
    )
    return str(row["hash"]), holds


def first_broken(db: sqlite3.Connection) -> int | None:
    """The id of the first receipt whose seal does not hold; None when the whole chain does."""
    previous = ""
    for row in db.execute("SELECT * FROM receipts ORDER BY id"):
        if row["previous"] != previous or row["hash"] != _seal(previous, row["body"]):
            return int(row["id"])
        previous = row["hash"]
    return None


def _seal(previous: str, text: str) -> str:
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
