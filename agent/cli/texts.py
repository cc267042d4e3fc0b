"""Times and tables in words, for the commands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from agent.cli.safe import visible


def when(timestamp: float) -> str:
    """`2026-03-01 14:05` in local time."""
    return datetime.fromtimestamp(timestamp).astimezone().strftime("%Y-%m-%d %H:%M")


def ago(timestamp: float, now: float | None = None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, else the date."""
    seconds = (time.time() if now is None else now) - timestamp
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    return when(timestamp)[:10]


def table(rows: Iterable[Sequence[object]], heads: Sequence[str] = ()) -> str:
    """Columns for terminals and pipes alike; the last one is as long as it is."""
    lines = [list(heads)] if heads else []
    lines += [[visible(str(cell), one_line=True) for cell in row] for row in rows]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def shorten(text: str, length: int) -> str:
    """One line of at most `length` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
