"""Standing permissions: what a person allowed for a conversation or for always, as exact rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RuleKind = Literal["command", "path", "host", "recipient", "tool"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What exactly is permitted; `covers` compares, it never widens.

    command: `value` is the hash of program, argument shape and folder. path: a file, or a folder that ends with a slash
    and stands for everything below it. host: a host name. recipient: a conversation. tool: the name of an MCP tool with
    the hash of its description. `words` say it to a person ("git status in the workspace"), `effect` is the kind of
    effect it is good for.
    """

    kind: RuleKind
    effect: str
    value: str
    words: str

    def covers(self, wanted: Rule) -> bool:
        """Whether this permission is good for what is wanted."""
        if self.kind != wanted.kind or self.effect != wanted.effect:
            return False
        if self.kind == "path" and self.value.endswith("/"):
            return (wanted.value + "/").startswith(self.value)
        return self.value == wanted.value


@dataclass(frozen=True, slots=True)
class Grant:
    """A rule that a person granted. `conversation_id` None: everywhere. Times are Unix seconds."""

    id: int
    rule: Rule
    conversation_id: int | None
    created_at: float
    by: str
    used_at: float | None = None
