"""The providers that TrayClaw knows by name: a person only has to bring a key, or to start the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.providers.quirks import Quirks

STARTER: Final = "starter"


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A provider. `key_url` is the page where a key is made, `key_hint` how a key begins, `price_id` its name in the
    price table."""

    name: str
    label: str
    base_url: str
    protocol: str = "chat-completions"
    key_url: str = ""
    key_hint: str = ""
    default_model: str = ""
    needs_key: bool = True
    local: bool = False
    price_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    quirks: Quirks = field(default_factory=Quirks)
    note: str = ""


_ROWS: Final = (
    ProviderSpec(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        key_url="https://platform.openai.com/api-keys",
        key_hint="sk-",
        default_model="gpt-5.4-mini",
        price_id="openai",
        quirks=Quirks(max_tokens_field="max_completion_tokens"),
    ),
    ProviderSpec(
        name="anthropic",
        label="Anthropic",
        base_url="https://api.anthropic.com/v1",
        key_url="https://platform.claude.com/settings/keys",
        key_hint="sk-ant-",
        default_model="claude-haiku-4-5",
        price_id="anthropic",
        headers={"anthropic-version": "2023-06-01"},
        # Its compatible endpoint has chat only; the list of models is that of its own API.
        quirks=Quirks(models_key_header="x-api-key"),
    ),
    ProviderSpec(
        name="gemini",
        label="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_url="https://aistudio.google.com/apikey",
        key_hint="AIza",
        default_model="gemini-3.5-flash",
        price_id="google",
        # Tool calls of Gemini 3 carry a signature that must come back, which the vocabulary of messages has no place
        # for; this stands for one that got lost: https://ai.google.dev/gemini-api/docs/thought-signatures
        quirks=Quirks(
            call_extra={"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}
        ),
    ),
    ProviderSpec(
        name="openrouter",
        label="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_url="https://openrouter.ai/settings/keys",
        key_hint="sk-or-",
        default_model="openai/gpt-5.4-mini",
        price_id="openrouter",
        headers={"x-title": "TrayClaw"},
    ),
    ProviderSpec(
        name="deepseek",
        label="DeepSeek",
        base_url="https://api.deepseek.com",
        key_url="https://platform.deepseek.com/api_keys",
        key_hint="sk-",
        default_model="deepseek-flash",
        price_id="deepseek",
        # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
        quirks=Quirks(reasoning_back=True),
    ),
    ProviderSpec(
        name="mistral",
        label="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_url="https://console.mistral.ai/api-keys",
        default_model="mistral-medium-latest",
        price_id="mistral",
        quirks=Quirks(stream_options=False),
    ),
    ProviderSpec(
        name="groq",
        label="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_url="https://console.groq.com/keys",
        key_hint="gsk_",
        default_model="openai/gpt-oss-120b",
        price_id="groq",
    ),
    ProviderSpec(
        name="xai",
        label="xAI",
        base_url="https://api.x.ai/v1",
        key_url="https://console.x.ai/team/default/api-keys",
        key_hint="xai-",
        default_model="grok-4.6",
        price_id="x-ai",
    ),
    ProviderSpec(
        name="together",
        label="Together AI",
        base_url="https://api.together.ai/v1",
        key_url="https://api.together.ai/settings/api-keys",
        default_model="openai/gpt-oss-120b",
        price_id="together",
    ),
    ProviderSpec(
        name="fireworks",
        label="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        key_url="https://app.fireworks.ai/settings/users/api-keys",
        key_hint="fw_",
        default_model="accounts/fireworks/models/gpt-oss-120b",
        price_id="fireworks",
    ),
    ProviderSpec(
        name="cerebras",
        label="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_url="https://cloud.cerebras.ai",
        key_hint="csk-",
        default_model="gpt-oss-120b",
        price_id="cerebras",
    ),
    ProviderSpec(
        name="ollama",
        label="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        needs_key=False,
        local=True,
        note="Runs on this computer.",
    ),
    ProviderSpec(
        name="lmstudio",
        label="LM Studio",
        base_url="http://127.0.0.1:1234/v1",
        needs_key=False,
        local=True,
        note="Runs on this computer.",
    ),
    ProviderSpec(
        name=STARTER,
        label="Built-in",
        base_url="",
        protocol="starter",
        default_model="SmolLM2-135M-Instruct",
        needs_key=False,
        local=True,
        note="A tiny model for trying the app: no key, no internet, no tools.",
    ),
)

SPECS: Final[Mapping[str, ProviderSpec]] = {spec.name: spec for spec in _ROWS}


def names() -> list[str]:
    """The names, as they stand in a reference such as `openai/gpt-5`."""
    return list(SPECS)
