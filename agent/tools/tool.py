"""`@tool`: a typed Python function becomes a tool with a JSON schema, and says beforehand what a call would do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.providers.types import Image, ToolSpec
from agent.safety.effects import Effect, EffectKind
from agent.safety.host_gate import HostGate
from agent.safety.sandbox import Sandbox
from agent.safety.workspace import Workspace

if TYPE_CHECKING:
    from agent.tools.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool gives back when plain text is not enough: a failure that the model should read, or notes for the
    receipt.

    `source` names where untrusted text came from ("the web page example.com/a"): the turn is tainted by it, and the
    model sees the text inside a marked boundary. `images` are shown to models that see.
    """

    text: str
    ok: bool = True
    detail: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Errand:
    """What a subagent is to do, and what it may use up at most: calls of the model, USD. 0: as the settings say."""

    task: str
    steps: int = 0
    usd: float = 0.0


Delegate = Callable[[Errand], Awaitable[Outcome]]
"""Runs a subagent to its end."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool function may know about its call. Times in seconds, lengths in characters.

    `effect` is the description that was decided upon: a tool works on the resolved paths in it and resolves nothing
    again, so that what was checked is what is used. `asker` is whose message the turn works on ("telegram:4242"),
    `here` the chat that it belongs to ("telegram:4242", "local:..."), `sources` the untrusted texts that it has read.
    `delegate` starts a subagent; None where there may be none. `sessions` are the programs in the background, `gate`
    makes the way to a few hosts.
    """

    workspace: Workspace
    conversation_id: int
    turn_id: int
    call_id: str
    command_seconds: float = 120.0
    max_chars: int = 30_000
    output: Callable[[str], None] = lambda text: None
    environment: Callable[[], dict[str, str]] = dict
    effect: Effect | None = None
    sandbox: Sandbox | None = None
    sender_role: str = "owner"
    asker: str = ""
    here: str = ""
    sources: tuple[str, ...] = ()
    delegate: Delegate | None = None
    scrub: Callable[[str], str] = str
    sessions: Sessions | None = None
    gate: Callable[[Sequence[str]], HostGate] = HostGate

    @property
    def path(self) -> Path:
        """The resolved path of a tool that touches exactly one."""
        if self.effect is None or len(self.effect.places) != 1:
            raise LookupError("the call was not prepared")
        return self.effect.places[0].path


Describe = Callable[..., Effect]
"""Called with the context and the arguments, in a thread, before anything happens. Raises `ToolError`."""


@dataclass(frozen=True)
class Tool:
    """A function the model can call. Coroutine functions run on the loop, others in a thread.

    `seconds` ends a call that takes longer (None: the tool keeps its own time). `also` are names that models know
    parameters by from elsewhere: {"content": "text"}. A `deferred` tool is not in the prompt: the model finds it by
    tool_search. `given` is the specification of a tool that is not described by its function (MCP), `origin` names who
    wrote it where that is somebody else ("the MCP server github").
    """

    function: Callable[..., Any]
    kind: EffectKind
    describe: Describe
    seconds: float | None = 60.0
    also: Mapping[str, str] = field(default_factory=dict)
    deferred: bool = False
    given: ToolSpec | None = None
    origin: str = ""

    @property
    def name(self) -> str:
        """As the model calls it."""
        name: str = self.function.__name__ if self.given is None else self.given.name
        return name

    @property
    def is_async(self) -> bool:
        """Whether it runs on the loop."""
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def spec(self) -> ToolSpec:
        """Name, description and parameters as the model sees them; built at first use."""
        if self.given is not None:
            return self.given
        from agent.tools.schema import parameters_of

        text = inspect.getdoc(self.function) or ""
        description, _, arguments = text.partition("\nArgs:\n")
        documented = {name: " ".join(words.split()) for name, words in _ARGUMENT.findall(arguments)}
        return ToolSpec(self.name, " ".join(description.split()), parameters_of(self.function, documented))

    @cached_property
    def shown(self) -> ToolSpec:
        """The specification as it is sent: without what only the validation needs, in every request of every turn."""
        if self.given is not None:
            return self.given
        spare = {"additionalProperties": False, "required": []}
        kept = {key: value for key, value in self.spec.parameters.items() if key not in spare or value != spare[key]}
        return ToolSpec(self.spec.name, self.spec.description, kept)


_ARGUMENT = re.compile(r"^ {4}(\w+): ((?:.+(?:\n {6,}.+)*))", re.MULTILINE)


def tool(
    kind: EffectKind,
    describe: Describe,
    *,
    seconds: float | None = 60.0,
    also: Mapping[str, str] = MappingProxyType({}),
    deferred: bool = False,
) -> Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function whose first parameter is a `ToolContext`.

    The docstring is the description; an `Args:` section (4 spaces, `name: words`) documents the parameters.
    """

    def make(function: Callable[..., Any]) -> Tool:
        return Tool(function, kind, describe, seconds, also, deferred)

    return make
