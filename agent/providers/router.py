"""From a reference such as `openai/gpt-5` to an answer: finds the provider, tries again, falls back."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from agent.errors import ProviderError, SecretError, UsageError
from agent.providers import connect, pricing
from agent.providers.catalog import SPECS, STARTER, ProviderSpec
from agent.providers.http import Timeouts, is_loopback
from agent.providers.local_probe import find_local
from agent.providers.pricing import Price
from agent.providers.types import ChatRequest, Finished, ModelInfo, Notice, Provider, StreamEvent, Usage
from agent.views import ProviderView

if TYPE_CHECKING:
    from agent.settings import Settings

MOST_TRIES: Final = 3
LONGEST_WAIT: Final = 60.0
_FIRST_BACKOFF = 0.5
_LOCAL_TIMEOUTS = Timeouts(connect=3.0, idle=600.0)  # a large model on a slow computer thinks long before it speaks
_NO_KEY_SECONDS = 20.0
_LOCAL_KEY_SECONDS = 2.0
"""A server on this computer hardly ever wants a key: a keyring that asks to be unlocked does not hold it up longer."""
_NO_USE_ELSEWHERE = frozenset({"invalid_request", "content_filter", "too_large"})
_WHY = {
    "rate_limit": "Rate limited",
    "overloaded": "The provider is overloaded",
    "server": "The provider has a problem",
    "timeout": "No answer in time",
    "network": "No connection",
}


class Secrets(Protocol):
    """Where keys come from; `agent.keys.SecretStore` is one."""

    async def get(self, user: str, /) -> str | None:
        """The key, or None. May raise `SecretError`."""
        ...

    async def known(self, users: Any, /) -> list[str]:
        """Those of the users that have a key."""
        ...


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference means. `local` models cost nothing."""

    provider_name: str
    model: str
    provider: Provider
    local: bool = False

    @property
    def reference(self) -> str:
        """The reference in its full form."""
        return STARTER if self.provider_name == STARTER else f"{self.provider_name}/{self.model}"


Before = Callable[[Resolved], Awaitable[None]]


async def _nothing(_: Resolved) -> None:
    pass


