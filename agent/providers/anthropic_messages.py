"""Anthropic's Messages, which some other providers speak as well.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from agent.providers import exchange
from agent.providers.anthropic_answer import AnthropicAnswer
from agent.providers.anthropic_request import body
from agent.providers.pieces import encode
from agent.providers.quirks import Quirks
from agent.providers.types import ChatRequest, Completion, ModelInfo, StreamEvent
from agent.providers.wire import Answer, KeySource, Wire

VERSION: Final = "2023-06-01"
_SMALL_MAX_TOKENS = 4096
_BUDGETS: Final = {"low": 1024, "medium": 2048, "high": 4096}
_MOST_PAGES = 20


class AnthropicMessages:
    """A provider behind one base URL, which ends in `/v1`. `options` are those of `Wire`."""

    supports_tools = True

    def __init__(
        self,
        base_url: str,
        api_key: str | KeySource | None = None,
        *,
        quirks: Quirks | None = None,
        body: Mapping[str, Any] | None = None,
        models_path: str = "/models",
        key_header: str = "x-api-key",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        headers = {"anthropic-version": VERSION, **(headers or {})}
        self._wire = Wire(base_url, api_key, key_header=key_header, headers=headers, **options)
        self._failures = self._wire.failures
        self._models_path = models_path
        self._extra = dict(body or {})

    def __repr__(self) -> str:
        return f"AnthropicMessages({self._failures.address!r})"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Closing the generator early closes the socket at once. Raises `ProviderError`."""
        sent = await self._send(request, stream=True)
        async with aclosing(exchange.stream(sent, AnthropicAnswer(self._wire.origin), self._failures)) as events:
            async for event in events:
                yield event

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece, without streaming. Raises `ProviderError`."""
        sent = await self._send(request, stream=False)
        return await exchange.whole(sent, AnthropicAnswer(self._wire.origin), self._failures)

    async def list_models(self) -> list[ModelInfo]:
        """The models on offer (`GET /models`); spends no tokens. Raises `ProviderError`."""
        models: list[ModelInfo] = []
        after = ""
        for _ in range(_MOST_PAGES):
            query = {"limit": "1000", **({"after_id": after} if after else {})}
            page = await self._wire.get(self._models_path, query=query)
            try:
                for row in page["data"]:
                    length = row.get("max_input_tokens")
                    name = str(row.get("display_name") or "")
                    models.append(ModelInfo(str(row["id"]), name, length if isinstance(length, int) else None))
                after = page.get("last_id") if page.get("has_more") else ""
            except (TypeError, KeyError, AttributeError) as error:
                raise self._failures.garbage(b"") from error
            if not after:
                break
        return models

    async def aclose(self) -> None:
        """Close all connections. The provider may be used again; it then opens new ones."""
        await self._wire.aclose()

    async def _send(self, request: ChatRequest, *, stream: bool) -> Answer:
        """The answer, unread. Leaves out of the request what the server says it does not know."""
        made = body(request, self._wire.origin, stream=stream) | self._extra
        return await exchange.send_simplified(lambda made: self._wire.post("/messages", encode(made)), made, _simplify)


def _simplify(made: dict[str, Any], complaint: str) -> bool:
    """Take back the parameter that a server complains about; false when there is nothing to take back."""
    thinking = made.get("thinking") or {}
    if "adaptive" in complaint and thinking.get("type") == "adaptive":  # models before Claude 4.6
        effort = (made.pop("output_config", None) or {}).get("effort", "medium")
        made["thinking"] = {"type": "enabled", "budget_tokens": _BUDGETS.get(effort, 2048)}
        return True
    if ("thinking" in complaint or "effort" in complaint) and "thinking" in made:
        del made["thinking"]
        output = made.get("output_config", {})
        output.pop("effort", None)
        if not output:
            made.pop("output_config", None)
        return True
    if "output_config" in complaint and made.pop("output_config", None) is not None:
        return True
    if "max_tokens" in complaint and "context" not in complaint and made["max_tokens"] > _SMALL_MAX_TOKENS:
        made["max_tokens"] = _SMALL_MAX_TOKENS
        return True
    if "cache_control" in complaint:
        return _unmark(made)
    return "temperature" in complaint and made.pop("temperature", None) is not None


def _unmark(made: dict[str, Any]) -> bool:
    blocks = [*made.get("system", ()), *(block for message in made["messages"] for block in message["content"])]
    return any([block.pop("cache_control", None) is not None for block in blocks])  # noqa: C419 - all, not the first
