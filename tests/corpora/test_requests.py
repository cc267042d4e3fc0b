"""Requests that providers accepted, said again by us: compared where the fields overlap, and held against schemas."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from agent.providers import anthropic_request, chat_request, gemini_request, responses_request
from agent.providers.quirks import Quirks
from agent.providers.types import (
    ChatRequest,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    system,
)
from tests.corpora import replay

pytestmark = replay.needs_corpus


class NotOurs(Exception):
    """A request with something that we never say (audio, server tools, files by id ...)."""


def recorded(protocol: str) -> list[Any]:
    rows = [row for row in replay.rows(protocol) if row.get("request") and row["status"] == 200]
    return [pytest.param(row, id=row["id"]) for row in rows if isinstance(row["request"].get("body"), dict)]


def picture(url: str) -> Image:
    if not url.startswith("data:"):
        raise NotOurs("a picture by its address")
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return Image(kind, base64.b64decode(data))


def call(call_id: str, name: str, raw: str) -> ToolCall:
    return ToolCall(call_id, name, json.loads(raw or "{}"), raw)


# --- what was recorded, as our messages -------------------------------------------------------------------------------
def from_chat(body: dict[str, Any]) -> ChatRequest:
    messages = []
    for said in body["messages"]:
        content = said.get("content")
        parts: list[Part] = []
        for piece in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if piece["type"] == "text":
                parts.append(Text(piece["text"]))
            elif piece["type"] == "image_url":
                parts.append(picture(piece["image_url"]["url"]))
            else:
                raise NotOurs(piece["type"])
        if said["role"] == "tool":
            parts = [ToolResult(said["tool_call_id"], "", "".join(p.text for p in parts if isinstance(p, Text)))]
        parts += [
            call(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in said.get("tool_calls") or ()
        ]
        role = "system" if said["role"] == "developer" else said["role"]
        messages.append(Message(role, tuple(parts)))
    tools = [
        ToolSpec(tool["function"]["name"], tool["function"].get("description") or "", tool["function"]["parameters"])
        for tool in body.get("tools") or ()
        if tool.get("type") == "function" or not_ours("tool")
    ]
    return ChatRequest(body["model"], messages, tools, body.get("max_tokens"), body.get("temperature"))


def from_anthropic(body: dict[str, Any]) -> ChatRequest:
    given = body.get("system") or []
    messages = [system(block["text"]) for block in ([{"text": given}] if isinstance(given, str) else given)]
    for said in body["messages"]:
        content = said["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        messages += [
            result(block) if block["type"] == "tool_result" else Message(said["role"], (from_block(block),))
            for block in blocks
        ]
    tools = [
        ToolSpec(tool["name"], tool.get("description") or "", tool["input_schema"])
        for tool in body.get("tools") or ()
        if "input_schema" in tool or not_ours("server tool")
    ]
    return ChatRequest(body["model"], messages, tools, body["max_tokens"], body.get("temperature"))


def result(block: dict[str, Any]) -> Message:
    content = block.get("content") or ""
    pieces = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "".join(piece["text"] for piece in pieces if piece["type"] == "text")
    images = tuple(from_block(piece) for piece in pieces if piece["type"] != "text")
    found = ToolResult(block["tool_use_id"], "", text, not block.get("is_error"), images)  # type: ignore[arg-type]
    return Message("tool", (found,))


def from_block(block: dict[str, Any]) -> Part:
    match block["type"]:
        case "text":
            return Text(block["text"])
        case "image" if block["source"]["type"] == "base64":
            return Image(block["source"]["media_type"], base64.b64decode(block["source"]["data"]))
        case "document" if block["source"]["type"] == "base64":
            return File(
                block.get("title") or "", block["source"]["media_type"], base64.b64decode(block["source"]["data"])
            )
        case "thinking":
            return Reasoning(block["thinking"], block["signature"], "me")
        case "redacted_thinking":
            return Reasoning("", block["data"], "me", "redacted")
        case "tool_use":
            return ToolCall(block["id"], block["name"], block["input"], json.dumps(block["input"]))
        case other:
            raise NotOurs(other)


def from_responses(body: dict[str, Any]) -> ChatRequest:
    messages = [system(body["instructions"])] if body.get("instructions") else []
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        match item.get("type", "message"):
            case "message":
                messages.append(Message(ROLES[item["role"]], tuple(from_content(item["content"]))))
            case "function_call":
                made = call(item["call_id"], item["name"], item["arguments"])
                messages.append(Message("assistant", (made,)))
            case "function_call_output" if isinstance(item["output"], str):
                messages.append(Message("tool", (ToolResult(item["call_id"], "", item["output"]),)))
            case "reasoning" if item.get("encrypted_content"):
                text = "".join(piece["text"] for piece in item["summary"])
                messages.append(Message("assistant", (Reasoning(text, item["encrypted_content"], "me", item["id"]),)))
            case other:
                raise NotOurs(other)
    tools = [
        ToolSpec(tool["name"], tool.get("description") or "", tool["parameters"])
        for tool in body.get("tools") or ()
        if tool["type"] == "function" or not_ours("server tool")
    ]
    return ChatRequest(body["model"], messages, tools, body.get("max_output_tokens"), body.get("temperature"))


ROLES: dict[str, Any] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def from_content(content: Any) -> list[Part]:
    parts: list[Part] = []
    for piece in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
        if piece["type"] in ("input_text", "output_text"):
            parts.append(Text(piece["text"]))
        elif piece["type"] == "input_image" and piece.get("image_url"):
            parts.append(picture(piece["image_url"]))
        else:
            raise NotOurs(piece["type"])
    return parts


def from_gemini(body: dict[str, Any]) -> ChatRequest:
    given = (body.get("systemInstruction") or {}).get("parts") or []
    messages = [system(part["text"]) for part in given]
    for content in body["contents"]:
        for part in content["parts"]:
            role: Any = "assistant" if content.get("role") == "model" else "user"
            match part:
                case {"text": text, **rest} if not rest:
                    messages.append(Message(role, (Text(text),)))
                case {"functionCall": made, **rest}:
                    raw = json.dumps(made.get("args") or {})
                    found = ToolCall(made.get("id") or made["name"], made["name"], json.loads(raw), raw)
                    signed = rest.get("thoughtSignature")
                    messages.append(
                        Message("assistant", (ToolCall(found.id, found.name, found.arguments, raw, False, signed),))
                    )
                case {"functionResponse": back}:
                    said = next(iter(back["response"].values()))
                    text = said if isinstance(said, str) else json.dumps(said)
                    messages.append(Message("tool", (ToolResult(back.get("id") or back["name"], back["name"], text),)))
                case {"inlineData": data}:
                    messages.append(Message(role, (Image(data["mimeType"], base64.b64decode(data["data"])),)))
                case _:
                    raise NotOurs(str(list(part)))
    return ChatRequest("gemini-2.5-pro", messages)


def not_ours(what: str) -> bool:
    raise NotOurs(what)


# --- compared ---------------------------------------------------------------------------------------------------------
def overlap(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Where both say something and say it differently; what only one of them says is left alone."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            line for key in theirs.keys() & ours.keys() for line in overlap(theirs[key], ours[key], f"{path}.{key}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            return [f"{path}: {len(theirs)} entries, ours {len(ours)}"]
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [line for n, (one, two) in pairs for line in overlap(one, two, f"{path}[{n}]")]
    return [] if same(theirs, ours) else [f"{path}: {str(theirs)[:80]!r}, ours {str(ours)[:80]!r}"]


def same(one: Any, two: Any) -> bool:
    if isinstance(one, str) and isinstance(two, str):
        try:  # arguments are JSON in a text
            return one == two or bool(json.loads(one) == json.loads(two))
        except ValueError:
            return one.strip() == two.strip()
    return bool(one == two) or (one in (None, "") and two in (None, "", []))


def flat(content: Any) -> Any:
    """A text and a list of one text are the same."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


