"""OpenAI's Chat Completions, the protocol that most providers and local servers speak.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent.providers import exchange
from agent.providers.chat_answer import ChatAnswer
from agent.providers.chat_request import body, messages
from agent.providers.failures import Failures
from agent.providers.pieces import encode
from agent.providers.quirks import Quirks
from agent.providers.types import ChatRequest, Completion, ModelInfo, StreamEvent
from agent.providers.wire import Answer, KeySource, Wire

_LENGTHS = ("context_length", "context_window", "max_context_length", "max_model_len", "max_input_tokens")
_NOT_CHAT = frozenset({"image", "embedding", "audio", "video", "moderation", "rerank", "transcribe"})


class ChatCompletions:
    """A provider behind one base URL. `options` are those of `Wire`."""

    supports_tools = True

    def __init__(
        self,
        base_url: str,
        api_key: str | KeySource | None = None,
        *,
        quirks: Quirks | None = None,
        body: Mapping[str, Any] | None = None,
        models_path: str = "/models",
        **options: Any,
    ) -> None:
        self._wire = Wire(base_url, api_key, **options)
        self._failures = self._wire.failures
        self._models_path = models_path
        self._quirks = quirks or Quirks()
        self._extra = dict(body or {})

    def __repr__(self) -> str:
        return f"ChatCompletions({self._failures.address!r})"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Closing the generator early closes the socket at once. Raises `ProviderError`."""
        sent = await self._send(request, stream=True)
        async with aclosing(exchange.stream(sent, ChatAnswer(), self._failures)) as events:
            async for event in events:
                yield event

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece, without streaming. Raises `ProviderError`."""
        sent = await self._send(request, stream=False)
        return await exchange.whole(sent, ChatAnswer(), self._failures)

    async def list_models(self) -> list[ModelInfo]:
        """The models on offer (`GET /models`); spends no tokens. Raises `ProviderError`."""
        listed = await self._wire.get(self._models_path, key_header=self._quirks.models_key_header)
        return model_infos(listed, self._failures)

    async def aclose(self) -> None:
        """Close all connections. The provider may be used again; it then opens new ones."""
        await self._wire.aclose()

    async def _send(self, request: ChatRequest, *, stream: bool) -> Answer:
        """The answer, unread. Leaves out of the request what the server says it does not know."""

        def simplify(made: dict[str, Any], complaint: str) -> bool:
            if "reasoning_content" in complaint and not self._quirks.reasoning_back:
                self._quirks = replace(self._quirks, reasoning_back=True)
                made["messages"] = messages(request.messages, self._quirks)
                return True
            return _simplify(made, complaint)

        made = body(request, self._quirks, stream=stream) | self._extra
        return await exchange.send_simplified(
            lambda made: self._wire.post("/chat/completions", encode(made)), made, simplify
        )


def _simplify(made: dict[str, Any], complaint: str) -> bool:
    """Take back the parameter that a server complains about; false when there is nothing to take back."""
    if "stream_options" in complaint and made.pop("stream_options", None) is not None:
        return True
    if "support tool" in complaint and made.pop("tools", None) is not None:  # Ollama, OpenRouter
        made.pop("tool_choice", None)
        return True
    if "max_completion_tokens" in complaint and "max_tokens" in made:
        made["max_completion_tokens"] = made.pop("max_tokens")
        return True
    if "reasoning_effort" in complaint and made.pop("reasoning_effort", None) is not None:
        return True
    return "temperature" in complaint and made.pop("temperature", None) is not None


def model_infos(listed: Any, failures: Failures) -> list[ModelInfo]:
    """The chat models of a list as OpenAI's `GET /models` gives it, and as others shape theirs.

    Raises `ProviderError` for what is no such list.
    """
    try:
        return _models(listed)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise failures.garbage(b"") from error


def _models(listed: Any) -> list[ModelInfo]:
    """`{"data": [...]}`, or the bare list that Together sends."""
    rows = listed if isinstance(listed, list) else listed.get("data", listed.get("models"))
    models: dict[str, ModelInfo] = {}
    for row in rows:
        if row.get("type") in _NOT_CHAT:
            continue
        model_id = str(row.get("id") or row["name"]).removeprefix("models/")
        length = next((row[key] for key in _LENGTHS if isinstance(row.get(key), int)), None)
        models[model_id] = ModelInfo(model_id, str(row.get("display_name") or row.get("name") or ""), length)
    return list(models.values())
