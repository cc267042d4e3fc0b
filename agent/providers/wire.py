"""One provider's HTTP: the key, requests, answers read within limits, and every failure as a `ProviderError`.

The protocols share it; what they differ in (paths, bodies, what an event means) is theirs.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.providers.failures import Failures
from agent.providers.http import MAX_BODY_BYTES, Timeouts, open_client
from agent.providers.sse import EventData

if TYPE_CHECKING:
    import httpx

    from agent.settings import NetworkSettings

KeySource = Callable[[], Awaitable[str | None]]

_PIECE = 256 * 1024
"""Bytes that are unpacked at a time: a small body that unpacks to gigabytes is noticed before they are in memory."""


class Wire:
    """The way to one base URL. Safe for any number of answers at once on one event loop.

    `key_header` is the header that carries the key, as a bearer token where it is "authorization". The key may be a
    function that is asked for it before each request.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | KeySource | None = None,
        *,
        name: str = "",
        label: str = "",
        key_url: str = "",
        needs_key: bool = False,
        key_header: str = "authorization",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        network: NetworkSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.failures = Failures(name, label, self.base_url, key_url=key_url)
        self.origin = name or self.failures.host
        """Who answers; marks thinking that only this provider may be sent back."""
        self._api_key = api_key
        self._needs_key = needs_key
        self._key_header = key_header
        # Formats that httpx would unpack without a limit are not asked for.
        self._headers = {"user-agent": "TrayClaw", "accept-encoding": "gzip, deflate", **(headers or {})}
        self._query = dict(query or {})
        self._timeouts = timeouts or Timeouts()
        self._network = network
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def post(self, path: str, body: bytes, *, query: Mapping[str, str] | None = None) -> Answer:
        """Ask; the answer's body is unread. Raises `ProviderError`."""
        headers = {"content-type": "application/json", "accept": "text/event-stream, application/json"}
        headers.update(await self._auth(self._key_header))
        response = await self._request("POST", path, headers, body, query)
        return Answer(response, self.failures, self._timeouts.silence)

    async def post_raw(self, path: str, body: bytes, content_type: str) -> httpx.Response:
        """Send something that is no JSON; the answer's body is unread. Raises `ProviderError`."""
        headers = {"content-type": content_type, "accept": "application/json", **await self._auth(self._key_header)}
        return await self._request("POST", path, headers, body, None)

    async def get(self, path: str, *, query: Mapping[str, str] | None = None, key_header: str = "") -> Any:
        """A JSON document. Raises `ProviderError`."""
        headers = {"accept": "application/json", **await self._auth(key_header or self._key_header)}
        response = await self._request("GET", path, headers, None, query)
        content = await read(response, self.failures)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.failures.garbage(content) from error

    async def aclose(self) -> None:
        """Close all connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        query: Mapping[str, str] | None,
    ) -> httpx.Response:
        client = self._client
        if client is None:
            client = await open_client(self.base_url, self._timeouts, self._network, self._transport)
            # Another request may have opened one meanwhile.
            if self._client is None:
                self._client = client
            else:
                await client.aclose()
                client = self._client
        import httpx

        address = path if path.startswith(("https:", "http:")) else self.base_url + path
        params = {**self._query, **(query or {})} or None
        try:
            request = client.build_request(
                method, address, params=params, content=body, headers={**self._headers, **headers}
            )
            response = await client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.failures.transport(error) from error
        if response.status_code == 200:
            return response
        content = await read(response, self.failures)
        raise self.failures.status(response.status_code, response.headers, content)

    async def _auth(self, header: str) -> dict[str, str]:
        """The header with the key. Raises `ProviderError` where a key is needed and there is none."""
        given = self._api_key
        if callable(given):
            given = await given()
        key = (given or "").strip() or None
        self.failures.key = key
        if key is None:
            if self._needs_key:
                raise self.failures.no_key()
            return {}
        # Checked here: the HTTP library would quote the key in its own error.
        if not key.isascii() or not key.isprintable():
            raise self.failures.bad_key()
        return {header: f"Bearer {key}" if header == "authorization" else key}


class Answer:
    """The JSON objects of an answer, as they come: a stream of events, or one whole body."""

    def __init__(self, response: httpx.Response, failures: Failures, silence: float) -> None:
        self._response = response
        self._failures = failures
        self._silence = silence
        self.done = False
        """The end was said in so many words: `[DONE]`, or a whole body."""
        self.complete = False
        """Set by the reader once it has all that matters: what breaks after that does no harm."""

    async def batches(self) -> AsyncGenerator[list[Mapping[str, Any]], None]:
        """Those that arrived together. Close the answer afterwards. Raises `ProviderError`."""
        if "event-stream" not in self._response.headers.get("content-type", ""):
            # The server does not stream, or says so wrongly: read everything, then see what it is.
            payloads = self._whole(await read(self._response, self._failures))
            if payloads:
                yield payloads
            return
        decoder = EventData()
        loop = asyncio.get_running_loop()
        chunks = _chunks(self._response, self._failures)
        try:
            deadline = loop.time() + self._silence
            while True:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks, None)
                batch = self._parsed(decoder.finish() if chunk is None else decoder.feed(chunk))
                if batch:
                    yield batch
                    deadline = loop.time() + self._silence
                if chunk is None:
                    return
                if self.done:
                    await _drain(chunks)
                    return
        except TimeoutError as error:
            if not self.complete:
                raise self._failures.fell_silent() from error
        except _httpx().HTTPError as error:
            if not self.complete:
                raise self._failures.transport(error) from error
        finally:
            await chunks.aclose()

    async def aclose(self) -> None:
        """Close the connection, unless all was read: then it is used again."""
        await self._response.aclose()

    def _parsed(self, events: list[bytes]) -> list[Mapping[str, Any]]:
        payloads = []
        for data in events:
            if data == b"[DONE]":
                self.done = True
                break
            payloads.append(_parse(data, self._failures))
        return payloads

    def _whole(self, content: bytes) -> list[Mapping[str, Any]]:
        begins = content.lstrip()[:1]
        if begins == b"{":
            self.done = True
            return [_parse(content, self._failures)]
        if begins == b"[":  # Gemini without alt=sse
            self.done = True
            return _parse_list(content, self._failures)
        decoder = EventData()
        events = decoder.feed(content) + decoder.finish()
        if content and not events:
            raise self._failures.garbage(content)
        return self._parsed(events)


async def read(response: httpx.Response, failures: Failures) -> bytes:
    """The whole body; of an answer that is an error anyway, what came of it. Raises `ProviderError`."""
    pieces: list[bytes] = []
    try:
        pieces.extend([chunk async for chunk in _chunks(response, failures)])
    except _httpx().HTTPError as error:
        if response.status_code == 200:
            raise failures.transport(error) from error
    finally:
        await response.aclose()
    return b"".join(pieces)


async def _chunks(response: httpx.Response, failures: Failures) -> AsyncGenerator[bytes, None]:
    """The body, unpacked and within `MAX_BODY_BYTES`. Raises `ProviderError` and what httpx raises."""
    received = 0
    async for chunk in _unpacked(response, failures):
        received += len(chunk)
        if received > MAX_BODY_BYTES:
            raise failures.too_big(MAX_BODY_BYTES)
        yield chunk


async def _unpacked(response: httpx.Response, failures: Failures) -> AsyncIterator[bytes]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity") or response.is_stream_consumed:  # consumed: made whole, in a test
        async for chunk in response.aiter_bytes():
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise failures.cannot_unpack()
    packed = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    try:
        async for chunk in response.aiter_raw():
            left = chunk
            while left:
                piece = packed.decompress(left, _PIECE)
                left = packed.unconsumed_tail
                if piece:
                    yield piece
        if rest := packed.flush():
            yield rest
    except zlib.error as error:
        raise failures.cannot_unpack() from error


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of the body, so that the connection can be used again; one that does not come is not waited for."""
    try:
        async with asyncio.timeout(0.2):
            async for _ in chunks:
                pass
    except TimeoutError:
        pass


def _parse(data: bytes, failures: Failures) -> Mapping[str, Any]:
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise failures.garbage(data) from error
    if not isinstance(payload, dict):
        raise failures.garbage(data)
    return payload


def _parse_list(content: bytes, failures: Failures) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise failures.garbage(content) from error
    if not all(isinstance(payload, dict) for payload in found):
        raise failures.garbage(content)
    return list(found)


def _httpx() -> Any:
    """Imported already, in a thread, by the time an exception can be one of its own."""
    import httpx

    return httpx
