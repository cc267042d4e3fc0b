"""The HTTP client behind an MCP server with an address: the certificates and the proxy of the settings, with limits.

The SDK brings its own HTTP library (httpx2), and follows redirects within the server's origin only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.providers.http import certificates, is_loopback

if TYPE_CHECKING:
    import httpx2

    from agent.settings import NetworkSettings

LARGEST_ANSWER = 8_000_000
"""Bytes of one answer, or of one event of a stream."""
CONNECT_SECONDS = 10.0
SILENT_SECONDS = 300.0
"""A stream of events that says nothing for so long is opened again."""


def build(url: str, headers: Mapping[str, str], network: NetworkSettings) -> httpx2.AsyncClient:
    """A client for one server. Blocks (import, certificates); raises `ConfigError`."""
    import httpx2

    here = is_loopback(url)
    proxy = "" if here else network.proxy
    secure = url.startswith("https:") or proxy.startswith("https:")
    try:
        return httpx2.AsyncClient(
            verify=certificates(network.ca_file) if secure else False,
            headers=dict(headers),
            timeout=httpx2.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS, write=30.0, pool=30.0),
            follow_redirects=False,
            trust_env=not here and not proxy,
            proxy=proxy or None,
            event_hooks={"response": [_check]},
        )
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        raise ConfigError(
            f"network.proxy: “{proxy}” cannot be used: {error}.",
            title="The proxy cannot be used",
            hint="Write it as http://host:port; SOCKS is not supported.",
        ) from error


async def _check(response: httpx2.Response) -> None:
    """Refuse what the SDK would only call an error, and cut an answer that does not end; streams of events have a limit
    of their own."""
    import httpx2

    if response.status_code in (401, 403, 407):
        raise httpx2.HTTPStatusError(
            f"it refuses who asks (HTTP {response.status_code}): a header with a key may be missing",
            request=response.request,
            response=response,
        )
    stream = response.stream
    if not response.headers.get("content-type", "").startswith("text/event-stream") and isinstance(
        stream, httpx2.AsyncByteStream
    ):
        response.stream = _limited(stream)


def _limited(stream: httpx2.AsyncByteStream) -> httpx2.AsyncByteStream:
    import httpx2

    class Limited(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            room = LARGEST_ANSWER
            async for piece in stream:
                room -= len(piece)
                if room < 0:
                    raise httpx2.ReadError(f"the answer is larger than {LARGEST_ANSWER:,} bytes")
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Limited()
