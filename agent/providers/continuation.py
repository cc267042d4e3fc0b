"""An answer that the length limit cut: how it is asked for the rest, and how the pieces become one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.providers.types import ChatRequest, Completion, Part, Text, assistant, user

GO_ON: Final = "Your answer was cut off by its length limit. Go on exactly where it stopped: no repetition, no comment."
_LOOK_BACK = 160
_SHORTEST = 8


def is_cut(completion: Completion, request: ChatRequest) -> bool:
    """Whether the rest is worth asking for: a text that nobody wanted to be short."""
    cut = completion.finish_reason == "length" and request.max_tokens is None
    return cut and bool(completion.text) and not completion.tool_calls


def asked_on(request: ChatRequest, so_far: Completion) -> ChatRequest:
    """The request for the rest."""
    return replace(request, messages=(*request.messages, assistant(so_far.text), user(GO_ON)))


def joined(one: Completion, two: Completion) -> Completion:
    """Both as one answer."""
    parts: tuple[Part, ...] = (*one.message().parts, *two.message().parts)
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, Text) and isinstance(last := merged[-1], Text):
            merged[-1] = Text(last.text + part.text)
        else:
            merged.append(part)
    return Completion(
        text=one.text + two.text,
        reasoning=one.reasoning + two.reasoning,
        tool_calls=two.tool_calls,
        finish_reason=two.finish_reason,
        usage=one.usage + two.usage,
        model=two.model or one.model,
        parts=tuple(merged),
        note=two.note,
    )


class Seam:
    """Where a continuation begins: what it says a second time is left out."""

    def __init__(self, before: str) -> None:
        self._before = before[-_LOOK_BACK:]
        self._held = ""
        self._open = bool(before)
        self.cut = 0
        """Characters that were left out."""

    def pass_on(self, piece: str) -> str:
        """What of a piece is new; it is held back until that can be told."""
        if not self._open:
            return piece
        self._held += piece
        return self.finish() if len(self._held) >= _LOOK_BACK else ""

    def finish(self) -> str:
        """What is still held back."""
        if not self._open:
            return ""
        self._open = False
        held, self._held = self._held, ""
        for length in range(min(len(held), len(self._before)), _SHORTEST - 1, -1):
            if self._before.endswith(held[:length]):
                self.cut = length
                return held[length:]
        return held

    def fitted(self, completion: Completion) -> Completion:
        """The continuation without what it repeated."""
        if not self.cut:
            return completion
        left = self.cut
        parts: list[Part] = []
        for part in completion.message().parts:
            if left and isinstance(part, Text):
                dropped = min(left, len(part.text))
                left -= dropped
                part = Text(part.text[dropped:])
            parts.append(part)
        return replace(completion, text=completion.text[self.cut :], parts=tuple(parts))
