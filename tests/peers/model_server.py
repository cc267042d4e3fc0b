"""A model service on loopback that speaks OpenAI Chat Completions, scripted by a test or started by hand.

`python -m tests.peers.model_server --port 8099 --latency 1.0 --text "hello"` serves until it is stopped.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from tests.peers import chat_rules, replies
from tests.peers.changes import Changes
from tests.peers.http1 import Exchange, HttpServer
from tests.peers.replies import Answer, Call, Ending, Hang, HangUp, HttpFault, Reply, as_chunks, as_text, pieces

Flavour = Literal["openai", "ollama", "lmstudio"]
JSON_HEADERS = {"content-type": "application/json"}
SSE_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
CREATED = 1_760_000_000


@dataclass
class Request:
    """One request as the server received it."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: float
    """`time.perf_counter()` seconds."""
    json: Any = field(default=None, repr=False)
    finished_at: float | None = None
    disconnected_at: float | None = None
    """When the client closed the connection before the answer was complete; else None."""
    refused: str | None = None
    """Why the server answered 400, 401 or 404 by itself."""
    _exchange: Exchange | None = field(default=None, repr=False)

    @property
    def model(self) -> str:
        return str(self.json["model"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.json["messages"])

    @property
    def tool_names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.json.get("tools") or ()]

    @property
    def last_text(self) -> str:
        """The text of the last message, whoever wrote it."""
        content = self.messages[-1].get("content") or ""
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)

    async def wait_disconnected(self, timeout: float = 5.0) -> None:
        """Return when the client closed the connection before the answer was complete, else raise `AssertionError`."""
        assert self._exchange is not None
        try:
            await asyncio.wait_for(self._exchange.disconnected.wait(), timeout)
        except TimeoutError:
            raise AssertionError(f"the client did not disconnect within {timeout:g} s") from None


Script = Answer | Sequence[Answer] | Callable[[Request], Answer | Awaitable[Answer]]


