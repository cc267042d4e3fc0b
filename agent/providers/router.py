"""From a reference to an answer: asks, tries again, mends what can be mended, falls back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agent.errors import ProviderError, UsageError
from agent.providers import continuation, pictures, pricing
from agent.providers.account import Account, Unpaid
from agent.providers.breaker import Breaker
from agent.providers.continuation import Seam
from agent.providers.directory import Directory, Resolved, Secrets
from agent.providers.pricing import Price
from agent.providers.types import (
    ChatRequest,
    Completion,
    Finished,
    Notice,
    Provider,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    Usage,
)
from agent.views import Purpose

if TYPE_CHECKING:
    from agent.settings import Settings

MOST_TRIES: Final = 3
LONGEST_WAIT: Final = 60.0
MOST_CONTINUED: Final = 3
_FIRST_BACKOFF = 0.5
_NO_USE_ELSEWHERE = frozenset({"invalid_request", "content_filter", "too_large"})
_WHY = {
    "rate_limit": "Rate limited",
    "overloaded": "The provider is overloaded",
    "server": "The provider has a problem",
    "timeout": "No answer in time",
    "network": "No connection",
}

Compact = Callable[[ChatRequest, ProviderError], Awaitable[ChatRequest | None]]
"""A shorter request in place of one that was too long; None where nothing can be left out."""


class Router:
    """Asks the providers of a `Directory`. Every single attempt goes through the caller's account."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        secrets: Secrets,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = Directory(settings, secrets)
        self._settings = settings
        self._sleep = sleep
        self._breaker = Breaker(clock)
        self._blind: set[str] = set()
        """Models that refused a picture."""

    def resolve(self, reference: str) -> Resolved:
        """The provider and the model of a reference. Raises `UsageError` where there is none."""
        return self.directory.resolve(reference)

    def check_reference(self, reference: str) -> str:
        """The reference in its full form, `provider/model` or "starter". Raises `UsageError`."""
        return self.directory.check_reference(reference)

    def reference_for(self, purpose: Purpose, own: str) -> str:
        """What is asked for a purpose, in a conversation whose model is `own`; empty where nothing shall be asked."""
        return self.directory.reference_for(purpose, own)

    async def price(self, target: Resolved, usage: Usage) -> Price:
        """What a call costs; nothing on this computer."""
        return await pricing.cost_usd(
            target.provider_name, target.model, usage, local=target.local, own=self._settings().prices
        )

    async def aclose(self) -> None:
        """Close all connections and give the memory of the built-in model back."""
        await self.directory.aclose()

    async def complete(self, reference: str, request: ChatRequest, account: Account | None = None) -> Completion:
        """The whole answer. Raises what `stream` raises."""
        async with aclosing(self.stream(reference, request, account)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.completion
        raise ProviderError("bad_response", "The answer broke off.", retryable=True, hint="Ask again.")

    async def stream(
        self, reference: str, request: ChatRequest, account: Account | None = None, *, compact: Compact | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Until the first piece, failures that may pass are tried again, and where the default
        model fails for good, the fallbacks of the settings are asked.

        Raises `ProviderError`, `UsageError`, and `BudgetExceededError` before anything is asked that does not fit.
        """
        references = [reference, *self._fallbacks(reference)]
        error: ProviderError | None = None
        for position, name in enumerate(references):
            last = position + 1 == len(references)
            try:
                target = self.resolve(name)
            except UsageError:
                if error is None:
                    raise
                continue  # why the first one failed matters more than a fallback that does not exist
            allowed = self._breaker.allows(target.provider_name)
            if not allowed and not last:
                yield Notice(f"{target.provider_name} failed several times in a row. Asking {references[position + 1]}")
                continue
            attempt = _Attempt(self, target, request, account or Unpaid(), compact, MOST_TRIES if allowed else 1)
            try:
                with self.directory.in_use(target.provider):
                    async with aclosing(attempt.run()) as events:
                        async for event in events:
                            yield event
                return
            except _Unanswered as failed:
                error = failed.error
            if error.kind in _NO_USE_ELSEWHERE:
                break
            if not last:
                yield Notice(f"{error.title}. Asking {references[position + 1]} instead")
        assert error is not None
        raise error

    def _fallbacks(self, reference: str) -> list[str]:
        model = self._settings().model
        if reference != model.default:
            return []
        return [other for other in dict.fromkeys(model.fallback) if other != reference]


class _Unanswered(Exception):
    """A provider failed before its first piece, for good."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class _Attempt:
    """One model and one request, until there is an answer or nothing is left to try. Each remedy is used once."""

    router: Router
    target: Resolved
    request: ChatRequest
    account: Account
    compact: Compact | None
    most_tries: int
    tried: int = 0
    whole: bool = False
    """Ask without streaming: a stream has died before its first piece."""
    asked_again: bool = False
    compacted: bool = False
    so_far: Completion | None = None
    """What a length limit cut, and what is being continued."""
    continued: int = 0

    async def run(self) -> AsyncGenerator[StreamEvent, None]:
        """Raises `_Unanswered` while nothing came, the plain error after that."""
        provider = self.target.provider
        fitted = replace(self.request, model=self.target.model)
        if not provider.supports_tools:
            fitted = replace(fitted, tools=())
        if self.target.reference in self.router._blind:
            fitted = pictures.left_out(fitted)
        while True:
            self.tried += 1
            began = False
            asked = continuation.asked_on(fitted, self.so_far) if self.so_far else fitted
            seam = Seam(self.so_far.text if self.so_far else "")
            completion: Completion | None = None
            try:
                async with self.account.call(self.target, asked) as meter:
                    events = _whole(provider, asked) if self.whole else provider.stream(asked)
                    async with aclosing(events):
                        async for event in events:
                            meter.heard(event)
                            if isinstance(event, Finished):
                                completion = event.completion
                                break
                            began = began or not isinstance(event, Notice)
                            if not isinstance(event, TextDelta):
                                yield event
                            elif shown := seam.pass_on(event.text):
                                yield event if shown == event.text else TextDelta(shown)
            except ProviderError as error:
                self.router._breaker.failed(self.target.provider_name, error)
                if began:
                    raise
                if self.so_far is not None:  # the rest cannot be had: what there is stands
                    yield Finished(self.so_far)
                    return
                changed, notice, wait = await self._remedy(error, fitted)
                if changed is None:
                    raise _Unanswered(error) from error
                if notice:
                    yield Notice(notice)
                if wait:
                    await self.router._sleep(wait)
                fitted = changed
                continue
            self.router._breaker.worked(self.target.provider_name)
            if completion is None:
                return
            if shown := seam.finish():
                yield TextDelta(shown)
            completion = seam.fitted(completion)
            if _is_empty(completion) and not self.asked_again and self.so_far is None:
                self.asked_again = True
                yield Notice("The answer was empty, asking again")
                continue
            if self.so_far is not None:
                completion = continuation.joined(self.so_far, completion)
            if self.continued < MOST_CONTINUED and continuation.is_cut(completion, self.request):
                self.continued += 1
                self.so_far = completion
                continue
            yield Finished(completion)
            return

    async def _remedy(self, error: ProviderError, fitted: ChatRequest) -> tuple[ChatRequest | None, str, float]:
        """What to ask next, the words for it, and the seconds to wait before; None where nothing helps."""
        if pictures.are_refused(error, fitted):
            self.router._blind.add(self.target.reference)
            return pictures.left_out(fitted), f"{self.target.model} cannot see pictures: they were left out", 0.0
        if error.kind == "context_length" and self.compact is not None and not self.compacted:
            self.compacted = True
            shorter = await self.compact(fitted, error)
            if shorter is not None:
                return shorter, "The conversation was shortened to fit the model", 0.0
        if error.answering and error.kind in ("network", "timeout", "bad_response") and not self.whole:
            self.whole = True
            return fitted, "The answer broke off before it began, asking again", 0.0
        wait = _wait(error, self.tried) if self.tried < self.most_tries else None
        if wait is None:
            return None, "", 0.0
        return fitted, _announcement(error, wait), wait


async def _whole(provider: Provider, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
    """An answer without streaming, told like a stream."""
    completion = await provider.complete(request)
    if completion.reasoning:
        yield ReasoningDelta(completion.reasoning)
    if completion.text:
        yield TextDelta(completion.text)
    yield Finished(completion)


def _is_empty(completion: Completion) -> bool:
    return completion.finish_reason == "stop" and not completion.tool_calls and not completion.text.strip()


def _wait(error: ProviderError, tried: int) -> float | None:
    """Seconds until the next try; None where there is none. Exponential, with full jitter."""
    if not error.retryable:
        return None
    backoff = random.uniform(0, _FIRST_BACKOFF * 2**tried)  # noqa: S311 spreads load, hides nothing
    if error.retry_after is None:
        return backoff
    return error.retry_after + backoff / 4 if error.retry_after <= LONGEST_WAIT else None


def _announcement(error: ProviderError, wait: float) -> str:
    why = _WHY.get(error.kind, "That did not work")
    return f"{why}, trying again in {wait:.0f} s" if wait >= 1 else f"{why}, trying again"
