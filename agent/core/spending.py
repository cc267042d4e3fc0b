"""What was spent and what may be: the record of calls and the limits, for windows and commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.core.budget import Budget
from agent.errors import UsageError
from agent.storage import conversations, limits
from agent.storage import usage as usage_rows
from agent.storage.database import Database
from agent.storage.usage import By
from agent.views import LimitView, UsageDay, UsageLine, UsageRow


@dataclass(frozen=True, slots=True)
class Spending:
    """Times are Unix seconds, amounts USD; days and months are those of local time."""

    database: Database
    budget: Budget
    changed: Callable[[], None]

    async def days(self, since: float) -> list[UsageDay]:
        """What each model cost on each day; the oldest day first, the dearest model first."""
        return await self.database.read(lambda db: usage_rows.days(db, since))

    async def lines(self, since: float, *, by_conversation: bool = False) -> list[UsageLine]:
        """The lines of the export; the oldest day first."""
        return await self.database.read(lambda db: usage_rows.lines(db, since, by_conversation=by_conversation))

    async def totals(self, since: float, by: By) -> list[UsageRow]:
        """Sums by group; the dearest first, days the newest first."""
        return await self.database.read(lambda db: usage_rows.totals(db, since, by))

    async def spent(self) -> tuple[float, float]:
        """Today and this month, calls included that are not in the database yet."""
        day, month, *_ = await self.limits()
        return day.spent, month.spent

    async def limits(self, conversation_id: int | None = None) -> list[LimitView]:
        """The limits that apply in a conversation; without one, all that are set. Those of today and this month are the
        first two.

        Raises `UsageError` for a conversation that does not exist.
        """
        channel = await self._channel(conversation_id)
        self.budget.forget()  # another process may have written
        await self.budget.refresh()
        if conversation_id is None:
            return self.budget.all_limits()
        return self.budget.limits(conversation_id, channel)

    async def raise_limit(self, conversation_id: int | None = None) -> list[LimitView]:
        """Raise the limit that refused a call there last, else those that are reached, for this day or month only and
        by their own size; the raised ones. Raises `UsageError` where none is reached."""
        channel = await self._channel(conversation_id)
        self.budget.forget()
        await self.budget.refresh()
        reached = self.budget.to_raise(conversation_id, channel)
        if not reached:
            raise UsageError("No limit is reached here.", title="Nothing to raise", hint="`/limit` shows the limits.")
        raised = [await self.budget.raise_limit(limit) for limit in reached]
        self.changed()
        return raised

    async def set_conversation_limit(self, conversation_id: int, daily_usd: float | None) -> None:
        """Give a conversation a daily limit of its own; None for that of the settings."""
        await self._channel(conversation_id)
        await self.database.write(lambda db: limits.set_own(db, conversation_id, daily_usd))
        self.budget.forget()
        self.changed()

    async def _channel(self, conversation_id: int | None) -> str:
        if conversation_id is None:
            return ""
        found = await self.database.read(lambda db: conversations.get(db, conversation_id))
        if found is None:
            raise UsageError(f"There is no conversation {conversation_id}.", hint="See `trayclaw conversations list`.")
        return found.channel
