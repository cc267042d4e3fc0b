"""What the agent tells whoever listens: frozen events, and the bus that carries them on the agent's loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.providers.types import Usage

log = logging.getLogger(__name__)

TurnStatus = Literal["answered", "stopped", "failed", "refused", "interrupted"]
ChannelState = Literal["stopped", "connecting", "ready", "degraded", "wrong_token"]
ApprovalChoice = Literal["allow", "conversation", "always", "deny"]


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """A conversation was created, renamed, got a message or was removed: read it again."""

    conversation_id: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A person's message was committed and waits for its turn."""

    conversation_id: int
    inbox_id: int
    text: str
    sender_name: str


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The agent began to work on a message."""

    conversation_id: int
    turn_id: int
    model: str
    inbox_id: int = 0


@dataclass(frozen=True, slots=True)
class TurnJoined:
    """A message that waited is answered by a turn that runs already."""

    conversation_id: int
    turn_id: int
    inbox_id: int


@dataclass(frozen=True, slots=True)
class TurnText:
    """A piece of the answer."""

    conversation_id: int
    turn_id: int
    delta: str


@dataclass(frozen=True, slots=True)
class TurnReasoning:
    """A piece of the model's thinking."""

    conversation_id: int
    turn_id: int
    delta: str


@dataclass(frozen=True, slots=True)
class TurnNotice:
    """Something to know while waiting: a model is loading, a call is tried again."""

    conversation_id: int
    turn_id: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model asked for a tool; nothing has run yet. `parent` is the call whose subagent asked, empty for none."""

    conversation_id: int
    turn_id: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]
    summary: str
    parent: str = ""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A running tool printed something. At most ten a second for one call; of what comes faster only the end is told,
    and "…" stands for the rest. The whole is in `ToolFinished`."""

    conversation_id: int
    turn_id: int
    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call ended. `seconds` is the run time without the wait for an approval, `parent` as in `ToolCalled`."""

    conversation_id: int
    turn_id: int
    call_id: str
    name: str
    ok: bool
    text: str
    seconds: float
    parent: str = ""


@dataclass(frozen=True, slots=True)
class MessageSent:
    """A turn of the window or the terminal sent a message with files into its own conversation, by this call. Without a
    call it was sent from another conversation into this one, where it is a turn of its own."""

    conversation_id: int
    turn_id: int
    call_id: str
    text: str
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to a person about one exact action. `expires_at` is a Unix time.

    `always` and `session` say in words what would be permitted for always or for this conversation; empty: not offered.
    `sources` are texts that were read before and that the wish may come from, `sandbox` the fence a program would run
    behind.
    """

    id: str
    conversation_id: int
    turn_id: int
    call_id: str
    tool: str
    title: str
    action: str
    reason: str
    undoable: bool
    always: str
    expires_at: float
    session: str = ""
    sources: tuple[str, ...] = ()
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A person has to decide before a tool runs."""

    approval: Approval


@dataclass(frozen=True, slots=True)
class ApprovalResolved:
    """Somebody decided, or time ran out (`by` is then "timeout")."""

    approval: Approval
    choice: ApprovalChoice
    by: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the model to the person whose message it works on. `expires_at` is a Unix time.

    `choices` are answers that it offers; words of one's own are always an answer. `asker` is who may answer besides the
    owners ("telegram:4242"). `sources` are texts that were read before and that the question may come from.
    """

    id: str
    conversation_id: int
    turn_id: int
    call_id: str
    text: str
    choices: tuple[str, ...]
    expires_at: float
    asker: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The model wants to know something before it goes on."""

    question: Question


@dataclass(frozen=True, slots=True)
class QuestionResolved:
    """It was answered; without an answer `by` says why: "timeout", "stopped", or "nobody" is there to answer."""

    question: Question
    answer: str
    by: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a person sees it."""

    kind: str
    title: str
    message: str
    hint: str
    exit_code: int = 1


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The turn is over and committed. `effects` are the rows of its receipt, `outbox_id` its delivery to a channel."""

    conversation_id: int
    turn_id: int
    status: TurnStatus
    text: str
    model: str
    usage: Usage
    cost_usd: float
    seconds: float
    failure: Failure | None = None
    effects: tuple[Mapping[str, Any], ...] = ()
    inbox_id: int = 0
    outbox_id: int | None = None


@dataclass(frozen=True, slots=True)
class ChannelChanged:
    """A channel's health. `detail` is words for people (the account, the reason, the next try); `configured`: it has
    what it needs to start."""

    channel: str
    state: ChannelState
    detail: str = ""
    configured: bool = True


@dataclass(frozen=True, slots=True)
class PairingAsked:
    """Somebody unknown wants to talk to the agent."""

    code: str
    channel: str
    user_id: str
    name: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class PairingResolved:
    """A pairing request was decided."""

    code: str
    channel: str
    user_id: str
    approved: bool


@dataclass(frozen=True, slots=True)
class DeliveryChanged:
    """An answer could not be delivered yet, or was after all."""

    conversation_id: int
    outbox_id: int
    state: Literal["waiting", "sent", "failed", "uncertain"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LimitNear:
    """Most of a spending limit is used; told once a day or month for each. Amounts in USD."""

    scope: str
    label: str
    period: Literal["day", "month"]
    spent: float
    limit: float


@dataclass(frozen=True, slots=True)
class DownloadChanged:
    """A download of a model for the built-in runtime went on. Sizes in bytes; `detail` says why it failed."""

    name: str
    state: Literal["running", "checking", "ready", "stopped", "failed"]
    have: int
    size: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The settings were written; read them again from the service."""

    keys: tuple[str, ...] = ()


