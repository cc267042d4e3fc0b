"""What a scripted model answers: a reply and how it is cut into chunks, or a fault."""

import asyncio
import enum
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Ending(enum.Enum):
    """How a reply ends. All but DONE and NO_DONE strike after half of the chunks."""

    DONE = "as the service ends it"
    NO_DONE = "the body ends in good order, without a finish_reason and without [DONE]"
    CUT = "the socket closes inside a line"
    HANG = "silence; the socket stays open"
    GARBAGE = "an event that is no JSON, then the rest"
    INVALID_UTF8 = "an event with a byte that is no UTF-8, then the rest"
    ERROR_EVENT = "an error object as an event, then the end (vLLM and OpenRouter do this)"


@dataclass(frozen=True)
class Call:
    """A tool call the model makes; `arguments` is sent as it is (a str may be broken JSON), cut into `pieces`."""

    name: str
    arguments: str | dict[str, Any] = ""
    id: str = ""
    pieces: int = 3

    @property
    def raw_arguments(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Reply:
    """One answer of the model. Times in seconds; None takes the server's."""

    text: str | Sequence[str] = ""
    """A sequence gives the exact chunks."""
    chunks: int = 0
    """How many chunks `text` is cut into; 0 cuts before every word."""
    reasoning: str | Sequence[str] = ""
    calls: Sequence[Call] = ()
    refusal: str = ""
    finish_reason: str | None = None
    latency: float | None = None
    chunk_delay: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    ending: Ending = Ending.DONE
    before: asyncio.Event | None = field(default=None, compare=False)
    """Held until set, before the first byte."""
    halfway: asyncio.Event | None = field(default=None, compare=False)
    """Held until set, after half of the chunks."""
    comments: bool = False
    """Send `: PROCESSING` comment lines between events, as OpenRouter does."""


@dataclass(frozen=True)
class HttpFault:
    """An HTTP answer with an error, OpenAI-shaped unless `body` is given."""

    status: int
    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def payload(self) -> bytes:
        if self.body is not None:
            return self.body
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return json.dumps({"error": error}, indent=2).encode()


@dataclass(frozen=True)
class Hang:
    """Take the request and send nothing."""


@dataclass(frozen=True)
class HangUp:
    """Close the socket before the first byte of the answer."""


Answer = Reply | HttpFault | Hang | HangUp


def unauthorized(key_hint: str = "sk-*****") -> HttpFault:
    message = f"Incorrect API key provided: {key_hint}. You can find your API key at https://platform.openai.com/account/api-keys."
    return HttpFault(401, message, "invalid_request_error", "invalid_api_key")


def model_not_found(model: str) -> HttpFault:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return HttpFault(404, message, "invalid_request_error", "model_not_found")


def rate_limited(retry_after: float = 1) -> HttpFault:
    message = (
        "Rate limit reached for fake-1 in organization org-fake on requests per min (RPM): Limit 3, Used 3, Requested "
        f"1. Please try again in {retry_after:g}s."
    )
    headers = {"retry-after": str(math.ceil(retry_after)), "retry-after-ms": str(math.ceil(retry_after * 1000))}
    return HttpFault(429, message, "requests", "rate_limit_exceeded", headers=headers)


def quota_exceeded() -> HttpFault:
    message = "You exceeded your current quota, please check your plan and billing details."
    return HttpFault(429, message, "insufficient_quota", "insufficient_quota")


def context_too_long(limit: int = 8192, used: int = 9000) -> HttpFault:
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {used} tokens. "
        "Please reduce the length of the messages."
    )
    return HttpFault(400, message, "invalid_request_error", "context_length_exceeded", "messages")


def server_error(status: int = 500) -> HttpFault:
    message = "The server had an error while processing your request. Sorry about that!"
    return HttpFault(status, message, "server_error")


def garbage(status: int = 200) -> HttpFault:
    """A proxy's page where JSON was expected."""
    page = b"<!doctype html><html><body>It works!</body></html>"
    return HttpFault(status, headers={"content-type": "text/html"}, body=page)


def pieces(text: str, count: int) -> list[str]:
    """Cut `text` into at most `count` parts of nearly equal length; 0 cuts before every word."""
    if not text:
        return []
    if count <= 0:
        words = text.split(" ")
        return [words[0], *(f" {word}" for word in words[1:])]
    size = math.ceil(len(text) / count)
    return [text[start : start + size] for start in range(0, len(text), size)]


def as_chunks(text: str | Sequence[str], count: int) -> list[str]:
    return pieces(text, count) if isinstance(text, str) else list(text)


def as_text(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
