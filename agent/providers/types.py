"""The vocabulary between TrayClaw and a language model: messages, requests, stream events, completions."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool", "notice"]
"""A notice is for the person alone (the reply to a command); no model is shown it."""
FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "refusal"]
ToolChoice = Literal["auto", "required", "none"]
Effort = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Text:
    """Visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thinking of the model, kept for protocols that demand it back.

    `signature` is the protocol's proof or its encrypted form of it (Anthropic's signature or redacted data, the
    `encrypted_content` of Responses, Gemini's thought signature); `text` is empty where only that exists. `origin`
    names the provider that gave it: nobody else may be sent it. `id` is the protocol's own name for the item.
    """

    text: str
    signature: str | None = None
    origin: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message."""

    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """A document in a message, for models that read them (PDF, mostly)."""

    name: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants to run.

    `arguments` is the parsed object, or empty where `raw_arguments` could not be parsed as it stands (the toolbox
    repairs or refuses it). `truncated` marks a call that the length limit cut off: it is never executed. `signature`
    is Gemini's thought signature, which must come back with the call.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    raw_arguments: str = ""
    truncated: bool = False
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call gave back to the model."""

    call_id: str
    name: str
    text: str
    ok: bool = True
    images: tuple[Image, ...] = ()


Part = Text | Reasoning | Image | File | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. A tool message carries exactly one `ToolResult`."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The visible text, without reasoning, calls and results."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Text):  # nearly all; every request walks the history
            return self.parts[0].text
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of an assistant message, in order."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Text):
            return ()
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


def system(text: str) -> Message:
    """A system message."""
    return Message("system", (Text(text),))


def user(text: str, *attached: Image | File) -> Message:
    """A message from a person, with pictures and documents if any."""
    return Message("user", (Text(text), *attached))


def assistant(text: str) -> Message:
    """An answer in plain text."""
    return Message("assistant", (Text(text),))


def tool_result(result: ToolResult) -> Message:
    """The message that carries one tool result back to the model."""
    return Message("tool", (result,))


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call of a model. Lengths in tokens.

    `response_schema` is a JSON schema of type object that the answer's text must fit; `effort` how much a model that
    can think should think, None for its own default. `extra` goes into the body as it is.
    """

    model: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    tool_choice: ToolChoice = "auto"
    response_schema: Mapping[str, Any] | None = None
    effort: Effort | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as its provider counts them.

    Cache reads and writes are a part of `input_tokens`, or beside it where `cache_apart`; reasoning is a part of
    `output_tokens`, or beside it where `reasoning_apart`. Sums and the record are made of `whole()`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_apart: bool = False
    reasoning_apart: bool = False

    def whole(self) -> Usage:
        """The same with all input in `input_tokens` and all output in `output_tokens`."""
        if not (self.cache_apart or self.reasoning_apart):
            return self
        cached = self.cache_read_tokens + self.cache_write_tokens if self.cache_apart else 0
        return Usage(
            self.input_tokens + cached,
            self.output_tokens + (self.reasoning_tokens if self.reasoning_apart else 0),
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
        )

    def __add__(self, other: Usage) -> Usage:
        one, two = self.whole(), other.whole()
        return Usage(
            one.input_tokens + two.input_tokens,
            one.output_tokens + two.output_tokens,
            one.cache_read_tokens + two.cache_read_tokens,
            one.cache_write_tokens + two.cache_write_tokens,
            one.reasoning_tokens + two.reasoning_tokens,
        )


NOTHING = Usage()
"""No tokens at all."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer of a model.

    `parts` is the answer in the order in which it came, with all that has to go back; empty where the plain fields
    say everything. `note` is the provider's reason for an answer that it refused or cut.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = NOTHING
    model: str = ""
    parts: tuple[Part, ...] = ()
    note: str = ""

    def message(self) -> Message:
        """The assistant message that this completion adds to the conversation."""
        if self.parts:
            return Message("assistant", self.parts)
        parts: list[Part] = []
        if self.reasoning:
            parts.append(Reasoning(self.reasoning))
        if self.text:
            parts.append(Text(self.text))
        parts.extend(self.tool_calls)
        return Message("assistant", tuple(parts))


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's thinking, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know while waiting, for example that a local model is being loaded."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every stream that did not fail."""

    completion: Completion


StreamEvent = TextDelta | ReasoningDelta | Notice | Finished


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a provider offers; `context_length` in tokens where the provider says it."""

    id: str
    name: str = ""
    context_length: int | None = None


class Provider(Protocol):
    """Something that answers chat requests. Closing a stream early closes the connection behind it."""

    supports_tools: bool

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece; the last event is `Finished`. Raises `ProviderError`."""
        ...

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece, without streaming where the protocol allows that. Raises `ProviderError`."""
        ...

    async def list_models(self) -> list[ModelInfo]:
        """The models on offer; spends no tokens. Raises `ProviderError`."""
        ...

    async def aclose(self) -> None:
        """Close connections and free memory."""
        ...


def part_to_json(part: Part) -> dict[str, Any]:
    """A part as the database stores it."""
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case ToolCall():
            stored: dict[str, Any] = {"type": "tool_call", "id": part.id, "name": part.name}
            stored["arguments"] = dict(part.arguments)
            stored["raw"] = part.raw_arguments
            if part.truncated:
                stored["truncated"] = True
            if part.signature:
                stored["signature"] = part.signature
            return stored
        case ToolResult():
            stored = {"type": "tool_result", "id": part.call_id, "name": part.name, "text": part.text, "ok": part.ok}
            if part.images:
                stored["images"] = [part_to_json(image) for image in part.images]
            return stored
        case Reasoning():
            stored = {"type": "reasoning", "text": part.text, "signature": part.signature}
            if part.origin:
                stored["origin"] = part.origin
            if part.id:
                stored["id"] = part.id
            return stored
        case Image():
            return {"type": "image", "media_type": part.media_type, "data": base64.b64encode(part.data).decode()}
        case File():
            data = base64.b64encode(part.data).decode()
            return {"type": "file", "name": part.name, "media_type": part.media_type, "data": data}


def part_from_json(stored: Mapping[str, Any]) -> Part:
    """The reverse of `part_to_json`."""
    match stored["type"]:
        case "text":
            return Text(stored["text"])
        case "tool_call":
            return ToolCall(
                stored["id"],
                stored["name"],
                stored["arguments"],
                stored["raw"],
                stored.get("truncated", False),
                stored.get("signature"),
            )
        case "tool_result":
            images = tuple(
                Image(image["media_type"], base64.b64decode(image["data"])) for image in stored.get("images", ())
            )
            return ToolResult(stored["id"], stored["name"], stored["text"], stored["ok"], images)
        case "reasoning":
            return Reasoning(stored["text"], stored["signature"], stored.get("origin", ""), stored.get("id", ""))
        case "image":
            return Image(stored["media_type"], base64.b64decode(stored["data"]))
        case "file":
            return File(stored["name"], stored["media_type"], base64.b64decode(stored["data"]))
        case unknown:
            raise ValueError(f"unknown message part: {unknown}")
