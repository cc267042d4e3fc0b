"""The HTTP client behind every hosted or local model: made once, quiet, with limits on time and connections.

httpx takes 100-200 ms to import, so that happens at first use and in a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    import httpx

    from agent.settings import NetworkSettings

MAX_CONNECTIONS = 512
KEPT_CONNECTIONS = 8
"""Idle ones. The pool looks at each with a system call whenever a request begins or ends: with 64 of them, 100 requests
at once take four times the processor time."""
MAX_BODY_BYTES = 64 * 1024 * 1024

_LINUX_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_loading = threading.Lock()
_contexts: dict[str, ssl.SSLContext] = {}


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
    base_url: str,
    timeouts: Timeouts,
    network: NetworkSettings | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """A client for one provider. The blocking parts (import, certificates) run in a thread.

    Raises `ConfigError` for a proxy or a file of certificates that cannot be used.
    """
    return await asyncio.to_thread(_build, base_url, timeouts, network, transport)


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


def _build(
    base_url: str,
    timeouts: Timeouts,
    network: NetworkSettings | None,
    transport: httpx.AsyncBaseTransport | None,
) -> httpx.AsyncClient:
    load_httpx()
    import httpx

    here = is_loopback(base_url)
    proxy = network.proxy if network is not None and not here else ""
    try:
        return httpx.AsyncClient(
            # No certificates are needed for plain HTTP, and redirects are not followed.
            verify=certificates(network.ca_file if network is not None else "")
            if base_url.startswith("https:") or proxy.startswith("https:")
            else False,
            timeout=httpx.Timeout(timeouts.idle, connect=timeouts.connect, write=timeouts.write),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=60.0
            ),
            follow_redirects=False,
            # Proxies of the environment, the Windows registry and macOS; none reaches this computer's own servers.
            trust_env=not here and not proxy,
            proxy=proxy or None,
            transport=transport,
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"network.proxy: “{proxy}” cannot be used: {error}.",
            title="The proxy cannot be used",
            hint="Write it as http://host:port; SOCKS is not supported.",
        ) from error


def certificates(ca_file: str = "") -> ssl.SSLContext:
    """Whom to trust: the system's own store, as browsers do, so that a company's certificate works; SSL_CERT_FILE and
    SSL_CERT_DIR where they are set; `ca_file` (PEM) besides. Reading them takes 20-40 ms; all clients share the result.

    Raises `ConfigError` for a file that cannot be read.
    """
    context = _contexts.get(ca_file)
    if context is None:
        context = _contexts[ca_file] = _context(ca_file)
    return context


def _context(ca_file: str) -> ssl.SSLContext:
    import ssl

    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        context = ssl.create_default_context()
    else:
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if sys.platform == "linux" and not _has_system_store():
            import certifi

            context.load_verify_locations(certifi.where())
    if ca_file:
        try:
            context.load_verify_locations(Path(ca_file).expanduser())
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"network.ca_file: {ca_file} cannot be read as certificates: {error.strerror or error}.",
                title="The certificates cannot be read",
                hint="Name a file with certificates in PEM form, or leave the setting empty.",
            ) from error
    return context


def _has_system_store() -> bool:
    """Whether OpenSSL finds certificates where Linux systems keep them; a bundled one may look elsewhere."""
    import ssl

    paths = ssl.get_default_verify_paths()
    known = (paths.cafile, paths.capath, *_LINUX_STORES)
    return any(place and Path(place).exists() for place in known)
