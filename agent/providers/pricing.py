"""What a model call costs, from the price table that comes with genai-prices. Nothing is fetched from the network."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from agent.providers.catalog import SPECS
from agent.providers.types import Usage

if TYPE_CHECKING:
    from agent.settings import PriceSettings

CAUTIOUS_INPUT_USD: Final = 15.0 / 1_000_000
CAUTIOUS_OUTPUT_USD: Final = 75.0 / 1_000_000
"""USD a token where no price is known: those of the dearest models that people use every day."""

_table: Any = None


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
    if _table is None:
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
    global _table
    table = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    table.find_provider_model("gpt-4o", None, "openai", None)  # the first search makes its index
    _table = table


def _price(price_id: str, model: str, usage: Usage) -> Price:
    output = usage.output_tokens
    if price_id == "x-ai":  # reports reasoning beside the output, not as a part of it
        output += usage.reasoning_tokens
    read, write = usage.cache_read_tokens, usage.cache_write_tokens
    # A provider that reports more cached tokens than input has left them out of the input.
    total = max(usage.input_tokens, read + write)
    cautious = Price(total * CAUTIOUS_INPUT_USD + output * CAUTIOUS_OUTPUT_USD, known=False)
    if not price_id:
        return cautious
    try:
        _, found = _table.find_provider_model(model.removeprefix("models/"), None, price_id, None)
    except LookupError:
        return cautious
    # What `genai_prices.calc_price` does for these kinds of tokens, at a tenth of its time.
    prices = vars(found.get_prices(datetime.now(UTC)))
    per_input, per_output = (_per_token(prices.get(name), total) for name in ("input_mtok", "output_mtok"))
    if per_input is None and per_output is None:  # in the table without a price
        return Price(0.0, known=True) if model.endswith(":free") else cautious
    per_input = per_input or 0.0
    per_read = _per_token(prices.get("cache_read_mtok"), total)
    per_write = _per_token(prices.get("cache_write_mtok"), total)
    usd = (total - read - write) * per_input + output * (per_output or 0.0)
    usd += read * (per_input if per_read is None else per_read)
    usd += write * (per_input if per_write is None else per_write)
    return Price(usd + float(prices.get("requests_kcount") or 0.0) / 1000, known=True)


def _per_token(price: Any, total_input: int) -> float | None:
    """USD a token; in a table with tiers, the tier that the whole input is in."""
    if price is None:
        return None
    per_million = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if total_input > tier.start:
            per_million = tier.price
    return float(per_million) / 1_000_000
