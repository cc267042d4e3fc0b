"""References such as `openai/gpt-5`: which provider and model they mean, and the life of the providers behind them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from agent.errors import SecretError, UsageError
from agent.providers import connect
from agent.providers.catalog import SPECS, STARTER, ProviderSpec
from agent.providers.http import Timeouts, is_loopback
from agent.providers.local_probe import find_local
from agent.providers.starter_catalog import calls_tools
from agent.providers.types import ModelInfo, Provider
from agent.providers.wire import Wire
from agent.views import ProviderView, Purpose

if TYPE_CHECKING:
    from agent.settings import Settings

_LOCAL_TIMEOUTS: Final = Timeouts(connect=3.0, idle=600.0)
"""A large model on a slow computer thinks long before it speaks."""
_NO_KEY_SECONDS = 20.0
_LOCAL_KEY_SECONDS = 2.0
"""A server on this computer hardly ever wants a key: a keyring that asks to be unlocked does not hold it up longer."""
_KEY_HEADERS: Final = {"anthropic-messages": "x-api-key", "gemini": "x-goog-api-key"}
"""Where a protocol that a person chose has its key."""
_NOT_CHAT = ("embed", "rerank", "whisper", "tts")


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


class Directory:
    """Holds one provider instance a name, made at first use and again when its settings change."""

    def __init__(self, settings: Callable[[], Settings], secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets
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
        if not spec.base_url and name != STARTER:
            raise _no_address(name, spec.note)
        return Resolved(name, model, self._provider(spec), spec.local)

    def audio(self, reference: str) -> tuple[Resolved, Wire]:
        """A model that hears, and the way to its provider, to be closed after use. Raises `UsageError`."""
        target = self.resolve(reference)
        spec = self._spec(target.provider_name)
        if spec.protocol not in ("chat-completions", "responses"):
            raise UsageError(
                f"{spec.label} has no audio endpoint that is known here.",
                title="Voice messages cannot be heard",
                hint="Set audio.transcribe to a model of OpenAI, Groq, Mistral or a server of your own.",
            )
        wire = Wire(
            spec.base_url,
            lambda: self._key(spec),
            name=spec.name,
            label=spec.label,
            key_url=spec.key_url,
            needs_key=spec.needs_key,
            key_header=spec.key_header,
            headers=spec.headers,
            query=spec.query,
            network=self._settings().network,
        )
        return target, wire

    def check_reference(self, reference: str) -> str:
        """The reference in its full form, `provider/model` or "starter". Raises `UsageError`."""
        name, model = self._parse(reference)
        return STARTER if name == STARTER else f"{name}/{model}"

    def reference_for(self, purpose: Purpose, own: str) -> str:
        """What is asked for a purpose, in a conversation whose model is `own`; empty where nothing shall be asked."""
        model = self._settings().model
        match purpose:
            case "chat" | "subagent":
                return own or model.default
            case "title":
                return model.titles
            case "compaction":
                return model.background or own or model.default
            case "transcription":
                return self._settings().audio.transcribe

    def _parse(self, reference: str) -> tuple[str, str]:
        aliases = self._settings().model.aliases
        wanted = reference.strip()
        wanted = aliases.get(wanted, wanted)
        name, _, model = wanted.partition("/")
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
        protocol = own.protocol or spec.protocol
        if own.base_url and own.protocol is None and protocol == "responses":
            protocol = "chat-completions"  # an address of one's own is a proxy mostly, and those all speak this one
        if not base_url and name != STARTER:
            raise _no_address(name, spec.note)
        return replace(
            spec,
            base_url=base_url,
            protocol=spec.protocol if name == STARTER else protocol,
            key_header=_KEY_HEADERS.get(own.protocol, "authorization") if own.protocol else spec.key_header,
            headers={**spec.headers, **own.headers},
            query={**spec.query, **own.query},
            # A person who gives the address runs a proxy, or a server that may want no key.
            needs_key=spec.needs_key and not own.base_url,
            local=spec.local or is_loopback(base_url),
        )

    # --- providers --------------------------------------------------------------------------------------------------
    def _provider(self, spec: ProviderSpec) -> Provider:
        settings = self._settings()
        made_from: object = (spec, self._body(spec.name), settings.network)
        if spec.name == STARTER:
            made_from = settings.starter
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
                tools=calls_tools(Path(starter.model_path).name),
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
            key_header=spec.key_header,
            headers=spec.headers,
            query=spec.query,
            body=self._body(spec.name),
            models_path=spec.models_path or "/models",
            quirks=spec.quirks,
            network=self._settings().network,
            timeouts=_LOCAL_TIMEOUTS if spec.local else None,
        )

    def _body(self, name: str) -> Mapping[str, Any]:
        own = self._settings().providers.get(name)
        return own.body if own is not None else {}

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
    def in_use(self, provider: Provider) -> Iterator[None]:
        """While inside, a provider whose settings change lives on."""
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

    # --- for windows and commands -----------------------------------------------------------------------------------
    async def list_models(
        self,
        name: str,
        *,
        key: str | None = None,
        base_url: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> list[ModelInfo]:
        """The models a provider offers, with unsaved values where given. Spends no tokens.

        Raises `ProviderError`, `UsageError`.
        """
        if key is None and base_url is None and protocol is None and headers is None and query is None:
            spec = self._spec(name)
            if not spec.models_path:
                return [ModelInfo(model) for model in spec.known_models]
            return await self._provider(spec).list_models()
        spec = self._unsaved(name, base_url or "")
        if protocol is not None and protocol != spec.protocol:
            spec = replace(spec, protocol=protocol, key_header=_KEY_HEADERS.get(protocol, "authorization"))
        spec = replace(spec, headers={**spec.headers, **(headers or {})}, query={**spec.query, **(query or {})})

        async def given() -> str | None:
            return key if key is not None else await self._key(spec)

        provider = self._connect(spec, given)
        try:
            return await provider.list_models()
        finally:
            await provider.aclose()

    def _unsaved(self, name: str, base_url: str) -> ProviderSpec:
        """The provider of that name at another address, if one is given."""
        if not base_url:
            return self._spec(name)
        try:
            spec = self._spec(name)
        except UsageError:
            spec = SPECS.get(name) or ProviderSpec(name, name, base_url, needs_key=False)
        return replace(spec, base_url=base_url, local=is_loopback(base_url))

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

    async def local_model(self) -> str:
        """The reference of a model on this computer: of a server that runs, else the built-in one."""
        for server in await find_local():
            for model in server.models:
                if not any(word in model.lower() for word in _NOT_CHAT):
                    return f"{server.name}/{model}"
        return STARTER

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


def _no_address(name: str, note: str) -> UsageError:
    hint = f"Set providers.{name}.base_url, for example to http://127.0.0.1:8080/v1."
    return UsageError(f"The provider “{name}” has no address. {note}".strip(), title="An address is missing", hint=hint)
