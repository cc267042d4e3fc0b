"""The one frozen AppState that tray, menu and windows render, and the pure function that keeps it up to date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from PySide6.QtCore import QCoreApplication

from agent.events import (
    Approval,
    ApprovalAsked,
    ApprovalResolved,
    ChannelChanged,
    DeliveryChanged,
    Event,
    Failure,
    PairingAsked,
    PairingResolved,
    Question,
    QuestionAsked,
    QuestionResolved,
    TurnFinished,
    TurnStarted,
)
from agent.views import ChannelHealth, PairingRequest

Overall = Literal["stopped", "ready", "working", "needs_you", "error", "offline"]
Phase = Literal["starting", "running", "stopping", "failed"]

NEAR_LIMIT = 0.8
"""The share of the daily limit from which on the tray says so."""
NETWORK_KINDS = frozenset({"network", "timeout"})
"""Failures that say nothing about the model, only that it was not reached."""


@dataclass(frozen=True, slots=True)
class AppState:
    """What there is to show. `busy` are ids of conversations, money is USD."""

    phase: Phase = "starting"
    busy: tuple[int, ...] = ()
    approvals: tuple[Approval, ...] = ()
    pairings: tuple[PairingRequest, ...] = ()
    channels: tuple[ChannelHealth, ...] = ()
    spent_today: float = 0.0
    spent_month: float = 0.0
    daily_limit: float = 0.0
    model: str = ""
    problem: Failure | None = None
    offline: bool = False
    undelivered: tuple[int, ...] = ()
    """Answers that did not arrive, as numbers of the outbox."""
    questions: tuple[Question, ...] = ()

    @property
    def waiting_for_person(self) -> bool:
        """Whether something is asked that only a person can answer."""
        return bool(self.approvals or self.questions or self.pairings)

    @property
    def overall(self) -> Overall:
        """The one state that the tray icon shows: what needs a person comes first."""
        if self.phase == "failed":
            return "error"
        if self.phase != "running":
            return "stopped"
        if self.waiting_for_person:
            return "needs_you"
        if self.busy:
            return "working"
        if self.problem or self.broken_channels:
            return "error"
        return "offline" if self.offline else "ready"

    @property
    def broken_channels(self) -> tuple[ChannelHealth, ...]:
        """Channels that only a person can mend."""
        return tuple(channel for channel in self.channels if channel.state == "wrong_token")

    @property
    def words(self) -> str:
        """The state in one short line."""
        if self.phase == "starting":
            return tr("Starting…")
        if self.phase == "stopping":
            return tr("Stopping…")
        if self.phase == "failed":
            return self.problem.title if self.problem else tr("TrayClaw could not start")
        if self.busy:
            return count(len(self.busy), tr("Working on 1 conversation"), tr("Working on {n} conversations"))
        if self.waiting_for_person:
            return tr("Waiting for you")
        if self.problem:
            return self.problem.title
        if self.broken_channels:
            return tr("{channel}: the token was refused").format(channel=self.broken_channels[0].label)
        return tr("Offline: the model was not reached") if self.offline else tr("Ready")

    @property
    def money(self) -> str:
        """What was spent today, of what may be spent."""
        if self.daily_limit <= 0:
            return tr("${spent:.2f} today").format(spent=self.spent_today)
        words = tr("${spent:.2f} of ${limit:.2f} today").format(spent=self.spent_today, limit=self.daily_limit)
        if self.spent_today >= self.daily_limit:
            return tr("{money}: the limit is reached").format(money=words)
        if self.spent_today >= NEAR_LIMIT * self.daily_limit:
            return tr("{money}: the limit is near").format(money=words)
        return words


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read from the service: the whole truth at that moment."""

    busy: tuple[int, ...]
    approvals: tuple[Approval, ...]
    pairings: tuple[PairingRequest, ...]
    channels: tuple[ChannelHealth, ...]
    spent_today: float
    spent_month: float
    daily_limit: float
    model: str
    undelivered: tuple[int, ...] = ()
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """The application starts, runs, stops or could not start."""

    phase: Phase
    problem: Failure | None = None