class ModelServer:
    """`async with ModelServer(script) as server:` then talk to `server.base_url`.

    `script` is one answer for all requests, a list used up in order (a request too many gets a 500), or a function
    of the request. `latency` is the time before the first byte, `chunk_delay` the time between chunks, in seconds.
    """

    def __init__(
        self,
        script: Script | str = "Hello from the fake model.",
        *,
        models: Sequence[str] = ("fake-1",),
        api_key: str | None = None,
        flavour: Flavour = "openai",
        latency: float = 0.0,
        chunk_delay: float = 0.0,
        port: int = 0,
    ) -> None:
        self.script: Script = Reply(script) if isinstance(script, str) else script
        self.models = list(models)
        self.api_key = api_key
        self.flavour = flavour
        self.latency = latency
        self.chunk_delay = chunk_delay
        self.requests: list[Request] = []
        self.active = 0
        self.peak = 0
        """The most chat requests that were open at one moment."""
        self.port = port
        self._script_position = 0
        self._ids = itertools.count(1)
        self._changes = Changes()
        self._http = HttpServer(self._serve)

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def chats(self) -> list[Request]:
        """The chat requests that were not refused."""
        return [one for one in self.requests if one.path.endswith("/chat/completions") and one.refused is None]

    async def start(self) -> None:
        self.port = await self._http.start(self.port)

    async def stop(self) -> None:
        await self._http.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_for_chats(self, count: int = 1, timeout: float = 5.0) -> list[Request]:
        """Return the chat requests when at least `count` have arrived."""
        return await self._changes.until(
            lambda: self.chats if len(self.chats) >= count else [], timeout, what=f"chat request number {count}"
        )

    async def wait_idle(self, timeout: float = 5.0) -> None:
        """Return when no chat request is open."""
        await self._changes.until(lambda: self.active == 0, timeout, what="the end of every chat request")

    async def _serve(self, exchange: Exchange) -> None:
        request = Request(
            exchange.method, exchange.path, exchange.headers, exchange.body, time.perf_counter(), _exchange=exchange
        )
        self.requests.append(request)
        try:
            await self._route(exchange, request)
        finally:
            if exchange.disconnected.is_set():
                request.disconnected_at = time.perf_counter()
            else:
                request.finished_at = time.perf_counter()
            self._changes.pulse()

    async def _route(self, exchange: Exchange, request: Request) -> None:
        if exchange.path == "/v1/chat/completions" and exchange.method == "POST":
            fault = self._judge(request)
            if fault is not None:
                request.refused = fault.message
                await self._fault(exchange, fault)
                return
            self.active += 1
            self.peak = max(self.peak, self.active)
            self._changes.pulse()
            try:
                await self._answer(exchange, request)
            finally:
                self.active -= 1
            return
        document = self._document(exchange)
        if isinstance(document, HttpFault):
            request.refused = document.message
            await self._fault(exchange, document)
        elif isinstance(document, str):
            await exchange.respond(200, document.encode(), {"content-type": "text/plain; charset=utf-8"})
        else:
            await exchange.respond(200, json.dumps(document).encode(), JSON_HEADERS)

    def _document(self, exchange: Exchange) -> dict[str, Any] | str | HttpFault:
        """What a GET returns: the model lists, and the paths by which Ollama and LM Studio are recognised."""
        route = (exchange.method, exchange.path)
        if exchange.path == "/v1/models" or exchange.path.startswith("/v1/models/"):
            if exchange.method != "GET":
                return HttpFault(405, f"Not allowed to {exchange.method} on /v1/models.", "invalid_request_error")
            if (fault := self._judge_key(exchange.headers)) is not None:
                return fault
            owner = {"openai": "system", "ollama": "library", "lmstudio": "organization_owner"}[self.flavour]
            entries = [{"id": name, "object": "model", "created": CREATED, "owned_by": owner} for name in self.models]
            if exchange.path == "/v1/models":
                return {"object": "list", "data": entries}
            name = exchange.path.removeprefix("/v1/models/")
            return next((entry for entry in entries if entry["id"] == name), replies.model_not_found(name))
        if self.flavour == "ollama":
            if route in (("GET", "/"), ("HEAD", "/")):
                return "Ollama is running"
            if route == ("GET", "/api/version"):
                return {"version": "0.12.6"}
            if route == ("GET", "/api/tags"):
                return {"models": [_ollama_model(name) for name in self.models]}
            return HttpFault(404, body=b"404 page not found", headers={"content-type": "text/plain"})
        if self.flavour == "lmstudio":
            if route == ("GET", "/api/v0/models"):
                kinds = {"object": "model", "type": "llm", "publisher": "fake", "arch": "llama", "state": "not-loaded"}
                return {"object": "list", "data": [{"id": name, **kinds} for name in self.models]}
            # LM Studio answers 200 with an error for a path it does not know.
            return {"error": f"Unexpected endpoint or method. ({exchange.method} {exchange.path})"}
        message = f"Invalid URL ({exchange.method} {exchange.path})"
        return HttpFault(404, message, "invalid_request_error")

    def _judge_key(self, headers: dict[str, str]) -> HttpFault | None:
        if self.api_key is None:
            return None
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            message = (
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            )
            return HttpFault(401, message, "invalid_request_error")
        return None if key == self.api_key else replies.unauthorized(f"{key[:3]}*****")

    def _judge(self, request: Request) -> HttpFault | None:
        if (fault := self._judge_key(request.headers)) is not None:
            return fault
        if not request.headers.get("content-type", "").startswith("application/json"):
            return HttpFault(400, "you must provide a model parameter", "invalid_request_error")
        try:
            request.json = json.loads(request.body)
        except ValueError:
            message = (
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
                "library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)"
            )
            return HttpFault(400, message, "invalid_request_error")
        try:
            chat_rules.check(request.json, strict=self.flavour == "openai")
        except chat_rules.RefusedError as error:
            return error.fault
        return None if request.model in self.models else replies.model_not_found(request.model)

    async def _next_answer(self, request: Request) -> Answer:
        if isinstance(self.script, Answer):
            return self.script
        if callable(self.script):
            answer = self.script(request)
            return await answer if isinstance(answer, Awaitable) else answer
        if self._script_position >= len(self.script):
            return HttpFault(500, f"the script has only {len(self.script)} answers", "server_error", "script_exhausted")
        self._script_position += 1
        return self.script[self._script_position - 1]

    async def _fault(self, exchange: Exchange, fault: HttpFault) -> None:
        await exchange.respond(fault.status, fault.payload(), {**JSON_HEADERS, **fault.headers})

    async def _answer(self, exchange: Exchange, request: Request) -> None:
        answer = await self._next_answer(request)
        if isinstance(answer, HttpFault):
            await self._fault(exchange, answer)
        elif isinstance(answer, Hang):
            await exchange.disconnected.wait()
        elif isinstance(answer, HangUp):
            exchange.hang_up()
        else:
            latency = self.latency if answer.latency is None else answer.latency
            if latency:
                await asyncio.sleep(latency)
            if answer.before is not None:
                await answer.before.wait()
            if request.json.get("stream"):
                await self._stream(exchange, request, answer)
            else:
                await self._whole(exchange, request, answer)

    async def _stream(self, exchange: Exchange, request: Request, reply: Reply) -> None:
        usage_asked = bool((request.json.get("stream_options") or {}).get("include_usage"))
        frame: dict[str, Any] = {
            "id": f"chatcmpl-{next(self._ids)}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": request.model,
            "choices": [],
        }
        if usage_asked:
            frame["usage"] = None

        def event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            return b"data: %b\n\n" % json.dumps({**frame, "choices": [choice]}, ensure_ascii=False).encode()

        delay = self.chunk_delay if reply.chunk_delay is None else reply.chunk_delay
        deltas = list(_deltas(reply))
        exchange.start_stream(200, SSE_HEADERS)
        await exchange.write(event({"role": "assistant", "content": None if reply.calls else ""}))
        for position, delta in enumerate(deltas):
            if position == (len(deltas) + 1) // 2 and await self._strike(exchange, reply):
                return
            if delay:
                await asyncio.sleep(delay)
            if reply.comments:
                await exchange.write(b": PROCESSING\n\n")
            await exchange.write(event(delta))
        if len(deltas) < 2 and await self._strike(exchange, reply):
            return
        if reply.ending is not Ending.NO_DONE:
            await exchange.write(event({}, _finish_reason(reply)))
            if usage_asked:
                last = {**frame, "usage": _usage(request, reply)}
                await exchange.write(b"data: %b\n\n" % json.dumps(last).encode())
            await exchange.write(b"data: [DONE]\n\n")
        exchange.finish()

    async def _strike(self, exchange: Exchange, reply: Reply) -> bool:
        """Do in the middle of the stream what the ending asks; True when nothing follows."""
        if reply.halfway is not None:
            await reply.halfway.wait()
        match reply.ending:
            case Ending.CUT:
                await exchange.write(b'data: {"id": "chatcmpl-1", "object": "chat.comp')
                exchange.hang_up()
                return True
            case Ending.HANG:
                await exchange.disconnected.wait()
                return True
            case Ending.GARBAGE:
                await exchange.write(b"data: {this is no JSON\n\n")
            case Ending.INVALID_UTF8:
                await exchange.write(b'data: {"choices": [{"index": 0, "delta": {"content": "caf\xe9"}}]}\n\n')
            case Ending.ERROR_EVENT:
                await exchange.write(b"data: %b\n\n" % replies.server_error().payload().replace(b"\n", b""))
                exchange.finish()
                return True
        return False

    async def _whole(self, exchange: Exchange, request: Request, reply: Reply) -> None:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": as_text(reply.text) or None,
            "refusal": reply.refusal or None,
        }
        if reply.reasoning:
            message["reasoning_content"] = as_text(reply.reasoning)
        if reply.calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.raw_arguments}}
                for call_id, call in _with_ids(reply.calls)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
        body = json.dumps(
            {
                "id": f"chatcmpl-{next(self._ids)}",
                "object": "chat.completion",
                "created": CREATED,
                "model": request.model,
                "choices": [choice],
                "usage": _usage(request, reply),
            },
            ensure_ascii=False,
        ).encode()
        half = len(body) // 2
        match reply.ending:
            case Ending.CUT | Ending.HANG:
                exchange.start_unfinished(200, JSON_HEADERS, len(body))
                await exchange.write(body[:half])
                if reply.ending is Ending.HANG:
                    await exchange.disconnected.wait()
                else:
                    exchange.hang_up()
            case Ending.GARBAGE | Ending.NO_DONE:
                await exchange.respond(200, body[:half], JSON_HEADERS)
            case Ending.INVALID_UTF8:
                await exchange.respond(200, body.replace(b'"content": "', b'"content": "\xe9', 1), JSON_HEADERS)
            case Ending.ERROR_EVENT:
                await exchange.respond(200, replies.server_error().payload(), JSON_HEADERS)
            case Ending.DONE:
                await exchange.respond(200, body, JSON_HEADERS)


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    for piece in as_chunks(reply.reasoning, reply.chunks):
        yield {"reasoning_content": piece}
    for piece in as_chunks(reply.text, reply.chunks):
        yield {"content": piece}
    if reply.refusal:
        yield {"refusal": reply.refusal}
    for index, (call_id, call) in enumerate(_with_ids(reply.calls)):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}
        for piece in pieces(call.raw_arguments, call.pieces):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _with_ids(calls: Sequence[Call]) -> Iterator[tuple[str, Call]]:
    for number, call in enumerate(calls, 1):
        yield call.id or f"call_{number}", call


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.calls else "stop")


