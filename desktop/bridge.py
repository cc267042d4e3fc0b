"""Adapts the agent's events to Qt: one object, one typed signal an event, and the state that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, SignalInstance

from agent import events
from desktop.state import AppState, Change, Snapshot, reduce

if TYPE_CHECKING:
    from agent.service import AgentService


class Bridge(QObject):
    """Signals carry the event itself. `state` is always up to date when a signal fires; `changed` comes after it.

    Everything happens on the agent's loop, which is Qt's: no signal crosses a thread.
    """

    conversation_changed = Signal(events.ConversationChanged)
    message_received = Signal(events.MessageReceived)
    turn_started = Signal(events.TurnStarted)
    turn_joined = Signal(events.TurnJoined)
    turn_text = Signal(events.TurnText)
    turn_reasoning = Signal(events.TurnReasoning)
    turn_notice = Signal(events.TurnNotice)
    tool_called = Signal(events.ToolCalled)
    tool_output = Signal(events.ToolOutput)
    tool_finished = Signal(events.ToolFinished)
    approval_asked = Signal(events.ApprovalAsked)
    approval_resolved = Signal(events.ApprovalResolved)
    question_asked = Signal(events.QuestionAsked)
    question_resolved = Signal(events.QuestionResolved)
    message_sent = Signal(events.MessageSent)
    turn_finished = Signal(events.TurnFinished)
    channel_changed = Signal(events.ChannelChanged)
    pairing_asked = Signal(events.PairingAsked)
    pairing_resolved = Signal(events.PairingResolved)
    delivery_changed = Signal(events.DeliveryChanged)
    limit_near = Signal(events.LimitNear)
    download_changed = Signal(events.DownloadChanged)
    settings_changed = Signal(events.SettingsChanged)

    state_changed = Signal(AppState)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state = AppState()
        self._service: AgentService | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._signals: dict[type, SignalInstance] = {
            events.ConversationChanged: self.conversation_changed,
            events.MessageReceived: self.message_received,
            events.TurnStarted: self.turn_started,
            events.TurnJoined: self.turn_joined,
            events.TurnText: self.turn_text,
            events.TurnReasoning: self.turn_reasoning,
            events.TurnNotice: self.turn_notice,
            events.ToolCalled: self.tool_called,
            events.ToolOutput: self.tool_output,
            events.ToolFinished: self.tool_finished,
            events.ApprovalAsked: self.approval_asked,
            events.ApprovalResolved: self.approval_resolved,
            events.QuestionAsked: self.question_asked,
            events.QuestionResolved: self.question_resolved,
            events.MessageSent: self.message_sent,
            events.TurnFinished: self.turn_finished,
            events.ChannelChanged: self.channel_changed,
            events.PairingAsked: self.pairing_asked,
            events.PairingResolved: self.pairing_resolved,
            events.DeliveryChanged: self.delivery_changed,
            events.LimitNear: self.limit_near,
            events.DownloadChanged: self.download_changed,
            events.SettingsChanged: self.settings_changed,
        }

    @property
    def state(self) -> AppState:
        """What to show now."""
        return self._state

    async def attach(self, service: AgentService) -> None:
        """Listen to a started service and read where it stands."""
        self._service = service
        self._unsubscribe = service.events.subscribe(self.take)
        await self.refresh()

    def detach(self) -> None:
        """Stop listening."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._service = None

    async def refresh(self) -> None:
        """Read everything again: money, channels, what waits."""
        service = self._service
        if service is None:
            return
        today, month, *_ = await service.spending.limits()
        pairings = tuple(await service.pairing_requests())
        undelivered = tuple(one.outbox_id for one in await service.deliveries.undelivered())
        settings = service.settings
        # Nothing is awaited from here on: an event in between would be undone by an older picture.
        self.apply(
            Snapshot(
                busy=service.busy_conversations(),
                approvals=service.pending_approvals(),
                questions=service.pending_questions(),
                pairings=pairings,
                channels=service.channels(),
                spent_today=today.spent,
                spent_month=month.spent,
                daily_limit=today.limit,
                model=settings.model.default,
                undelivered=undelivered,
            )
        )

    def take(self, event: events.Event) -> None:
        """An event of the agent: the state first, so that whoever hears the signal reads the new one."""
        before = self._state
        self._state = reduce(before, event)
        self._signals[type(event)].emit(event)
        if self._state is not before:
            self.state_changed.emit(self._state)

    def apply(self, change: Change) -> None:
        """A change that is no event of the agent (a snapshot, a phase)."""
        before = self._state
        self._state = reduce(before, change)
        if self._state != before:
            self.state_changed.emit(self._state)
