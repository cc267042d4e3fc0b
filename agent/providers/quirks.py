"""Where a provider differs from the reference of its protocol, as named flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Quirks:
    """Of Chat Completions, where nothing else is said."""

    max_tokens_field: str = "max_tokens"
    stream_options: bool = True
    """Whether usage has to be asked for, and may be; the others send it anyway."""
    reasoning_back: bool = False
    """Whether the thinking of former answers goes back as `reasoning_content`; a refusal is the price elsewhere."""
    call_extra: Mapping[str, Any] = field(default_factory=dict)
    """Goes with the first tool call of an answer, back to the server."""
    models_key_header: str = ""
    """The list of models wants the key in this header instead of the one of its answers."""
