"""The schema of trayclaw.db as numbered migrations. Append only: what was released is never edited.

Times are Unix seconds (UTC). `SCHEMA_VERSION` is kept in `PRAGMA user_version` as well, so that a start with nothing to
migrate need not load sqlite-utils, and a database of a newer TrayClaw is recognised.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from agent.errors import StorageError

if TYPE_CHECKING:
    from sqlite_utils.migrations import Migrations

SCHEMA_VERSION = 4


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to this version. Raises `StorageError` for one that a newer TrayClaw wrote."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == SCHEMA_VERSION:
        return
    if found > SCHEMA_VERSION:
        raise StorageError(
            f"The database was written by a newer TrayClaw (schema {found}, this one knows {SCHEMA_VERSION}).",
            hint="Install the newer TrayClaw again, or restore a backup that this version wrote.",
        )
    import sqlite_utils

    # Two processes may come to a new file at the same moment: the second one waits here and finds it done.
    connection.execute("BEGIN IMMEDIATE")
    try:
        _migrations().apply(sqlite_utils.Database(connection, execute_plugins=False))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _migrations() -> Migrations:
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("trayclaw")

    @migrations()
    def m001_first_light(db: sqlite_utils.Database) -> None:
        db.table("conversations").create(
            {
                "id": int,
                "channel": str,
                "chat_id": str,
                "title": str,
                "model": str,
                "created_at": float,
                "updated_at": float,
                "preview": str,
                "context_from": int,  # messages with a smaller id belong to the time before /new
            },
            pk="id",
            not_null={"channel", "chat_id", "title", "model", "created_at", "updated_at", "preview", "context_from"},
        )
        db.table("conversations").create_index(["channel", "chat_id"], unique=True)
        db.table("conversations").create_index(["updated_at"])

        db.table("inbox").create(
            {
                "id": int,
                "conversation_id": int,
                "channel": str,
                "transport_id": str,
                "chat_id": str,
                "sender_id": str,
                "sender_name": str,
                "sender_role": str,
                "parts": str,
                "model": str,
                "received_at": float,
                "state": str,  # waiting | working | done
                "owner": str,  # the process that works on it
            },
            pk="id",
            not_null={"conversation_id", "channel", "transport_id", "parts", "received_at", "state"},
            foreign_keys=[("conversation_id", "conversations", "id")],
        )
        db.table("inbox").create_index(["channel", "transport_id"], unique=True)
        db.table("inbox").create_index(["conversation_id", "id"])
        db.table("inbox").create_index(["state"])

        db.table("turns").create(
            {
                "id": int,
                "conversation_id": int,
                "inbox_id": int,
                "status": str,  # running, or a TurnStatus
                "model": str,
                "started_at": float,
                "seconds": float,
                "failure": str,
            },
            pk="id",
            not_null={"conversation_id", "inbox_id", "status", "model", "started_at", "seconds"},
            foreign_keys=[("conversation_id", "conversations", "id"), ("inbox_id", "inbox", "id")],
        )
        db.table("turns").create_index(["inbox_id"])
        db.table("turns").create_index(["conversation_id", "id"])

        db.table("messages").create(
            {
                "id": int,
                "conversation_id": int,
                "turn_id": int,
                "role": str,
                "parts": str,
                "created_at": float,
            },
            pk="id",
            not_null={"conversation_id", "turn_id", "role", "parts", "created_at"},
            foreign_keys=[("conversation_id", "conversations", "id"), ("turn_id", "turns", "id")],
        )
        db.table("messages").create_index(["conversation_id", "id"])
        db.table("messages").create_index(["turn_id"])

        db.table("outbox").create(
            {
                "id": int,
                "conversation_id": int,
                "turn_id": int,
                "channel": str,
                "chat_id": str,
                "text": str,
                "created_at": float,
                "state": str,  # waiting | sending | sent | failed
                "uncertain": int,  # 1: it was being sent when the app died, so it may arrive twice
                "attempts": int,
                "due_at": float,
                "error": str,
                "transport_ids": str,
            },
            pk="id",
            not_null={"conversation_id", "channel", "chat_id", "text", "created_at", "state", "due_at"},
            foreign_keys=[("conversation_id", "conversations", "id")],
        )
        db.table("outbox").create_index(["state", "channel", "due_at"])
        db.table("outbox").create_index(["conversation_id", "id"])
        db.table("outbox").create_index(["turn_id"])

        db.table("usage").create(
            {
                "id": int,
                "conversation_id": int,
                "turn_id": int,
                "provider": str,
                "model": str,
                "purpose": str,
                "started_at": float,
                "seconds": float,
                "outcome": str,
                "input_tokens": int,
                "output_tokens": int,
                "cache_read_tokens": int,
                "cache_write_tokens": int,
                "reasoning_tokens": int,
                "cost_usd": float,
                "price_known": int,
            },
            pk="id",
            not_null={"provider", "model", "purpose", "started_at", "outcome", "cost_usd"},
        )
        db.table("usage").create_index(["started_at"])
        db.table("usage").create_index(["turn_id"])

        db.table("effects").create(
            {
                "id": int,
                "turn_id": int,
                "call_id": str,
                "tool": str,
                "kind": str,
                "summary": str,
                "detail": str,
                "state": str,  # begun | done | failed | denied
                "seconds": float,
                "created_at": float,
            },
            pk="id",
            not_null={"turn_id", "call_id", "tool", "kind", "summary", "state", "created_at"},
            foreign_keys=[("turn_id", "turns", "id")],
        )
        db.table("effects").create_index(["turn_id"])

        db.table("approvals").create(
            {
                "id": str,
                "conversation_id": int,
                "turn_id": int,
                "call_id": str,
                "action_hash": str,
                "tool": str,
                "action": str,
                "reason": str,
                "asked_at": float,
                "expires_at": float,
                "choice": str,
                "decided_by": str,
                "decided_at": float,
            },
            pk="id",
            not_null={"conversation_id", "turn_id", "action_hash", "tool", "action", "asked_at", "expires_at"},
        )
        db.table("approvals").create_index(["turn_id"])

        db.table("people").create(
            {"channel": str, "user_id": str, "chat_id": str, "name": str, "role": str, "since": float},
            pk=("channel", "user_id"),
            not_null={"name", "role", "since"},
        )
        db.table("pairing_requests").create(
            {
                "code": str,
                "channel": str,
                "user_id": str,
                "chat_id": str,
                "name": str,
                "asked_at": float,
                "expires_at": float,
                "state": str,  # pending | approved | denied
            },
            pk="code",
            not_null={"channel", "user_id", "chat_id", "name", "asked_at", "expires_at", "state"},
        )
        db.table("pairing_requests").create_index(["channel", "user_id"])
        db.table("pairing_requests").create_index(["state"])

    @migrations()
    def m002_every_model(db: sqlite_utils.Database) -> None:
        conversations = db.table("conversations")
        conversations.add_column("summary", str, not_null_default="")
        conversations.add_column("summary_upto", int, not_null_default=0)  # a message id; the summary stands up to it
        conversations.add_column("daily_usd", float)
        usage = db.table("usage")
        usage.add_column("channel", str, not_null_default="")  # counts on when the conversation is removed
        db.execute(
            "UPDATE usage SET channel = COALESCE("
            "(SELECT channel FROM conversations c WHERE c.id = usage.conversation_id), '')"
        )
        usage.create_index(["conversation_id", "started_at"])
        usage.create_index(["channel", "started_at"])
        # For one day ("2026-03-01") or month ("2026-03") only. `scope`: all, channel:NAME, conversation:ID.
        db.table("limit_raises").create(
            {"scope": str, "period": str, "at": str, "usd": float},
            pk=("scope", "period", "at"),
            not_null={"usd"},
        )
        db.table("limit_notices").create({"scope": str, "period": str, "at": str}, pk=("scope", "period", "at"))

    @migrations()
    def m003_hands(db: sqlite_utils.Database) -> None:
        db.table("approvals").add_column("sources", str, not_null_default="[]")
        db.table("turns").add_column("sources", str, not_null_default="[]")  # untrusted texts that were read
        db.table("turns").add_column("undone_at", float)
        db.table("grants").create(
            {
                "id": int,
                "kind": str,
                "effect": str,
                "value": str,
                "words": str,
                "conversation_id": int,
                "created_at": float,
                "by": str,
                "used_at": float,
            },
            pk="id",
            not_null={"kind", "effect", "value", "words", "created_at", "by"},
        )
        db.table("receipts").create(
            {"id": int, "turn_id": int, "body": str, "previous": str, "hash": str, "created_at": float},
            pk="id",
            not_null={"turn_id", "body", "previous", "hash", "created_at"},
        )
        db.table("receipts").create_index(["turn_id"])
        db.table("pins").create(  # what a person looked at and accepted: a skill, the tools of an MCP server
            {"kind": str, "name": str, "hash": str, "content": str, "at": float},
            pk=("kind", "name"),
            not_null={"hash", "content", "at"},
        )

    @migrations()
    def m004_channels(db: sqlite_utils.Database) -> None:
        db.table("outbox").add_column("extras", str, not_null_default="{}")  # files and buttons
        conversations = db.table("conversations")
        conversations.add_column("queue_mode", str, not_null_default="")  # "" is the default of the settings
        conversations.add_column("safety_mode", str, not_null_default="")
        db.table("channel_notes").create(
            {"channel": str, "key": str, "value": str}, pk=("channel", "key"), not_null={"value"}
        )
        db.table("groups").create(  # groups that an owner enabled
            {"channel": str, "group_id": str, "title": str, "enabled_by": str, "since": float},
            pk=("channel", "group_id"),
            not_null={"title", "enabled_by", "since"},
        )
        db.table("questions").create(  # of the model to a person
            {
                "id": str,
                "conversation_id": int,
                "turn_id": int,
                "call_id": str,
                "text": str,
                "choices": str,
                "asked_at": float,
                "expires_at": float,
                "answer": str,
                "answered_by": str,
                "answered_at": float,
            },
            pk="id",
            not_null={"conversation_id", "turn_id", "call_id", "text", "choices", "asked_at", "expires_at"},
        )
        db.table("questions").create_index(["turn_id"])

    return migrations