Change = Event | Snapshot | PhaseChanged


def reduce(state: AppState, change: Change) -> AppState:
    """The state after `change`; the same object when nothing in it is concerned. Touches nothing else."""
    match change:
        case Snapshot():
            return replace(
                state,
                phase="running" if state.phase == "starting" else state.phase,
                busy=change.busy,
                approvals=change.approvals,
                questions=change.questions,
                pairings=change.pairings,
                channels=change.channels,
                spent_today=change.spent_today,
                spent_month=change.spent_month,
                daily_limit=change.daily_limit,
                model=model_label(change.model),
                undelivered=change.undelivered,
            )
        case PhaseChanged():
            return replace(state, phase=change.phase, problem=change.problem)
        case TurnStarted():
            return replace(state, busy=tuple(dict.fromkeys((*state.busy, change.conversation_id))))
        case TurnFinished():
            return _finished(state, change)
        case ApprovalAsked():
            return replace(state, approvals=(*_but(state.approvals, change.approval.id), change.approval))
        case ApprovalResolved():
            return replace(state, approvals=_but(state.approvals, change.approval.id))
        case QuestionAsked():
            return replace(state, questions=(*_but(state.questions, change.question.id), change.question))
        case QuestionResolved():
            return replace(state, questions=_but(state.questions, change.question.id))
        case ChannelChanged():
            return replace(state, channels=tuple(_health(channel, change) for channel in state.channels))
        case DeliveryChanged():
            others = tuple(number for number in state.undelivered if number != change.outbox_id)
            found = (*others, change.outbox_id) if change.state == "failed" else others
            return state if found == state.undelivered else replace(state, undelivered=found)
        case PairingAsked():
            asked = PairingRequest(
                code=change.code,
                channel=change.channel,
                user_id=change.user_id,
                name=change.name,
                asked_at=0.0,
                expires_at=change.expires_at,
            )
            waiting = tuple(request for request in state.pairings if request.code != change.code)
            return replace(state, pairings=(*waiting, asked))
        case PairingResolved():
            return replace(state, pairings=tuple(asked for asked in state.pairings if asked.code != change.code))
        case _:
            return state


def model_label(model: str) -> str:
    """A model as people are told of it."""
    from agent.settings import STARTER  # pydantic: not before the icon is there

    return tr("Starter model (tiny)") if model in ("", STARTER) else model.partition("/")[2] or model


def count(number: int, one: str, many: str) -> str:
    """`one`, or `many` with {n} filled in."""
    return one if number == 1 else many.format(n=number)


def tr(text: str) -> str:
    """The person's language for a text of this module."""
    return QCoreApplication.translate("state", text)


def _finished(state: AppState, change: TurnFinished) -> AppState:
    """A finished turn tells whether the model can be reached; a stopped one tells nothing."""
    busy = tuple(conversation for conversation in state.busy if conversation != change.conversation_id)
    state = replace(
        state,
        busy=busy,
        approvals=tuple(approval for approval in state.approvals if approval.turn_id != change.turn_id),
        questions=tuple(question for question in state.questions if question.turn_id != change.turn_id),
        spent_today=state.spent_today + change.cost_usd,
        spent_month=state.spent_month + change.cost_usd,
    )
    if change.status == "answered":
        return replace(state, offline=False, problem=None)
    if change.failure is None or change.status != "failed":
        return state
    if change.failure.kind in NETWORK_KINDS:
        return replace(state, offline=True, problem=None)
    return replace(state, offline=False, problem=change.failure)


Asked = TypeVar("Asked", Approval, Question)


def _but(asked: tuple[Asked, ...], asked_id: str) -> tuple[Asked, ...]:
    return tuple(one for one in asked if one.id != asked_id)


def _health(channel: ChannelHealth, change: ChannelChanged) -> ChannelHealth:
    if channel.name != change.channel:
        return channel
    return replace(channel, state=change.state, detail=change.detail, configured=change.configured)
