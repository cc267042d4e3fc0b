"""The model peer, judged by the official client of the service it stands in for."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.peers import replies
from tests.peers.in_thread import in_thread
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Ending, Hang, HangUp, HttpFault, Reply

ROOT = Path(__file__).parents[2]
USER: list[Any] = [{"role": "user", "content": "hi"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Read a file.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
]


def openai_client(server: ModelServer, key: str = "sk-test", timeout: float = 5.0) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0, timeout=timeout)


async def test_openai_client_gets_whole_answer() -> None:
    reply = Reply(
        "Grüße, 世界", reasoning="hm", prompt_tokens=7, completion_tokens=3, cached_tokens=2, reasoning_tokens=1
    )
    async with ModelServer(reply, api_key="sk-test") as server, openai_client(server) as client:
        answer = await client.chat.completions.create(model="fake-1", messages=USER)
        assert answer.choices[0].message.content == "Grüße, 世界"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
        assert answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == 2
        assert [model.id async for model in client.models.list()] == ["fake-1"]
        assert (await client.models.retrieve("fake-1")).object == "model"
        assert server.chats[0].last_text == "hi"
        assert server.chats[0].headers["authorization"] == "Bearer sk-test"


async def test_openai_client_streams_text_reasoning_and_usage() -> None:
    reply = Reply("one two three", reasoning=["think", "ing"], comments=True, completion_tokens=5)
    async with ModelServer(reply) as server, openai_client(server) as client:
        stream = await client.chat.completions.create(
            model="fake-1", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert [delta.content for delta in deltas if delta.content] == ["one", " two", " three"]
        reasoning = [(delta.model_extra or {}).get("reasoning_content") for delta in deltas]
        assert [text for text in reasoning if text] == ["think", "ing"]
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 5
        stream = await client.chat.completions.create(model="fake-1", messages=USER, stream=True)
        assert all(chunk.usage is None for chunk in [chunk async for chunk in stream])


async def test_openai_client_assembles_parallel_tool_calls_and_sends_results_back() -> None:
    calls = (Call("read_file", {"path": "a.txt"}), Call("read_file", '{"path": "ü.txt"}', id="call_x", pieces=5))
    async with ModelServer([Reply(calls=calls), Reply("done")]) as server, openai_client(server) as client:
        async with client.chat.completions.stream(model="fake-1", messages=USER, tools=TOOLS) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        assert message.tool_calls is not None
        assert [(call.id, json.loads(call.function.arguments)) for call in message.tool_calls] == [
            ("call_1", {"path": "a.txt"}),
            ("call_x", {"path": "ü.txt"}),
        ]
        history: list[Any] = [
            *USER,
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": call.id, "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
                    for call in message.tool_calls
                ],
            },
        ]
        results: list[Any] = [
            {"role": "tool", "tool_call_id": call.id, "content": "text"} for call in message.tool_calls
        ]
        with pytest.raises(openai.BadRequestError, match="did not have response messages: call_x"):
            await client.chat.completions.create(model="fake-1", messages=[*history, results[0]], tools=TOOLS)
        answer = await client.chat.completions.create(model="fake-1", messages=history + results, tools=TOOLS)
        assert answer.choices[0].message.content == "done"
        assert server.chats[0].tool_names == ["read_file"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "you must provide a model parameter"),
    ({"model": "fake-1"}, "Missing required parameter: 'messages'"),
    ({"model": 1, "messages": USER}, "Invalid type for 'model'"),
    ({"model": "fake-1", "messages": "hi"}, "Invalid type for 'messages': expected an array, but got a string"),
    ({"model": "fake-1", "messages": []}, "empty array"),
    ({"model": "fake-1", "messages": [{"content": "hi"}]}, r"Missing required parameter: 'messages\[0\].role'"),
    ({"model": "fake-1", "messages": [{"role": "bot", "content": "hi"}]}, "Invalid value: 'bot'"),
    ({"model": "fake-1", "messages": [{"role": "user", "content": None}]}, "expected a string, got null"),
    ({"model": "fake-1", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "content\\[0\\].text"),
    ({"model": "fake-1", "messages": [{"role": "assistant", "content": None}]}, "expected a string, got null"),
    (
        {"model": "fake-1", "messages": [*USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
        "must be a response to a preceeding message with 'tool_calls'",
    ),
    ({"model": "fake-1", "messages": [{**USER[0], "reasoning_content": "x"}]}, "Unknown parameter: 'messages\\[0\\]"),
    ({"model": "fake-1", "messages": USER, "thinking": True}, "Unknown parameter: 'thinking'"),
    ({"model": "fake-1", "messages": USER, "stream": "yes"}, "expected a boolean"),
    ({"model": "fake-1", "messages": USER, "max_tokens": 1.5}, "expected an integer, but got a decimal"),
    ({"model": "fake-1", "messages": USER, "max_tokens": 0}, "integer below minimum value"),
    ({"model": "fake-1", "messages": USER, "temperature": 3}, "decimal above maximum value"),
    ({"model": "fake-1", "messages": USER, "stream_options": {}}, "only allowed when 'stream' is enabled"),
    ({"model": "fake-1", "messages": USER, "tools": []}, "empty array"),
    ({"model": "fake-1", "messages": USER, "tool_choice": "auto"}, "only allowed when 'tools' are specified"),
    (
        {"model": "fake-1", "messages": USER, "tools": [{"type": "function", "function": {"name": "a b"}}]},
        "does not match pattern",
    ),
    (
        {
            "model": "fake-1",
            "messages": USER,
            "tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}],
        },
        "schema must be a JSON Schema of 'type: \"object\"'",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[message for _, message in REFUSED])
async def test_bad_request_gets_the_400_of_the_service(body: dict[str, Any], message: str) -> None:
    async with ModelServer() as server, openai_client(server) as client:
        with pytest.raises(openai.BadRequestError, match=message) as caught:
            await client.post("/chat/completions", body=body, cast_to=object)
        assert caught.value.type == "invalid_request_error"
        assert server.chats == []
        assert server.requests[0].refused


async def test_local_servers_take_unknown_fields() -> None:
    async with ModelServer("ok", flavour="ollama") as server, openai_client(server) as client:
        answer = await client.chat.completions.create(model="fake-1", messages=USER, extra_body={"keep_alive": "5m"})
        assert answer.choices[0].message.content == "ok"


FAULTS = [
    (replies.unauthorized(), openai.AuthenticationError),
    (replies.model_not_found("fake-1"), openai.NotFoundError),
    (replies.rate_limited(2), openai.RateLimitError),
    (replies.quota_exceeded(), openai.RateLimitError),
    (replies.context_too_long(), openai.BadRequestError),
    (replies.server_error(), openai.InternalServerError),
    (replies.server_error(503), openai.InternalServerError),
    (HttpFault(403, "Country not supported", "request_forbidden"), openai.PermissionDeniedError),
    (HangUp(), openai.APIConnectionError),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_openai_client_reads_faults(fault: HttpFault | HangUp, error: type[openai.APIError]) -> None:
    async with ModelServer(fault) as server, openai_client(server) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(model="fake-1", messages=USER, stream=True)
        if isinstance(caught.value, openai.RateLimitError) and caught.value.code == "rate_limit_exceeded":
            assert caught.value.response.headers["retry-after"] == "2"


async def test_wrong_or_missing_key_and_unknown_model_are_refused() -> None:
    async with ModelServer(api_key="sk-right") as server:
        async with openai_client(server, "sk-wrong") as client:
            with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided"):
                await client.models.list()
        async with openai_client(server, "sk-right") as client:
            with pytest.raises(openai.NotFoundError, match="`gpt-9` does not exist"):
                await client.chat.completions.create(model="gpt-9", messages=USER)


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (Ending.CUT, openai.APIError),
        (Ending.GARBAGE, json.JSONDecodeError),
        (Ending.INVALID_UTF8, UnicodeDecodeError),
        (Ending.ERROR_EVENT, openai.APIError),
    ],
)
async def test_stream_that_breaks_halfway(ending: Ending, error: type[Exception]) -> None:
    async with ModelServer(Reply("one two three four", ending=ending)) as server, openai_client(server) as client:
        seen = ""
        with pytest.raises(error):
            async for chunk in await client.chat.completions.create(model="fake-1", messages=USER, stream=True):
                seen += chunk.choices[0].delta.content or ""
        assert seen == "one two"


async def test_stream_without_an_end_has_no_finish_reason() -> None:
    async with ModelServer(Reply("one two", ending=Ending.NO_DONE)) as server, openai_client(server) as client:
        stream = await client.chat.completions.create(model="fake-1", messages=USER, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"
        assert all(chunk.choices[0].finish_reason is None for chunk in chunks)


async def test_page_instead_of_a_stream() -> None:
    async with ModelServer(replies.garbage()) as server, openai_client(server) as client:
        stream = await client.chat.completions.create(model="fake-1", messages=USER, stream=True)
        assert [chunk async for chunk in stream] == []
        assert stream.response.headers["content-type"] == "text/html"


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.GARBAGE])
async def test_whole_answer_that_breaks(ending: Ending) -> None:
    async with ModelServer(Reply("hello", ending=ending)) as server, openai_client(server) as client:
        with pytest.raises((openai.APIConnectionError, json.JSONDecodeError)):
            await client.chat.completions.create(model="fake-1", messages=USER)


@pytest.mark.parametrize("answer", [Hang(), Reply("one two three four", ending=Ending.HANG)])
async def test_server_sees_the_client_hang_up(answer: Hang | Reply) -> None:
    async with ModelServer(answer) as server, openai_client(server) as client:

        async def ask() -> None:
            async for _ in await client.chat.completions.create(model="fake-1", messages=USER, stream=True):
                pass

        task = asyncio.create_task(ask())
        [request] = await server.wait_for_chats()
        assert request.disconnected_at is None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await request.wait_disconnected()
        await server.wait_idle()
        assert request.disconnected_at is not None
        assert request.finished_at is None


async def test_disconnect_is_not_reported_when_the_client_stays() -> None:
    async with ModelServer("hello") as server, openai_client(server) as client:
        await client.chat.completions.create(model="fake-1", messages=USER)
        await server.wait_idle()
        assert server.chats[0].finished_at is not None
        with pytest.raises(AssertionError, match="did not disconnect"):
            await server.chats[0].wait_disconnected(timeout=0.05)


async def test_reply_is_held_until_the_test_lets_go() -> None:
    before, halfway = asyncio.Event(), asyncio.Event()
    reply = Reply("one two", before=before, halfway=halfway)
    async with ModelServer(reply) as server, openai_client(server) as client:
        request = asyncio.create_task(client.chat.completions.create(model="fake-1", messages=USER, stream=True))
        await server.wait_for_chats()
        assert not request.done()
        before.set()
        texts = _texts(await request)
        assert await anext(texts) == "one"
        rest = asyncio.ensure_future(anext(texts))
        assert await asyncio.wait([rest], timeout=0.05) == (set(), {rest})
        halfway.set()
        assert await rest == " two"
        assert [text async for text in texts] == []


async def _texts(stream: Any) -> AsyncGenerator[str, None]:
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def test_handler_answers_by_request_and_parallel_requests_are_counted() -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Reply:
        await gate.wait()
        return Reply(request.last_text.upper())

    async with ModelServer(handler) as server, openai_client(server) as client:
        asks = [
            client.chat.completions.create(model="fake-1", messages=[{"role": "user", "content": f"number {index}"}])
            for index in range(8)
        ]
        task = asyncio.gather(*asks)
        await server.wait_for_chats(8)
        assert server.peak == 8
        gate.set()
        assert [answer.choices[0].message.content for answer in await task] == [f"NUMBER {index}" for index in range(8)]


async def test_script_that_runs_out_says_so() -> None:
    async with ModelServer([Reply("only")]) as server, openai_client(server) as client:
        await client.chat.completions.create(model="fake-1", messages=USER)
        with pytest.raises(openai.InternalServerError, match="only 1 answers"):
            await client.chat.completions.create(model="fake-1", messages=USER)


async def test_local_servers_are_told_apart() -> None:
    import httpx

    async with (
        ModelServer(flavour="ollama", models=["llama3.2:3b"]) as ollama,
        ModelServer(flavour="lmstudio", models=["qwen3-4b"]) as lmstudio,
        httpx.AsyncClient() as client,
    ):
        tags = (await client.get(f"{ollama.root_url}/api/tags")).json()
        assert [model["name"] for model in tags["models"]] == ["llama3.2:3b"]
        assert (await client.get(ollama.root_url)).text == "Ollama is running"
        unknown = await client.get(f"{lmstudio.root_url}/api/tags")
        assert unknown.json() == {"error": "Unexpected endpoint or method. (GET /api/tags)"}
        for server, name in ((ollama, "llama3.2:3b"), (lmstudio, "qwen3-4b")):
            listed = (await client.get(f"{server.base_url}/models")).json()
            assert [model["id"] for model in listed["data"]] == [name]


def test_model_server_in_a_thread() -> None:
    with in_thread(ModelServer("from a thread")) as thread:
        with openai.OpenAI(base_url=thread.peer.base_url, api_key="x", max_retries=0) as client:
            answer = client.chat.completions.create(model="fake-1", messages=USER)
        assert answer.choices[0].message.content == "from a thread"
        assert len(thread.call(thread.peer.wait_for_chats())) == 1


def test_model_server_by_hand(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    command = [sys.executable, "-m", "tests.peers.model_server", "--text", "by hand", "--log", str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with openai.OpenAI(base_url=ready["base_url"], api_key="x", max_retries=0) as client:
            answer = client.chat.completions.create(model="fake-1", messages=USER)
        process.terminate()
        assert process.wait(10) == 0
    assert answer.choices[0].message.content == "by hand"
    assert json.loads(log.read_text())["path"] == "/v1/chat/completions"
