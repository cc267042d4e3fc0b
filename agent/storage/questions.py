"""Questions of the model to people, and what they answered."""

from __future__ import annotations

import json
import sqlite3
import time

from agent.events import Question


def asked(db: sqlite3.Connection, question: Question) -> None:
    """Note the question before it is shown."""
    db.execute(
        "INSERT INTO questions (id, conversation_id, turn_id, call_id, text, choices, asked_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            question.id,
            question.conversation_id,
            question.turn_id,
            question.call_id,
            question.text,
            json.dumps(question.choices),
            time.time(),
            question.expires_at,
        ),
    )


def answered(db: sqlite3.Connection, question_id: str, answer: str, by: str) -> None:
    """Note the answer, once."""
    db.execute(
        "UPDATE questions SET answer = ?, answered_by = ?, answered_at = ? WHERE id = ? AND answered_by IS NULL",
        (answer, by, time.time(), question_id),
    )


def withdraw(db: sqlite3.Connection, turn_id: int) -> None:
    """Nobody waits for an answer any more, for example after a crash."""
    db.execute(
        "UPDATE questions SET answer = '', answered_by = 'restart', answered_at = ?"
        " WHERE turn_id = ? AND answered_by IS NULL",
        (time.time(), turn_id),
    )
