"""Chat Completions against a real socket: what is sent, what is understood, what a person is told when it fails."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from agent.errors import ProviderError, UsageError
from agent.providers import (
    ChatRequest,
    Finished,
    Image,
    Message,
    Reasoning,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    connect,
    system,
    tool_result,
    user,
)
from agent.providers.chat_request import messages
from agent.providers.http import Timeouts
from agent.providers.hygiene import NO_RESULT
from agent.providers.quirks import Quirks

KEY = "sk-very-secret-0123456789"
Handler = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request as the server saw it, and the means to answer byte by byte."""

    def __init__(self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head.decode("latin-1")
        self.body = body
        self.reader = reader
        self.writer = writer
        self.again = False  # whether the connection stays open for another request

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def start(self, kind: str = "text/event-stream") -> None:
        await self.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())

    async def event(self, **chunk: Any) -> None:
        await self.send(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    async def say(self, text: str, finish: str | None = None) -> None:
        await self.event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])

    async def answer(self, status: str, body: Any, headers: str = "") -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(content)}\r\n\r\n"
        await self.send(head.encode() + content)


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """The base URL of a server on loopback that answers with `handler`."""
    tasks: set[asyncio.Task[None]] = set()

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            again = True
            while again:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                one = Exchange(head, body, reader, writer)
                await handler(one)
                again = one.again
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(exchange, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def failure(base_url: str, key: str | None = KEY, **options: Any) -> ProviderError:
    """The error that a request ends in."""
    provider = connect("chat-completions", base_url, key, **options)
    try:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(ChatRequest("m", [user("hi")]))
    finally:
        await provider.aclose()
    error = caught.value
    assert error.title and error.hint
    assert KEY not in f"{error!r} {error} {error.hint} {error.title} {provider!r}"
    return error


# --- what is sent -----------------------------------------------------------------------------------------------------
async def test_request_as_the_server_sees_it() -> None:
    seen: list[Exchange] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.start()
        await exchange.say("ok", "stop")
        await exchange.send(b"data: [DONE]\n\n")

    tool = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
    request = ChatRequest(
        "some/model",
        [system("Be brief."), user("See \ud83d this", Image("image/png", b"\x89PNG"))],
        tools=[tool],
        max_tokens=9,
        temperature=0.5,
        extra={"seed": 1},
    )
    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url + "/", KEY, headers={"x-title": "t"}, body={"top_k": 3})
        whole = await provider.complete(request)
        completion = [event async for event in provider.stream(request)][-1].completion
        await provider.aclose()
    assert (whole.text, completion.text) == ("ok", "ok")
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    assert seen[0].json == {**{k: v for k, v in seen[1].json.items() if k not in streamed}, "stream": False}
    head = seen[0].head.lower()
    assert head.startswith("post /v1/chat/completions http/1.1")
    assert f"authorization: bearer {KEY}" in head
    assert "x-title: t" in head
    assert seen[1].json == {
        "model": "some/model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See \ufffd this"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                ],
            },
        ],
        **streamed,
        "top_k": 3,
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": tool.parameters}}
        ],
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 1,
    }


def test_every_call_has_exactly_one_result() -> None:
    calls = (ToolCall("a", "look", {"at": "x"}, '{"at": "x"}'), ToolCall("b", "look", {}, "not json"))
    history = [
        user("go"),
        Message("assistant", (Reasoning("hm"), *calls)),
        tool_result(ToolResult("a", "look", "seen")),
        tool_result(ToolResult("zzz", "look", "nobody asked")),
        user("and?"),
        tool_result(ToolResult("b", "look", "too late")),
        assistant(""),
        assistant("done"),
    ]
    assert messages(history, Quirks()) == [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}},
                {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "seen"},
        {"role": "tool", "tool_call_id": "b", "content": NO_RESULT},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "Go on."},
    ]


