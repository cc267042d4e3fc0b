"""Recorded traffic of Gemini's generateContent through the adapter."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import ProviderError
from agent.providers import Completion
from agent.providers.types import FinishReason
from tests.corpora import replay
from tests.corpora.replay import CUTS

ROWS = replay.rows("gemini")
FINISH: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length"}

pytestmark = replay.needs_corpus


def check(row: dict[str, Any], text: str, reasoning: str, end: Completion | ProviderError) -> None:
    calls = bool(row["expected"]["tool_calls"])  # it has no finish reason of its own for them
    finish = FINISH | ({"STOP": "tool_calls", "UNEXPECTED_TOOL_CALL": "tool_calls"} if calls else {})
    replay.check(row, text, reasoning, end, finish)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
@pytest.mark.parametrize("how", CUTS)
async def test_row(row: dict[str, Any], how: str) -> None:
    check(row, *await replay.replay("gemini", row, how))


async def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    passed, failed = await replay.score("gemini", ROWS, check)
    with capsys.disabled():
        print(f"\nprovider_replay, gemini: {passed}/{len(ROWS)} rows")
    assert not failed
