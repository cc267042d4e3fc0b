"""Usage: every call of a model with its tokens and its price."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.providers.types import Usage
from agent.views import UsageDay, UsageLine, UsageRow

By = Literal["model", "day", "conversation", "purpose"]

_SUMS = (
    "COUNT(*) AS calls, SUM(input_tokens) AS i, SUM(output_tokens) AS o, SUM(cache_read_tokens) AS r,"
    " SUM(cache_write_tokens) AS w, SUM(reasoning_tokens) AS t, SUM(cost_usd) AS cost, SUM(u.seconds) AS seconds"
)
_GROUPS = {
    "purpose": "u.purpose",
    "model": "u.provider || CASE u.model WHEN '' THEN '' ELSE '/' || u.model END",
    "day": "date(u.started_at, 'unixepoch', 'localtime')",
    "conversation": "COALESCE(NULLIF(c.title, ''), 'conversation ' || u.conversation_id, 'none')",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model. `seconds` is its duration, `outcome` "ok" or the kind of its error."""

    provider: str
    model: str
    purpose: str
    started_at: float
    seconds: float
    outcome: str
    usage: Usage
    cost_usd: float
    price_known: bool
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """USD of the current day and month, by what they count for: all, channel:NAME, conversation:ID.

    `last_row` is the number of the last call in it.
    """

    by_scope: Mapping[str, tuple[float, float]]
    last_row: int


def add(db: sqlite3.Connection, conversation_id: int | None, turn_id: int | None, call: Call) -> int:
    """Put a call on the record; the number of its row."""
    tokens = call.usage
    cursor = db.execute(
        "INSERT INTO usage (conversation_id, turn_id, provider, model, purpose, started_at, seconds, outcome,"
        " input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd, price_known,"
        " channel)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation_id,
            turn_id,
            call.provider,
            call.model,
            call.purpose,
            call.started_at,
            call.seconds,
            call.outcome,
            tokens.input_tokens,
            tokens.output_tokens,
            tokens.cache_read_tokens,
            tokens.cache_write_tokens,
            tokens.reasoning_tokens,
            call.cost_usd,
            call.price_known,
            call.channel,
        ),
    )
    return int(cursor.lastrowid or 0)


def of_turns(db: sqlite3.Connection, turn_ids: list[int]) -> dict[int, tuple[Usage, float]]:
    """Tokens and USD of some turns."""
    marks = ",".join("?" * len(turn_ids))
    rows = db.execute(f"SELECT turn_id, {_SUMS} FROM usage u WHERE turn_id IN ({marks}) GROUP BY turn_id", turn_ids)  # noqa: S608
    return {row["turn_id"]: (_tokens(row), row["cost"]) for row in rows}


def totals(db: sqlite3.Connection, since: float, by: By) -> list[UsageRow]:
    """Sums by group since a Unix time, the dearest first (days: the newest first)."""
    apart = ", u.conversation_id" if by == "conversation" else ""  # two of one title are two
    order = "grp DESC" if by == "day" else "cost DESC, calls DESC"
    rows = db.execute(
        f"SELECT {_GROUPS[by]} AS grp, {_SUMS} FROM usage u LEFT JOIN conversations c ON c.id = u.conversation_id"  # noqa: S608
        f" WHERE u.started_at >= ? GROUP BY grp{apart} ORDER BY {order}",
        (since,),
    )
    return [UsageRow(row["grp"], row["calls"], _tokens(row), row["cost"], row["seconds"] or 0.0) for row in rows]


def days(db: sqlite3.Connection, since: float) -> list[UsageDay]:
    """What each model cost on each day since a Unix time; the oldest day first, the dearest model first."""
    rows = db.execute(
        f"SELECT {_GROUPS['day']} AS day, {_GROUPS['model']} AS grp, {_SUMS} FROM usage u WHERE u.started_at >= ?"  # noqa: S608
        " GROUP BY day, grp ORDER BY day, cost DESC, calls DESC",
        (since,),
    )
    return [UsageDay(row["day"], row["grp"], row["calls"], _tokens(row), row["cost"]) for row in rows]


def lines(db: sqlite3.Connection, since: float, *, by_conversation: bool) -> list[UsageLine]:
    """The lines of the export since a Unix time, the oldest day first."""
    conversation, conversation_id = (_GROUPS["conversation"], "u.conversation_id") if by_conversation else ("''", "''")
    rows = db.execute(
        f"SELECT {_GROUPS['day']} AS day, u.provider, u.model, u.purpose, {conversation} AS conversation, {_SUMS},"  # noqa: S608
        " SUM(u.outcome NOT IN ('ok', 'stopped')) AS failed, MIN(u.price_known) AS known"
        " FROM usage u LEFT JOIN conversations c ON c.id = u.conversation_id"
        f" WHERE u.started_at >= ? GROUP BY day, u.provider, u.model, u.purpose, {conversation_id}"
        " ORDER BY day, u.provider, u.model, u.purpose, conversation",
        (since,),
    )
    return [
        UsageLine(
            row["day"],
            row["provider"],
            row["model"],
            row["purpose"],
            row["conversation"],
            row["calls"],
            row["failed"],
            _tokens(row),
            row["cost"],
            row["seconds"] or 0.0,
            bool(row["known"]),
        )
        for row in rows
    ]


def spent_by_scope(db: sqlite3.Connection, day: float, month: float) -> Spent:
    """What was spent since the Unix times `day` and `month`. One statement, so that all of it is of one moment."""
    found: dict[str, tuple[float, float]] = {}
    last_row = 0
    rows = db.execute(
        "SELECT conversation_id, channel, MAX(id) AS last_row, SUM(cost_usd) AS of_month,"
        " SUM(CASE WHEN started_at >= :day THEN cost_usd ELSE 0 END) AS of_day"
        " FROM usage WHERE started_at >= :month GROUP BY conversation_id, channel",
        {"day": day, "month": month},
    )
    for row in rows:
        last_row = max(last_row, row["last_row"])
        scopes = ["all"]
        if row["channel"]:
            scopes.append(f"channel:{row['channel']}")
        if row["conversation_id"] is not None:
            scopes.append(f"conversation:{row['conversation_id']}")
        for scope in scopes:
            of_day, of_month = found.get(scope, (0.0, 0.0))
            found[scope] = of_day + row["of_day"], of_month + row["of_month"]
    return Spent(found, last_row)


def _tokens(row: sqlite3.Row) -> Usage:
    return Usage(row["i"] or 0, row["o"] or 0, row["r"] or 0, row["w"] or 0, row["t"] or 0)
