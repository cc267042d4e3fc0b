"""Mails and texts of other projects' tests: at least nine of ten replies are found to the letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.channels.email import extract_reply

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "email_replies.jsonl"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")

MUST = 0.9


def rows() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def test_replies_are_found_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    exact = [row for row in rows() if row["expected_reply"] is not None]
    wrong = [row["id"] for row in exact if extract_reply(row["raw"].encode()) != row["expected_reply"].strip()]
    with capsys.disabled():
        print(f"\nemail_replies: {len(exact) - len(wrong)} of {len(exact)} replies exact; wrong: {wrong or 'none'}")
    assert len(wrong) <= (1 - MUST) * len(exact)


@pytest.mark.parametrize(
    "row", [one for one in rows() if "must_contain" in one or "must_not_contain" in one], ids=lambda row: row["id"]
)
def test_what_must_stay_stays_and_what_must_go_is_gone(row: dict[str, Any]) -> None:
    reply = extract_reply(row["raw"].encode())
    assert [text for text in row.get("must_contain", []) if text not in reply] == []
    assert [text for text in row.get("must_not_contain", []) if text in reply] == []
