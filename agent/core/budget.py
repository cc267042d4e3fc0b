"""Spending limits: what a call may cost is set aside before it is made, and settled after it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from sqlite3 import Connection
from typing import Final

from agent.core.metering import EVERYTHING, Meter, input_tokens
from agent.core.unbroken import unbroken
from agent.errors import BudgetExceededError, StorageError
from agent.events import Event, LimitNear
from agent.providers.directory import Resolved
from agent.providers.pricing import Price
from agent.providers.types import ChatRequest, Usage
from agent.settings import BudgetSettings
from agent.storage import limits as limit_rows
from agent.storage import usage as usage_rows
from agent.storage.database import Database
from agent.views import LimitView, Period, Purpose

log = logging.getLogger(__name__)

NEAR: Final = 0.8
"""The share of a limit at which a notice is given."""

PriceOf = Callable[[Resolved, Usage], Awaitable[Price]]


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The current day and month of local time; times are Unix seconds."""

    day: float
    month: float
    tomorrow: float
    names: dict[Period, str]

    @classmethod
    def at(cls, now: float) -> _Calendar:
        """Each boundary is worked out for itself: the offset from UTC may differ between them."""
        today = datetime.fromtimestamp(now).astimezone().date()
        midnights = (today, today.replace(day=1), today + timedelta(days=1))
        day, month, tomorrow = (datetime(one.year, one.month, one.day).astimezone().timestamp() for one in midnights)
        return cls(day, month, tomorrow, {"day": f"{today:%Y-%m-%d}", "month": f"{today:%Y-%m}"})


@dataclass(slots=True)
class _Held:
    """What calls under way have set aside: what they probably and what they at most cost."""

    calls: int = 0
    likely: float = 0.0
    most: float = 0.0


@dataclass(slots=True)
class Purse:
    """What one piece of work may cost besides the limits, in USD."""

    limit: float
    spent: float = 0.0

    def check(self, likely: float) -> None:
        """Raises `BudgetExceededError` when that much more does not fit."""
        if self.spent + likely > self.limit:
            raise BudgetExceededError(
                f"${self.spent:.2f} of ${self.limit:.2f} for this task are spent; a call could cost ${likely:.2f} more."
            )


@dataclass(frozen=True, slots=True)
class BudgetAccount:
    """A payer: a purpose within a conversation. `put` takes the finished meters to whoever commits them with a turn;
    without it each is written down at once. `purse` is a limit of its own."""

    budget: Budget
    purpose: Purpose
    conversation_id: int | None
    channel: str
    put: Callable[[Meter], None] | None
    purse: Purse | None = None

    @asynccontextmanager
    async def call(self, target: Resolved, request: ChatRequest) -> AsyncGenerator[Meter, None]:
        """Raises `BudgetExceededError` before anything is asked. Not to be nested: it may wait for other calls."""
        meter = Meter(
            self.purpose,
            target,
            self.conversation_id,
            self.channel,
            input_tokens(request),
            request.max_tokens,
            self.budget.clock(),
        )
        await self.budget.reserve(meter, self.purse)
        began = time.monotonic()
        try:
            yield meter
            meter.outcome = "ok"
        except Exception as error:
            meter.failed(error)
            raise
        finally:
            meter.seconds = time.monotonic() - began
            await self.budget.settle(meter, self.put)
            if self.purse is not None:
                self.purse.spent += meter.price.usd


