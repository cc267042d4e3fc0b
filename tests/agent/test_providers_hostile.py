"""Servers that mean harm, over real sockets: a `ProviderError` comes out, soon, and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.errors import ProviderError
from agent.providers import ChatRequest, Finished, connect, user
from agent.providers.http import MAX_BODY_BYTES, Timeouts
from agent.providers.pieces import MAX_TOOL_CALLS
from tests.agent.test_providers_chat import Exchange, served

PROTOCOLS = ("chat-completions", "anthropic-messages", "responses", "gemini")
REQUEST = ChatRequest("m", [user("hi")])
CALLS = {
    "chat-completions": lambda n: {
        "choices": [{"delta": {"tool_calls": [{"index": n, "id": f"c{n}", "function": {"name": "x"}}]}}]
    },
    "anthropic-messages": lambda n: {
        "type": "content_block_start",
        "index": n,
        "content_block": {"type": "tool_use", "id": f"c{n}", "name": "x", "input": {}},
    },
    "responses": lambda n: {
        "type": "response.output_item.added",
        "output_index": n,
        "item": {"type": "function_call", "call_id": f"c{n}", "name": "x"},
    },
    "gemini": lambda n: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "x", "args": {}}}]}}]},
}

Handler = Callable[[Exchange], Awaitable[None]]


async def outcome(protocol: str, handler: Handler, **options: object) -> ProviderError | str:
    """How a stream ends that such a server answers: the error, or the text."""
    async with served(handler) as base_url:
        provider = connect(protocol, base_url, "a-long-key", **options)
        try:
            async with asyncio.timeout(60):
                async for event in provider.stream(REQUEST):
                    if isinstance(event, Finished):
                        return event.completion.text
        except ProviderError as error:
            assert str(error) and error.title and error.hint
            return error
        finally:
            await provider.aclose()
    raise AssertionError("the stream had no end")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_endless_line_is_cut(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.providers.wire.MAX_BODY_BYTES", 3_000_000)
    sent = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.start()
        await exchange.send(b"data: ")
        while True:
            await exchange.send(b"x" * 65_536)
            sent += 65_536

    error = await outcome(protocol, handler)
    assert isinstance(error, ProviderError)
    assert error.kind == "bad_response"
    assert sent < 20_000_000


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_million_tool_calls_end_at_the_limit(protocol: str) -> None:
    made = b"".join(b"data: " + json.dumps(CALLS[protocol](n)).encode() + b"\n\n" for n in range(MAX_TOOL_CALLS + 2))

    async def handler(exchange: Exchange) -> None:
        await exchange.start()
        for _ in range(1_000_000 // MAX_TOOL_CALLS):
            await exchange.send(made)

    began = time.process_time()
    error = await outcome(protocol, handler)
    assert isinstance(error, ProviderError)
    assert error.kind == "bad_response"
    assert time.process_time() - began < 5


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_small_body_that_unpacks_to_gigabytes_is_not_unpacked(protocol: str, encoding: str) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    block = bytes(1 << 20)
    bomb = b"".join(packer.compress(block) for _ in range(1024)) + packer.flush()  # a gigabyte in a megabyte

    async def handler(exchange: Exchange) -> None:
        await exchange.answer("200 OK", bomb, f"Content-Encoding: {encoding}\r\n")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = await outcome(protocol, handler)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert isinstance(error, ProviderError)
    assert error.kind == "bad_response"
    assert grown < 4 * MAX_BODY_BYTES


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "nonsense"])
async def test_a_packing_that_was_not_asked_for_is_refused(encoding: str) -> None:
    async def handler(exchange: Exchange) -> None:
        assert "br" not in exchange.head.lower().split("accept-encoding:")[1].split("\r\n")[0]
        await exchange.answer("200 OK", b"\x0b\x02\x80{}\x03", f"Content-Encoding: {encoding}\r\n")

    error = await outcome("chat-completions", handler)
    assert isinstance(error, ProviderError)
    assert "unpacked" in str(error)


async def test_a_packed_answer_is_unpacked_in_pieces() -> None:
    events = (
        b"".join(b'data: {"choices": [{"delta": {"content": "%d "}}]}\n\n' % n for n in range(2000))
        + b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    )
    packed = gzip.compress(events)

    async def handler(exchange: Exchange) -> None:
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
        )
        await exchange.send(head.encode())
        for at in range(0, len(packed), 7):
            await exchange.send(packed[at : at + 7])

    assert await outcome("chat-completions", handler) == "".join(f"{n} " for n in range(2000))


GARBAGE = {
    "invalid UTF-8": b'data: {"choices": "\xff\xfe"}\n\n',
    "deep nesting": b"data: " + b"[" * 200_000 + b"]" * 200_000 + b"\n\n",
    "a number": b"data: 5\n\n",
    "null": b"data: null\n\n",
    "a string": b'data: "x"\n\n',
    "half of it": b'data: {"choices": [\n\n',
    "binary": bytes(range(256)) * 50,
    "nothing": b"",
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_garbage_is_said_to_be_garbage(protocol: str, name: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.send(GARBAGE[name])

    error = await outcome(protocol, handler)
    assert isinstance(error, ProviderError)
    assert error.kind in ("bad_response", "network")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_signs_of_life_without_an_answer_are_not_waited_for_for_ever(protocol: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start()
        while True:
            await exchange.send(b": still here\n\n")
            await asyncio.sleep(0.01)

    error = await outcome(protocol, handler, timeouts=Timeouts(idle=5, silence=0.3))
    assert isinstance(error, ProviderError)
    assert error.kind == "timeout"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_slow_drip_is_not_waited_for_for_ever(protocol: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start()
        for byte in b'data: {"a": "' + b"x" * 10_000:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(0.01)

    error = await outcome(protocol, handler, timeouts=Timeouts(idle=5, silence=0.3))
    assert isinstance(error, ProviderError)
    assert error.kind == "timeout"


BROKEN = {
    "hangs up": b"",
    "no HTTP": b"220 smtp.example.org ESMTP\r\n\r\n",
    "wrong length": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{}",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "a loop": b"HTTP/1.1 302 Found\r\nLocation: /v1/chat/completions\r\nContent-Length: 0\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"y" * 200_000 + b"\r\n\r\n",
    "a web page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hi</html>",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_broken_http_is_an_error_in_words(protocol: str, name: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(BROKEN[name])
        exchange.again = False

    error = await outcome(protocol, handler)
    assert isinstance(error, ProviderError)
    assert error.kind in ("bad_response", "network", "invalid_request")


def test_ten_thousand_events_take_little_time_and_memory(tmp_path: Path) -> None:
    """No timing here (see tests/bench): that it ends, and that memory does not grow with the events."""
    script = """
import asyncio, resource, sys, httpx
from agent.providers import connect, ChatRequest, user, Finished
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "word "}}]}\\n\\n'
class Stream(httpx.AsyncByteStream):
    async def __aiter__(self):
        for _ in range(int(sys.argv[1])): yield EVENT
        yield b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\\n\\ndata: [DONE]\\n\\n'
async def main():
    answer = lambda request: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())
    provider = connect("chat-completions", "http://127.0.0.1:9/v1", transport=httpx.MockTransport(answer))
    async for event in provider.stream(ChatRequest("m", [user("x")])):
        if isinstance(event, Finished): text = event.completion.text
    print(len(text), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
asyncio.run(main())
"""
    peaks = []
    for count in (1_000, 100_000):
        done = subprocess.run([sys.executable, "-c", script, str(count)], capture_output=True, text=True, check=True)
        length, peak = map(int, done.stdout.split())
        assert length == count * 5
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 40_000  # KiB: half a megabyte of text, and what its pieces cost