def _usage(request: Request, reply: Reply) -> dict[str, Any]:
    """Four bytes a token where the script gives no number."""
    prompt = reply.prompt_tokens if reply.prompt_tokens is not None else max(1, len(request.body) // 4)
    output = as_text(reply.text) + as_text(reply.reasoning) + "".join(call.raw_arguments for call in reply.calls)
    completion = reply.completion_tokens if reply.completion_tokens is not None else max(1, len(output) // 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens, "audio_tokens": 0},
    }


def _ollama_model(name: str) -> dict[str, Any]:
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }
    modified = "2026-01-02T03:04:05.678901+00:00"
    file = {"modified_at": modified, "size": 2_019_393_189, "digest": "a" * 64}
    return {"name": name, "model": name, **file, "details": details}


async def _run(server: ModelServer, log: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with server:
        print(json.dumps({"event": "ready", "base_url": server.base_url}), flush=True)
        await stop.wait()
    if log is not None:
        lines = [
            {
                "path": one.path,
                "body_bytes": len(one.body),
                "head_bytes": sum(len(name) + len(value) + 4 for name, value in one.headers.items()),
                "received_at": one.received_at,
                "disconnected": one.disconnected_at is not None,
                "refused": one.refused,
                "tools": len((one.json or {}).get("tools") or ()),
            }
            for one in server.requests
        ]
        with open(log, "w") as file:  # noqa: PTH123
            file.writelines(json.dumps(line) + "\n" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, printed at the start")
    parser.add_argument("--text", default="Hello from the fake model.")
    parser.add_argument("--chunks", type=int, default=0, help="0 cuts before every word")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before the first byte")
    parser.add_argument("--chunk-delay", type=float, default=0.0, help="seconds between chunks")
    parser.add_argument("--model", action="append", help="a model's name; repeat for more (default: fake-1)")
    parser.add_argument("--api-key", help="refuse requests without it")
    parser.add_argument("--flavour", choices=("openai", "ollama", "lmstudio"), default="openai")
    parser.add_argument("--log", help="write one JSON line a request to this file at the end")
    chosen = parser.parse_args(arguments)
    server = ModelServer(
        Reply(chosen.text, chunks=chosen.chunks),
        models=chosen.model or ("fake-1",),
        api_key=chosen.api_key,
        flavour=chosen.flavour,
        latency=chosen.latency,
        chunk_delay=chosen.chunk_delay,
        port=chosen.port,
    )
    asyncio.run(_run(server, chosen.log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