class Budget:
    """The limits over everything that is spent: by anybody, by a channel, by a conversation. Amounts in USD.

    A call is made when its estimate fits every limit. Calls run side by side while even the dearest outcome of all of
    them fits; beyond that one at a time, so that a limit is passed by no more than one estimate was too low.
    """

    def __init__(
        self,
        database: Database,
        limits: Callable[[], BudgetSettings],
        price: PriceOf,
        publish: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._database = database
        self._limits = limits
        self._price = price
        self._publish = publish
        self._calendar = _Calendar(0.0, 0.0, 0.0, {})
        self._wanted = 1  # moves when what was read is out of date
        self._known = 0
        self._spent: defaultdict[tuple[str, Period], float] = defaultdict(float)
        self._held: dict[str, _Held] = {}
        self._raised: dict[tuple[str, Period], float] = {}
        self._own: dict[int, tuple[float, str]] = {}  # daily limits of single conversations, and their titles
        self._unsaved: set[Meter] = set()  # settled, and perhaps not yet in the database
        self._saved_meanwhile: list[Meter] = []  # while it is read
        self._unwritten: list[Meter] = []
        self._noticed: set[tuple[str, Period, str]] = set()
        self._refused: dict[int | None, tuple[str, Period]] = {}
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()

    def account(
        self,
        purpose: Purpose,
        conversation_id: int | None,
        channel: str,
        put: Callable[[Meter], None] | None = None,
        purse: Purse | None = None,
    ) -> BudgetAccount:
        """Who pays for calls of that purpose."""
        return BudgetAccount(self, purpose, conversation_id, channel, put, purse)

    def forget(self) -> None:
        """Read again what was spent: another process has written, or limits were changed."""
        self._wanted += 1

    def saved(self, meters: Iterable[Meter]) -> None:
        """They are in the database now."""
        for meter in meters:
            self._unsaved.discard(meter)
            if self._reading.locked():
                self._saved_meanwhile.append(meter)

    # --- calls ------------------------------------------------------------------------------------------------------
    async def reserve(self, meter: Meter, purse: Purse | None = None) -> None:
        """Set the cost aside; may wait for calls under way. Raises `BudgetExceededError`."""
        likely = (await self._price(meter.target, meter.estimate())).usd
        if not likely:
            return
        if purse is not None:
            purse.check(likely)
        most = max(likely, (await self._price(meter.target, meter.worst())).usd)
        while True:
            await self.refresh()
            limits = self.limits(meter.conversation_id, meter.channel)
            for limit in limits:
                if limit.spent + limit.reserved + likely > limit.limit:
                    self._refused[meter.conversation_id] = limit.scope, limit.period
                    raise _exceeded(limit, likely)
            if all(self._safe(limit, most) for limit in limits):
                break
            await self._changed.wait()
        meter.reserved, meter.most = likely, most
        for scope in meter.scopes():
            held = self._held.setdefault(scope, _Held())
            held.calls += 1
            held.likely += likely
            held.most += most

    def _safe(self, limit: LimitView, most: float) -> bool:
        held = self._held.get(limit.scope)
        return held is None or limit.spent + held.most + most <= limit.limit

    async def settle(self, meter: Meter, put: Callable[[Meter], None] | None) -> None:
        """Give back what was set aside, and count what it cost."""
        try:
            meter.price = await self._price(meter.target, meter.tokens())
        finally:
            self._release(meter)
            self._count(meter)
            self._unsaved.add(meter)
        if put is not None:
            put(meter)
        else:
            await self._write(meter)
        if meter.price.usd:
            await self._tell_near(meter)

    def _release(self, meter: Meter) -> None:
        if not meter.reserved:
            return
        for scope in meter.scopes():
            held = self._held[scope]
            held.calls -= 1
            held.likely -= meter.reserved
            held.most -= meter.most
            if not held.calls:
                del self._held[scope]
        self._wake()

    def _wake(self) -> None:
        """Let calls that wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _count(self, meter: Meter) -> None:
        for scope in meter.scopes():
            if meter.started_at >= self._calendar.day:
                self._spent[scope, "day"] += meter.price.usd
            if meter.started_at >= self._calendar.month:
                self._spent[scope, "month"] += meter.price.usd

    async def _write(self, meter: Meter) -> None:
        """Put down a call that belongs to no turn; one that cannot be written now is tried again with the next."""
        self._unwritten.append(meter)
        batch, self._unwritten = self._unwritten, []

        def write(db: Connection) -> None:
            for one in batch:
                one.row_id = usage_rows.add(db, one.conversation_id, None, one.row())

        try:
            _, cancelled = await unbroken(self._database.write(write))
        except StorageError as error:
            log.error("%d calls of models wait to be put on the record: %s", len(batch), error)
            self._unwritten[:0] = batch
            return
        self.saved(batch)
        if cancelled:
            raise asyncio.CancelledError

    async def _tell_near(self, meter: Meter) -> None:
        for limit in self.limits(meter.conversation_id, meter.channel):
            scope, period, at = limit.scope, limit.period, self._calendar.names[limit.period]
            if (scope, period, at) in self._noticed or not limit.limit or limit.spent < limit.limit * NEAR:
                continue
            self._noticed.add((scope, period, at))
            try:
                told, cancelled = await unbroken(self._database.write(_noting(scope, period, at)))
            except StorageError as error:
                log.info("the notice on the limit %s could not be noted: %s", limit.label, error)
                told, cancelled = True, False
            if told:
                self._publish(LimitNear(scope, limit.label, period, limit.spent, limit.limit))
            if cancelled:
                raise asyncio.CancelledError

    # --- limits -----------------------------------------------------------------------------------------------------
    def limits(self, conversation_id: int | None, channel: str) -> list[LimitView]:
        """Those that apply there, the widest first. Call `refresh` before."""
        settings = self._limits()
        found = [
            self._view(EVERYTHING, "today", "day", settings.daily_usd),
            self._view(EVERYTHING, "this month", "month", settings.monthly_usd),
        ]
        if channel:
            found += self._channel_limits(channel)
        if conversation_id is not None:
            scope = f"conversation:{conversation_id}"
            own = self._own.get(conversation_id)
            daily = settings.conversation.daily_usd if own is None else own[0]
            if daily is not None:
                found.append(self._view(scope, "in this conversation today", "day", daily))
            if (monthly := settings.conversation.monthly_usd) is not None:
                found.append(self._view(scope, "in this conversation this month", "month", monthly))
        return found

    def all_limits(self) -> list[LimitView]:
        """All that are set: today, this month, those of channels, those that conversations have of their own."""
        found = self.limits(None, "")
        for channel in self._limits().channels:
            found += self._channel_limits(channel)
        for conversation_id, (daily, title) in self._own.items():
            where = f"in “{title}” today" if title else f"in conversation {conversation_id} today"
            found.append(self._view(f"conversation:{conversation_id}", where, "day", daily))
        return found

    def to_raise(self, conversation_id: int | None, channel: str) -> list[LimitView]:
        """The limit that refused a call there last; else those that are reached."""
        limits = self.all_limits() if conversation_id is None else self.limits(conversation_id, channel)
        refused = self._refused.get(conversation_id)
        last = [limit for limit in limits if (limit.scope, limit.period) == refused]
        return last or [limit for limit in limits if limit.spent + limit.reserved >= limit.limit * 0.99]

    async def raise_limit(self, limit: LimitView) -> LimitView:
        """For this day or month only, by its own size."""
        more = limit.limit - limit.raised or 1.0
        await self.refresh()
        at = self._calendar.names[limit.period]
        for conversation, refused in list(self._refused.items()):
            if refused == (limit.scope, limit.period):
                del self._refused[conversation]
        await self._database.write(lambda db: limit_rows.add_raise(db, limit.scope, limit.period, at, more))
        self.forget()
        await self.refresh()
        self._wake()
        return replace(limit, limit=limit.limit + more, raised=limit.raised + more)

    def _channel_limits(self, channel: str) -> list[LimitView]:
        own = self._limits().channels.get(channel)
        scope, name = f"channel:{channel}", channel.capitalize()
        found = []
        if own is not None and own.daily_usd is not None:
            found.append(self._view(scope, f"on {name} today", "day", own.daily_usd))
        if own is not None and own.monthly_usd is not None:
            found.append(self._view(scope, f"on {name} this month", "month", own.monthly_usd))
        return found

    def _view(self, scope: str, label: str, period: Period, limit: float) -> LimitView:
        raised = self._raised.get((scope, period), 0.0)
        held = self._held.get(scope)
        reserved = held.likely if held is not None else 0.0
        return LimitView(scope, label, period, self._spent.get((scope, period), 0.0), reserved, limit + raised, raised)

    # --- what the database knows ------------------------------------------------------------------------------------
    async def refresh(self) -> None:
        """Read what was spent, on a new day and after `forget`; calls that come meanwhile wait for it.

        Raises `StorageError`.
        """
        while not self._is_current():
            async with self._reading:
                if not self._is_current():
                    await self._read()

    def _is_current(self) -> bool:
        return self._known == self._wanted and self._calendar.day <= self.clock() < self._calendar.tomorrow

    async def _read(self) -> None:
        calendar, wanted = _Calendar.at(self.clock()), self._wanted
        self._saved_meanwhile.clear()

        def read(
            db: Connection,
        ) -> tuple[usage_rows.Spent, dict[tuple[str, Period], float], dict[int, tuple[float, str]]]:
            spent = usage_rows.spent_by_scope(db, calendar.day, calendar.month)
            return spent, limit_rows.raises(db, calendar.names), limit_rows.own(db)

        spent, self._raised, self._own = await self._database.read(read)
        self._calendar, self._known = calendar, wanted
        self._spent.clear()
        for scope, (of_day, of_month) in spent.by_scope.items():
            self._spent[scope, "day"] = of_day
            self._spent[scope, "month"] = of_month
        for meter in [*self._unsaved, *self._saved_meanwhile]:
            # Rows are numbered in the order of their commits: what has a smaller number was read already.
            if meter.row_id is None or meter.row_id > spent.last_row:
                self._count(meter)


def _noting(scope: str, period: Period, at: str) -> Callable[[Connection], bool]:
    return lambda db: limit_rows.add_notice(db, scope, period, at)


def _exceeded(limit: LimitView, wanted: float) -> BudgetExceededError:
    price = f"${wanted:.2f}" if wanted >= 0.01 else "less than $0.01"
    held = f", and ${limit.reserved:.2f} is set aside for calls under way" if limit.reserved >= 0.01 else ""
    return BudgetExceededError(
        f"${limit.spent:.2f} of ${limit.limit:.2f} are spent {limit.label}{held}; this call could cost {price} more.",
        hint=f"Raise it (Settings > Usage & limits, or {_setting(limit)} in config.toml), "
        "or use a model on this computer.",
        limit=limit,
    )


def _setting(limit: LimitView) -> str:
    """The key of a limit in config.toml."""
    kind, _, name = limit.scope.partition(":")
    table = {"channel": f"budget.channels.{name}", "conversation": "budget.conversation"}.get(kind, "budget")
    return f"{table}.{'daily' if limit.period == 'day' else 'monthly'}_usd"
