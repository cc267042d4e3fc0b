"""The router: references, keys, retries, fallbacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agent.errors import NoKeyringError, ProviderError, UsageError
from agent.providers import ChatRequest, Finished, Notice, TextDelta, ToolSpec, user
from agent.providers import directory as directory_module
from agent.providers.breaker import FIRST_PAUSE
from agent.providers.router import Router
from agent.providers.scripted import Reply, Script, ScriptedProvider
from agent.providers.types import Image, Usage
from agent.settings import ModelSettings, ProviderSettings, Settings, StarterSettings

REQUEST = ChatRequest("", [user("hi")], tools=[ToolSpec("look", "Looks.", {"type": "object"})])


class Keys:
    """Secrets in a dict; `broken` is raised instead. Until `unlocked`, all wait, as for a locked keyring."""

    def __init__(self, **keys: str) -> None:
        self.keys = {f"provider:{name}": key for name, key in keys.items()}
        self.asked: list[str] = []
        self.broken: Exception | None = None
        self.unlocked = asyncio.Event()
        self.unlocked.set()

    async def get(self, user: str, /) -> str | None:
        self.asked.append(user)
        await self.unlocked.wait()
        if self.broken:
            raise self.broken
        return self.keys.get(user)

    async def known(self, users: Any, /) -> list[str]:
        return [user for user in users if user in self.keys]


class World:
    """A router over scripted providers: `made` holds what was connected, by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, Script], **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.keys = Keys()
        self.waits: list[float] = []
        self.now = 0.0
        self.made: dict[str, ScriptedProvider] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.connections = 0

        def connect(protocol: str, base_url: str, api_key: Any = None, **options: Any) -> ScriptedProvider:
            self.connections += 1
            name = options.get("name", "starter")
            self.options[name] = {"base_url": base_url, "key": api_key, **options}
            self.made[name] = ScriptedProvider(scripts.get(name, ()), supports_tools=protocol != "starter")
            return self.made[name]

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        monkeypatch.setattr(directory_module, "connect", connect)
        self.router = Router(lambda: self.settings, self.keys, sleep=sleep, clock=lambda: self.now)

    async def ask(self, reference: str) -> tuple[str, list[str]]:
        """The answer and the notices on the way."""
        notices = []
        async for event in self.router.stream(reference, REQUEST):
            if isinstance(event, Notice):
                notices.append(event.text)
            elif isinstance(event, Finished):
                return event.completion.text, notices
        raise AssertionError("no end")


Make = Callable[..., World]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Make:
    return lambda scripts=None, **settings: World(monkeypatch, scripts or {}, **settings)


def error(kind: Any, retry_after: float | None = None) -> ProviderError:
    retryable = kind in ("rate_limit", "server", "overloaded", "network", "timeout")
    return ProviderError(kind, kind, retryable=retryable, retry_after=retry_after, title=f"T {kind}")


OWN = {"local": ProviderSettings(base_url="http://127.0.0.1:8099/v1")}


def test_references(world: Make) -> None:
    router = world(providers=OWN).router
    assert router.check_reference("starter") == router.check_reference("starter/x") == "starter"
    assert router.check_reference("local/fake-1") == "local/fake-1"
    assert router.check_reference("openrouter/a/b:free") == "openrouter/a/b:free"
    assert router.check_reference("groq") == "groq/openai/gpt-oss-120b"
    resolved = router.resolve("local/fake-1")
    assert (resolved.provider_name, resolved.model, resolved.local) == ("local", "fake-1", True)
    assert not router.resolve("openai/gpt-5").local
    assert not router.resolve("starter").provider.supports_tools


@pytest.mark.parametrize("reference", ["", "nobody/x", "local", "noaddress/x", "/x"])
def test_references_that_mean_nothing(world: Make, reference: str) -> None:
    router = world(providers={**OWN, "noaddress": ProviderSettings()}).router
    for look in (router.resolve, router.check_reference):
        with pytest.raises(UsageError) as caught:
            look(reference)
        assert caught.value.hint


