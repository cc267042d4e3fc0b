"""The official library's streamable HTTP server on loopback, in a thread; it notes the headers that it is sent."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.peers.in_thread import in_thread
from tests.peers.mcp_tools import server


class HttpPeer:
    """`url` is its address; `seen` holds the headers of each request."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.port = port
        self.seen: list[dict[str, str]] = []


@asynccontextmanager
async def _serving(port: int, key: str) -> AsyncIterator[HttpPeer]:
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it complains when it is ended under open streams
    listener = socket.create_server(("127.0.0.1", port))
    peer = HttpPeer(listener.getsockname()[1])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    app = server().streamable_http_app()
    root.handlers[:], root.level = handlers, level  # the library sets up the log of a program

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            peer.seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
            if key and peer.seen[-1].get("authorization") != key:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    config = uvicorn.Config(noting, log_config=None, lifespan="on", timeout_graceful_shutdown=1, ws="none")
    running = uvicorn.Server(config)
    running.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(running.serve(sockets=[listener]))
    while not running.started:
        await asyncio.sleep(0.01)
    try:
        yield peer
    finally:
        running.should_exit = True
        await task


@contextmanager
def http_peer(port: int = 0, key: str = "") -> Iterator[HttpPeer]:
    """Serve until the end of the block; with a `key`, whoever sends none is refused."""
    with in_thread(_serving(port, key)) as thread:
        yield thread.peer
