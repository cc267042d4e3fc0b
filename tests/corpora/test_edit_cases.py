"""Edits that other projects' tests record: a quoted passage is replaced as expected, or the edit is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.errors import EditError
from agent.tools.editing import replace_text
from agent.tools.patching import apply, hunks_of

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "edit_cases.jsonl"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


DIFFERS = {
    "ed-109": "the recorded result has a line that stands neither in the file nor in the new text",
}
OURS = [row for row in rows() if row["format"] != "v4a_patch" and row["id"] not in DIFFERS]
PATCHES = [row for row in rows() if row["format"] == "v4a_patch"]


def outcome(row: dict[str, Any]) -> str | None:
    """The new text, or None for a refusal."""
    try:
        return replace_text(row["file_before"] or "", row["old"], row["new"], row["replace_all"])
    except EditError:
        return None


def fits(row: dict[str, Any], after: str | None) -> bool:
    if row["expected_error"] is not None:
        return after is None
    if "expected_contains" in row:
        return after is not None and row["expected_contains"] in after
    return after == row["expected_after"]


@pytest.mark.parametrize("row", OURS, ids=lambda row: row["id"])
def test_an_edit_gives_what_is_expected_or_is_refused(row: dict[str, Any]) -> None:
    after = outcome(row)
    if row["strictness"] == "must":
        assert fits(row, after)
    else:
        assert after is None or fits(row, after)


@pytest.mark.parametrize("row", PATCHES, ids=lambda row: row["id"])
def test_a_patch_gives_what_is_expected_or_is_refused(row: dict[str, Any]) -> None:
    try:
        after = apply(row["file_before"] or "", hunks_of(row["patch"]))
    except EditError:
        after = None
    assert after == row["expected_after"]


def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    good = Counter(row["strictness"] for row in OURS if fits(row, outcome(row)))
    total = Counter(row["strictness"] for row in OURS)
    with capsys.disabled():
        score = ", ".join(f"{kind} {good[kind]}/{total[kind]}" for kind in sorted(total))
        print(f"\nedit cases: {score}; {len(rows()) - len(OURS) - len(PATCHES)} rows are not judged")
    assert good["must"] == total["must"]