async def test_a_failure_that_passes_is_tried_again(world: Make) -> None:
    made = world({"local": [error("rate_limit", 4.0), error("server"), "fine"]}, providers=OWN)
    text, notices = await made.ask("local/m")
    assert text == "fine"
    assert notices[0].startswith("Rate limited, trying again in ")
    assert notices[1].startswith("The provider has a problem, trying again")
    assert 4.0 <= made.waits[0] <= 5.0
    assert 0 <= made.waits[1] <= 2.0
    assert [request.model for request in made.made["local"].requests] == ["m"] * 3


async def test_three_tries_are_enough(world: Make) -> None:
    made = world({"local": [error("server")] * 5}, providers=OWN)
    with pytest.raises(ProviderError, match="server"):
        await made.ask("local/m")
    assert len(made.made["local"].requests) == 3


@pytest.mark.parametrize("failing", [error("auth"), error("rate_limit", 5400.0)])
async def test_what_does_not_pass_soon_is_not_tried_again(world: Make, failing: ProviderError) -> None:
    made = world({"local": [failing, "late"]}, providers=OWN)
    with pytest.raises(ProviderError) as caught:
        await made.ask("local/m")
    assert caught.value is failing
    assert made.waits == []


async def test_nothing_is_tried_again_once_the_answer_began(world: Make) -> None:
    made = world({"local": [Reply("half", error=error("network")), "again"]}, providers=OWN)
    texts = []
    with pytest.raises(ProviderError):
        async for event in made.router.stream("local/m", REQUEST):
            assert isinstance(event, TextDelta)
            texts.append(event.text)
    assert "".join(texts) == "half"
    assert len(made.made["local"].requests) == 1


async def test_the_fallbacks_of_the_default_model(world: Make) -> None:
    model = ModelSettings(default="local/m", fallback=("openai/gpt-5", "starter"))
    scripts: dict[str, Script] = {"local": [error("network")] * 3, "openai": [error("auth")], "starter": ["tiny"]}
    made = world(scripts, providers=OWN, model=model)
    text, notices = await made.ask("local/m")
    assert text == "tiny"
    assert "T network. Asking openai/gpt-5 instead" in notices
    assert notices[-1] == "T auth. Asking starter instead"
    assert made.made["openai"].requests[0].tools
    assert not made.made["starter"].requests[0].tools, "the built-in model cannot call tools"


async def test_no_fallback_for_another_model_and_for_a_bad_request(world: Make) -> None:
    model = ModelSettings(default="local/m", fallback=("starter",))
    made = world({"local": [error("auth"), error("invalid_request")], "starter": ["tiny"]}, providers=OWN, model=model)
    with pytest.raises(ProviderError, match="auth"):
        await made.ask("local/other")
    with pytest.raises(ProviderError, match="invalid_request"):
        await made.ask("local/m")


async def test_closing_the_stream_closes_that_of_the_provider(world: Make) -> None:
    made = world({"local": [Reply("long " * 50)]}, providers=OWN)
    events = made.router.stream("local/m", REQUEST)
    await anext(events)
    await events.aclose()
    assert made.made["local"].closed == 1


async def test_a_provider_is_made_once_and_again_when_its_settings_change(world: Make) -> None:
    made = world({"local": lambda request: "x"}, providers=OWN)
    first = made.router.resolve("local/a").provider
    assert made.router.resolve("local/b").provider is first
    made.settings = Settings(providers={"local": ProviderSettings(base_url="http://127.0.0.1:9000/v1")})
    assert made.router.resolve("local/a").provider is not first
    assert made.options["local"]["base_url"] == "http://127.0.0.1:9000/v1"
    tiny = made.router.resolve("starter").provider
    made.settings = Settings(starter=StarterSettings(context_tokens=1024))
    assert made.router.resolve("starter").provider is not tiny
    await made.router.aclose()


