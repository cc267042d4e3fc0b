"""Recorded traffic of OpenAI's Responses through the adapter."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import ProviderError
from agent.providers import Completion
from agent.providers.types import FinishReason
from tests.corpora import replay
from tests.corpora.replay import CUTS

ROWS = replay.rows("openai-responses")
FINISH: dict[str, FinishReason] = {"completed": "stop", "complete": "stop", "queued": "stop"}

pytestmark = replay.needs_corpus


def check(row: dict[str, Any], text: str, reasoning: str, end: Completion | ProviderError) -> None:
    finish = FINISH | ({"completed": "tool_calls"} if row["expected"]["tool_calls"] else {})
    replay.check(row, text, reasoning, end, finish)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
@pytest.mark.parametrize("how", CUTS)
async def test_row(row: dict[str, Any], how: str) -> None:
    check(row, *await replay.replay("responses", row, how))


async def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    passed, failed = await replay.score("responses", ROWS, check)
    with capsys.disabled():
        print(f"\nprovider_replay, openai-responses: {passed}/{len(ROWS)} rows")
    assert not failed
