"""Addresses from public collections of server-side request forgery: nothing of it is connected to."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.errors import BlockedAddressError, ToolError
from agent.safety.network import CheckedUrl, check_url
from agent.safety.web_client import WebClient
from agent.settings import NetworkSettings

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "security_cases.jsonl"
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows(*kinds: str) -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [row for row in map(json.loads, CORPUS.read_text("utf-8").splitlines()) if row["kind"] in kinds]


def public(host: str) -> list[str]:
    return ["93.184.215.14"]


@pytest.mark.parametrize("row", rows("ssrf_url", "ssrf_scheme"), ids=lambda row: row["id"])
def test_an_address(row: dict[str, Any]) -> None:
    if row["required_outcome"] == "allow":
        assert check_url(row["input"], public).addresses
        return
    # A name that leads nowhere public is looked up for real only where the row is about that name.
    resolve = (lambda host: row["resolves"]) if "resolves" in row else _as_wildcard_services_do
    with pytest.raises(BlockedAddressError) as caught:
        check_url(row["input"], resolve)
    assert str(caught.value)


def _as_wildcard_services_do(host: str) -> list[str]:
    """nip.io, sslip.io, localtest.me and their like: the address is in the name, or it is this computer."""
    found = re.search(r"(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})", host)
    if found:
        return [".".join(found.groups())]
    if any(
        host.endswith(name) for name in ("localtest.me", "lvh.me", "vcap.me", "spoofed.burpcollaborator.net", ".me")
    ):
        return ["127.0.0.1"]
    return public(host)


@pytest.mark.parametrize("row", rows("ssrf_dns"), ids=lambda row: row["id"])
def test_a_name_that_leads_inside(row: dict[str, Any]) -> None:
    with pytest.raises(BlockedAddressError):
        check_url(row["input"], lambda host: row["resolves"])


class Door:
    """A listener on this computer that counts who comes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def came(self) -> int:
        count = 0
        while True:
            try:
                self.socket.accept()[0].close()
                count += 1
            except BlockingIOError:
                return count


@pytest.mark.parametrize("row", rows("ssrf_redirect"), ids=lambda row: row["id"])
async def test_a_redirect_that_leads_inside(row: dict[str, Any], aiohttp_peer: Any) -> None:
    door = Door()
    page = row["input"][1].partition("200 + ")[2]
    targets = [part.strip() for step in row["input"][1:] for part in re.split(r"->", step)]
    hops = [part.replace(":8765", f":{door.port}") for part in targets if not re.fullmatch(r"\d{3}", part)]
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.host)
        if page:
            return web.Response(text=f"<html><head>{page}</head><body>A page.</body></html>", content_type="text/html")
        step = len(seen) - 1
        where = str(request.url) if "to itself" in hops[0] else hops[min(step, len(hops) - 1)]
        return web.Response(status=int(row["input"][1][:3]), headers={"location": where})

    port = await aiohttp_peer(answer)

    def connect(checked: CheckedUrl) -> tuple[str, int]:
        return "127.0.0.1", port  # every host that was found good is this server

    client = WebClient(NetworkSettings, resolve=public, connect=connect)
    try:
        if page:  # followed by browsers; here it is a page like any other
            assert (await client.get(row["input"][0].replace("https:", "http:"))).status == 200 and len(seen) == 1
        else:
            with pytest.raises((BlockedAddressError, ToolError)):
                await client.get(row["input"][0].replace("https:", "http:"))
            assert seen, "the first hop was not asked"
    finally:
        await client.aclose()
    assert len(seen) <= 6 and door.came() == 0
    inside = [host for host in seen if re.match(r"127\.|10\.|169\.254|192\.168|\[|localhost", host)]
    assert inside == []
    door.socket.close()


@pytest.mark.parametrize("row", [row for row in rows("toctou") if "DNS" in row["input"]], ids=lambda row: row["id"])
async def test_an_answer_that_changes_between_check_and_connection(row: dict[str, Any], aiohttp_peer: Any) -> None:
    """DNS rebinding: the address that was checked is the one that is connected to; nothing is looked up again."""
    asked: list[str] = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    port = await aiohttp_peer(hello)
    connected: list[CheckedUrl] = []

    def connect(checked: CheckedUrl) -> tuple[str, int]:
        connected.append(checked)
        return "127.0.0.1", port

    client = WebClient(NetworkSettings, resolve=resolve, connect=connect)
    page = await client.get("http://rebind.example/")
    assert page.body == b"rebind.example" and asked == ["rebind.example"]
    assert connected[0].addresses == ("93.184.215.14",)
    with pytest.raises(BlockedAddressError):
        await client.get("http://rebind.example/")
    assert len(connected) == 1
    await client.aclose()


@pytest.fixture
async def aiohttp_peer() -> Any:
    runners: list[web.AppRunner] = []

    async def start(handler: Any) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    yield start
    await asyncio.gather(*(runner.cleanup() for runner in runners))