async def test_a_parameter_that_the_server_does_not_know_is_left_out() -> None:
    seen: list[dict[str, Any]] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.json)
        if "stream_options" in exchange.json:
            await exchange.answer("400 Bad Request", {"error": {"message": "Unknown parameter: stream_options"}})
        elif "max_tokens" in exchange.json:
            text = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            await exchange.answer("400 Bad Request", {"error": {"message": text}})
        else:
            await exchange.start()
            await exchange.say("fine", "stop")

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        events = [event async for event in provider.stream(ChatRequest("m", [user("hi")], max_tokens=5))]
        await provider.aclose()
    assert events[-1].completion.text == "fine"
    assert [len(body) for body in seen] == [5, 4, 4]
    assert seen[-1]["max_completion_tokens"] == 5


async def test_tools_and_thinking_are_sent_as_the_server_wants_them() -> None:
    seen: list[dict[str, Any]] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.json)
        if "tools" in exchange.json:
            await exchange.answer("400 Bad Request", {"error": {"message": "gemma does not support tools"}})
        elif not any("reasoning_content" in message for message in exchange.json["messages"]):
            text = "The reasoning_content in the thinking mode must be passed back to the API."
            await exchange.answer("400 Bad Request", {"error": {"message": text}})
        else:
            await exchange.start()
            await exchange.say("fine", "stop")

    history = [user("hi"), Message("assistant", (Reasoning("hm"), Text("yes"))), user("and?")]
    tool = ToolSpec("look", "Looks.", {"type": "object"})
    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        for _ in range(2):
            assert (await provider.complete(ChatRequest("m", history, tools=[tool]))).text == "fine"
        await provider.aclose()
    assert seen[2]["messages"][1] == {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    assert len(seen) == 5, "what was learnt about thinking is remembered"


# --- what is understood -----------------------------------------------------------------------------------------------
async def replay(*chunks: Any, done: bool = True) -> Finished:
    """The end of a stream of these chunks."""
    content = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
    content += b"data: [DONE]\r\n\r\n" if done else b""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)

    provider = connect("chat-completions", "http://127.0.0.1:9/v1", transport=httpx.MockTransport(answer))
    try:
        async for event in provider.stream(ChatRequest("m", [user("hi")])):
            if isinstance(event, Finished):
                return event
    finally:
        await provider.aclose()
    raise AssertionError("no end")


def delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def piece(arguments: Any = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return delta(tool_calls=[{**members, "function": function}])


async def test_calls_in_pieces_by_index() -> None:
    end = await replay(
        piece("", "one", index=0, id="a"),
        piece('{"x"', index=0),
        piece("", "two", index=1, id="b"),
        piece(": 1}", index=0, id="a"),
        piece("{}", index=1),
        delta("tool_calls"),
    )
    calls = [(call.id, call.name, call.arguments) for call in end.completion.tool_calls]
    assert calls == [("a", "one", {"x": 1}), ("b", "two", {})]
    assert end.completion.finish_reason == "tool_calls"


async def test_calls_without_an_index_or_all_with_the_same() -> None:
    end = await replay(piece('{"x": 1}', "one", id="a"), piece('{"y":', "two", id="b"), piece("2}"), delta("stop"))
    assert [(call.id, call.arguments) for call in end.completion.tool_calls] == [("a", {"x": 1}), ("b", {"y": 2})]
    end = await replay(piece("{}", "one", index=0, id="a"), piece("{}", "two", index=0, id="b"), delta("stop"))
    assert [(call.id, call.name) for call in end.completion.tool_calls] == [("a", "one"), ("b", "two")]
    assert end.completion.finish_reason == "tool_calls"


async def test_calls_without_ids_get_different_ones() -> None:
    end = await replay(piece({"x": 1}, "one", index=0), piece("{}", "one", index=1), delta("tool_calls"))
    first, second = end.completion.tool_calls
    assert first.id and second.id and first.id != second.id
    assert first.arguments == {"x": 1}


async def test_a_call_cut_off_by_the_length_limit_is_marked() -> None:
    end = await replay(
        piece("{}", "one", index=0, id="a"), piece('{"text": "rm', "two", index=1, id="b"), delta("length")
    )
    assert [call.truncated for call in end.completion.tool_calls] == [False, True]
    assert end.completion.finish_reason == "length"
    assert end.completion.tool_calls[1].arguments == {}


async def test_an_emoji_cut_in_two_and_half_an_emoji() -> None:
    raw = [
        b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ude00b\\ud83d"}}]}\n\n',
    ]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=b"".join(raw) + b"data: [DONE]\n\n"
        )

    provider = connect("chat-completions", "http://127.0.0.1:9/v1", transport=httpx.MockTransport(answer))
    completion = await provider.complete(ChatRequest("m", [user("hi")]))
    await provider.aclose()
    assert completion.text == "a\U0001f600b\ufffd"


