"""What the service shows of its state: plain frozen rows for windows and commands. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from agent.events import ChannelState, Failure, TurnStatus
from agent.providers.types import NOTHING, Usage
from agent.settings import QueueMode, SafetyMode

McpState = Literal["off", "idle", "connecting", "ready", "failed", "unfenced"]
"""Of an MCP server: switched off; starts when it is needed; on the way; its tools are known; not reachable; would be
started without a fence, which a person must allow."""

LOOKS: Final = ("read", "fetch", "find", "follow", "ask", "delegate")
"""Kinds of effects that change nothing; what a subagent does has rows of its own."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of the conversation list. `channel` is "local" for the window and the terminal."""

    id: int
    channel: str
    chat_id: str
    title: str
    model: str
    created_at: float
    updated_at: float
    preview: str = ""
    busy: bool = False
    queue_mode: QueueMode | Literal[""] = ""
    """What happens to a message that comes while another is worked on; "" as the settings say."""
    safety_mode: SafetyMode | Literal[""] = ""
    """"" as the settings say."""

    def with_busy(self) -> Conversation:
        """The same row, with a turn running in it."""
        return replace(self, busy=True)


@dataclass(frozen=True, slots=True)
class TextItem:
    """A piece of the agent's answer, in Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningItem:
    """Thinking that the model showed."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolItem:
    """A tool call; `text` and `ok` are None while nothing came back. `inner` are those of the subagent that it
    started."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    summary: str
    text: str | None = None
    ok: bool | None = None
    seconds: float | None = None
    inner: tuple[ToolItem, ...] = ()


@dataclass(frozen=True, slots=True)
class SentItem:
    """A message with files that the agent sent into its own conversation in the window."""

    text: str
    files: tuple[Path, ...]


TurnItem = TextItem | ReasoningItem | ToolItem | SentItem


@dataclass(frozen=True, slots=True)
class TurnView:
    """A person's message and everything the agent did about it."""

    inbox_id: int
    turn_id: int | None
    question: str
    sender_name: str
    asked_at: float
    status: TurnStatus | Literal["waiting", "running"]
    items: tuple[TurnItem, ...] = ()
    model: str = ""
    usage: Usage = NOTHING
    cost_usd: float = 0.0
    seconds: float = 0.0
    failure: Failure | None = None
    delivery: Literal["", "waiting", "sent", "failed", "uncertain"] = ""
    acted: bool = False
    """Whether it did more than look."""
    undone: bool = False
    unasked: bool = False
    """The agent wrote of its own accord, sent from another conversation: there is no question."""


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """A channel as the tray and the settings show it. `configured`: it has what it needs to start."""

    name: str
    label: str
    state: ChannelState
    detail: str
    configured: bool


@dataclass(frozen=True, slots=True)
class McpToolView:
    """A tool of an MCP server. `description` is the server's own words; `accepted`: a person has used it."""

    name: str
    description: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class McpServerView:
    """An MCP server as the settings show it. `where` is its command or address, `detail` why it is as it is."""

    name: str
    where: str
    enabled: bool
    state: McpState
    detail: str
    tools: tuple[McpToolView, ...]


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A provider as the settings show it."""

    name: str
    label: str
    base_url: str
    has_key: bool
    needs_key: bool
    local: bool
    key_url: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class PairingRequest:
    """Somebody unknown who asked to talk."""

    code: str
    channel: str
    user_id: str
    name: str
    asked_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may talk to the agent."""

    channel: str
    user_id: str
    name: str
    role: Literal["owner", "paired"]
    since: float


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a messenger whose members are answered."""

    channel: str
    group_id: str
    title: str
    since: float


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An answer that did not arrive and is not tried again by itself. `error` says why."""

    outbox_id: int
    conversation_id: int
    conversation: str
    channel: str
    text: str
    created_at: float
    error: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Tokens and money of one group of calls (a model, a day, a conversation)."""

    group: str
    calls: int
    usage: Usage
    cost_usd: float
    seconds: float


Purpose = Literal["chat", "subagent", "title", "compaction", "transcription"]
"""What a call of a model was made for."""
Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class UsageDay:
    """What one model cost on one day of local time ("2026-03-01"), background work included."""

    day: str
    model: str
    calls: int
    usage: Usage
    cost_usd: float


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Calls of one day, model and purpose, and of one conversation where that was asked for: a line of the export."""

    day: str
    provider: str
    model: str
    purpose: str
    conversation: str
    calls: int
    failed: int
    usage: Usage
    cost_usd: float
    seconds: float
    price_known: bool


