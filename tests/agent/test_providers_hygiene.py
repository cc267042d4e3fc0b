"""Whatever a history holds, what is sent is a conversation that the strictest provider accepts."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.providers import anthropic_request, chat_request, gemini_request, responses_request
from agent.providers.hygiene import NO_RESULT, prepared
from agent.providers.pieces import encode
from agent.providers.quirks import Quirks
from agent.providers.types import (
    ChatRequest,
    File,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    assistant,
    system,
    tool_result,
    user,
)

IDS = st.sampled_from(["a", "b", "c", "", "call 1", "\ud800"])
WORDS = st.one_of(st.text(max_size=8), st.sampled_from(["", " ", "\n", "\ud83d", "\ude00x", "hi", "😀"]))
VALUES = st.recursive(
    st.none() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
)
PARTS = st.one_of(
    WORDS.map(Text),
    st.builds(Reasoning, WORDS, st.none() | st.just("sig"), st.sampled_from(["", "me"]), st.just("rs_1")),
    st.just(Image("image/png", b"\x89PNG")),
    st.just(File("a.pdf", "application/pdf", b"%PDF")),
    st.builds(ToolCall, IDS, st.sampled_from(["look", "", "n\ud800"]), st.dictionaries(WORDS, VALUES, max_size=2)),
    st.builds(ToolResult, IDS, st.just("look"), WORDS, st.booleans()),
)
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "notice"])
HISTORIES = st.lists(st.builds(Message, ROLES, st.lists(PARTS, max_size=4).map(tuple)), max_size=12)


def judge(messages: list[Message]) -> None:
    """The rules of the strictest provider, written down once more. Raises `AssertionError`."""
    if messages and messages[0].role == "system":
        assert messages[0].text.strip()
        messages = messages[1:]
    assert messages
    assert messages[0].role == "user"
    assert messages[-1].role in ("user", "tool")
    waiting: list[str] = []
    ids: set[str] = set()
    before = ""
    for message in messages:
        assert message.parts
        assert message.role in ("user", "assistant", "tool")
        if message.role == "tool":
            [result] = message.parts
            assert isinstance(result, ToolResult)
            assert waiting.pop(0) == result.call_id
        else:
            assert not waiting, "a call without its result"
            assert message.role != before
        for part in message.parts:
            if isinstance(part, Text):
                assert part.text.strip()
                assert message.role in ("user", "assistant")
            elif isinstance(part, ToolCall):
                assert message.role == "assistant"
                assert part.id
                assert part.name
                assert part.id not in ids
                ids.add(part.id)
                waiting.append(part.id)
            elif isinstance(part, Image | File):
                assert message.role == "user"
        if message.role == "assistant":
            assert any(not isinstance(part, Reasoning) for part in message.parts)
        before = message.role
    assert not waiting


@settings(deadline=None, max_examples=300)
@given(HISTORIES)
def test_any_history_becomes_one_that_is_accepted(history: list[Message]) -> None:
    original = copy.deepcopy(history)
    made = prepared(history)

    judge(made)
    assert history == original
    assert prepared(made) == made
    # What people and models said is still there, but for characters that no one can send.
    seen = "".join(message.text for message in made).replace("\n", "")
    for message in history:
        for part in message.parts:
            if isinstance(part, Text) and message.role in ("user", "assistant", "system") and part.text.strip():
                words = part.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\n", "")
                assert words in seen


@settings(deadline=None, max_examples=200)
@given(HISTORIES)
def test_every_protocol_can_say_it(history: list[Message]) -> None:
    request = ChatRequest("gemini-3-flash", history)
    bodies: list[dict[str, Any]] = [
        chat_request.body(request, Quirks(reasoning_back=True)),
        anthropic_request.body(request, "me", stream=True),
        responses_request.body(request, "me", stream=True),
        gemini_request.body(request, "me"),
    ]
    for body in bodies:
        json.loads(encode(body).decode())  # strict UTF-8
    chat, anthropic, responses, gemini = bodies
    roles = [message["role"] for message in anthropic["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    assert all(message["content"] for message in anthropic["messages"])
    roles = [content["role"] for content in gemini["contents"]]
    assert roles == ["user", "model"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    calls = [item["call_id"] for item in responses["input"] if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in responses["input"] if item.get("type") == "function_call_output"]
    assert calls == outputs
    made = [call["id"] for message in chat["messages"] for call in message.get("tool_calls", ())]
    assert made == [message["tool_call_id"] for message in chat["messages"] if message["role"] == "tool"]


def test_a_clean_history_is_passed_on_as_it_is() -> None:
    history = [system("s"), user("hi"), assistant("ho"), user("again")]
    made = prepared(history)
    assert all(one is two for one, two in zip(made, history, strict=True))


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], ["user"]),
        ([assistant("hi")], ["user", "assistant", "user"]),
        ([user("a"), user("b")], ["user"]),
        ([user("a"), tool_result(ToolResult("x", "t", "orphan"))], ["user"]),
        (
            [user("a"), Message("assistant", (ToolCall("x", "t", {}),))],
            ["user", "assistant", "tool"],
        ),
    ],
)
def test_shapes(history: list[Message], expected: list[str]) -> None:
    assert [message.role for message in prepared(history)] == expected


def test_a_missing_result_is_said_and_a_doubled_one_is_dropped() -> None:
    call = Message("assistant", (ToolCall("x", "t", {}), ToolCall("y", "t", {})))
    results = [tool_result(ToolResult("y", "t", "1")), tool_result(ToolResult("y", "t", "2"))]
    made = prepared([user("go"), call, *results])
    assert [part.text for message in made[2:] for part in message.parts if isinstance(part, ToolResult)] == [
        NO_RESULT,
        "1",
    ]


def test_an_id_that_comes_again_is_renamed_with_its_result() -> None:
    one = [Message("assistant", (ToolCall("x", "t", {}),)), tool_result(ToolResult("x", "t", "first"))]
    two = [Message("assistant", (ToolCall("x", "t", {}),)), tool_result(ToolResult("x", "t", "second"))]
    made = prepared([user("go"), *one, *two])
    pairs = [part for message in made for part in message.parts if isinstance(part, ToolResult)]
    assert [(part.call_id, part.text) for part in pairs] == [("x", "first"), ("x_2", "second")]