class Router:
    """Holds one provider instance a name, made at first use and again when its settings change."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        secrets: Secrets,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._sleep = sleep
        self._providers: dict[str, tuple[object, Provider]] = {}
        self._keyless: dict[str, float] = {}
        self._streams: Counter[int] = Counter()  # running, by the id of the provider
        self._retired: dict[int, Provider] = {}  # replaced, and still in use
        self._closing: set[asyncio.Task[None]] = set()

    # --- references -------------------------------------------------------------------------------------------------
    def resolve(self, reference: str) -> Resolved:
        """The provider and the model of a reference. Raises `UsageError` where there is none."""
        name, model = self._parse(reference)
        spec = self._spec(name)
        return Resolved(name, model, self._provider(spec), spec.local)

    def check_reference(self, reference: str) -> str:
        """The reference in its full form, `provider/model` or "starter". Raises `UsageError`."""
        name, model = self._parse(reference)
        return STARTER if name == STARTER else f"{name}/{model}"

    def _parse(self, reference: str) -> tuple[str, str]:
        name, _, model = reference.strip().partition("/")
        spec = self._spec(name)
        if name == STARTER:
            return name, spec.default_model
        model = model or spec.default_model
        if not model:
            raise UsageError(
                f"“{reference}” names no model.", title="No model is chosen", hint=f"Write {name}/MODEL, for example."
            )
        return name, model

    def _spec(self, name: str) -> ProviderSpec:
        """The provider of that name: the catalogue's row with what the person's settings say instead."""
        own = self._settings().providers.get(name)
        spec = SPECS.get(name)
        if own is None:
            if spec is None:
                known = ", ".join(dict.fromkeys([*SPECS, *self._settings().providers]))
                raise UsageError(
                    f"There is no provider “{name}”.",
                    title="Unknown provider",
                    hint=f"There is: {known}. Another one is added with a table [providers.{name}] in config.toml.",
                )
            return spec
        if spec is None:
            spec = ProviderSpec(name, name, "", needs_key=False)
        base_url = own.base_url or spec.base_url
        if not base_url and name != STARTER:
            raise UsageError(
                f"The provider “{name}” has no address.",
                title="An address is missing",
                hint=f"Set providers.{name}.base_url, for example to http://127.0.0.1:8080/v1.",
            )
        return replace(
            spec,
            base_url=base_url,
            protocol=spec.protocol if name == STARTER else own.protocol or spec.protocol,
            headers={**spec.headers, **own.headers},
            # A person who gives the address runs a proxy, or a server that may want no key.
            needs_key=spec.needs_key and not own.base_url,
            local=spec.local or is_loopback(base_url),
        )

    # --- providers --------------------------------------------------------------------------------------------------
    def _provider(self, spec: ProviderSpec) -> Provider:
        made_from = self._settings().starter if spec.name == STARTER else spec
        known = self._providers.get(spec.name)
        if known is not None:
            if known[0] == made_from:
                return known[1]
            self._drop(spec.name)
        provider = self._connect(spec, lambda: self._key(spec))
        self._providers[spec.name] = (made_from, provider)
        return provider

    def _connect(self, spec: ProviderSpec, key: Callable[[], Awaitable[str | None]]) -> Provider:
        if spec.name == STARTER:
            starter = self._settings().starter
            return connect(
                "starter",
                "",
                model_path=starter.model_path,
                context_tokens=starter.context_tokens,
                idle_seconds=starter.idle_seconds,
            )
        return connect(
            spec.protocol,
            spec.base_url,
            key,  # asked for at each request, so that a new key counts at once
            name=spec.name,
            label=spec.label,
            key_url=spec.key_url,
            needs_key=spec.needs_key,
            headers=spec.headers,
            quirks=spec.quirks,
            timeouts=_LOCAL_TIMEOUTS if spec.local else None,
        )

    async def _key(self, spec: ProviderSpec) -> str | None:
        """The stored key. That there is none is remembered for a while: asking a keyring takes milliseconds."""
        since = self._keyless.get(spec.name)
        if since is not None and time.monotonic() - since < _NO_KEY_SECONDS:
            return None
        try:
            async with asyncio.timeout(_LOCAL_KEY_SECONDS if spec.local else None):
                key = await self._secrets.get(f"provider:{spec.name}")
        except (SecretError, TimeoutError):
            if not spec.local:
                raise
            key = None  # a local server works without a keyring
        if key is None:
            self._keyless[spec.name] = time.monotonic()
        else:
            self._keyless.pop(spec.name, None)
        return key

    def forget(self, name: str) -> None:
        """The key of this provider changed."""
        self._keyless.pop(name, None)

    def _drop(self, name: str) -> None:
        """Let go of a provider; answers that still run in it may end."""
        _, provider = self._providers.pop(name)
        if self._streams[id(provider)]:
            self._retired[id(provider)] = provider
        else:
            self._close(provider)

    def _close(self, provider: Provider) -> None:
        task = asyncio.ensure_future(provider.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    @contextmanager
    def _in_use(self, provider: Provider) -> Iterator[None]:
        key = id(provider)
        self._streams[key] += 1
        try:
            yield
        finally:
            self._streams[key] -= 1
            if not self._streams[key]:
                del self._streams[key]
                if retired := self._retired.pop(key, None):
                    self._close(retired)

    async def aclose(self) -> None:
        """Close all connections and give the memory of the built-in model back."""
        for _, provider in self._providers.values():
            self._close(provider)
        for provider in self._retired.values():
            self._close(provider)
        self._providers.clear()
        self._retired.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    # --- answers ----------------------------------------------------------------------------------------------------
    async def stream(
        self, reference: str, request: ChatRequest, before: Before = _nothing
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Until the first piece, failures that may pass are tried again, and where the default
        model fails for good, the fallbacks of the settings are asked. Raises `ProviderError`, `UsageError`, and what
        `before` raises, which is awaited for each target before it is asked."""
        references = [reference, *self._fallbacks(reference)]
        for position, name in enumerate(references):
            target = self.resolve(name)
            await before(target)
            try:
                with self._in_use(target.provider):
                    async with aclosing(self._stream_one(target, request)) as events:
                        async for event in events:
                            yield event
                return
            except _Unanswered as failed:
                error = failed.error
            if position + 1 == len(references) or error.kind in _NO_USE_ELSEWHERE:
                raise error
            yield Notice(f"{error.title}. Asking {references[position + 1]} instead")

    def _fallbacks(self, reference: str) -> list[str]:
        model = self._settings().model
        return [other for other in model.fallback if other != reference] if reference == model.default else []

    async def _stream_one(self, target: Resolved, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """One provider, tried again. Raises `_Unanswered` while nothing came, the plain error after that."""
        fitted = replace(request, model=target.model)
        if not target.provider.supports_tools:
            fitted = replace(fitted, tools=())
        for tried in range(1, MOST_TRIES + 1):
            began = False
            try:
                async with aclosing(target.provider.stream(fitted)) as events:
                    async for event in events:
                        began = began or not isinstance(event, Notice)
                        yield event
                        if isinstance(event, Finished):
                            return
                return
            except ProviderError as error:
                if began:
                    raise
                wait = _wait(error, tried)
                if wait is None:
                    raise _Unanswered(error) from error
                yield Notice(_announcement(error, wait))
            await self._sleep(wait)

    # --- for windows and commands -----------------------------------------------------------------------------------
    async def list_models(self, name: str, *, key: str | None = None, base_url: str | None = None) -> list[ModelInfo]:
        """The models a provider offers, with unsaved values where given. Spends no tokens.

        Raises `ProviderError`, `UsageError`.
        """
        if key is None and base_url is None:
            return await self._provider(self._spec(name)).list_models()
        try:
            spec = self._spec(name)
        except UsageError:
            if not base_url:
                raise
            spec = ProviderSpec(name, name, base_url, needs_key=False)
        if base_url:
            spec = replace(spec, base_url=base_url, local=is_loopback(base_url))

        async def given() -> str | None:
            return key if key is not None else await self._key(spec)

        provider = self._connect(spec, given)
        try:
            return await provider.list_models()
        finally:
            await provider.aclose()

    async def views(self) -> list[ProviderView]:
        """The catalogue and the person's own providers; those with a key first."""
        specs = []
        for name in dict.fromkeys([*SPECS, *self._settings().providers]):
            try:
                specs.append(self._spec(name))
            except UsageError:
                continue  # a table without an address
        users = {f"provider:{spec.name}": spec.name for spec in specs if spec.name != STARTER}
        with_key = {users[user] for user in await self._secrets.known(users)}
        views = [_view(spec, spec.name in with_key) for spec in specs]
        return sorted(views, key=lambda view: not view.has_key)

    async def find_local(self) -> list[ProviderView]:
        """Model servers on this computer that answer within 0.5 s; `note` lists their models."""
        return [
            replace(
                _view(SPECS[server.name], has_key=False),
                base_url=server.base_url,
                note=", ".join(server.models) or "It has no models yet.",
            )
            for server in await find_local()
        ]

    async def price(self, target: Resolved, usage: Usage) -> Price:
        """What a call costs; nothing on this computer."""
        return await pricing.cost_usd(target.provider_name, target.model, usage, local=target.local)


class _Unanswered(Exception):
    """A provider failed before its first piece, for good."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.error = error


def _wait(error: ProviderError, tried: int) -> float | None:
    """Seconds until the next try; None where there is none. Exponential, with full jitter."""
    if not error.retryable or tried >= MOST_TRIES:
        return None
    backoff = random.uniform(0, _FIRST_BACKOFF * 2**tried)  # noqa: S311 spreads load, hides nothing
    if error.retry_after is None:
        return backoff
    return error.retry_after + backoff / 4 if error.retry_after <= LONGEST_WAIT else None


def _announcement(error: ProviderError, wait: float) -> str:
    why = _WHY.get(error.kind, "That did not work")
    return f"{why}, trying again in {wait:.0f} s" if wait >= 1 else f"{why}, trying again"


def _view(spec: ProviderSpec, has_key: bool) -> ProviderView:
    return ProviderView(
        name=spec.name,
        label=spec.label,
        base_url=spec.base_url,
        has_key=has_key,
        needs_key=spec.needs_key,
        local=spec.local,
        key_url=spec.key_url,
        note=spec.note,
    )
