"""OpenAI's Chat Completions, the protocol that most providers and local servers speak.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.errors import ProviderError
from agent.providers.chat_answer import ChatAnswer
from agent.providers.chat_request import Quirks, body, encode, messages
from agent.providers.failures import Failures
from agent.providers.http import MAX_BODY_BYTES, Timeouts, open_client
from agent.providers.sse import EventData
from agent.providers.types import ChatRequest, Completion, Finished, ModelInfo, ReasoningDelta, StreamEvent, TextDelta

if TYPE_CHECKING:
    import httpx

KeySource = Callable[[], Awaitable[str | None]]

_LENGTHS = ("context_length", "context_window", "max_context_length", "max_model_len", "max_input_tokens")
_NOT_CHAT = frozenset({"image", "embedding", "audio", "video", "moderation", "rerank", "transcribe"})


class ChatCompletions:
    """A provider behind one base URL. Safe for any number of streams at once on one event loop."""

    supports_tools = True

    def __init__(
        self,
        base_url: str,
        api_key: str | KeySource | None = None,
        *,
        name: str = "",
        label: str = "",
        key_url: str = "",
        needs_key: bool = False,
        headers: Mapping[str, str] | None = None,
        quirks: Quirks | None = None,
        timeouts: Timeouts | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._needs_key = needs_key
        self._headers = {"user-agent": "TrayClaw", **(headers or {})}
        self._quirks = quirks or Quirks()
        self._timeouts = timeouts or Timeouts()
        self._transport = transport
        self._failures = Failures(name, label, self._base_url, key_url=key_url)
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"ChatCompletions({self._failures.address!r})"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Closing the generator early closes the socket at once. Raises `ProviderError`."""
        failures = self._failures
        response = await self._send(request)
        answer = ChatAnswer()
        done = False
        try:
            if "event-stream" not in response.headers.get("content-type", ""):
                # The server does not stream, or says so wrongly: read everything, then see what it is.
                content = await self._read(response)
                payloads, done = _payloads(content, failures)
                for payload in payloads:
                    for event in self._take(answer, payload):
                        yield event
            else:
                decoder = EventData()
                received = 0
                chunks = response.aiter_bytes()
                async for chunk in chunks:
                    received += len(chunk)
                    if received > MAX_BODY_BYTES:
                        raise failures.too_big(MAX_BODY_BYTES)
                    for data in decoder.feed(chunk):
                        if data == b"[DONE]":
                            done = True
                            break
                        for event in self._take(answer, _parse(data, failures)):
                            yield event
                    if done:
                        await _drain(chunks)
                        break
                else:
                    for data in decoder.finish():
                        if data == b"[DONE]":
                            done = True
                            break
                        for event in self._take(answer, _parse(data, failures)):
                            yield event
        except _httpx().HTTPError as error:
            # A server that breaks the connection after the answer's end has still answered.
            if not answer.finish_reason:
                raise failures.transport(error) from error
        finally:
            await response.aclose()
        if not done and not answer.finish_reason:
            raise failures.silent() if answer.empty else failures.broke_off()
        completion = answer.completion()
        if answer.empty and not completion.usage.output_tokens:
            raise failures.silent()
        yield Finished(completion)

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece. Raises `ProviderError`."""
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.completion
        raise self._failures.broke_off()

    async def list_models(self) -> list[ModelInfo]:
        """The models on offer (`GET /models`); spends no tokens. Raises `ProviderError`."""
        headers = await self._auth(self._quirks.models_key_header)
        response = await self._request("GET", "/models", headers)
        try:
            content = await self._read(response)
        finally:
            await response.aclose()
        try:
            return _models(json.loads(content))
        except (ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
            raise self._failures.garbage(content) from error

    async def aclose(self) -> None:
        """Close all connections. The provider may be used again; it then opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _send(self, request: ChatRequest) -> httpx.Response:
        """The response to the request, its body unread. Leaves out what the server says it does not know."""
        made = body(request, self._quirks)
        headers = {"content-type": "application/json", "accept": "text/event-stream, application/json"}
        headers.update(await self._auth())
        while True:
            try:
                return await self._request("POST", "/chat/completions", headers, encode(made))
            except ProviderError as error:
                if error.status not in (400, 404, 422):
                    raise
                if "reasoning_content" in str(error) and not self._quirks.reasoning_back:
                    self._quirks = replace(self._quirks, reasoning_back=True)
                    made["messages"] = messages(request.messages, self._quirks)
                elif not _simplify(made, str(error)):
                    raise

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Response:
        client = self._client
        if client is None:
            client = await open_client(self._base_url, self._timeouts, self._transport)
            # Another request may have opened one meanwhile.
            if self._client is None:
                self._client = client
            else:
                await client.aclose()
                client = self._client
        httpx = _httpx()
        try:
            request = client.build_request(
                method, self._base_url + path, content=content, headers={**self._headers, **headers}
            )
            response = await client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failures.transport(error) from error
        if response.status_code == 200:
            return response
        try:
            content = await self._read(response)
        finally:
            await response.aclose()
        raise self._failures.status(response.status_code, response.headers, content)

    async def _auth(self, header: str = "") -> dict[str, str]:
        """The header with the key. Raises `ProviderError` where a key is needed and there is none."""
        given = self._api_key
        if callable(given):
            given = await given()
        key = (given or "").strip() or None
        self._failures.key = key
        if key is None:
            if self._needs_key:
                raise self._failures.no_key()
            return {}
        # Checked here: the HTTP library would quote the key in its own error.
        if not key.isascii() or not key.isprintable():
            raise self._failures.bad_key()
        return {header: key} if header else {"authorization": f"Bearer {key}"}

    async def _read(self, response: httpx.Response) -> bytes:
        pieces: list[bytes] = []
        received = 0
        try:
            async for chunk in response.aiter_bytes():
                pieces.append(chunk)
                received += len(chunk)
                if received > MAX_BODY_BYTES:
                    raise self._failures.too_big(MAX_BODY_BYTES)
        except _httpx().HTTPError as error:
            if response.status_code == 200:
                raise self._failures.transport(error) from error
        return b"".join(pieces)

    def _take(self, answer: ChatAnswer, payload: Mapping[str, Any]) -> Sequence[TextDelta | ReasoningDelta]:
        if payload.get("error"):
            raise self._failures.in_stream(payload["error"])
        if payload.get("object") == "error":  # vLLM
            raise self._failures.in_stream(payload)
        try:
            return answer.take(payload)
        except (TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
            raise self._failures.garbage(b"") from error


def _httpx() -> Any:
    """Imported already, in a thread, by the time an exception can be one of its own."""
    import httpx

    return httpx


def _parse(data: bytes, failures: Failures) -> Mapping[str, Any]:
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise failures.garbage(data) from error
    if not isinstance(payload, dict):
        raise failures.garbage(data)
    return payload


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of the body, so that the connection can be used again; one that does not come is not waited for."""
    try:
        async with asyncio.timeout(0.2):
            async for _ in chunks:
                pass
    except TimeoutError:
        pass


def _payloads(content: bytes, failures: Failures) -> tuple[list[Mapping[str, Any]], bool]:
    """What a whole body holds, and whether its end was seen: one JSON object, or events under a wrong content type."""
    if content.lstrip()[:1] == b"{":
        return [_parse(content, failures)], True
    decoder = EventData()
    events = decoder.feed(content) + decoder.finish()
    if content and not events:
        raise failures.garbage(content)
    payloads = [_parse(data, failures) for data in events if data != b"[DONE]"]
    return payloads, len(payloads) < len(events)


def _simplify(made: dict[str, Any], complaint: str) -> bool:
    """Take back the parameter that a server complains about; false when there is nothing to take back."""
    if "stream_options" in complaint and made.pop("stream_options", None) is not None:
        return True
    if "support tool" in complaint and made.pop("tools", None) is not None:  # Ollama, OpenRouter
        return True
    if "max_completion_tokens" in complaint and "max_tokens" in made:
        made["max_completion_tokens"] = made.pop("max_tokens")
        return True
    return "temperature" in complaint and made.pop("temperature", None) is not None


def _models(listed: Any) -> list[ModelInfo]:
    """`{"data": [...]}`, or the bare list that Together sends."""
    rows = listed if isinstance(listed, list) else listed.get("data", listed.get("models"))
    models: dict[str, ModelInfo] = {}
    for row in rows:
        if row.get("type") in _NOT_CHAT:
            continue
        model_id = str(row["id"]).removeprefix("models/")
        length = next((row[key] for key in _LENGTHS if isinstance(row.get(key), int)), None)
        models[model_id] = ModelInfo(model_id, str(row.get("display_name") or row.get("name") or ""), length)
    return list(models.values())