Event = (
    ConversationChanged
    | MessageReceived
    | TurnStarted
    | TurnJoined
    | TurnText
    | TurnReasoning
    | TurnNotice
    | ToolCalled
    | ToolOutput
    | ToolFinished
    | ApprovalAsked
    | ApprovalResolved
    | QuestionAsked
    | QuestionResolved
    | MessageSent
    | TurnFinished
    | ChannelChanged
    | PairingAsked
    | PairingResolved
    | DeliveryChanged
    | LimitNear
    | DownloadChanged
    | SettingsChanged
)


def conversation_of(event: Event) -> int | None:
    """The conversation an event belongs to; None for those of the whole agent (channels, settings)."""
    if isinstance(event, ApprovalAsked | ApprovalResolved):
        return event.approval.conversation_id
    if isinstance(event, QuestionAsked | QuestionResolved):
        return event.question.conversation_id
    return getattr(event, "conversation_id", None)


Listener = Callable[[Event], None]


@dataclass(slots=True)
class EventBus:
    """Calls every listener in turn, on the loop, before `publish` returns. Listeners must not block."""

    _everything: list[Listener] = field(default_factory=list)
    _by_conversation: dict[int, list[Listener]] = field(default_factory=dict)

    def subscribe(self, listener: Listener, conversation_id: int | None = None) -> Callable[[], None]:
        """Listen from now on, to all events or to those of one conversation; call the result to stop."""
        if conversation_id is None:
            listeners = self._everything
        else:
            listeners = self._by_conversation.setdefault(conversation_id, [])
        listeners.append(listener)

        def unsubscribe() -> None:
            if listener in listeners:
                listeners.remove(listener)
            own = self._by_conversation.get(conversation_id or 0)
            if own is listeners and not own:
                del self._by_conversation[conversation_id or 0]

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Tell everybody. A listener that raises is logged and does not keep the others from hearing."""
        concerned: Iterable[Listener] = tuple(self._everything)
        if self._by_conversation and (own := self._by_conversation.get(conversation_of(event) or 0)):
            concerned = (*concerned, *own)
        for listener in concerned:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on %s", type(event).__name__)
