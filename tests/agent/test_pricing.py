"""What calls cost: figures worked out by hand from the price lists, and the whole table against its own calculation."""

from __future__ import annotations

import asyncio
import random

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from agent.providers import pricing
from agent.providers.catalog import SPECS
from agent.providers.types import Usage
from agent.settings import PriceSettings

M = 1_000_000


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "usd"),
    [
        # 500 plain at $3, 200 read at $0.30, 300 written at $3.75, 100 out at $15
        ("anthropic", "claude-sonnet-4-5", Usage(1000, 100, 200, 300), (1500 + 60 + 1125 + 1500) / M),
        # the same as Anthropic counts it: what was cached is beside the input
        ("anthropic", "claude-sonnet-4-5", Usage(500, 100, 200, 300, cache_apart=True), (1500 + 60 + 1125 + 1500) / M),
        # above 200,000 tokens of input everything costs more: $6 and $22.50
        ("anthropic", "claude-sonnet-4-5", Usage(250_000, 1000), (250_000 * 6 + 22_500) / M),
        # 800 at $1.25, 200 read at $0.125, 100 out at $10, 60 of which are thinking
        ("openai", "gpt-5", Usage(1000, 100, 200, 0, 60), (1000 + 25 + 1000) / M),
        # thinking beside the output, as Gemini counts it: 40 + 60 out at $10
        ("gemini", "gemini-2.5-pro", Usage(1000, 40, 200, 0, 60, reasoning_apart=True), (1000 + 25 + 1000) / M),
        # above 200,000: $2.50, reads at $0.25, out at $15
        ("gemini", "models/gemini-2.5-pro", Usage(250_000, 100, 200), (249_800 * 2.5 + 50 + 1500) / M),
        ("groq", "openai/gpt-oss-120b", Usage(1000, 100, 200), (800 * 0.15 + 200 * 0.075 + 60) / M),
        ("mistral", "mistral-large-latest", Usage(1000, 100), (2000 + 600) / M),
        # xAI reports thinking beside the output
        ("xai", "grok-4", Usage(1000, 40, 0, 0, 60), (3000 + 1500) / M),
        ("openrouter", "anthropic/claude-sonnet-4.5", Usage(1000, 100), (3000 + 1500) / M),
        ("ollama", "llama3.2", Usage(M, M), 0.0),
        ("starter", "", Usage(M, M), 0.0),
    ],
)
async def test_a_call_costs_what_the_price_list_says(provider: str, model: str, tokens: Usage, usd: float) -> None:
    price = await pricing.cost_usd(provider, model, tokens)
    assert price.usd == pytest.approx(usd)
    assert price.known


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-99"), ("mine", "m"), ("dashscope", "qwen-plus"), ("openrouter", "x/new")]
)
async def test_an_unknown_price_is_a_cautious_one_and_says_so(provider: str, model: str) -> None:
    price = await pricing.cost_usd(provider, model, Usage(1000, 100))
    assert price.usd == pytest.approx((15_000 + 7500) / M)
    assert not price.known


async def test_prices_of_ones_own_go_first_and_a_server_of_ones_own_is_free() -> None:
    own = {"openai/gpt-5": PriceSettings(input=2, output=4, cache_read=1), "mine/m": PriceSettings(input=10, output=0)}
    price = await pricing.cost_usd("openai", "gpt-5", Usage(1000, 100, 200, 300), own=own)
    assert price.usd == pytest.approx((500 * 2 + 200 + 300 * 2 + 400) / M)
    assert price.known
    assert (await pricing.cost_usd("mine", "m", Usage(1000, 1), local=True, own=own)).usd == pytest.approx(0.01)
    assert (await pricing.cost_usd("mine", "n", Usage(1000, 1), local=True, own=own)).usd == 0.0


async def test_a_call_that_used_nothing_costs_nothing() -> None:
    assert (await pricing.cost_usd("openai", "gpt-99", Usage())).usd == 0.0


def test_the_short_calculation_is_that_of_the_price_table() -> None:
    """Every model of every provider of the catalogue, with inputs on both sides of the steps in price."""
    asyncio.run(pricing.cost_usd("openai", "gpt-5", Usage(1, 1)))
    chance = random.Random(3)
    wanted = {spec.price_id for spec in SPECS.values()} - {"", "x-ai"}
    compared = 0
    for provider in get_snapshot().providers:
        if provider.id not in wanted:
            continue
        for model in provider.models:
            total = chance.choice([0, 1, 1000, 130_000, 201_000, 300_000])
            read, write = chance.randint(0, total // 2), chance.randint(0, total // 3)
            output = chance.randint(1, 9000)
            counted = genai_prices.Usage(
                input_tokens=total, output_tokens=output, cache_read_tokens=read, cache_write_tokens=write
            )
            price = pricing._price(provider.id, model.id, Usage(total, output, read, write))
            try:
                theirs = genai_prices.calc_price(counted, model.id, provider_id=provider.id)
            except LookupError:
                assert not price.known, model.id
                continue
            if price.known:
                assert price.usd == pytest.approx(float(theirs.total_price)), f"{provider.id}/{model.id}"
                compared += 1
            else:
                assert theirs.total_price == 0, f"{provider.id}/{model.id} has a price"
    assert compared > 300
