"""Finds model servers on this computer, when a person asks: Ollama and LM Studio at their usual ports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.providers.catalog import SPECS

OLLAMA_PORT: Final = 11434
LMSTUDIO_PORT: Final = 1234
_MOST_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answered; `name` is that of the catalogue."""

    name: str
    base_url: str
    models: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name for people."""
        return SPECS[self.name].label


async def find_local(
    timeout: float = 0.5, *, ollama_port: int = OLLAMA_PORT, lmstudio_port: int = LMSTUDIO_PORT
) -> list[LocalServer]:
    """The servers that answer within `timeout` seconds, asked at the same time. Raises nothing."""
    found = await asyncio.gather(
        _probe("ollama", ollama_port, "/api/tags", "models", "name", timeout),
        _probe("lmstudio", lmstudio_port, "/v1/models", "data", "id", timeout),
    )
    return [server for server in found if server is not None]


async def _probe(name: str, port: int, path: str, rows_key: str, id_key: str, timeout: float) -> LocalServer | None:
    try:
        async with asyncio.timeout(timeout):
            listed = await _get(port, path)
        models = tuple(str(row[id_key]) for row in listed[rows_key] or ())
    except (OSError, TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError):
        return None
    return LocalServer(name, f"http://127.0.0.1:{port}/v1", models)


async def _get(port: int, path: str) -> Mapping[str, Any]:
    """A GET over HTTP/1.0, which needs no client library: this may well run before any model was used."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ", 2)[1] != b"200" or b"chunked" in head.lower():
            raise ValueError("no plain answer")
        content = bytearray()
        while chunk := await reader.read(65536):
            content += chunk
            if len(content) > _MOST_BYTES:
                raise ValueError("too much")
    finally:
        writer.close()
    listed = json.loads(content)
    if not isinstance(listed, dict):
        raise TypeError("not an object")
    return listed
