"""Finds model servers on this computer, when a person asks: at their usual ports, by the shape of their answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.providers.catalog import SPECS

PORTS: Final[Mapping[str, int]] = {"ollama": 11434, "lmstudio": 1234, "llamacpp": 8080, "vllm": 8000}
"""Where they listen unless somebody changed it."""
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


async def find_local(timeout: float = 0.5, *, ports: Mapping[str, int] = PORTS) -> list[LocalServer]:
    """The servers that answer within `timeout` seconds, asked at the same time. Raises nothing."""
    found = await asyncio.gather(*(_probe(name, port, timeout) for name, port in ports.items()))
    return [server for server in found if server is not None]


async def _probe(name: str, port: int, timeout: float) -> LocalServer | None:
    path, read = _ASKED[name]
    try:
        async with asyncio.timeout(timeout):
            models = read(await _get(port, path))
    except (OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError, asyncio.IncompleteReadError):
        return None
    return LocalServer(name, f"http://127.0.0.1:{port}/v1", models)


def _ollama(listed: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row["name"]) for row in listed["models"] or ())


def _openai_like(listed: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row["id"]) for row in listed["data"] or ())


def _owned_by(owner: str) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
    """The models of a server at a port that many programs use: it is the one only if its models say so."""

    def read(listed: Mapping[str, Any]) -> tuple[str, ...]:
        if not any(row.get("owned_by") == owner for row in listed["data"]):
            raise ValueError("another program")
        return _openai_like(listed)

    return read


_ASKED: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], tuple[str, ...]]]]] = {
    "ollama": ("/api/tags", _ollama),
    "lmstudio": ("/v1/models", _openai_like),
    "llamacpp": ("/v1/models", _owned_by("llamacpp")),
    "vllm": ("/v1/models", _owned_by("vllm")),
}


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
