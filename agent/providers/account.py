"""Who pays for calls of models: the seam between the router, which makes them, and the budget, which allows them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from agent.providers.types import ChatRequest, StreamEvent

if TYPE_CHECKING:
    from agent.providers.directory import Resolved


class Meter(Protocol):
    """One call under way."""

    def heard(self, event: StreamEvent) -> None:
        """Take note of what came: what a call that breaks off has cost is estimated from it."""
        ...


class Account(Protocol):
    """A payer. Each single attempt is a call of its own, repeats and continuations included."""

    def call(self, target: Resolved, request: ChatRequest) -> AbstractAsyncContextManager[Meter]:
        """Set the estimate aside; settle and put it on the record at the end, however it ends.

        Raises `BudgetExceededError` when it does not fit; then nothing may be asked.
        """
        ...


class _Deaf:
    def heard(self, event: StreamEvent) -> None:
        pass


class Unpaid:
    """Nobody keeps count; for tests and tools."""

    def call(self, target: Resolved, request: ChatRequest) -> AbstractAsyncContextManager[Meter]:
        """Allow everything."""
        return nullcontext(_Deaf())
