"""What was spent as CSV (RFC 4180) or JSON lines, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any, Final, TextIO

from agent.views import UsageLine

COLUMNS: Final = (
    "date",
    "llm",
    "model",
    "module",
    "tokens_in",
    "tokens_out",
    "cost_usd",
    "duration_min",
    "calls",
    "failed",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "price",
    "conversation",
)
"""The first eight are what a ledger of language models usually has, in its order; the others come after."""


def record(line: UsageLine) -> dict[str, Any]:
    """A line by the names of `COLUMNS`. Money in USD, time in minutes."""
    usage = line.usage
    values = (
        line.day,
        line.provider,
        line.model,
        line.purpose,
        usage.input_tokens,
        usage.output_tokens,
        round(line.cost_usd, 8),
        round(line.seconds / 60, 4),
        line.calls,
        line.failed,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        "known" if line.price_known else "estimated",
        line.conversation,
    )
    return dict(zip(COLUMNS, values, strict=True))


def write_csv(lines: Iterable[UsageLine], file: TextIO) -> None:
    """A heading and a row for each line. Open the file with `newline=""`."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for line in lines:
        row = record(line)
        row["cost_usd"] = f"{line.cost_usd:.8f}".rstrip("0").rstrip(".")
        writer.writerow([_cell(value) for value in row.values()])


def write_json(lines: Iterable[UsageLine], file: TextIO) -> None:
    """One JSON object a line."""
    for line in lines:
        file.write(json.dumps(record(line), ensure_ascii=False) + "\n")


def _cell(value: Any) -> Any:
    """A spreadsheet would run a text that begins like a formula, and titles come from messages."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