PROTOCOLS: dict[str, tuple[Callable[[dict[str, Any]], ChatRequest], Callable[[ChatRequest], dict[str, Any]], str]] = {
    "openai-chat": (from_chat, lambda r: chat_request.body(r, Quirks()), "messages"),
    "anthropic-messages": (from_anthropic, lambda r: anthropic_request.body(r, "me", stream=False), "messages"),
    "openai-responses": (from_responses, lambda r: responses_request.body(r, "me", stream=False), "input"),
    "gemini": (from_gemini, lambda r: gemini_request.body(r, "me"), "contents"),
}
CASES = [pytest.param(protocol, *row.values, id=row.id) for protocol in PROTOCOLS for row in recorded(protocol)]
OPTIONAL = {"stream", "stream_options", "store", "include", "max_tokens", "max_output_tokens", "tool_choice"}
DIFFERS = {
    "pr-0288": "it begins with the model: the strictest provider refuses that, so a short message stands before it",
    "pr-0362": "its one message is empty: likewise",
    "pr-0197": "an empty text beside tool calls is left out",
}


def schema(protocol: str) -> TypeAdapter[Any]:
    if protocol == "anthropic-messages":
        from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

        return TypeAdapter(MessageCreateParamsNonStreaming)
    if protocol == "openai-responses":
        from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

        return TypeAdapter(ResponseCreateParamsNonStreaming)
    if protocol == "openai-chat":
        from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

        return TypeAdapter(CompletionCreateParamsNonStreaming)
    from google.genai import types

    return TypeAdapter(list[types.Content])


