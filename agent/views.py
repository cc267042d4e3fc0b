"""What the service shows of its state: plain frozen rows for windows and commands. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from agent.events import ChannelState, Failure, TurnStatus
from agent.providers.types import NOTHING, Usage


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
    """A tool call; `text` and `ok` are None while nothing came back."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    summary: str
    text: str | None = None
    ok: bool | None = None
    seconds: float | None = None


TurnItem = TextItem | ReasoningItem | ToolItem


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


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """A channel as the tray and the settings show it. `configured`: it has what it needs to start."""

    name: str
    label: str
    state: ChannelState
    detail: str
    configured: bool


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
class UsageRow:
    """Tokens and money of one group of calls (a model, a day, a conversation)."""

    group: str
    calls: int
    usage: Usage
    cost_usd: float
    seconds: float


Purpose = Literal["chat", "title", "compaction"]
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


@dataclass(frozen=True, slots=True)
class SandboxView:
    """The fence in force. `name` is empty when there is none; `proof` are the checks that were really made."""

    name: str
    detail: str
    proof: tuple[tuple[str, bool], ...] = ()
