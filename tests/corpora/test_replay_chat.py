"""Recorded traffic of Chat Completions through the adapter."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import ProviderError
from agent.providers import Completion
from tests.corpora import replay
from tests.corpora.replay import CUTS

ROWS = replay.rows("openai-chat")
DIFFERS = {
    "pr-0097": "the model refused: the refusal is the text a person reads, and the finish reason says so",
}

pytestmark = replay.needs_corpus


def check(row: dict[str, Any], text: str, reasoning: str, end: Completion | ProviderError) -> None:
    if row["id"] in DIFFERS:
        assert isinstance(end, Completion)
        assert (text, end.text, end.finish_reason) == (row["expected"]["refusal"], text, "refusal")
        return
    replay.check(row, text, reasoning, end)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
@pytest.mark.parametrize("how", CUTS)
async def test_row(row: dict[str, Any], how: str) -> None:
    check(row, *await replay.replay("chat-completions", row, how))


async def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    passed, failed = await replay.score("chat-completions", ROWS, check)
    with capsys.disabled():
        print(f"\nprovider_replay, openai-chat: {passed}/{len(ROWS)} rows; explained differences: {len(DIFFERS)}")
    assert not failed
