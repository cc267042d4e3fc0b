"""What running turns have done so far, so that a conversation can be opened in the middle of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QObject

from agent.events import (
    Approval,
    ApprovalAsked,
    ApprovalResolved,
    MessageSent,
    Question,
    QuestionAsked,
    QuestionResolved,
    ToolCalled,
    ToolFinished,
    ToolOutput,
    TurnFinished,
    TurnNotice,
    TurnReasoning,
    TurnStarted,
    TurnText,
)
from desktop.bridge import Bridge
from desktop.chat.tool_card import LIVE_CHARS
from desktop.chat.turn_box import TurnBox

TurnEvent = (
    TurnText
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
)


class LiveTurns(QObject):
    """Remembers the events of every turn that runs; forgets them when it is over and on record."""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._turns: dict[int, list[TurnEvent]] = {}
        bridge.turn_started.connect(self._started)
        bridge.turn_finished.connect(self._finished)
        for signal in (
            bridge.turn_text,
            bridge.turn_reasoning,
            bridge.turn_notice,
            bridge.tool_called,
            bridge.tool_output,
            bridge.tool_finished,
            bridge.approval_asked,
            bridge.approval_resolved,
            bridge.question_asked,
            bridge.question_resolved,
            bridge.message_sent,
        ):
            signal.connect(self._hear)

    def events(self, turn_id: int) -> Sequence[TurnEvent] | None:
        """All that a running turn did, pieces of text joined; None when its beginning was not heard."""
        found = self._turns.get(turn_id)
        return None if found is None else _joined(found)

    def _started(self, event: TurnStarted) -> None:
        self._turns[event.turn_id] = []

    def _finished(self, event: TurnFinished) -> None:
        self._turns.pop(event.turn_id, None)

    def _hear(self, event: TurnEvent) -> None:
        found = self._turns.get(turn_of(event))
        if found is None:
            return
        if isinstance(event, ToolOutput | ToolFinished):
            event = _only_the_end(found, event)
        found.append(event)


def turn_of(event: TurnEvent) -> int:
    """The turn that an event belongs to."""
    return _subject(event).turn_id


def conversation_of(event: TurnEvent) -> int:
    """The conversation that an event belongs to."""
    return _subject(event).conversation_id


def _subject(
    event: TurnEvent,
) -> TurnText | TurnReasoning | TurnNotice | ToolCalled | ToolOutput | ToolFinished | MessageSent | Approval | Question:
    """What knows where an event happened."""
    if isinstance(event, ApprovalAsked | ApprovalResolved):
        return event.approval
    if isinstance(event, QuestionAsked | QuestionResolved):
        return event.question
    return event


def apply(box: TurnBox, event: TurnEvent) -> None:
    """Show in a turn's box what just happened in it."""
    match event:
        case TurnText():
            box.add_text(event.delta)
        case TurnReasoning():
            box.add_reasoning(event.delta)
        case TurnNotice():
            box.notice(event.text)
        case ToolCalled():
            box.tool_called(event.call_id, event.name, event.arguments, event.summary, event.parent)
        case ToolOutput():
            box.tool_output(event.call_id, event.text)
        case ToolFinished():
            box.tool_finished(event.call_id, event.ok, event.text, event.seconds)
        case ApprovalAsked():
            box.ask(event.approval)
        case ApprovalResolved():
            box.resolved(event.approval.id, event.choice, event.by)
        case QuestionAsked():
            box.pose(event.question)
        case QuestionResolved():
            box.answered(event.question.id, event.answer, event.by)
        case MessageSent():
            box.show_sent(event.text, event.files)


def _only_the_end(found: list[TurnEvent], event: ToolOutput | ToolFinished) -> TurnEvent:
    """Of what a call prints the end is kept, and nothing once its result is there."""
    at = next((n for n, one in enumerate(found) if isinstance(one, ToolOutput) and one.call_id == event.call_id), None)
    before = None if at is None else found.pop(at)
    if isinstance(event, ToolOutput) and isinstance(before, ToolOutput):
        return replace(event, text=(before.text + event.text)[-LIVE_CHARS:])
    return event


def _joined(events: list[TurnEvent]) -> list[TurnEvent]:
    found: list[TurnEvent] = []
    pieces: list[str] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, TurnText | TurnReasoning) and type(event) is type(last):
            pieces.append(event.delta)
            continue
        if pieces and isinstance(last, TurnText | TurnReasoning):
            found[-1] = replace(last, delta=last.delta + "".join(pieces))
            pieces = []
        found.append(event)
    last = found[-1] if found else None
    if pieces and isinstance(last, TurnText | TurnReasoning):
        found[-1] = replace(last, delta=last.delta + "".join(pieces))
    events[:] = found
    return found
