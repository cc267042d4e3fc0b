"""Recorded answers, cut, doubled, flipped and spliced, and answers made at random: only a completion or a
`ProviderError` comes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ProviderError
from agent.providers import ChatRequest, Completion, Finished, connect, user
from tests.corpora import replay

ROWS = {
    "chat-completions": replay.rows("openai-chat"),
    "anthropic-messages": replay.rows("anthropic-messages"),
    "responses": replay.rows("openai-responses"),
    "gemini": replay.rows("gemini"),
}
PROTOCOLS = tuple(ROWS)
WORDS = {
    "chat-completions": "choices delta content tool_calls index id function name arguments finish_reason usage error "
    "prompt_tokens completion_tokens message reasoning_content refusal object model type text thinking",
    "anthropic-messages": "type message content_block_start content_block_delta message_start message_delta "
    "content_block delta index text text_delta thinking thinking_delta tool_use input_json_delta partial_json id "
    "name input usage stop_reason stop_details explanation error content model message_stop",
    "responses": "type response response.output_text.delta response.output_item.done response.completed delta item "
    "output output_index content summary text function_call call_id name arguments reasoning message usage status "
    "incomplete_details reason error encrypted_content refusal",
    "gemini": "candidates content parts text thought thoughtSignature functionCall name args id finishReason "
    "finishMessage usageMetadata promptTokenCount promptFeedback blockReason error modelVersion",
}


def answers(protocol: str) -> st.SearchStrategy[Any]:
    """JSON with the names that the protocol uses, in places where they may or may not belong."""
    words = WORDS[protocol].split()
    leaves = st.none() | st.booleans() | st.integers(-5, 10**12) | st.sampled_from(words) | st.text(max_size=5)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(words), inner, max_size=6),
        max_leaves=25,
    )


class Pieces(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 997):
            yield self.body[at : at + 997]


async def ask(protocol: str, body: bytes, kind: str, *, status: int = 200, whole: bool = False) -> None:
    """Raises anything but a `ProviderError`."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind}, stream=Pieces(body))

    provider = connect(protocol, "http://127.0.0.1:9/v1", "k", transport=httpx.MockTransport(answer))
    try:
        async with asyncio.timeout(20):
            if whole:
                end: Any = await provider.complete(ChatRequest("m", [user("hi")]))
            else:
                end = None
                async for event in provider.stream(ChatRequest("m", [user("hi")])):
                    end = event.completion if isinstance(event, Finished) else end
        assert isinstance(end, Completion)
        assert isinstance(end.text, str)
        assert all(isinstance(call.arguments, dict) for call in end.tool_calls)
        json.dumps([end.text, end.reasoning, [call.raw_arguments for call in end.tool_calls]]).encode()
        end.message()
    except ProviderError as error:
        assert str(error)
        assert error.title
    finally:
        await provider.aclose()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_answers_made_at_random(protocol: str, data: st.DataObject) -> None:
    payloads = data.draw(st.lists(answers(protocol), min_size=1, max_size=6))
    if data.draw(st.booleans()):
        body = b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)
        asyncio.run(ask(protocol, body, "text/event-stream"))
    else:
        status = data.draw(st.sampled_from([200, 200, 200, 400, 429, 500]))
        asyncio.run(ask(protocol, json.dumps(payloads[0]).encode(), "application/json", status=status, whole=True))


@replay.needs_corpus
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_recorded_answers_that_were_damaged(protocol: str, data: st.DataObject) -> None:
    rows = [row for row in ROWS[protocol] if len(row["response_body"]) < 30_000]
    row = data.draw(st.sampled_from(rows))
    body = bytearray(row["response_body"].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(body) - 1, 0)))
        until = min(at + data.draw(st.integers(1, 80)), len(body))
        match data.draw(st.sampled_from(["cut", "double", "flip", "splice", "end"])):
            case "cut":
                del body[at:until]
            case "double":
                body[at:at] = body[at:until]
            case "flip":
                body[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case "splice":
                other = data.draw(st.sampled_from(rows))["response_body"].encode()
                body[at:at] = other[at : at + 300]
            case "end":
                del body[at:]
    kind = "text/event-stream" if row["stream"] else "application/json"
    asyncio.run(ask(protocol, bytes(body), kind, status=row["status"]))
