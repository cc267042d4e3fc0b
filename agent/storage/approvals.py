"""Approvals: every question to a person and who answered it how."""

from __future__ import annotations

import json
import sqlite3
import time

from agent.events import Approval, ApprovalChoice


def asked(db: sqlite3.Connection, approval: Approval, action_hash: str) -> None:
    """Note the question before it is shown."""
    db.execute(
        "INSERT INTO approvals (id, conversation_id, turn_id, call_id, action_hash, tool, action, reason, asked_at,"
        " expires_at, sources) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            approval.id,
            approval.conversation_id,
            approval.turn_id,
            approval.call_id,
            action_hash,
            approval.tool,
            approval.action,
            approval.reason,
            time.time(),
            approval.expires_at,
            json.dumps(approval.sources),
        ),
    )


def decided(db: sqlite3.Connection, approval_id: str, choice: ApprovalChoice, by: str) -> None:
    """Note the answer, once."""
    db.execute(
        "UPDATE approvals SET choice = ?, decided_by = ?, decided_at = ? WHERE id = ? AND choice IS NULL",
        (choice, by, time.time(), approval_id),
    )


def withdraw(db: sqlite3.Connection, turn_id: int) -> None:
    """Nobody waits for an answer any more, for example after a crash: what is open is denied."""
    db.execute(
        "UPDATE approvals SET choice = 'deny', decided_by = 'restart', decided_at = ?"
        " WHERE turn_id = ? AND choice IS NULL",
        (time.time(), turn_id),
    )
