"""Where a provider differs from the reference of Chat Completions, as named flags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirks:
    """The other protocols read those of them that make sense there."""

    max_tokens_field: str = "max_tokens"
    system_role: str = "system"
    """The role of the first message."""
    stream_options: bool = True
    """Whether usage has to be asked for, and may be; the others send it anyway."""
    parallel_calls: bool | None = None
    """Whether several tool calls in one answer have to be asked for, or forbidden; None where nothing need be said."""
    required_choice: str = "required"
    """The word that makes the model call some tool."""
    reasoning_back: bool = False
    """Whether the thinking of former answers goes back; a refusal is the price elsewhere."""
    reasoning_field: str = "reasoning_content"
    """The field in which it goes back."""
    models_key_header: str = ""
    """The list of models wants the key in this header instead of the one of its answers."""
