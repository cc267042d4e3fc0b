"""The official client libraries read the same recordings: where they understand one, we understand the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agent.providers import Completion
from tests.agent.test_providers_chat import Exchange, served
from tests.corpora import replay

pytestmark = replay.needs_corpus

Opinion = tuple[str, list[tuple[str, Any]], tuple[int, int]]


def client(row: dict[str, Any], http: Any = httpx) -> Any:
    """A client of that HTTP library (each official one has its own) to which the recording answers."""

    def answer(_: Any) -> Any:
        return http.Response(row["status"], headers=plain_headers(row), content=row["response_body"].encode())

    return http.AsyncClient(transport=http.MockTransport(answer))


def plain_headers(row: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in row["response_headers"].items() if name != "transfer-encoding"}


def good(protocol: str, stream: bool) -> list[Any]:
    """The recordings of answers (errors are told apart elsewhere)."""
    rows = [row for row in replay.rows(protocol) if row["status"] == 200 and row["stream"] == stream]
    return [pytest.param(row, id=row["id"]) for row in rows if not row["expected"].get("error_kind")]


async def ours(protocol: str, row: dict[str, Any]) -> Opinion:
    _, _, end = await replay.replay(protocol, row, "random")
    assert isinstance(end, Completion), end
    calls = [(call.name, dict(call.arguments)) for call in end.tool_calls]
    return end.text, calls, (end.usage.input_tokens, end.usage.output_tokens)


def loads(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}  # cut off by the length limit


DIFFERS = {
    "pr-0097": "the model refused: we give the refusal as the text that a person reads",
    "pr-0212": "another model began anew in the middle: the library keeps what it replaced",
}


@pytest.mark.parametrize("row", good("anthropic-messages", True))
async def test_anthropic_streams(row: dict[str, Any]) -> None:
    import anthropic
    import httpx2

    if row["id"] in DIFFERS:
        pytest.skip(DIFFERS[row["id"]])
    async with client(row, httpx2) as http:
        official = anthropic.AsyncAnthropic(api_key="k", base_url="http://127.0.0.1:9", http_client=http, max_retries=0)
        question = {"role": "user", "content": "hi"}
        async with official.messages.stream(model="m", max_tokens=9, messages=[question]) as events:  # type: ignore[list-item]
            message = await events.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    got = await ours("anthropic-messages", row)
    assert got[0] == text
    if message.stop_reason != "max_tokens":
        assert got[1] == calls
    assert got[2] == (message.usage.input_tokens, message.usage.output_tokens)


@pytest.mark.parametrize("row", good("anthropic-messages", False))
async def test_anthropic_whole(row: dict[str, Any]) -> None:
    import anthropic
    import httpx2

    async with client(row, httpx2) as http:
        official = anthropic.AsyncAnthropic(api_key="k", base_url="http://127.0.0.1:9", http_client=http, max_retries=0)
        question = {"role": "user", "content": "hi"}
        message = await official.messages.create(model="m", max_tokens=9, messages=[question])  # type: ignore[list-item]
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    usage = message.usage
    assert await ours("anthropic-messages", row) == (text, calls, (usage.input_tokens, usage.output_tokens))


@pytest.mark.parametrize("row", good("openai-responses", False))
async def test_responses_whole(row: dict[str, Any]) -> None:
    import openai

    async with client(row) as http:
        official = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", http_client=http, max_retries=0)
        response = await official.responses.create(model="m", input="hi")
    calls = [(item.name, loads(item.arguments)) for item in response.output if item.type == "function_call"]
    usage = response.usage
    tokens = (usage.input_tokens, usage.output_tokens) if usage else (0, 0)
    assert await ours("responses", row) == (response.output_text, calls, tokens)


@pytest.mark.parametrize("row", good("openai-responses", True))
async def test_responses_streams(row: dict[str, Any]) -> None:
    import openai

    text, calls = "", []
    async with client(row) as http:
        official = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", http_client=http, max_retries=0)
        async for event in await official.responses.create(model="m", input="hi", stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.output_item.done" and event.item.type == "function_call":
                calls.append((event.item.name, loads(event.item.arguments)))
    got = await ours("responses", row)
    assert got[:2] == (text, calls)


@pytest.mark.parametrize("row", good("openai-chat", False))
async def test_chat_whole(row: dict[str, Any]) -> None:
    import openai

    if row["id"] in DIFFERS:
        pytest.skip(DIFFERS[row["id"]])
    async with client(row) as http:
        official = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", http_client=http, max_retries=0)
        question = {"role": "user", "content": "hi"}
        answer = await official.chat.completions.create(model="m", messages=[question])  # type: ignore[list-item]
    message = answer.choices[0].message
    if isinstance(message.content, list):
        pytest.skip("content in parts, which the library hands on as it is")
    calls = [(call.function.name, loads(call.function.arguments)) for call in message.tool_calls or ()]
    got = await ours("chat-completions", row)
    assert got[:2] == (message.content or message.refusal or "", calls)
    if answer.usage:
        assert got[2] == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


@pytest.mark.parametrize("row", good("openai-chat", True))
async def test_chat_streams(row: dict[str, Any]) -> None:
    import openai

    text = ""
    names: list[str] = []
    async with client(row) as http:
        official = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", http_client=http, max_retries=0)
        question = {"role": "user", "content": "hi"}
        chunks = await official.chat.completions.create(model="m", messages=[question], stream=True)  # type: ignore[call-overload]
        async for chunk in chunks:
            for choice in chunk.choices[:1]:
                if isinstance(choice.delta.content, list):
                    pytest.skip("content in parts, which the library hands on as it is")
                text += choice.delta.content or choice.delta.refusal or ""
                names += [
                    call.function.name for call in choice.delta.tool_calls or () if call.function and call.function.name
                ]
    got = await ours("chat-completions", row)
    assert got[0] == text
    assert [name for name, _ in got[1]] == list(dict.fromkeys(names)) or [name for name, _ in got[1]] == names


async def gemini_says(row: dict[str, Any]) -> AsyncIterator[Any]:
    """The answers that the official client makes of the recording, over a real socket."""
    from google import genai
    from google.genai import types

    async def handler(exchange: Exchange) -> None:
        body = row["response_body"].encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in plain_headers(row).items())
        kind = "" if "content-type" in head.lower() else "Content-Type: application/json\r\n"
        await exchange.send(f"HTTP/1.1 200 OK\r\n{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async with served(handler) as base_url:
        options = types.HttpOptions(base_url=base_url.removesuffix("/v1"), timeout=20_000)
        official = genai.Client(api_key="k", http_options=options)
        try:
            if row["stream"]:
                async for piece in await official.aio.models.generate_content_stream(model="m", contents="hi"):
                    yield piece
            else:
                yield await official.aio.models.generate_content(model="m", contents="hi")
        finally:
            await official.aio.aclose()
            official.close()


# A warning of the official client about its own use of aiohttp.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.parametrize("row", [*good("gemini", False), *good("gemini", True)])
async def test_gemini(row: dict[str, Any]) -> None:
    text, calls, tokens = "", [], (0, 0)
    async for piece in gemini_says(row):
        content = piece.candidates[0].content if piece.candidates else None
        for part in (content.parts if content else None) or []:
            if part.text and not part.thought:
                text += part.text
            if part.function_call:
                calls.append((part.function_call.name, part.function_call.args or {}))
        if usage := piece.usage_metadata:
            tokens = usage.prompt_token_count or 0, usage.candidates_token_count or 0
    assert await ours("gemini", row) == (text, calls, tokens)
