"""Money: what a call may cost is reserved before it is made and settled after it, whatever comes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from agent.errors import BudgetExceededError, TrayClawError
from agent.providers.pricing import Price
from agent.providers.router import Resolved
from agent.providers.types import ChatRequest, Image, Text, ToolCall, ToolResult, Usage
from agent.settings import BudgetSettings
from agent.storage import usage as usage_rows
from agent.storage.database import Database

_CHARS_PER_TOKEN = 3.5
_IMAGE_TOKENS = 1500
_ANSWER_TOKENS = 1000
"""Reserved for an answer whose length nobody limited."""

FREE = Price(0.0, known=True)
PriceOf = Callable[[Resolved, Usage], Awaitable[Price]]


@dataclass(slots=True)
class Meter:
    """One call under way. Set `usage` when the provider tells it; otherwise it is estimated from the characters."""

    purpose: str
    input_estimate: int
    answer_estimate: int
    target: Resolved | None = None
    reserved: float = 0.0
    started_at: float = field(default_factory=time.time)
    output_chars: int = 0
    usage: Usage | None = None
    outcome: str = "stopped"
    seconds: float = 0.0
    price: Price = FREE

    def tokens(self) -> Usage:
        """What the provider said; without a word from it, what the texts suggest."""
        if self.usage is not None:
            return self.usage
        if self.outcome not in ("ok", "stopped"):
            return Usage()
        return Usage(self.input_estimate, round(self.output_chars / _CHARS_PER_TOKEN))

    def row(self) -> usage_rows.Call:
        """This call for the record."""
        return usage_rows.Call(
            self.target.provider_name if self.target else "",
            self.target.model if self.target else "",
            self.purpose,
            self.started_at,
            self.seconds,
            self.outcome,
            self.tokens(),
            self.price.usd,
            self.price.known,
        )


class Budget:
    """The daily and the monthly limit over everything this process spends. Amounts in USD."""

    def __init__(self, database: Database, limits: Callable[[], BudgetSettings], price: PriceOf) -> None:
        self._database = database
        self._limits = limits
        self._price = price
        self._day = ""
        self._spent_day = 0.0
        self._spent_month = 0.0
        self._reserved = 0.0
        self._reading = asyncio.Lock()

    @asynccontextmanager
    async def call(self, request: ChatRequest, purpose: str = "chat") -> AsyncGenerator[Meter, None]:
        """Measure a call; what was reserved for it is given back and what it cost put down, however it ends."""
        meter = Meter(purpose, _input_tokens(request), request.max_tokens or _ANSWER_TOKENS)
        began = time.monotonic()
        try:
            yield meter
            meter.outcome = "ok"
        except TrayClawError as error:
            meter.outcome = error.kind
            raise
        finally:
            meter.seconds = time.monotonic() - began
            try:
                if meter.reserved and meter.target is not None:
                    meter.price = await self._price(meter.target, meter.tokens())
            finally:
                self._reserved -= meter.reserved
                self._spent_day += meter.price.usd
                self._spent_month += meter.price.usd

    async def reserve(self, meter: Meter, target: Resolved) -> None:
        """Set the cost of asking `target` aside, in place of what was set aside before for another one.

        Raises `BudgetExceededError` before anything is asked.
        """
        await self._turn_of_day()
        wanted = (await self._price(target, Usage(meter.input_estimate, meter.answer_estimate))).usd
        meter.target = target
        self._reserved -= meter.reserved
        meter.reserved = 0.0
        self._check(wanted)
        meter.reserved = wanted
        self._reserved += wanted

    def _check(self, wanted: float) -> None:
        if not wanted:
            return
        limits = self._limits()
        for spent, limit, name, key in (
            (self._spent_day, limits.daily_usd, "today", "daily_usd"),
            (self._spent_month, limits.monthly_usd, "this month", "monthly_usd"),
        ):
            if spent + self._reserved + wanted > limit:
                raise BudgetExceededError(
                    f"${spent:.2f} of ${limit:.2f} are spent {name}; this call could cost ${wanted:.3f} more.",
                    hint=f"Raise it (Settings > General, or budget.{key} in config.toml), "
                    "or use a model on this computer.",
                )

    async def _turn_of_day(self) -> None:
        """Read once a day what was spent; calls that come meanwhile wait for it."""
        async with self._reading:
            today = datetime.now().astimezone().strftime("%Y-%m-%d")
            if today != self._day:
                self._spent_day, self._spent_month = await self._database.read(usage_rows.spent)
                self._day = today


def _input_tokens(request: ChatRequest) -> int:
    chars = sum(len(tool.description) + 200 for tool in request.tools)
    images = 0
    for message in request.messages:
        for part in message.parts:
            match part:
                case Text(text) | ToolResult(text=text):
                    chars += len(text)
                case ToolCall():
                    chars += len(part.raw_arguments)
                case Image():
                    images += 1
    return round(chars / _CHARS_PER_TOKEN) + images * _IMAGE_TOKENS
