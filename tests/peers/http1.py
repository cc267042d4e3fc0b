"""A small HTTP/1.1 server on asyncio.Protocol.

It exists because a peer must be able to misbehave (half a body, silence, a reset) and to know when its client hung
up, and because the benchmarks need a server that costs next to nothing. RFC 9112 as far as JSON services use it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

HEAD_LIMIT = 65_536
BODY_LIMIT = 64 * 1024 * 1024


class Exchange:
    """One request, and the ways to answer it."""

    def __init__(
        self, connection: "Connection", method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        """Names in lower case; repeated ones joined with a comma."""
        self.body = body
        self.disconnected = asyncio.Event()
        """Set when the connection ends before the answer is complete."""
        self.answered = asyncio.Event()
        """Set when the answer has been handed to the socket in full."""
        self._connection = connection
        self._chunked = False

    async def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._connection.write(_head(status, {**headers, "content-length": str(len(body))}) + body)
        await self._connection.drained()
        self.answered.set()

    def start_stream(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a chunked answer."""
        self._chunked = True
        self._connection.write(_head(status, {**headers, "transfer-encoding": "chunked"}))

    def start_unfinished(self, status: int, headers: Mapping[str, str], promised: int) -> None:
        """Send the head of an answer of `promised` bytes; fewer may follow."""
        self._connection.write(_head(status, {**headers, "content-length": str(promised)}))

    async def write(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._connection.write(data)
        await self._connection.drained()

    def finish(self) -> None:
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self.answered.set()

    def hang_up(self) -> None:
        """Close the socket after what was written, wherever in the answer that is."""
        self.answered.set()
        self._connection.close()


class Connection(asyncio.Protocol):
    def __init__(self, serve: Callable[[Exchange], Awaitable[None]], open_connections: "set[Connection]") -> None:
        self._serve = serve
        self._open = open_connections
        self._buffer = bytearray()
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self.lost.set()
        self._writable.set()
        if self._exchange is not None and not self._exchange.answered.is_set():
            self._exchange.disconnected.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        await self._writable.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _next_request(self) -> None:
        if self._exchange is not None:
            return
        try:
            parsed = _parse(self._buffer)
        except ValueError:
            self.write(_head(HTTPStatus.BAD_REQUEST, {"content-length": "0", "connection": "close"}))
            self.close()
            return
        if parsed is None:
            return
        method, target, headers, body, end = parsed
        del self._buffer[:end]
        self._exchange = Exchange(self, method, target, headers, body)
        self._task = asyncio.get_running_loop().create_task(self._run(self._exchange))

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._serve(exchange)
        except asyncio.CancelledError:
            if self.lost.is_set():
                return
            raise
        except BaseException:
            self.abort()
            raise
        self._exchange = None
        if exchange.headers.get("connection", "").lower() == "close":
            self.close()
        else:
            self._next_request()


class HttpServer:
    """Listens on 127.0.0.1 and hands every request to `serve`."""

    def __init__(self, serve: Callable[[Exchange], Awaitable[None]]) -> None:
        self._serve = serve
        self._open: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Return the port; raise `OSError` when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._open), "127.0.0.1", port, backlog=512, reuse_address=True
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.lost.wait()
        self._server = None


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parse(buffer: bytearray) -> tuple[str, str, dict[str, str], bytes, int] | None:
    """Method, target, headers, body and length of the first request; None while incomplete; raise `ValueError`."""
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        if len(buffer) > HEAD_LIMIT:
            raise ValueError("head too large")
        return None
    lines = buffer[:head_end].decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(line)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if not version.startswith("HTTP/1.") or "host" not in headers:
        raise ValueError(lines[0])
    if "transfer-encoding" in headers:
        chunked = _dechunk(buffer, head_end + 4)
        return None if chunked is None else (method, target, headers, *chunked)
    length = int(headers.get("content-length", "0"))
    end = head_end + 4 + length
    if not 0 <= length <= BODY_LIMIT:
        raise ValueError("content-length")
    return (method, target, headers, bytes(buffer[head_end + 4 : end]), end) if len(buffer) >= end else None


def _dechunk(buffer: bytearray, position: int) -> tuple[bytes, int] | None:
    """Decode a chunked body that starts at `position`; None while it is incomplete."""
    body = bytearray()
    while True:
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return None
        size = int(bytes(buffer[position:line_end]).split(b";")[0], 16)
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            return bytes(body), start + 2
        body += buffer[start : start + size]
        position = start + size + 2
