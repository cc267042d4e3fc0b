"""Models that the built-in runtime can use besides the tiny one: a person downloads one with a click.

The checksums are those that the public gallery of the LocalAI project publishes for the same files; what is downloaded
is used only if it has them. Sizes are rounded: the server says the exact one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

APACHE: Final = "https://www.apache.org/licenses/LICENSE-2.0"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model file. `size` in bytes, about; `memory` is what it takes while it answers, in bytes, about."""

    name: str
    label: str
    repository: str
    file: str
    sha256: str
    size: int
    memory: int
    license: str
    license_url: str
    tools: Literal["no", "unreliable", "yes"]
    note: str

    @property
    def url(self) -> str:
        """Where it lies, below the host that serves it."""
        return f"/{self.repository}/resolve/main/{self.file}"


_ROWS: Final = (
    ModelSpec(
        name="qwen3-0.6b",
        label="Qwen3 0.6B",
        repository="MaziyarPanahi/Qwen3-0.6B-GGUF",
        file="Qwen3-0.6B.Q4_K_M.gguf",
        sha256="dc4503da5d7cc7254055a86cd90e1a8c9d16c6ac71eb3a32b34bf48a1f4e0999",
        size=400_000_000,
        memory=1_000_000_000,
        license="Apache 2.0",
        license_url=APACHE,
        tools="unreliable",
        note="Small and quick. Tools are unreliable: it often calls the wrong one.",
    ),
    ModelSpec(
        name="qwen3-1.7b",
        label="Qwen3 1.7B",
        repository="MaziyarPanahi/Qwen3-1.7B-GGUF",
        file="Qwen3-1.7B.Q4_K_M.gguf",
        sha256="ea2aa5f1cce3c8df81ae5fd292a6ed265b8393cc89534dc21fc5327cc974116a",
        size=1_100_000_000,
        memory=2_000_000_000,
        license="Apache 2.0",
        license_url=APACHE,
        tools="unreliable",
        note="For everyday questions on most computers. Tools are unreliable.",
    ),
    ModelSpec(
        name="smollm3-3b",
        label="SmolLM3 3B",
        repository="bartowski/HuggingFaceTB_SmolLM3-3B-GGUF",
        file="HuggingFaceTB_SmolLM3-3B-Q4_K_M.gguf",
        sha256="519732558d5fa7420ab058e1b776dcfe73da78013c2fe59c7ca43c325ef89132",
        size=1_900_000_000,
        memory=3_000_000_000,
        license="Apache 2.0",
        license_url=APACHE,
        tools="unreliable",
        note="Fully open, several European languages. Tools are unreliable.",
    ),
    ModelSpec(
        name="qwen3-4b",
        label="Qwen3 4B",
        repository="MaziyarPanahi/Qwen3-4B-GGUF",
        file="Qwen3-4B.Q4_K_M.gguf",
        sha256="a37931937683a723ae737a0c6fc67dab7782fd8a1b9dea2ca445b7a1dbd5ca3a",
        size=2_500_000_000,
        memory=4_000_000_000,
        license="Apache 2.0",
        license_url=APACHE,
        tools="yes",
        note="The best of these; wants 8 GB of memory and some patience.",
    ),
)

MODELS: Final[Mapping[str, ModelSpec]] = {spec.name: spec for spec in _ROWS}


def calls_tools(file_name: str) -> bool:
    """Whether a model file of that name can call tools, by its own template."""
    return any(spec.file == file_name and spec.tools != "no" for spec in _ROWS)