async def test_an_answer_under_way_survives_a_change_of_settings(world: Make) -> None:
    made = world({"local": lambda request: Reply("one two three")}, providers=OWN)
    events = made.router.stream("local/m", REQUEST)
    await anext(events)
    old = made.made["local"]
    made.settings = Settings(providers={"local": ProviderSettings(base_url="http://127.0.0.1:9000/v1")})
    await made.ask("local/m")
    assert not old.disposed
    rest = [event async for event in events]
    assert isinstance(rest[-1], Finished)
    await made.router.aclose()
    assert old.disposed
    assert made.made["local"].disposed


async def test_a_new_key_counts_at_once(world: Make) -> None:
    made = world()
    made.router.resolve("openai/gpt-5")
    key = made.options["openai"]["key"]
    assert await key() is None
    made.keys.keys["provider:openai"] = "sk-1"
    made.router.directory.forget("openai")
    assert await key() == "sk-1"
    made.keys.keys["provider:openai"] = "sk-2"
    assert await key() == "sk-2"


async def test_without_a_keyring_local_servers_still_work(world: Make) -> None:
    made = world(providers=OWN)
    made.keys.broken = NoKeyringError("no keyring")
    made.router.resolve("local/m")
    made.router.resolve("openai/gpt-5")
    assert await made.options["local"]["key"]() is None
    with pytest.raises(NoKeyringError):
        await made.options["openai"]["key"]()


