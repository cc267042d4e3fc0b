"""The HTTP client behind every hosted or local model: made once, quiet, with limits on time and connections.

httpx takes 100-200 ms to import, so that happens at first use and in a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

    import httpx

MAX_CONNECTIONS = 512
KEPT_CONNECTIONS = 8
"""Idle ones. The pool looks at each with a system call whenever a request begins or ends: with 64 of them, 100 requests
at once take four times the processor time."""
MAX_BODY_BYTES = 64 * 1024 * 1024

_loading = threading.Lock()
_ssl_context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `idle` is the longest silence of a server, before the first byte and between two."""

    connect: float = 10.0
    idle: float = 120.0
    write: float = 60.0
    silence: float = 600.0
    """The longest time without anything but signs of life."""


def is_loopback(base_url: str) -> bool:
    """Whether the address is on this computer; false where it is no address at all."""
    try:
        return urlsplit(base_url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False


async def open_client(
    base_url: str, timeouts: Timeouts, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """A client for one provider. The blocking parts (import, certificates) run in a thread."""
    return await asyncio.to_thread(_build, base_url, timeouts, transport)


def load_httpx() -> None:
    """Import httpx and what a first request makes it import. Blocks: call it in a thread.

    httpx imports its command line too wherever rich and click are installed, which doubles time (to 200 ms) and memory
    (to 11 MB); that part is kept out: https://github.com/encode/httpx/blob/0.28.1/httpx/__init__.py#L14
    """
    # Every request would be logged at INFO otherwise.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    with _loading:  # the first messages of many chats come here at once
        if "httpx" in sys.modules:
            return
        sys.modules["httpx._main"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("httpx")
        finally:
            del sys.modules["httpx._main"]
        for name in ("httpcore", "httpcore._backends.auto", "anyio._backends._asyncio"):
            importlib.import_module(name)


def _build(base_url: str, timeouts: Timeouts, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    load_httpx()
    import httpx

    return httpx.AsyncClient(
        # No certificates are needed for plain HTTP, and redirects are not followed.
        verify=certificates() if base_url.startswith("https:") else False,
        timeout=httpx.Timeout(timeouts.idle, connect=timeouts.connect, write=timeouts.write),
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=60.0
        ),
        follow_redirects=False,
        trust_env=not is_loopback(base_url),  # a proxy of the environment cannot reach this computer's own servers
        transport=transport,
    )


def certificates() -> ssl.SSLContext:
    """Reading the certificates takes 20-40 ms; all clients share the result."""
    global _ssl_context
    if _ssl_context is None:
        import httpx

        _ssl_context = httpx.create_ssl_context()
    return _ssl_context
