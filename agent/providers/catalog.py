"""The providers that TrayClaw knows by name: a person only has to bring a key, or to start the program.

Adding one is adding a row. Addresses and key pages are those of the providers' own documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.providers.quirks import Quirks

STARTER: Final = "starter"


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A provider. `base_url` is empty where each account has an address of its own.

    `key_header` carries the key, as a bearer token where it is "authorization"; `key_url` is the page where a key is
    made, `key_hint` how a key begins, `price_id` its name in the price table. `models_path` lists the models, a path or
    a whole address; where it is empty, `known_models` are all that can be said.
    """

    name: str
    label: str
    base_url: str
    protocol: str = "chat-completions"
    key_header: str = "authorization"
    key_url: str = ""
    key_hint: str = ""
    default_model: str = ""
    needs_key: bool = True
    local: bool = False
    price_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    models_path: str = "/models"
    known_models: tuple[str, ...] = ()
    quirks: Quirks = field(default_factory=Quirks)
    note: str = ""


_HOSTED: Final = (
    ProviderSpec(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        protocol="responses",
        key_url="https://platform.openai.com/api-keys",
        key_hint="sk-",
        default_model="gpt-5.4-mini",
        price_id="openai",
        quirks=Quirks(max_tokens_field="max_completion_tokens", system_role="developer"),
    ),
    ProviderSpec(
        name="anthropic",
        label="Anthropic",
        base_url="https://api.anthropic.com/v1",
        protocol="anthropic-messages",
        key_header="x-api-key",
        key_url="https://platform.claude.com/settings/keys",
        key_hint="sk-ant-",
        default_model="claude-haiku-4-5",
        price_id="anthropic",
    ),
    ProviderSpec(
        name="gemini",
        label="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        protocol="gemini",
        key_header="x-goog-api-key",
        key_url="https://aistudio.google.com/apikey",
        key_hint="AIza",
        default_model="gemini-3.5-flash",
        price_id="google",
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
        quirks=Quirks(stream_options=False, required_choice="any"),
    ),
    ProviderSpec(
        name="groq",
        label="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_url="https://console.groq.com/keys",
        key_hint="gsk_",
        default_model="openai/gpt-oss-120b",
        price_id="groq",
        quirks=Quirks(reasoning_field="reasoning"),
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
        name="perplexity",
        label="Perplexity",
        # Its Agent API; the chat endpoint of the Sonar models ended in September 2026.
        base_url="https://api.perplexity.ai/v1",
        protocol="responses",
        key_url="https://www.perplexity.ai/account/api/keys",
        key_hint="pplx-",
        default_model="perplexity/sonar",
        price_id="perplexity",
    ),
    ProviderSpec(
        name="cohere",
        label="Cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        key_url="https://dashboard.cohere.com/api-keys",
        default_model="command-a-03-2025",
        price_id="cohere",
        models_path="https://api.cohere.com/v1/models?endpoint=chat&page_size=1000",
        quirks=Quirks(stream_options=False),
    ),
    ProviderSpec(
        name="moonshot",
        label="Moonshot AI",
        base_url="https://api.moonshot.ai/v1",
        key_url="https://platform.kimi.ai/console/api-keys",
        key_hint="sk-",
        default_model="kimi-k2.6",
        price_id="moonshotai",
        quirks=Quirks(reasoning_back=True),
        note="In China the address is https://api.moonshot.cn/v1.",
    ),
    ProviderSpec(
        name="zai",
        label="Z.ai",
        base_url="https://api.z.ai/api/paas/v4",
        key_url="https://z.ai/manage-apikey/apikey-list",
        default_model="glm-5.3-flash",
        price_id="zai",
    ),
    ProviderSpec(
        name="zhipu",
        label="Zhipu AI",
        base_url="https://open.bigmodel.cn/api/paas/v4",
        key_url="https://bigmodel.cn/usercenter/proj-mgmt/apikeys",
        default_model="glm-5.3-flash",
        price_id="zhipuai",
    ),
    ProviderSpec(
        name="dashscope",
        label="Qwen (DashScope)",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_url="https://modelstudio.console.alibabacloud.com/?tab=playground#/api-key",
        key_hint="sk-",
        default_model="qwen-plus",
        note="In China the address is https://dashscope.aliyuncs.com/compatible-mode/v1.",
    ),
    ProviderSpec(
        name="minimax",
        label="MiniMax",
        # The one of its interfaces that keeps thinking apart from the answer.
        base_url="https://api.minimax.io/anthropic/v1",
        protocol="anthropic-messages",
        key_header="x-api-key",
        key_url="https://platform.minimax.io/user-center/basic-information/interface-key",
        default_model="MiniMax-M2.7",
        price_id="minimax",
        note="In China the address is https://api.minimaxi.com/anthropic/v1.",
    ),
    ProviderSpec(
        name="siliconflow",
        label="SiliconFlow",
        base_url="https://api.siliconflow.com/v1",
        key_url="https://cloud.siliconflow.com/account/ak",
        key_hint="sk-",
        default_model="Qwen/Qwen3.6-35B-A3B",
        note="In China the address is https://api.siliconflow.cn/v1.",
    ),
    ProviderSpec(
        name="huggingface",
        label="Hugging Face",
        base_url="https://router.huggingface.co/v1",
        key_url="https://huggingface.co/settings/tokens",
        key_hint="hf_",
        default_model="openai/gpt-oss-120b",
    ),
    ProviderSpec(
        name="nvidia",
        label="NVIDIA",
        base_url="https://integrate.api.nvidia.com/v1",
        key_url="https://build.nvidia.com/settings/api-keys",
        key_hint="nvapi-",
        default_model="nvidia/nemotron-3-super-120b-a12b",
    ),
    ProviderSpec(
        name="azure",
        label="Azure OpenAI",
        base_url="",
        key_header="api-key",
        key_url="https://portal.azure.com",
        price_id="azure",
        quirks=Quirks(max_tokens_field="max_completion_tokens"),
        note="Its address is https://RESOURCE.openai.azure.com/openai/v1, a model is the name of your deployment.",
    ),
    ProviderSpec(
        name="github-models",
        label="GitHub Models",
        base_url="https://models.github.ai/inference",
        key_url="https://github.com/settings/personal-access-tokens",
        key_hint="github_pat_",
        default_model="openai/gpt-4.1-mini",
        models_path="https://models.github.ai/catalog/models",
        note="A token that may read models.",
    ),
)

_LOCAL: Final = tuple(
    ProviderSpec(
        name=name,
        label=label,
        base_url=f"http://127.0.0.1:{port}/v1",
        needs_key=False,
        local=True,
        quirks=quirks,
        note="Runs on this computer.",
    )
    for name, label, port, quirks in (
        ("ollama", "Ollama", 11434, Quirks()),
        ("lmstudio", "LM Studio", 1234, Quirks()),
        # https://github.com/ggml-org/llama.cpp/blob/master/docs/function-calling.md
        ("llamacpp", "llama.cpp", 8080, Quirks(parallel_calls=True)),
        ("vllm", "vLLM", 8000, Quirks()),
    )
)

_BUILT_IN: Final = ProviderSpec(
    name=STARTER,
    label="Built-in",
    base_url="",
    protocol="starter",
    default_model="SmolLM2-135M-Instruct",
    needs_key=False,
    local=True,
    note="A tiny model for trying the app: no key, no internet, no tools.",
)

SPECS: Final[Mapping[str, ProviderSpec]] = {spec.name: spec for spec in (*_HOSTED, *_LOCAL, _BUILT_IN)}


def names() -> list[str]:
    """The names, as they stand in a reference such as `openai/gpt-5`."""
    return list(SPECS)
