"""Fetches public web addresses: each hop is checked, and the checked address is the connected one."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from agent.errors import ToolError
from agent.providers.http import certificates, load_httpx
from agent.safety.network import CheckedUrl, Resolve, check_url

if TYPE_CHECKING:
    import httpx

    from agent.settings import NetworkSettings

MOST_HOPS = 5
MOST_BYTES = 10_000_000
SECONDS = 30.0
_PIECE = 65_536
_AGENT = "Mozilla/5.0 (compatible; TrayClaw)"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came. `cut`: there was more than is read."""

    url: str
    status: int
    content_type: str
    body: bytes
    cut: bool = False


class WebClient:
    """One for all tools. `resolve` and `connect` stand in for name resolution and the connected address in tests."""

    def __init__(
        self,
        network: Callable[[], NetworkSettings],
        *,
        resolve: Resolve | None = None,
        connect: Callable[[CheckedUrl], tuple[str, int]] | None = None,
    ) -> None:
        self._network = network
        self._resolve = resolve
        self._connect = connect
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def get(self, url: str) -> Fetched:
        """Follow a URL to its page. Raises `BlockedAddressError`, `ToolError`."""
        import httpx

        try:
            async with asyncio.timeout(SECONDS):
                for _ in range(MOST_HOPS + 1):
                    checked = await asyncio.to_thread(check_url, url, self._resolve)
                    found = await self._hop(checked)
                    if isinstance(found, Fetched):
                        return found
                    url = urljoin(checked.url, found)
        except TimeoutError as error:
            raise ToolError(f"{url} did not answer within {SECONDS:.0f} seconds.") from error
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            raise ToolError(f"{url} cannot be fetched: {error or type(error).__name__}.") from error
        raise ToolError(f"{url}: more than {MOST_HOPS} redirects.")

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def _hop(self, checked: CheckedUrl) -> Fetched | str:
        """The page, or where it is said to be."""
        client = await self._open()
        request = self._request(client, checked)
        response = await client.send(request, stream=True)
        try:
            location = response.headers.get("location")
            if response.is_redirect and location:
                return str(location)
            body, cut = await _read(response)
            kind = response.headers.get("content-type", "")
            return Fetched(checked.url, response.status_code, kind, body, cut)
        finally:
            await response.aclose()

    def _request(self, client: httpx.AsyncClient, checked: CheckedUrl) -> httpx.Request:
        import httpx

        url = httpx.URL(checked.url)
        if self._network().proxy:  # the proxy looks the name up again: its own rules are the last word then
            return client.build_request("GET", url)
        # The checked address is connected to, the name still goes into TLS and the Host header: a second look-up with
        # another answer (DNS rebinding) never happens.
        address, port = self._connect(checked) if self._connect else (checked.addresses[0], checked.port)
        host = f"[{checked.host}]" if ":" in checked.host else checked.host
        standard = checked.port == (443 if checked.scheme == "https" else 80)
        headers = {"host": host if standard else f"{host}:{checked.port}"}
        extensions = {"sni_hostname": checked.host}
        return client.build_request(
            "GET", url.copy_with(host=address, port=port), headers=headers, extensions=extensions
        )

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(functools.partial(_build, self._network()))
            return self._client


def _build(network: NetworkSettings) -> httpx.AsyncClient:
    load_httpx()
    import httpx

    return httpx.AsyncClient(
        verify=certificates(network.ca_file),
        timeout=httpx.Timeout(15.0, connect=10.0),
        # No connection is kept: it would be found again by its address, whatever name it was opened for.
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=0),
        follow_redirects=False,
        trust_env=False,
        proxy=network.proxy or None,
        headers={"user-agent": _AGENT, "accept-encoding": "gzip, deflate", "accept-language": "en;q=0.8, *;q=0.5"},
    )


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    """The body unpacked, up to a limit that a small body which unpacks to gigabytes meets as well."""
    encoding = response.headers.get("content-encoding", "").lower()
    unpack = zlib.decompressobj(47) if encoding in ("gzip", "deflate", "x-gzip") else None
    parts: list[bytes] = []
    room = MOST_BYTES
    async for piece in response.aiter_raw(_PIECE):
        data = piece if unpack is None else unpack.decompress(piece, room + 1)
        parts.append(data[:room])
        if len(data) > room:
            return b"".join(parts), True
        room -= len(data)
        if unpack is not None and unpack.eof:
            break
    return b"".join(parts), False
