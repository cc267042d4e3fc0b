"""OpenAI's Responses, which some other providers speak as well.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from agent.providers import exchange
from agent.providers.chat_completions import model_infos
from agent.providers.pieces import encode
from agent.providers.quirks import Quirks
from agent.providers.responses_answer import ResponsesAnswer
from agent.providers.responses_request import body
from agent.providers.types import ChatRequest, Completion, ModelInfo, StreamEvent
from agent.providers.wire import Answer, KeySource, Wire

_OPTIONAL = ("temperature", "include", "store", "text", "parallel_tool_calls")


class Responses:
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
        self._extra = dict(body or {})

    def __repr__(self) -> str:
        return f"Responses({self._failures.address!r})"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Closing the generator early closes the socket at once. Raises `ProviderError`."""
        sent = await self._send(request, stream=True)
        async with aclosing(exchange.stream(sent, ResponsesAnswer(self._wire.origin), self._failures)) as events:
            async for event in events:
                yield event

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece, without streaming. Raises `ProviderError`."""
        sent = await self._send(request, stream=False)
        return await exchange.whole(sent, ResponsesAnswer(self._wire.origin), self._failures)

    async def list_models(self) -> list[ModelInfo]:
        """The models on offer (`GET /models`); spends no tokens. Raises `ProviderError`."""
        return model_infos(await self._wire.get(self._models_path), self._failures)

    async def aclose(self) -> None:
        """Close all connections. The provider may be used again; it then opens new ones."""
        await self._wire.aclose()

    async def _send(self, request: ChatRequest, *, stream: bool) -> Answer:
        """The answer, unread. Leaves out of the request what the server says it does not know."""
        made = body(request, self._wire.origin, stream=stream) | self._extra
        return await exchange.send_simplified(lambda made: self._wire.post("/responses", encode(made)), made, _simplify)


def _simplify(made: dict[str, Any], complaint: str) -> bool:
    """Take back the parameter that a server complains about; false when there is nothing to take back."""
    if "encrypted_content" in complaint or "include" in complaint:
        thoughts = [item for item in made["input"] if item.get("type") == "reasoning"]
        if made.pop("include", None) is not None or thoughts:
            made["input"] = [item for item in made["input"] if item.get("type") != "reasoning"]
            return True
    if "summary" in complaint and "summary" in made.get("reasoning", {}):
        del made["reasoning"]["summary"]
        return True
    if "reasoning" in complaint and made.pop("reasoning", None) is not None:
        return True
    return any(name in complaint and made.pop(name, None) is not None for name in _OPTIONAL)