async def test_a_locked_keyring_does_not_hold_local_servers_up(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert directory_module._LOCAL_KEY_SECONDS <= 2
    monkeypatch.setattr(directory_module, "_LOCAL_KEY_SECONDS", 0.05)
    made = world(providers=OWN)
    made.keys.keys |= {"provider:local": "sk-local", "provider:openai": "sk-1"}
    made.keys.unlocked.clear()
    made.router.resolve("local/m")
    made.router.resolve("openai/gpt-5")
    local, hosted = made.options["local"]["key"], asyncio.create_task(made.options["openai"]["key"]())
    assert await asyncio.wait_for(local(), 5) is None
    assert await asyncio.wait_for(local(), 5) is None
    assert made.keys.asked.count("provider:local") == 1, "the next step of the turn does not wait again"
    assert not hosted.done(), "a hosted one needs its key: a person may take the time to unlock the keyring"
    made.keys.unlocked.set()
    assert await asyncio.wait_for(hosted, 5) == "sk-1"


async def test_views_show_those_with_a_key_first(world: Make) -> None:
    made = world(providers=OWN)
    made.keys.keys["provider:mistral"] = "k"
    views = await made.router.directory.views()
    assert views[0].name == "mistral"
    assert views[0].has_key
    assert {"openai", "ollama", "starter", "local"} <= {view.name for view in views}
    assert not any(view.has_key for view in views[1:])
    own = next(view for view in views if view.name == "local")
    assert (own.base_url, own.local, own.needs_key) == ("http://127.0.0.1:8099/v1", True, False)


async def test_models_with_unsaved_values(world: Make) -> None:
    made = world()
    models = await made.router.directory.list_models("brand-new", key="typed", base_url="http://127.0.0.1:1/v1")
    assert [model.id for model in models] == ["scripted"]
    assert await made.options["brand-new"]["key"]() == "typed"
    await made.router.directory.list_models("openai", key="typed")
    assert made.options["openai"]["base_url"] == "https://api.openai.com/v1"
    with pytest.raises(UsageError):
        await made.router.directory.list_models("unheard-of")


async def test_local_models_cost_nothing(world: Make) -> None:
    router = world(providers=OWN).router
    usage = Usage(1000, 1000)
    assert (await router.price(router.resolve("local/m"), usage)).usd == 0
    assert (await router.price(router.resolve("starter"), usage)).usd == 0
    hosted = await router.price(router.resolve("openai/gpt-4o"), usage)
    assert hosted.known
    assert hosted.usd > 0


# --- what is mended ---------------------------------------------------------------------------------------------------
def broke_off() -> ProviderError:
    error = ProviderError("network", "gone", retryable=True)
    error.answering = True
    return error


async def test_an_alias_is_a_short_name(world: Make) -> None:
    made = world({"local": [Reply("x")]}, providers=OWN, model=ModelSettings(aliases={"fast": "local/small"}))
    assert made.router.resolve("fast").reference == "local/small"
    assert made.router.check_reference("fast") == "local/small"
    assert (await made.ask("fast"))[0] == "x"
    assert made.made["local"].requests[0].model == "small"


def test_each_purpose_has_its_model(world: Make) -> None:
    made = world(providers=OWN, model=ModelSettings(default="local/big", background="local/cheap", titles="local/tiny"))
    assert made.router.reference_for("chat", "") == "local/big"
    assert made.router.reference_for("chat", "local/own") == "local/own"
    assert made.router.reference_for("compaction", "local/own") == "local/cheap"
    assert made.router.reference_for("title", "local/own") == "local/tiny"
    made.settings = Settings(model=ModelSettings(default="local/big"))
    assert made.router.reference_for("compaction", "local/own") == "local/own"
    assert made.router.reference_for("title", "") == ""


async def test_a_fallback_that_does_not_exist_does_not_hide_why_it_was_asked(world: Make) -> None:
    refused = ProviderError("auth", "no key")
    model = ModelSettings(default="local/m", fallback=("nobody/x",))
    made = world({"local": [refused]}, providers=OWN, model=model)
    with pytest.raises(ProviderError, match="no key"):
        await made.ask("local/m")


async def test_a_stream_that_dies_before_its_first_piece_is_asked_for_whole(world: Make) -> None:
    made = world({"local": [broke_off(), Reply("whole")]}, providers=OWN)
    text, notices = await made.ask("local/m")
    assert (text, made.waits) == ("whole", [])
    assert "broke off before it began" in notices[0]


async def test_an_empty_answer_is_asked_for_once_more(world: Make) -> None:
    made = world({"local": [Reply(" "), Reply("here")]}, providers=OWN)
    text, notices = await made.ask("local/m")
    assert (text, notices) == ("here", ["The answer was empty, asking again"])
    again = world({"local": [Reply(""), Reply("")]}, providers=OWN)
    assert (await again.ask("local/m"))[0] == ""
    assert len(again.made["local"].requests) == 2


async def test_an_answer_that_the_length_limit_cut_is_continued_as_one(world: Make) -> None:
    pieces = [
        Reply("The quick brown fox jumps", finish_reason="length", usage=Usage(10, 5)),
        Reply("brown fox jumps over the lazy", finish_reason="length", usage=Usage(20, 5)),
        Reply(" dog.", usage=Usage(30, 2)),
    ]
    made = world({"local": pieces}, providers=OWN)
    shown = ""
    async for event in made.router.stream("local/m", REQUEST):
        if isinstance(event, TextDelta):
            shown += event.text
        elif isinstance(event, Finished):
            end = event.completion
    assert shown == end.text == "The quick brown fox jumps over the lazy dog."
    assert (end.finish_reason, end.usage.input_tokens, end.usage.output_tokens) == ("stop", 60, 12)
    last = made.made["local"].requests[-1].messages
    assert [message.role for message in last] == ["user", "assistant", "user"]
    assert last[1].text == "The quick brown fox jumps over the lazy"


async def test_an_answer_that_was_wanted_short_is_not_continued(world: Make) -> None:
    made = world({"local": [Reply("short", finish_reason="length")]}, providers=OWN)
    short = await made.router.complete("local/m", replace(REQUEST, max_tokens=3))
    assert (short.text, short.finish_reason) == ("short", "length")


async def test_a_continuation_that_cannot_be_had_leaves_what_there_is(world: Make) -> None:
    made = world({"local": [Reply("half", finish_reason="length"), ProviderError("auth", "no")]}, providers=OWN)
    assert (await made.ask("local/m"))[0] == "half"


async def test_what_is_too_long_is_made_shorter_once(world: Make) -> None:
    too_long = ProviderError("context_length", "too long", status=400)
    made = world({"local": [too_long, Reply("fits"), too_long, too_long]}, providers=OWN)
    asked: list[ChatRequest] = []

    async def compact(request: ChatRequest, error: ProviderError) -> ChatRequest | None:
        asked.append(request)
        return replace(request, messages=[user("less")])

    events = [event async for event in made.router.stream("local/m", REQUEST, compact=compact)]
    assert isinstance(events[-1], Finished)
    assert made.made["local"].requests[-1].messages == [user("less")]
    with pytest.raises(ProviderError, match="too long"):
        [event async for event in made.router.stream("local/m", REQUEST, compact=compact)]
    assert len(asked) == 2


async def test_pictures_are_left_out_where_a_model_refuses_them(world: Make) -> None:
    refused = ProviderError("invalid_request", "This model does not support image input.", status=400)
    made = world({"local": [refused, Reply("I see no picture."), Reply("Still none.")]}, providers=OWN)
    request = ChatRequest("", [user("what is this?", Image("image/png", b"x"))])
    events = [event async for event in made.router.stream("local/m", request)]
    assert any(isinstance(event, Notice) and "cannot see pictures" in event.text for event in events)
    assert "picture left out" in made.made["local"].requests[-1].messages[0].text
    await made.router.complete("local/m", request)
    assert len(made.made["local"].requests) == 3, "the next time it is known"
    assert any(isinstance(part, Image) for part in request.messages[0].parts), "the stored message is whole"


async def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while(world: Make) -> None:
    down = ProviderError("server", "down", retryable=True)
    working: list[bool] = []
    scripts = {
        "local": lambda request: Reply("back") if working else down,
        "spare": lambda request: Reply("spare"),
    }
    model = ModelSettings(default="local/m", fallback=("spare/m",))
    providers = {**OWN, "spare": ProviderSettings(base_url="http://127.0.0.1:9001/v1")}
    made = world(scripts, providers=providers, model=model)
    for _ in range(3):
        assert (await made.ask("local/m"))[0] == "spare"
    before = len(made.made["local"].requests)
    text, notices = await made.ask("local/m")
    assert (text, len(made.made["local"].requests)) == ("spare", before)
    assert "several times in a row" in notices[0]
    with pytest.raises(ProviderError):  # without a fallback one try goes through, and only one
        await made.ask("local/other")
    assert len(made.made["local"].requests) == before + 1
    made.now += FIRST_PAUSE * 2 + 1
    working.append(True)
    assert (await made.ask("local/m"))[0] == "back"
    assert (await made.ask("local/m"))[0] == "back"


async def test_every_attempt_goes_through_the_account(world: Make) -> None:
    calls: list[str] = []

    class Payer:
        @asynccontextmanager
        async def call(self, target: Any, request: ChatRequest) -> AsyncIterator[Any]:
            heard = Heard()
            try:
                yield heard
                calls.append(f"{target.reference} {heard.text}")
            except ProviderError as error:
                calls.append(f"{target.reference} {error.kind}")
                raise

    class Heard:
        text = ""

        def heard(self, event: Any) -> None:
            if isinstance(event, TextDelta):
                self.text += event.text

    busy = ProviderError("overloaded", "busy", retryable=True)
    made = world({"local": [busy, broke_off(), Reply("ha", finish_reason="length"), Reply("lf")]}, providers=OWN)
    await made.router.complete("local/m", REQUEST, Payer())
    assert calls == ["local/m overloaded", "local/m network", "local/m ha", "local/m lf"]