@dataclass(frozen=True, slots=True)
class LimitView:
    """A spending limit. `scope` is "all", "channel:NAME" or "conversation:ID", `label` what it covers in words; amounts
    in USD, `reserved` for calls that are under way, `raised` on top of the settings for this day or month only."""

    scope: str
    label: str
    period: Period
    spent: float
    reserved: float
    limit: float
    raised: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that can be downloaded for the built-in runtime. Sizes in bytes; `have` is what is on the disk already.

    `tools`: whether it can call tools, in words where that is unreliable.
    """

    name: str
    label: str
    size: int
    license: str
    license_url: str
    memory: int
    have: int
    ready: bool
    tools: Literal["no", "unreliable", "yes"]
    note: str = ""


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn in a list."""

    id: int
    conversation_id: int
    conversation: str
    question: str
    status: str
    model: str
    started_at: float
    seconds: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class UndoStep:
    """What undo did, or would do, about one thing. `what` names it ("Report.md", "message to Anna")."""

    what: str
    outcome: Literal["restored", "removed", "conflict", "not covered", "cannot be taken back", "nothing to do"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class UndoReport:
    """The outcome of an undo. `done` is False when a conflict kept everything as it is."""

    turn_ids: tuple[int, ...]
    done: bool
    steps: tuple[UndoStep, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file in a receipt; paths relative to the workspace where they are inside. Sizes in bytes, None: absent."""

    path: str
    change: Literal["created", "changed", "removed"]
    before: int | None
    after: int | None
    covered: bool
    """Whether undo can bring it back."""


@dataclass(frozen=True, slots=True)
class CommandRun:
    """A command in a receipt. `sandbox` is the fence it ran behind, empty for none; `exit_code` None: ended by
    force, or `background`: it went on."""

    command: str
    exit_code: int | None
    seconds: float
    sandbox: str
    background: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything a turn did. `sources` are untrusted texts it read; `intact` whether the chain of receipts holds."""

    turn_id: int
    conversation_id: int
    status: str
    started_at: float
    model: str
    files: tuple[FileChange, ...]
    commands: tuple[CommandRun, ...]
    hosts: tuple[str, ...]
    messages: tuple[str, ...]
    sources: tuple[str, ...]
    denied: tuple[str, ...]
    gaps: tuple[str, ...]
    """What undo does not cover, in words."""
    usage: Usage
    cost_usd: float
    undone: bool
    undoable: bool
    hash: str
    intact: bool
    outside: tuple[str, ...] = ()
    """Outside tools that were used."""


@dataclass(frozen=True, slots=True)
class SandboxView:
    """The fence in force. `name` is empty when there is none; `proof` are the checks that were really made."""

    name: str
    detail: str
    proof: tuple[tuple[str, bool], ...] = ()


SkillState = Literal["built in", "accepted", "new", "changed", "unusable"]
"""Came along; accepted by a person as it is; never accepted; changed since it was; cannot be used as it is."""


@dataclass(frozen=True, slots=True)
class SkillView:
    """A skill in a list. `lacks` names what it needs and is not here, `problem` what is wrong with its files, `shown`
    its folder as tools name it. `shipped`: it lies with the program and not in the workspace."""

    name: str
    description: str
    state: SkillState
    lacks: tuple[str, ...]
    problem: str
    folder: Path
    shown: str
    shipped: bool


@dataclass(frozen=True, slots=True)
class SkillText:
    """What a person reads before they accept a skill: all of it, or what changed since they did. `digest` stands for
    exactly this."""

    name: str
    state: SkillState
    text: str
    digest: str
