"""Pins: what a person looked at and accepted, by its hash; when it changes they are asked again."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """`content` is what was shown, so that a change can be shown as one."""

    name: str
    hash: str
    content: str


def of_kind(db: sqlite3.Connection, kind: str) -> dict[str, Pin]:
    """All of a kind ("mcp", "skill") by name."""
    rows = db.execute("SELECT name, hash, content FROM pins WHERE kind = ?", (kind,))
    return {row["name"]: Pin(row["name"], row["hash"], row["content"]) for row in rows}


def put(db: sqlite3.Connection, kind: str, pin: Pin) -> None:
    """Accept it, in place of what was accepted before."""
    db.execute(
        "INSERT INTO pins (kind, name, hash, content, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, name) DO UPDATE SET hash = excluded.hash, content = excluded.content, at = excluded.at",
        (kind, pin.name, pin.hash, pin.content, time.time()),
    )


def forget(db: sqlite3.Connection, kind: str, prefix: str) -> None:
    """Remove those whose names begin so."""
    db.execute("DELETE FROM pins WHERE kind = ? AND substr(name, 1, ?) = ?", (kind, len(prefix), prefix))
