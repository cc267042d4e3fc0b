"""`python -m tests.bench.parse`: CPU seconds to read 10,000 streamed tokens, ours beside the official client libraries.

All read the same bytes from memory in one run, in turns; a figure is the median. The budget is 150 ms.
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from agent.providers import ChatRequest, Finished, connect, user

EVENTS = 10_000
PIECE = 4096
"""Bytes that arrive at once; a token is 60 to 150."""
ROUNDS = 5


def sse(*payloads: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)


def named(*payloads: Any) -> bytes:
    """With the name of the event in a line of its own, as two of the protocols have it."""
    return b"".join(f"event: {p['type']}\n".encode() + sse(p) for p in payloads)


def chat() -> bytes:
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    token = {**base, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
    end = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return sse(token) * EVENTS + sse(end) + b"data: [DONE]\n\n"


def anthropic() -> bytes:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
    start = {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    token = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    last = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": EVENTS}}
    end = named({"type": "content_block_stop", "index": 0}, last, {"type": "message_stop"})
    return named(start, block) + named(token) * EVENTS + end


def responses() -> bytes:
    item = {"type": "message", "id": "i", "role": "assistant", "status": "in_progress", "content": []}
    added = {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item}
    place = {"item_id": "i", "output_index": 0, "content_index": 0, "logprobs": [], "sequence_number": 2}
    token = {"type": "response.output_text.delta", "delta": "word ", **place}
    response = {"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": []}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    end = {"type": "response.completed", "sequence_number": 3, "response": {**response, **rest}}
    return named(added) + named(token) * EVENTS + named(end)


def gemini() -> bytes:
    token = {"candidates": [{"content": {"role": "model", "parts": [{"text": "word "}]}, "index": 0}]}
    end = {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}]}
    return sse(token) * EVENTS + sse(end)


BODIES: dict[str, Callable[[], bytes]] = {
    "chat-completions": chat,
    "anthropic-messages": anthropic,
    "responses": responses,
    "gemini": gemini,
}


def client(body: bytes, http: Any = httpx) -> Any:
    class Stream(http.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for at in range(0, len(body), PIECE):
                yield body[at : at + PIECE]

    def answer(_: Any) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())

    return http.MockTransport(answer)


async def ours(protocol: str, body: bytes) -> int:
    provider = connect(protocol, "http://127.0.0.1:9/v1", "key", transport=client(body))
    try:
        async for event in provider.stream(ChatRequest("m", [user("x")])):
            if isinstance(event, Finished):
                return len(event.completion.text)
    finally:
        await provider.aclose()
    return 0


async def official(protocol: str, body: bytes) -> int:
    """The length of the text, by the library of the protocol's maker. Gemini's has no way in for a transport."""
    length = 0
    if protocol == "anthropic-messages":
        import anthropic as library
        import httpx2

        async with httpx2.AsyncClient(transport=client(body, httpx2)) as http:
            sdk = library.AsyncAnthropic(api_key="k", base_url="http://127.0.0.1:9", http_client=http)
            question: Any = {"role": "user", "content": "x"}
            async with sdk.messages.stream(model="m", max_tokens=9, messages=[question]) as stream:
                async for text in stream.text_stream:
                    length += len(text)
        return length
    import openai

    async with httpx.AsyncClient(transport=client(body)) as http:
        other = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", http_client=http)
        if protocol == "responses":
            async for event in await other.responses.create(model="m", input="x", stream=True):
                if event.type == "response.output_text.delta":
                    length += len(event.delta)
            return length
        asked: Any = {"role": "user", "content": "x"}
        chunks: Any = await other.chat.completions.create(model="m", messages=[asked], stream=True)
        async for chunk in chunks:
            length += len(chunk.choices[0].delta.content or "")
    return length


def seconds(work: Callable[[], Awaitable[int]]) -> float:
    """CPU seconds of one reading, which must have read all of it."""

    async def run() -> float:
        began = time.process_time()
        assert await work() == EVENTS * 5
        return time.process_time() - began

    return asyncio.run(run())


def main() -> None:
    print(f"CPU for {EVENTS:,} streamed tokens, median of {ROUNDS} (budget 150 ms):")
    for protocol, make in BODIES.items():
        body = make()
        taken: dict[str, list[float]] = {"ours": [], "official": []}
        for _ in range(ROUNDS):
            taken["ours"].append(seconds(lambda: ours(protocol, body)))  # noqa: B023
            if protocol != "gemini":
                taken["official"].append(seconds(lambda: official(protocol, body)))  # noqa: B023
        mine = statistics.median(taken["ours"])
        line = f"{protocol:20} {mine * 1000:6.0f} ms, {mine / EVENTS * 1e6:5.1f} us a token"
        if taken["official"]:
            theirs = statistics.median(taken["official"])
            line += f"; official library {theirs * 1000:6.0f} ms ({theirs / mine:.1f} times)"
        print(line)


if __name__ == "__main__":
    main()
