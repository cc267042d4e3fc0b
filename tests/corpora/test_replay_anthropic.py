"""Recorded traffic of Anthropic's Messages through the adapter."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import ProviderError
from agent.providers import Completion
from agent.providers.types import FinishReason
from tests.corpora import replay
from tests.corpora.replay import CUTS

ROWS = replay.rows("anthropic-messages")
FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
}
RESTARTED = {
    "pr-0212": "another model began anew in the middle: what was shown stays shown, the answer is the second one",
}

pytestmark = replay.needs_corpus


def check(row: dict[str, Any], text: str, reasoning: str, end: Completion | ProviderError) -> None:
    if row["id"] in RESTARTED:
        assert isinstance(end, Completion)
        assert reasoning.endswith(end.reasoning)
        text, reasoning = end.text, end.reasoning
    replay.check(row, text, reasoning, end, FINISH)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
@pytest.mark.parametrize("how", CUTS)
async def test_row(row: dict[str, Any], how: str) -> None:
    check(row, *await replay.replay("anthropic-messages", row, how))


async def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    passed, failed = await replay.score("anthropic-messages", ROWS, check)
    with capsys.disabled():
        print(f"\nprovider_replay, anthropic-messages: {passed}/{len(ROWS)} rows")
    assert not failed
