"""The only way from behind a fence to the network: an HTTP proxy that leads to a few named hosts and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from agent.errors import BlockedAddressError
from agent.safety.network import CheckedUrl, Resolve, check_url

PORTS = (80, 443)
MOST_CONNECTIONS = 64
MOST_TOLD = 50
"""Refused hosts that are remembered."""
HEAD_SECONDS, CONNECT_SECONDS = 30.0, 15.0
_LARGEST_HEAD = 32_768
_PIECE = 65_536
_HOP = re.compile(rb"(?i)(proxy-connection|proxy-authorization|connection|keep-alive|host):")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HostGate:
    """Leads to `hosts`, exactly these names, on the ports of the web. The addresses are checked as those of the web
    tools are, and the checked one is connected to; through a `proxy` (http://) of the person, which looks the name up
    itself, the name alone counts. `resolve` and `connect` stand in for name resolution and the
    connected address in tests. `reached` and `refused` are the hosts that were asked for, in order."""

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        proxy: str = "",
        resolve: Resolve | None = None,
        connect: Callable[[CheckedUrl], tuple[str, int]] | None = None,
    ) -> None:
        self.hosts = tuple(hosts)
        self.reached: list[str] = []
        self.refused: list[str] = []
        self._proxy, self._resolve, self._connect = proxy, resolve, connect
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, door: socket.socket) -> None:
        """Answer on this listening socket until `close`."""
        self._server = await asyncio.start_server(self._accept, sock=door, limit=_LARGEST_HEAD)

    async def close(self) -> None:
        """Nothing goes through any more. Safe to call twice."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=1)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve_one(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: Streams | None = None
        try:
            if len(self._open) > MOST_CONNECTIONS:
                raise BlockedAddressError("Too many connections at once.")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
            host, port, first = _asked(head)
            upstream = await self._dial(host, port)
            if first is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream[1].write(first)
            await _join((reader, writer), upstream)
        except BlockedAddressError as error:
            writer.write(_answer(b"403 Forbidden", str(error)))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            writer.write(_answer(b"400 Bad Request", "This is no request to a proxy."))
        except OSError as error:
            writer.write(_answer(b"502 Bad Gateway", f"The host cannot be reached: {error.strerror or error}."))
        finally:
            for one in (writer, *(upstream or ())[1:]):
                with contextlib.suppress(OSError):
                    one.close()

    async def _dial(self, host: str, port: int) -> Streams:
        if host not in self.hosts or port not in PORTS:
            where = f"{host}:{port}"
            if where not in self.refused and len(self.refused) < MOST_TOLD:
                self.refused.append(where)
            raise BlockedAddressError(f"{where} is not among the hosts that were allowed: {', '.join(self.hosts)}.")
        streams = await (self._by_proxy(host, port) if self._proxy else self._directly(host, port))
        if host not in self.reached:
            self.reached.append(host)
        return streams

    async def _directly(self, host: str, port: int) -> Streams:
        scheme = "https" if port == 443 else "http"
        checked = await asyncio.to_thread(check_url, f"{scheme}://{host}/", self._resolve)
        places = [self._connect(checked)] if self._connect else [(address, port) for address in checked.addresses]
        problem: OSError = OSError("no address")
        for place in places:
            try:
                return await asyncio.wait_for(asyncio.open_connection(*place), CONNECT_SECONDS)
            except OSError as error:
                problem = error
        raise problem

    async def _by_proxy(self, host: str, port: int) -> Streams:
        parts = urlsplit(self._proxy)
        if parts.scheme != "http" or not parts.hostname:
            raise OSError(f"network.proxy is {parts.scheme or 'no address'}, and commands can use http:// ones only")
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(parts.hostname, parts.port or 80), CONNECT_SECONDS
        )
        try:
            lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
            if parts.username:
                pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
            writer.write("\r\n".join([*lines, "", ""]).encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECT_SECONDS)
            if head.split(b" ", 2)[1:2] != [b"200"]:
                raise OSError("the proxy of the settings refused it")
        except BaseException:
            writer.close()
            raise
        return reader, writer


def _asked(head: bytes) -> tuple[str, int, bytes | None]:
    """(host, port, what the host is sent first; None for a tunnel). Raises `ValueError`, `BlockedAddressError`."""
    line, _, rest = head.partition(b"\r\n")
    method, target, version = line.decode("ascii").split(" ")
    if method == "CONNECT":
        parts = urlsplit(f"//{target}")
        return _name(parts.hostname), parts.port or 443, None
    parts = urlsplit(target)
    if parts.scheme != "http" or "@" in parts.netloc:
        raise BlockedAddressError("Only http:// addresses are asked for like this; for https a tunnel is opened.")
    path = parts._replace(scheme="", netloc="").geturl() or "/"
    # One request a connection: what comes after it could be meant for another host.
    fields = [field for field in rest.split(b"\r\n") if field and not _HOP.match(field)]
    lines = [f"{method} {path} {version}".encode(), f"Host: {parts.netloc}".encode(), *fields, b"Connection: close"]
    return _name(parts.hostname), parts.port or 80, b"\r\n".join(lines) + b"\r\n\r\n"


def _name(host: str | None) -> str:
    return (host or "").lower().rstrip(".")


def _answer(status: bytes, words: str) -> bytes:
    body = f"TrayClaw: {words}\n".encode()
    head = b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % (status, len(body))
    return head + b"Connection: close\r\n\r\n" + body


async def _join(one: Streams, other: Streams) -> None:
    """Carry bytes both ways until both sides are done."""
    tasks = [asyncio.ensure_future(_carry(one[0], other[1])), asyncio.ensure_future(_carry(other[0], one[1]))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
