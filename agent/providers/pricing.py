"""What a model call costs, from the price table that comes with genai-prices. Nothing is fetched from the network."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent.providers.catalog import SPECS
from agent.providers.types import Usage

if TYPE_CHECKING:
    from agent.settings import PriceSettings

CAUTIOUS_INPUT_USD: Final = 15.0 / 1_000_000
CAUTIOUS_OUTPUT_USD: Final = 75.0 / 1_000_000
"""USD a token where no price is known: those of the dearest models that people use every day."""

_calc: Any = None


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in USD; `known` is False where it is a cautious guess."""

    usd: float
    known: bool


async def cost_usd(
    provider: str,
    model: str,
    usage: Usage,
    *,
    local: bool = False,
    own: Mapping[str, PriceSettings] | None = None,
) -> Price:
    """The price of a call. `provider` is a name of the catalogue or the person's own; `local` models cost nothing.

    `own` prices of the person, by `provider/model`, go before those of the table. A hosted provider at a local address
    is a proxy where its model has a price, else a server of one's own.
    """
    usage = usage.whole()
    if own and (set_price := own.get(f"{provider}/{model}")) is not None:
        return Price(_own_price(set_price, usage), known=True)
    spec = SPECS.get(provider)
    if local if spec is None else spec.local:
        return Price(0.0, known=True)
    if usage == Usage():
        return Price(0.0, known=True)
    if _calc is None:
        await asyncio.to_thread(_load)  # 0.2 s of import
    price = _price(spec.price_id if spec is not None else "", model, usage)
    return price if price.known or not local else Price(0.0, known=True)


def _own_price(price: PriceSettings, usage: Usage) -> float:
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    plain = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    usd = plain * price.input + usage.output_tokens * price.output
    return (usd + usage.cache_read_tokens * read + usage.cache_write_tokens * write) / 1_000_000


def _load() -> None:
    global _calc
    genai_prices = importlib.import_module("genai_prices")
    # The first calculation reads the table.
    genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), "gpt-4o", provider_id="openai")
    _calc = genai_prices


def _price(price_id: str, model: str, usage: Usage) -> Price:
    output = usage.output_tokens
    if price_id == "x-ai":  # reports reasoning beside the output, not as a part of it
        output += usage.reasoning_tokens
    cautious = Price(usage.input_tokens * CAUTIOUS_INPUT_USD + output * CAUTIOUS_OUTPUT_USD, known=False)
    if not price_id:
        return cautious
    counted = _calc.Usage(
        # A provider that reports more cached tokens than input has left them out of the input.
        input_tokens=max(usage.input_tokens, usage.cache_read_tokens + usage.cache_write_tokens),
        output_tokens=output,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        found = _calc.calc_price(counted, model.removeprefix("models/"), provider_id=price_id)
    except (LookupError, ValueError):
        return cautious
    return Price(float(found.total_price), known=True)
