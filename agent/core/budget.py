"""Spending limits: what a call may cost is set aside before it is made, and settled after it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from sqlite3 import Connection
from typing import Final

from agent.errors import BudgetExceededError, ProviderError, TrayClawError
from agent.events import Event, LimitNear
from agent.providers.directory import Resolved
from agent.providers.pricing import Price
from agent.providers.types import (
    ChatRequest,
    File,
    Finished,
    Image,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from agent.settings import BudgetSettings
from agent.storage import limits as limit_rows
from agent.storage import usage as usage_rows
from agent.storage.database import Database
from agent.views import LimitView, Period, Purpose

_CHARS_PER_TOKEN = 3.5
_IMAGE_TOKENS = 1500
_BYTES_PER_FILE_TOKEN = 25
"""A page of a PDF file is some 50 kB and costs up to 2,000 tokens."""
_ANSWER_TOKENS = 1000
"""Reserved for an answer whose length nobody limited."""
NEAR: Final = 0.8
"""The share of a limit at which a notice is given."""
EVERYTHING: Final = "all"
_FREE = Price(0.0, known=True)

PriceOf = Callable[[Resolved, Usage], Awaitable[Price]]


def local_now() -> datetime:
    """The time whose day and month count."""
    return datetime.now().astimezone()


@dataclass(slots=True)
class Meter:
    """One call under way. Without a word of the provider, its usage is estimated from the texts."""

    purpose: Purpose
    target: Resolved
    conversation_id: int | None
    channel: str
    input_estimate: int
    answer_estimate: int
    reserved: float = 0.0
    started_at: float = field(default_factory=time.time)
    output_tokens: float = 0.0
    usage: Usage | None = None
    outcome: str = "stopped"
    charged: bool = True
    """Whether the provider has probably worked for it."""
    seconds: float = 0.0
    price: Price = _FREE

    def heard(self, event: StreamEvent) -> None:
        """Take note of what came."""
        if isinstance(event, TextDelta | ReasoningDelta):
            self.output_tokens += _tokens(event.text)
        elif isinstance(event, Finished):
            self.usage = event.completion.usage.whole()

    def tokens(self) -> Usage:
        """What the provider said, else what the texts suggest; nothing for a call that was turned away."""
        if self.usage is not None and (self.usage.input_tokens or self.usage.output_tokens):
            return self.usage
        if not self.charged and not self.output_tokens:
            return Usage()
        return Usage(self.input_estimate, round(self.output_tokens))

    def row(self) -> usage_rows.Call:
        """This call for the record."""
        return usage_rows.Call(
            self.target.provider_name,
            self.target.model,
            self.purpose,
            self.started_at,
            self.seconds,
            self.outcome,
            self.tokens(),
            self.price.usd,
            self.price.known,
            self.channel,
        )

    def scopes(self) -> Iterator[str]:
        """What its cost counts for."""
        yield EVERYTHING
        if self.channel:
            yield f"channel:{self.channel}"
        if self.conversation_id is not None:
            yield f"conversation:{self.conversation_id}"


@dataclass(frozen=True, slots=True)
class BudgetAccount:
    """A payer: a purpose within a conversation. `put` takes the finished meters to whoever commits them with a turn;
    without it each is written down at once."""

    budget: Budget
    purpose: Purpose
    conversation_id: int | None
    channel: str
    put: Callable[[Meter], None] | None

    @asynccontextmanager
    async def call(self, target: Resolved, request: ChatRequest) -> AsyncGenerator[Meter, None]:
        """Raises `BudgetExceededError` before anything is asked."""
        answer = request.max_tokens or _ANSWER_TOKENS
        meter = Meter(self.purpose, target, self.conversation_id, self.channel, _input_tokens(request), answer)
        await self.budget.reserve(meter)
        began = time.monotonic()
        try:
            yield meter
            meter.outcome = "ok"
        except TrayClawError as error:
            meter.outcome = error.kind
            meter.charged = isinstance(error, ProviderError) and error.answering
            raise
        finally:
            meter.seconds = time.monotonic() - began
            await self.budget.settle(meter, self.put)


class Budget:
    """The limits over everything that is spent: by anybody, by a channel, by a conversation. Amounts in USD."""

    def __init__(
        self,
        database: Database,
        limits: Callable[[], BudgetSettings],
        price: PriceOf,
        publish: Callable[[Event], None] = lambda event: None,
        now: Callable[[], datetime] = local_now,
    ) -> None:
        self._database = database
        self._limits = limits
        self._price = price
        self._publish = publish
        self._now = now
        self._day = ""
        self._spent: defaultdict[tuple[str, Period], float] = defaultdict(float)
        self._reserved: defaultdict[str, float] = defaultdict(float)
        self._raised: dict[tuple[str, Period], float] = {}
        self._own: dict[int, float] = {}  # daily limits of single conversations
        self._unsaved: list[Meter] = []  # settled, and not yet in the database
        self._noticed: set[tuple[str, Period]] = set()
        self._refused: dict[int | None, tuple[str, Period]] = {}
        self._reading = asyncio.Lock()
        self._overtaken = False

    def account(
        self, purpose: Purpose, conversation_id: int | None, channel: str, put: Callable[[Meter], None] | None = None
    ) -> BudgetAccount:
        """Who pays for calls of that purpose."""
        return BudgetAccount(self, purpose, conversation_id, channel, put)

    def forget(self) -> None:
        """Read again what was spent: another process has written, or limits were changed."""
        self._day = ""

    def saved(self, meters: Iterable[Meter]) -> None:
        """They are in the database now."""
        for meter in meters:
            self._unsaved.remove(meter)
        self._overtaken = True

    async def reserve(self, meter: Meter) -> None:
        """Set the cost aside. Raises `BudgetExceededError`."""
        await self.refresh()
        estimate = Usage(meter.input_estimate, meter.answer_estimate)
        wanted = (await self._price(meter.target, estimate)).usd
        if not wanted:
            return
        for limit in self.limits(meter.conversation_id, meter.channel):
            if limit.spent + limit.reserved + wanted > limit.limit:
                self._refused[meter.conversation_id] = limit.scope, limit.period
                raise _exceeded(limit, wanted)
        meter.reserved = wanted
        for scope in meter.scopes():
            self._reserved[scope] += wanted

    async def settle(self, meter: Meter, put: Callable[[Meter], None] | None) -> None:
        """Give back what was set aside, and count what it cost."""
        try:
            meter.price = await self._price(meter.target, meter.tokens())
        finally:
            for scope in meter.scopes():
                self._reserved[scope] -= meter.reserved
                if not self._reserved[scope] > 1e-9:
                    del self._reserved[scope]
                self._spent[scope, "day"] += meter.price.usd
                self._spent[scope, "month"] += meter.price.usd
            self._unsaved.append(meter)
        if put is not None:
            put(meter)
        else:
            row, conversation = meter.row(), meter.conversation_id
            await self._database.write(lambda db: usage_rows.add(db, conversation, None, row))
            self.saved([meter])
        if meter.price.usd:
            await self._tell_near(meter)

    def limits(self, conversation_id: int | None = None, channel: str = "") -> list[LimitView]:
        """Those that apply there, the widest first; all general ones without a conversation. Call `refresh` before."""
        settings = self._limits()
        found = [
            self._view(EVERYTHING, "today", "day", settings.daily_usd),
            self._view(EVERYTHING, "this month", "month", settings.monthly_usd),
        ]
        if channel and (own := settings.channels.get(channel)) is not None:
            scope, name = f"channel:{channel}", channel.capitalize()
            if own.daily_usd is not None:
                found.append(self._view(scope, f"on {name} today", "day", own.daily_usd))
            if own.monthly_usd is not None:
                found.append(self._view(scope, f"on {name} this month", "month", own.monthly_usd))
        if conversation_id is not None:
            scope = f"conversation:{conversation_id}"
            daily = self._own.get(conversation_id, settings.conversation.daily_usd)
            if daily is not None:
                found.append(self._view(scope, "in this conversation today", "day", daily))
            if settings.conversation.monthly_usd is not None:
                found.append(
                    self._view(scope, "in this conversation this month", "month", settings.conversation.monthly_usd)
                )
        return found

    def to_raise(self, conversation_id: int | None, channel: str) -> list[LimitView]:
        """The limit that refused a call there last; else those that are reached."""
        limits = self.limits(conversation_id, channel)
        refused = self._refused.get(conversation_id)
        last = [limit for limit in limits if (limit.scope, limit.period) == refused]
        return last or [limit for limit in limits if limit.spent + limit.reserved >= limit.limit * 0.99]

    async def raise_limit(self, limit: LimitView) -> LimitView:
        """For this day or month only, by its own size."""
        more = limit.limit - limit.raised or 1.0
        at = self._at(limit.period)
        await self._database.write(lambda db: limit_rows.add_raise(db, limit.scope, limit.period, at, more))
        self.forget()
        await self.refresh()
        return LimitView(
            limit.scope,
            limit.label,
            limit.period,
            limit.spent,
            limit.reserved,
            limit.limit + more,
            limit.raised + more,
        )

    async def refresh(self) -> None:
        """Read what was spent, once a day or after `forget`; calls that come meanwhile wait for it."""
        today = f"{self._now():%Y-%m-%d}"
        if today == self._day:
            return
        async with self._reading:
            if today == self._day:
                return
            now = self._now()
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            day, month = midnight.timestamp(), midnight.replace(day=1).timestamp()
            at = {"day": today, "month": today[:7]}

            def read(
                db: Connection,
            ) -> tuple[dict[str, tuple[float, float]], dict[tuple[str, Period], float], dict[int, float]]:
                return usage_rows.spent_by_scope(db, day, month), limit_rows.raises(db, at), limit_rows.own(db)

            self._overtaken = False
            found, self._raised, self._own = await self._database.read(read)
            self._spent.clear()
            self._noticed.clear()
            for scope, (of_day, of_month) in found.items():
                self._spent[scope, "day"] = of_day
                self._spent[scope, "month"] = of_month
            for meter in self._unsaved:
                for scope in meter.scopes():
                    if meter.started_at >= day:
                        self._spent[scope, "day"] += meter.price.usd
                    self._spent[scope, "month"] += meter.price.usd
            # What was written while this was read may be missing in it: read again for the next call.
            self._day = "" if self._overtaken else today

    def _view(self, scope: str, label: str, period: Period, limit: float) -> LimitView:
        raised = self._raised.get((scope, period), 0.0)
        spent, reserved = self._spent.get((scope, period), 0.0), self._reserved.get(scope, 0.0)
        return LimitView(scope, label, period, spent, reserved, limit + raised, raised)

    def _at(self, period: Period) -> str:
        return f"{self._now():%Y-%m-%d}" if period == "day" else f"{self._now():%Y-%m}"

    async def _tell_near(self, meter: Meter) -> None:
        for limit in self.limits(meter.conversation_id, meter.channel):
            key = limit.scope, limit.period
            if key in self._noticed or not limit.limit or limit.spent < limit.limit * NEAR:
                continue
            self._noticed.add(key)
            scope, period, at = limit.scope, limit.period, self._at(limit.period)
            if await self._database.write(lambda db: limit_rows.add_notice(db, scope, period, at)):  # noqa: B023
                self._publish(LimitNear(limit.scope, limit.label, limit.period, limit.spent, limit.limit))


def _exceeded(limit: LimitView, wanted: float) -> BudgetExceededError:
    price = f"${wanted:.2f}" if wanted >= 0.01 else "less than $0.01"
    return BudgetExceededError(
        f"${limit.spent:.2f} of ${limit.limit:.2f} are spent {limit.label}; this call could cost {price} more.",
        hint=f"Raise it (Settings > Usage & limits, or {_setting(limit)} in config.toml), "
        "or use a model on this computer.",
        limit=limit,
    )


def _setting(limit: LimitView) -> str:
    """The key of a limit in config.toml."""
    kind, _, name = limit.scope.partition(":")
    table = {"channel": f"budget.channels.{name}", "conversation": "budget.conversation"}.get(kind, "budget")
    return f"{table}.{'daily' if limit.period == 'day' else 'monthly'}_usd"


def _tokens(text: str) -> float:
    """About how many tokens a text is: a character of a wide script is one, of others four make one."""
    if text.isascii():
        return len(text) / _CHARS_PER_TOKEN
    narrow = len(text.encode("latin-1", "ignore"))
    return narrow / _CHARS_PER_TOKEN + (len(text) - narrow)


def _input_tokens(request: ChatRequest) -> int:
    tokens = sum((len(tool.description) + 200) / _CHARS_PER_TOKEN for tool in request.tools)
    for message in request.messages:
        for part in message.parts:
            match part:
                case Text(text):
                    tokens += _tokens(text)
                case ToolResult():
                    tokens += _tokens(part.text) + len(part.images) * _IMAGE_TOKENS
                case ToolCall():
                    tokens += _tokens(part.raw_arguments)
                case Image():
                    tokens += _IMAGE_TOKENS
                case File():
                    tokens += len(part.data) / _BYTES_PER_FILE_TOKEN
    return round(tokens)
