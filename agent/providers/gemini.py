"""Google's Gemini API.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from agent.providers import exchange
from agent.providers.gemini_answer import GeminiAnswer
from agent.providers.gemini_request import body
from agent.providers.pieces import encode
from agent.providers.quirks import Quirks
from agent.providers.types import ChatRequest, Completion, ModelInfo, StreamEvent
from agent.providers.wire import Answer, KeySource, Wire

_MOST_PAGES = 20


class Gemini:
    """A provider behind one base URL, which ends in `/v1beta`. `options` are those of `Wire`."""

    supports_tools = True

    def __init__(
        self,
        base_url: str,
        api_key: str | KeySource | None = None,
        *,
        quirks: Quirks | None = None,
        body: Mapping[str, Any] | None = None,
        models_path: str = "/models",
        key_header: str = "x-goog-api-key",
        **options: Any,
    ) -> None:
        self._wire = Wire(base_url, api_key, key_header=key_header, **options)
        self._failures = self._wire.failures
        self._models_path = models_path
        self._extra = dict(body or {})

    def __repr__(self) -> str:
        return f"Gemini({self._failures.address!r})"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Closing the generator early closes the socket at once. Raises `ProviderError`."""
        sent = await self._send(request, "streamGenerateContent", {"alt": "sse"})
        async with aclosing(exchange.stream(sent, GeminiAnswer(self._wire.origin), self._failures)) as events:
            async for event in events:
                yield event

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece, without streaming. Raises `ProviderError`."""
        sent = await self._send(request, "generateContent", {})
        return await exchange.whole(sent, GeminiAnswer(self._wire.origin), self._failures)

    async def list_models(self) -> list[ModelInfo]:
        """The models that answer (`GET /models`); spends no tokens. Raises `ProviderError`."""
        models: list[ModelInfo] = []
        token = ""
        for _ in range(_MOST_PAGES):
            query = {"pageSize": "1000", **({"pageToken": token} if token else {})}
            page = await self._wire.get(self._models_path, query=query)
            try:
                for row in page.get("models") or ():
                    if "generateContent" in row.get("supportedGenerationMethods", ("generateContent",)):
                        length = row.get("inputTokenLimit")
                        name = str(row.get("displayName") or "")
                        models.append(ModelInfo(_short(row["name"]), name, length if isinstance(length, int) else None))
                token = page.get("nextPageToken") or ""
            except (TypeError, KeyError, AttributeError) as error:
                raise self._failures.garbage(b"") from error
            if not token:
                break
        return models

    async def aclose(self) -> None:
        """Close all connections. The provider may be used again; it then opens new ones."""
        await self._wire.aclose()

    async def _send(self, request: ChatRequest, method: str, query: Mapping[str, str]) -> Answer:
        """The answer, unread. Leaves out of the request what the server says it does not know."""
        path = f"/models/{quote(_short(request.model), safe='')}:{method}"
        made = body(request, self._wire.origin) | self._extra
        return await exchange.send_simplified(
            lambda made: self._wire.post(path, encode(made), query=query), made, _simplify
        )


def _short(model: str) -> str:
    return model.removeprefix("models/")


def _simplify(made: dict[str, Any], complaint: str) -> bool:
    """Take back the parameter that a server complains about; false when there is nothing to take back."""
    config = made.get("generationConfig", {})
    said = complaint.lower()
    if "thinking" in said and config.pop("thinkingConfig", None) is not None:
        return True
    if "temperature" in said and config.pop("temperature", None) is not None:
        return True
    if "parametersjsonschema" in said.replace("_", ""):  # servers before it take what they know of the schema
        changed = False
        for tool in made.get("tools", ()):
            for declared in tool["functionDeclarations"]:
                if (schema := declared.pop("parametersJsonSchema", None)) is not None:
                    declared["parameters"] = schema
                    changed = True
        return changed
    return False
