"""Recorded provider traffic through the adapters: every openai-chat row, whole, in single bytes, in random pieces.

`fidelity` says how a body was kept. Where the recording itself differs from what an adapter must say, `DIFFERS` names
the row and the reason.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.errors import ProviderError
from agent.providers import Completion, Finished, ReasoningDelta, TextDelta, connect, user
from agent.providers.types import ChatRequest

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "provider_replay.jsonl"
OUR_KIND = {"tool_use_failed": "bad_response", "empty_response": "bad_response"}
DIFFERS = {
    "pr-0097": "the model refused: the refusal is the text a person reads, and the finish reason says so",
}

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


CHAT = [row for row in rows() if row["protocol"] == "openai-chat"]
OTHERS = Counter(row["protocol"] for row in rows() if row["protocol"] != "openai-chat")


class Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def cut(body: bytes, how: str) -> Iterable[bytes]:
    if how == "whole":
        return [body]
    if how == "bytes":
        return [body[at : at + 1] for at in range(len(body))]
    dice = random.Random(len(body))
    pieces, at = [], 0
    while at < len(body):
        size = dice.choice((1, 2, 3, 7, 40, 300, 4000))
        pieces.append(body[at : at + size])
        at += size
    return pieces


async def replay(row: dict[str, Any], how: str) -> tuple[str, str, Completion | ProviderError]:
    """The text and reasoning that streamed, and how it ended."""
    headers = {name: value for name, value in row["response_headers"].items() if name != "transfer-encoding"}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(row["status"], headers=headers, stream=Pieces(cut(row["response_body"].encode(), how)))

    provider = connect("chat-completions", "http://127.0.0.1:9/v1", "k", transport=httpx.MockTransport(answer))
    text, reasoning = "", ""
    try:
        async with aclosing(provider.stream(ChatRequest("m", [user("hi")]))) as events:
            async for event in events:
                match event:
                    case TextDelta(piece):
                        text += piece
                    case ReasoningDelta(piece):
                        reasoning += piece
                    case Finished(completion):
                        return text, reasoning, completion
    except ProviderError as error:
        return text, reasoning, error
    finally:
        await provider.aclose()
    raise AssertionError("the stream ended without Finished and without an error")


def check(row: dict[str, Any], text: str, reasoning: str, end: Completion | ProviderError) -> None:
    expected = row["expected"]
    if expected.get("error_kind"):
        assert isinstance(end, ProviderError), end
        assert end.kind == OUR_KIND.get(expected["error_kind"], expected["error_kind"]), end
        assert end.retryable == expected["retryable"]
        if "retry_after_s" in expected:
            assert end.retry_after == pytest.approx(expected["retry_after_s"])
        assert end.title and str(end) and end.hint
        if expected["text"] is not None:
            assert (text, reasoning) == (expected["text"], expected.get("reasoning_text", ""))
        return
    assert isinstance(end, Completion), f"{end!r}: {end}"
    assert (end.text, end.reasoning) == (text, reasoning)
    assert reasoning == expected["reasoning_text"]
    if row["id"] in DIFFERS:
        assert (text, end.finish_reason) == (expected["refusal"], "refusal")
        return
    assert text == expected["text"]
    calls = [(call.id, call.name, call.raw_arguments) for call in end.tool_calls]
    assert calls == [(call["id"], call["name"], call["arguments"]) for call in expected["tool_calls"]]
    for call in end.tool_calls:
        assert call.arguments == json.loads(call.raw_arguments or "{}")
        assert not call.truncated
    if expected["finish_reason"]:
        assert end.finish_reason == expected["finish_reason"]
    else:  # the provider left it open
        assert end.finish_reason == ("tool_calls" if end.tool_calls else "stop")
    usage = expected["usage"]
    got = end.usage
    assert got.input_tokens == (usage["input"] or 0)
    assert got.output_tokens == (usage["output"] or 0)
    assert got.reasoning_tokens == (usage["reasoning"] or 0)
    assert got.cache_read_tokens == (usage["cache_read"] or 0)


@pytest.mark.parametrize("row", CHAT, ids=lambda row: row["id"])
@pytest.mark.parametrize("how", ["whole", "bytes", "random"])
async def test_row(row: dict[str, Any], how: str) -> None:
    check(row, *await replay(row, how))


async def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    passed, failed = 0, []
    for row in CHAT:
        try:
            check(row, *await replay(row, "whole"))
            passed += 1
        except AssertionError:
            failed.append(row["id"])
    with capsys.disabled():
        print(f"\nprovider_replay, openai-chat: {passed}/{len(CHAT)} rows; explained differences: {len(DIFFERS)}")
    assert not failed


@pytest.mark.parametrize("protocol", sorted(OTHERS))
def test_protocols_without_an_adapter(protocol: str) -> None:
    pytest.skip(f"no adapter for {protocol} yet: {OTHERS[protocol]} rows not replayed")