def test_what_was_accepted_is_said_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    compared, differing, others = 0, [], 0
    schemas = {protocol: schema(protocol) for protocol in PROTOCOLS}
    for case in CASES:
        protocol, row = case.values
        read, write, conversation = PROTOCOLS[protocol]
        body = row["request"]["body"]
        try:
            request = read(body)
        except (NotOurs, KeyError, TypeError, ValueError):
            others += 1
            continue
        made = write(request)
        compared += 1
        try:
            checked = dict(made, stream=False)
            checked.pop("stream_options", None)
            schemas[protocol].validate_python(made["contents"] if protocol == "gemini" else checked)
        except ValidationError as error:
            differing.append(f"{row['id']} is not of the schema: {error}")
        theirs = {key: value for key, value in body.items() if key not in OPTIONAL}
        if protocol == "openai-responses" and isinstance(theirs["input"], str):
            theirs["input"] = [{"role": "user", "content": theirs["input"]}]
        for side in (theirs, made):
            for message in side[conversation]:
                if "content" in message:
                    message["content"] = flat(message["content"])
            if isinstance(side.get("system"), str):
                side["system"] = flat(side["system"])
        if row["id"] in DIFFERS or len(theirs[conversation]) != len(made[conversation]):
            continue  # the strictest provider wants turns; that nothing is lost is proven by the hygiene tests
        differing += [f"{row['id']}{line}" for line in overlap(theirs, made) if not explained(line)]
    with capsys.disabled():
        print(f"\nrequests: {compared} compared, {others} with parts that we never send, {len(differing)} differences")
    assert not differing, "\n".join(differing)
    assert compared > 90


def explained(line: str) -> bool:
    """Differences in what means the same."""
    return (
        ".role: 'developer'" in line  # the newer word for system
        or ".system[0].text" in line
        or ".type: 'input_text'" in line
        or ".type: 'output_text'" in line
        or ".strict" in line
        or ".generationConfig" in line
        or ".description" in line
        or ".functionResponse.id" in line
        or ".functionCall.id" in line
        or ".systemInstruction" in line
        or (".response" in line and "functionResponse" in line)
    )