async def test_an_answer_in_one_object_from_a_server_that_does_not_stream() -> None:
    async def handler(exchange: Exchange) -> None:
        message = {"role": "assistant", "content": "whole", "reasoning_content": "hm"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
        await exchange.answer("200 OK", {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        completion = await provider.complete(ChatRequest("m", [user("hi")]))
        await provider.aclose()
    assert (completion.text, completion.reasoning) == ("whole", "hm")
    assert (completion.usage.input_tokens, completion.usage.cache_read_tokens) == (3, 1)


async def test_models_are_listed() -> None:
    seen: list[str] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.head)
        rows = [{"id": "models/a", "context_length": 8}, {"id": "b", "name": "B"}, {"id": "c", "type": "image"}]
        await exchange.answer("200 OK", {"data": rows})

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url, KEY)
        listed = await provider.list_models()
        await provider.aclose()
    assert seen[0].startswith("GET /v1/models ")
    assert [(model.id, model.name, model.context_length) for model in listed] == [("a", "", 8), ("b", "B", None)]


# --- closing ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["close", "cancel before the answer", "cancel in the middle"])
async def test_stopping_closes_the_socket(how: str) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        asked.set()
        if how != "cancel before the answer":
            await exchange.start()
            await exchange.say("word")
        assert await exchange.reader.read() == b""
        closed.set()

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        got = asyncio.Event()

        async def listen() -> None:
            async with aclosing(provider.stream(ChatRequest("m", [user("hi")]))) as events:
                async for _ in events:
                    got.set()
                    if how == "close":
                        break

        task = asyncio.create_task(listen())
        await asyncio.wait_for(asked.wait(), 5)
        if how == "cancel in the middle":
            await asyncio.wait_for(got.wait(), 5)
        if how == "close":
            await task
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(closed.wait(), 1)
        await provider.aclose()
    gc.collect()


async def test_two_hundred_answers_at_once() -> None:
    everybody, count = asyncio.Event(), 0

    async def handler(exchange: Exchange) -> None:
        nonlocal count
        count += 1
        if count == 200:
            everybody.set()
        await everybody.wait()
        await exchange.start()
        await exchange.say("x", "stop")

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        request = ChatRequest("m", [user("hi")])
        answers = await asyncio.wait_for(asyncio.gather(*(provider.complete(request) for _ in range(200))), 30)
        await provider.aclose()
    assert [answer.text for answer in answers] == ["x"] * 200


async def test_a_connection_is_used_again() -> None:
    ports: set[Any] = set()

    async def handler(exchange: Exchange) -> None:
        ports.add(exchange.writer.get_extra_info("peername"))
        data = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await exchange.send(head + b"%x\r\n%b\r\n" % (len(data), data))
        await asyncio.sleep(0.01)  # the end of the body comes a little after [DONE]
        await exchange.send(b"0\r\n\r\n")
        exchange.again = True

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        for _ in range(3):
            await provider.complete(ChatRequest("m", [user("hi")]))
        await provider.aclose()
    assert len(ports) == 1


# --- what goes wrong --------------------------------------------------------------------------------------------------
async def test_wrong_key() -> None:
    async def handler(exchange: Exchange) -> None:
        message = f"Incorrect API key provided: {KEY}."
        await exchange.answer("401 Unauthorized", {"error": {"message": message, "code": "invalid_api_key"}})

    async with served(handler) as base_url:
        error = await failure(base_url, label="Acme", key_url="https://acme.example/keys")
        missing = await failure(base_url, None, label="Acme")
    assert (error.kind, error.retryable, error.status) == ("auth", False, 401)
    assert error.title == "The key was refused"
    assert str(error) == "Acme refused the key (401)."
    assert error.hint == "Make a new key at https://acme.example/keys and paste it in Settings > Models."
    assert (missing.title, str(missing)) == ("A key is missing", "Acme wants a key (401).")


async def test_a_key_is_needed_and_there_is_none() -> None:
    error = await failure("http://127.0.0.1:9/v1", None, needs_key=True, label="Acme")
    assert (error.kind, error.title, str(error)) == ("auth", "A key is missing", "No key for Acme is stored.")


async def test_the_key_never_shows() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer("400 Bad Request", {"error": {"message": f"bad header Bearer {KEY}"}})

    async with served(handler) as base_url:
        error = await failure(base_url)
    assert "bad header Bearer •••" in str(error)
    for broken in (f"{KEY}\nx", f"{KEY}ü"):
        assert (await failure("http://127.0.0.1:9/v1", broken)).kind == "auth"


async def test_a_password_in_the_address_never_shows() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer("404 Not Found", b"<html>404</html>")

    async with served(handler) as base_url:
        address = base_url.replace("http://", "http://me:hunter2@")
        error = await failure(address)
    assert base_url in error.hint
    assert "hunter2" not in f"{error} {error.hint} {connect('chat-completions', address)!r}"


async def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(f"http://127.0.0.1:{port}/v1", label="Ollama")
    assert (error.kind, error.retryable) == ("network", True)
    assert str(error) == f"Nothing answers at 127.0.0.1:{port}. Is Ollama running?"


async def test_the_name_does_not_resolve() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        try:
            raise socket.gaierror(-2, "Name or service not known")
        except socket.gaierror as cause:
            raise httpx.ConnectError("failed") from cause

    error = await failure("https://api.acme.example/v1", transport=httpx.MockTransport(answer))
    assert (error.kind, str(error)) == ("network", "The address api.acme.example was not found.")


async def test_https_to_a_server_without_it() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    error = await failure(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    server.close()
    assert (error.kind, error.retryable) == ("network", False)
    assert "http://" in error.hint


@pytest.mark.parametrize("address", ["127.0.0.1:8080/v1", "ftp://127.0.0.1/v1", "", "http://[::1/v1", "http://"])
async def test_an_address_that_is_none(address: str) -> None:
    error = await failure(address)
    assert error.kind == "invalid_request"
    assert "http://" in error.hint


async def test_silence_before_and_in_the_middle_of_the_answer() -> None:
    async def handler(exchange: Exchange) -> None:
        if "begin" in exchange.head:
            await exchange.start()
            await exchange.say("word")
        await exchange.reader.read()

    async with served(handler) as base_url:
        for headers in ({}, {"x-how": "begin"}):
            error = await failure(base_url, timeouts=Timeouts(idle=0.2), headers=headers)
            assert (error.kind, error.retryable) == ("timeout", True)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html><body>Welcome to nginx</body></html>", "bad_response"),
        (b"\x00\x01\x02", "bad_response"),
        (b"data: {not json}\n\n", "bad_response"),
        (b"data: [1]\n\n", "bad_response"),
        (b'data: {"choices": 5}\n\n', "bad_response"),
        (b'data: {"choices": [{"delta": {"content": 5}}]}\n\n', "bad_response"),
        (b'data: {"choices": [{"delta": {"tool_calls": ["x"]}}]}\n\n', "bad_response"),
        (b"", "bad_response"),
        (b"data: [DONE]\n\n", "bad_response"),
        (b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n', "network"),
        (b'data: {"choices": [{"delta": {"content": "half"}}]}\n\ndata: {"cho', "bad_response"),
        (b'data: {"error": {"message": "Overloaded", "code": 529}}\n\n', "overloaded"),
        (b'data: {"error": "boom"}\n\n', "server"),
        (b'data: {"object": "error", "message": "boom", "code": 500}\n\n', "server"),
    ],
)
@pytest.mark.parametrize("content_type", ["text/event-stream", "text/html", "application/json"])
async def test_garbage(content: bytes, kind: str, content_type: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(content_type)
        await exchange.send(content)

    async with served(handler) as base_url:
        error = await failure(base_url)
    assert error.kind == kind


async def test_the_connection_breaks() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n")
        await exchange.say("half")

    async with served(handler) as base_url:
        provider = connect("chat-completions", base_url)
        texts = []
        with pytest.raises(ProviderError) as caught:
            async for event in provider.stream(ChatRequest("m", [user("hi")])):
                assert isinstance(event, TextDelta)
                texts.append(event.text)
        await provider.aclose()
    assert texts == ["half"]
    assert (caught.value.kind, caught.value.retryable) == ("network", True)


async def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.providers.wire.MAX_BODY_BYTES", 100_000)

    async def handler(exchange: Exchange) -> None:
        await exchange.start()
        while True:
            await exchange.say("x" * 1000)

    async with served(handler) as base_url:
        assert (await failure(base_url)).kind == "bad_response"


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "wait"),
    [
        ("429 Too Many Requests", "Retry-After: 7\r\n", {"error": {"message": "slow down"}}, "rate_limit", 7),
        ("429 Too Many Requests", "", {"error": {"message": "Please try again in 11.8125s."}}, "rate_limit", 11.8125),
        ("429 Too Many Requests", "", {"error": {"message": "Please try again in 15m37.44s."}}, "rate_limit", 937.44),
        ("429 Too Many Requests", "", {"error": {"message": "try again in 174ms"}}, "rate_limit", 0.174),
        ("429 Too Many Requests", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", {}, "rate_limit", 0),
        ("429 Too Many Requests", "Retry-After: soon\r\n", {}, "rate_limit", None),
        ("429 Too Many Requests", "", {"error": {"code": "insufficient_quota", "message": "x"}}, "quota", None),
        ("402 Payment Required", "", {"error": {"message": "Insufficient credits"}}, "quota", None),
        ("403 Forbidden", "", {"error": {"message": "Your region is not supported"}}, "permission", None),
        ("404 Not Found", "", b"<html>404</html>", "not_found", None),
        ("400 Bad Request", "", [{"error": {"code": 400, "message": "API key not valid."}}], "auth", None),
        ("400 Bad Request", "", {"error": {"message": "prompt is too long: 9 tokens > 8"}}, "context_length", None),
        ("400 Bad Request", "", {"error": {"code": "content_filter", "message": "no"}}, "content_filter", None),
        ("400 Bad Request", "", {"error": {"message": "model 'x' does not exist"}}, "not_found", None),
        ("413 Payload Too Large", "", b"", "too_large", None),
        ("422 Unprocessable", "", {"detail": [{"msg": "field required"}]}, "invalid_request", None),
        ("500 Internal Server Error", "", b"oops", "server", None),
        ("503 Service Unavailable", "Retry-After: 3\r\n", {"error": {"message": "Loading model"}}, "overloaded", 3),
        ("529 Overloaded", "", {"error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded", None),
        ("302 Found", "Location: http://127.0.0.1:1/\r\n", b"", "invalid_request", None),
    ],
)
async def test_status(status: str, headers: str, body: Any, kind: str, wait: float | None) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(status, body, headers)

    async with served(handler) as base_url:
        error = await failure(base_url)
    assert error.kind == kind, error
    assert error.retry_after == (pytest.approx(wait) if wait is not None else None)
    assert error.retryable == (kind in ("rate_limit", "overloaded", "server", "timeout", "network"))
    assert error.status == int(status[:3])
    assert "<html" not in str(error)


def test_unknown_protocol() -> None:
    with pytest.raises(UsageError) as caught:
        connect("telepathy", "http://127.0.0.1/v1")
    assert "chat-completions" in caught.value.hint


def test_importing_the_providers_is_cheap() -> None:
    code = (
        "import sys, agent.providers as providers, agent.tools.arguments\n"
        "providers.connect('chat-completions', 'http://x/v1')\n"
        "heavy = 'httpx anyio json_repair jsonschema genai_prices xllamacpp keyring pydantic'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
