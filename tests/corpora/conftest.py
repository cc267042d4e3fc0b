"""Counts how the rows of security_cases.jsonl fare, and prints a table of it by kind at the end."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "security_cases.jsonl"
_FATES: dict[str, set[str]] = defaultdict(set)
"""What became of each row in the tests that use it: passed, failed, skipped."""


def _row_of(item: pytest.Item) -> dict[str, Any] | None:
    row = getattr(item, "callspec", None) and item.callspec.params.get("row")  # type: ignore[attr-defined]
    return row if isinstance(row, dict) and str(row.get("id", "")).startswith("sec-") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    row = _row_of(item)
    if row is not None and (report.when == "call" or report.outcome != "passed"):  # type: ignore[attr-defined]
        _FATES[row["id"]].add(report.outcome)  # type: ignore[attr-defined]
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _FATES or not CORPUS.exists():
        return
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        fates = _FATES.get(row["id"], {"not run"})
        counts[row["kind"]][next(one for one in ("failed", "skipped", "passed", "not run") if one in fates)] += 1
    terminalreporter.section("security cases")
    columns = ("passed", "failed", "skipped", "not run")
    terminalreporter.write_line(f"{'kind':24}{'rows':>6}" + "".join(f"{name:>9}" for name in columns))
    for kind, count in sorted(counts.items()):
        cells = "".join(f"{count[name]:>9}" for name in columns)
        terminalreporter.write_line(f"{kind:24}{count.total():>6}{cells}")
    total = sum(counts.values(), Counter())
    cells = "".join(f"{total[name]:>9}" for name in columns)
    terminalreporter.write_line(f"{'all':24}{total.total():>6}{cells}")
