"""The scripted provider, which ships: it does what its script says."""

from __future__ import annotations

import pytest

from agent.errors import ProviderError
from agent.providers import ChatRequest, Finished, Notice, Provider, ReasoningDelta, TextDelta, user
from agent.providers.scripted import Reply, ScriptedProvider, call

REQUEST = ChatRequest("m", [user("hi")])


async def test_replies_in_order_in_pieces() -> None:
    script = [Reply("hello world", reasoning="thinking", chunks=4, notice="wait"), "bye"]
    provider: Provider = ScriptedProvider(script)
    events = [event async for event in provider.stream(REQUEST)]
    assert events[0] == Notice("wait")
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["thin", "king"]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["hell", "o wo", "rld"]
    assert isinstance(events[-1], Finished)
    assert (await provider.complete(REQUEST)).text == "bye"
    with pytest.raises(ProviderError, match="over"):
        await provider.complete(REQUEST)
    assert [model.id for model in await provider.list_models()] == ["scripted"]


async def test_calls_errors_and_a_function() -> None:
    broken = ProviderError("server", "down", retryable=True)

    def script(request: ChatRequest) -> Reply | Exception:
        return broken if request.model == "bad" else Reply(tool_calls=[call("look", {"at": "x"}), call("look", '{"a')])

    provider = ScriptedProvider(script)
    completion = await provider.complete(REQUEST)
    assert completion.finish_reason == "tool_calls"
    assert [tool.arguments for tool in completion.tool_calls] == [{"at": "x"}, {}]
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ChatRequest("bad", []))
    assert caught.value is broken
    assert [request.model for request in provider.requests] == ["m", "bad"]
