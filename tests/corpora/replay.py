"""Recorded provider traffic through the adapters: whole, in single bytes, in random pieces.

`fidelity` says how a body was kept. Where the recording itself differs from what an adapter must say, the tests name
the row and the reason.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.errors import ProviderError
from agent.providers import Completion, Finished, ReasoningDelta, TextDelta, connect, user
from agent.providers.types import ChatRequest, FinishReason

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "provider_replay.jsonl"
OUR_KIND = {"tool_use_failed": "bad_response", "empty_response": "bad_response"}
needs_corpus = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")
CUTS = ("whole", "bytes", "random")


def rows(protocol: str) -> list[dict[str, Any]]:
    """The recordings of one protocol, by its name in the corpus; none where there is no corpus."""
    if not CORPUS.exists():
        return []
    found = (json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines())
    return [row for row in found if row["protocol"] == protocol]


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


async def replay(protocol: str, row: dict[str, Any], how: str) -> tuple[str, str, Completion | ProviderError]:
    """The text and reasoning that streamed, and how it ended."""
    headers = {name: value for name, value in row["response_headers"].items() if name != "transfer-encoding"}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(row["status"], headers=headers, stream=Pieces(cut(row["response_body"].encode(), how)))

    provider = connect(protocol, "http://127.0.0.1:9/v1", "k", transport=httpx.MockTransport(answer))
    text, reasoning = "", ""
    try:
        if not row["stream"] and how == "whole":
            completion = await provider.complete(ChatRequest("m", [user("hi")]))
            return completion.text, completion.reasoning, completion
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


def check(
    row: dict[str, Any],
    text: str,
    reasoning: str,
    end: Completion | ProviderError,
    finish: Mapping[str, FinishReason] | None = None,
) -> None:
    """Raises `AssertionError` where they differ; `finish` translates the finish reasons of the protocol."""
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
    assert text == expected["text"]
    calls = [(call.name, call.raw_arguments) for call in end.tool_calls]
    assert calls == [(call["name"], call["arguments"]) for call in expected["tool_calls"]]
    for call, recorded in zip(end.tool_calls, expected["tool_calls"], strict=True):
        assert call.id == recorded["id"] or (recorded["id"] is None and call.id)  # where it gives none we make one
    assert len({call.id for call in end.tool_calls}) == len(end.tool_calls)
    for call, recorded in zip(end.tool_calls, expected["tool_calls"], strict=True):
        if recorded.get("arguments_valid_json", True):
            assert call.arguments == json.loads(call.raw_arguments or "{}")
            assert not call.truncated
        else:  # cut off by the length limit: nothing of it may ever run
            assert (call.arguments, call.truncated) == ({}, True)
    if expected["finish_reason"]:
        assert end.finish_reason == (finish or {}).get(expected["finish_reason"], expected["finish_reason"])
    else:  # the provider left it open
        assert end.finish_reason == ("tool_calls" if end.tool_calls else "stop")
    usage = expected["usage"]
    got = end.usage
    assert got.input_tokens == (usage["input"] or 0)
    assert got.output_tokens == (usage["output"] or 0)
    if usage["reasoning"] is not None or row["protocol"] != "anthropic-messages":  # there, None is: not looked at
        assert got.reasoning_tokens == (usage["reasoning"] or 0)
    assert got.cache_read_tokens == (usage["cache_read"] or 0)


async def score(protocol: str, cases: list[dict[str, Any]], judge: Callable[..., None]) -> tuple[int, list[str]]:
    """How many rows pass, and those that do not."""
    failed = []
    for row in cases:
        try:
            judge(row, *await replay(protocol, row, "whole"))
        except AssertionError:
            failed.append(row["id"])
    return len(cases) - len(failed), failed
