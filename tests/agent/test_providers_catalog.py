"""The catalogue, what a call costs, and the search for model servers on this computer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from agent.providers import PROTOCOLS
from agent.providers.catalog import SPECS, STARTER
from agent.providers.local_probe import PORTS, find_local
from agent.providers.pricing import CAUTIOUS_INPUT_USD, CAUTIOUS_OUTPUT_USD, cost_usd
from agent.providers.types import Usage


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_every_row_is_usable(spec: object) -> None:
    assert spec == SPECS[spec.name]
    if spec.name == STARTER:
        return
    assert spec.protocol in PROTOCOLS
    address = urlsplit(spec.base_url or "https://has.its.own.address")
    assert address.scheme == ("http" if spec.local else "https")
    assert not spec.base_url.endswith("/")
    assert spec.needs_key == (not spec.local)
    if spec.needs_key:
        assert spec.key_url.startswith("https://")
        assert spec.default_model or not spec.base_url


async def test_known_prices() -> None:
    price = await cost_usd("openai", "gpt-4o", Usage(1_000_000, 100_000))
    assert price.known
    assert price.usd == pytest.approx(3.5)
    cached = await cost_usd("openai", "gpt-4o", Usage(1_000_000, 100_000, cache_read_tokens=500_000))
    assert cached.usd < price.usd


@pytest.mark.parametrize(
    "spec", [spec for spec in SPECS.values() if spec.price_id and spec.default_model], ids=lambda spec: spec.name
)
async def test_the_suggested_models_have_a_price(spec: object) -> None:
    assert (await cost_usd(spec.name, spec.default_model, Usage(1000, 1000))).known


async def test_unknown_prices_are_cautious() -> None:
    expected = 1000 * CAUTIOUS_INPUT_USD + 10 * CAUTIOUS_OUTPUT_USD
    for provider, model in (("openai", "never-heard-of"), ("my-proxy", "gpt-4o")):
        price = await cost_usd(provider, model, Usage(1000, 10))
        assert (price.usd, price.known) == (pytest.approx(expected), False)


async def test_a_hosted_model_behind_a_local_address_costs_what_it_costs() -> None:
    usage = Usage(1_000_000, 100_000)
    assert (await cost_usd("openai", "gpt-4o", usage, local=True)).usd == pytest.approx(3.5)
    for provider, model in (("openai", "my-own-model"), ("my-server", "gpt-4o"), ("ollama", "gpt-4o")):
        assert (await cost_usd(provider, model, usage, local=True)).usd == 0


async def test_odd_usage_does_not_fail() -> None:
    assert (await cost_usd("openai", "gpt-4o", Usage(10, 0, cache_read_tokens=500))).known
    assert (await cost_usd("openai", "gpt-4o", Usage())).usd == 0
    told = await cost_usd("xai", "grok-4", Usage(100, 10, reasoning_tokens=300))
    assert told.usd > (await cost_usd("xai", "grok-4", Usage(100, 10))).usd


def test_prices_never_come_from_the_network() -> None:
    code = (
        "import socket, asyncio\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "from agent.providers.pricing import cost_usd\nfrom agent.providers.types import Usage\n"
        "async def main():\n"
        "    socket.getaddrinfo = socket.create_connection = refuse\n"
        "    print((await cost_usd('anthropic', 'claude-haiku-4-5', Usage(1000, 1000))).known)\n"
        "    import threading; print([t.name for t in threading.enumerate() if 'rice' in t.name])\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split("\n") == ["True", "[]", ""], done.stderr


async def serve(path: str, answer: object, delay: float = 0.0) -> tuple[web.AppRunner, int]:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.Response(text=answer if isinstance(answer, str) else json.dumps(answer))

    app = web.Application()
    app.router.add_get(path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def test_local_servers_are_found() -> None:
    ollama, ollama_port = await serve("/api/tags", {"models": [{"name": "qwen3:4b"}, {"name": "llama3.2:1b"}]})
    studio, studio_port = await serve("/v1/models", {"data": [{"id": "gemma"}]})
    llama, llama_port = await serve("/v1/models", {"data": [{"id": "mine", "owned_by": "llamacpp"}]})
    other, other_port = await serve("/v1/models", {"data": [{"id": "x", "owned_by": "somebody"}]})
    ports = {"ollama": ollama_port, "lmstudio": studio_port, "llamacpp": llama_port, "vllm": other_port}
    found = await find_local(ports=ports)
    for server in (ollama, studio, llama, other):
        await server.cleanup()
    assert [(server.name, server.label, server.models) for server in found] == [
        ("ollama", "Ollama", ("qwen3:4b", "llama3.2:1b")),
        ("lmstudio", "LM Studio", ("gemma",)),
        ("llamacpp", "llama.cpp", ("mine",)),
    ]
    assert found[0].base_url == f"http://127.0.0.1:{ollama_port}/v1"


@pytest.mark.parametrize("answer", ["<html>", [], {"models": 5}, {"other": []}])
async def test_something_else_at_the_port(answer: object) -> None:
    runner, port = await serve("/api/tags", answer)
    found = await find_local(ports=dict.fromkeys(PORTS, port))
    await runner.cleanup()
    assert found == []


async def test_a_silent_server_is_not_waited_for() -> None:
    runner, port = await serve("/api/tags", {"models": []}, delay=4.0)
    began = time.monotonic()
    found = await find_local(0.2, ports=dict.fromkeys(PORTS, port))
    took = time.monotonic() - began
    await runner.cleanup()
    assert found == []
    assert took < 3.0
