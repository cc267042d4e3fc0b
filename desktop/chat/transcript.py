"""Keeps the timeline in step with one conversation: loads its pages, follows its events, carries out what is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from agent.errors import TrayClawError
from agent.events import (
    ApprovalAsked,
    ApprovalChoice,
    DeliveryChanged,
    MessageReceived,
    MessageSent,
    QuestionAsked,
    ToolOutput,
    TurnFinished,
    TurnJoined,
    TurnStarted,
)
from agent.views import TurnView
from desktop import tasks
from desktop.bridge import Bridge
from desktop.chat.attachments import Attachment
from desktop.chat.live import LiveTurns, TurnEvent, apply, conversation_of, turn_of
from desktop.chat.timeline import Timeline
from desktop.chat.turn_box import TurnBox

if TYPE_CHECKING:
    from agent.service import AgentService

PAGE = 20  # turns
SLOW_SECONDS = 0.3
"""Reading that takes longer is said."""
OWNER_NAME = "You"
"""How the service signs what is written in this window."""


class Transcript(QObject):
    """`loaded` when a conversation is shown, `failed(error)` when it could not be read."""

    loaded = Signal()
    failed = Signal(object)
    retry_requested = Signal(str, object)
    settings_requested = Signal(str)
    approval_shown = Signal(object)
    question_shown = Signal(object)
    decided = Signal()
    running_changed = Signal(bool)

    def __init__(self, service: AgentService, bridge: Bridge, timeline: Timeline) -> None:
        super().__init__(timeline)
        self._service = service
        self._bridge = bridge
        self._live = LiveTurns(bridge, self)
        self.timeline = timeline
        self.conversation: int | None = None
        self._loading = False
        self._loading_older = False
        self._has_older = False
        self._news = 0
        self._shown = 0  # counts conversations that were opened: an older load ends when it changes
        self._deliveries: dict[int, int] = {}
        self._pictures: dict[int, tuple[Attachment, ...]] = {}
        self._sending: tuple[Attachment, ...] = ()
        timeline.older_wanted.connect(self._older)
        bridge.message_received.connect(self._received)
        bridge.turn_started.connect(self._started)
        bridge.turn_joined.connect(self._joined)
        bridge.turn_finished.connect(self._finished)
        bridge.delivery_changed.connect(self._delivered)
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
            signal.connect(self._happened)

    @property
    def running(self) -> bool:
        """Whether there is something to stop."""
        return any(box.state in ("running", "waiting") for box in self.timeline.boxes)

    @property
    def loading(self) -> bool:
        return self._loading

    @property
    def is_empty(self) -> bool:
        return not self.timeline.boxes

    @property
    def has_older(self) -> bool:
        """Whether there are turns before the oldest that is shown."""
        return self._has_older

    def open(self, conversation: int | None) -> None:
        """Show another conversation; None for one that does not exist yet."""
        self._shown += 1
        self.conversation = conversation
        self._has_older = False
        self.timeline.clear()
        self.running_changed.emit(False)
        if conversation is None:
            self._loading = False
            self.loaded.emit()
        else:
            self._loading = True
            tasks.run(self._load(conversation, self._shown), "load conversation")

    def adopt(self, conversation: int) -> None:
        """What is shown as new got its number."""
        self.conversation = conversation

    def expect_pictures(self, pictures: Sequence[Attachment]) -> None:
        """The next message carries these; the record keeps them, but does not show them."""
        self._sending = tuple(pictures)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _load(self, conversation: int, shown: int) -> None:
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self.timeline.older.show)
        try:
            while True:
                self._news = 0
                views = await self._service.timeline(conversation, limit=PAGE)
                if shown != self._shown:
                    return
                if not self._news:  # nothing began or ended while it was read
                    break
        except TrayClawError as error:
            if shown == self._shown:
                self._loading = False
                self.failed.emit(error)
            return
        finally:
            slow.cancel()
        self.timeline.older.hide()
        self._loading = False
        self._has_older = len(views) == PAGE
        boxes = [(self._box(view), view) for view in views]
        for box, view in reversed(boxes):
            self.timeline.prepend(box)
            if view.status in ("waiting", "running"):
                self._fill(box, view)
        self.loaded.emit()
        self.running_changed.emit(self.running)
        for box, view in reversed(boxes):
            if view.status not in ("waiting", "running"):
                self._fill(box, view)
            await self._render(box, shown)
            if shown != self._shown:
                return
        self.timeline.go_to_end()

    def _older(self) -> None:
        if self._has_older and not self._loading_older and not self._loading and self.timeline.boxes:
            self._loading_older = True
            tasks.run(self.load_older(self._shown), "load older turns")

    async def load_older(self, shown: int | None = None) -> None:
        """Show the page before the oldest turn."""
        shown = self._shown if shown is None else shown
        self._loading_older = True
        self.timeline.older.show()
        try:
            if self.conversation is None or not self.timeline.boxes:
                return
            first = self.timeline.boxes[0].inbox_id
            views = await self._service.timeline(self.conversation, before=first, limit=PAGE)
            if shown != self._shown:
                return
            self._has_older = len(views) == PAGE
            self.timeline.hold(True)
            for view in reversed(views):
                box = self._box(view)
                self.timeline.prepend(box)
                self._fill(box, view)
                await self._render(box, shown)
                if shown != self._shown:
                    return
            await asyncio.sleep(0.05)  # the last layout
        except TrayClawError as error:
            if shown == self._shown:
                self.failed.emit(error)
        finally:
            if shown == self._shown:
                self.timeline.older.hide()
                self.timeline.hold(False)
            self._loading_older = False

    async def _render(self, box: TurnBox, shown: int) -> None:
        """A piece at a time, so that the window stays alive."""
        while True:
            more = box.render_some()
            await asyncio.sleep(0)
            if not more or shown != self._shown:
                return

    def _fill(self, box: TurnBox, view: TurnView) -> None:
        if view.status != "running" or view.turn_id is None:
            box.show_view(view)
            return
        events = self._live.events(view.turn_id)
        if events is None:
            box.show_view(view)
            turn = view.turn_id
            events = [ApprovalAsked(one) for one in self._service.pending_approvals() if one.turn_id == turn]
            events += [QuestionAsked(one) for one in self._service.pending_questions() if one.turn_id == turn]
        else:
            box.start(view.turn_id)
        for event in events:
            self._apply(box, event)

    def _box(self, view: TurnView) -> TurnBox:
        box = self._new_box(view.inbox_id, view.question, view.sender_name)
        box.state = view.status
        return box

    def _new_box(self, inbox_id: int, question: str, sender: str) -> TurnBox:
        shown_sender = "" if sender in ("", OWNER_NAME) else sender
        pictures = self._pictures.get(inbox_id, ())
        box = TurnBox(inbox_id, question, shown_sender, [one.pixmap for one in pictures])
        box.retry_requested.connect(lambda: self.retry_requested.emit(question, pictures))
        box.settings_requested.connect(self.settings_requested)
        box.command_requested.connect(lambda text: self.retry_requested.emit(text, ()))
        box.decided.connect(self._decide)
        box.replied.connect(self._reply)
        box.receipt_requested.connect(lambda: self._look_up(box))
        box.undo_requested.connect(lambda: self._take_back(box))
        box.resend_requested.connect(lambda: tasks.run(self._resend(box), "resend"))
        return box

    # --- as it happens ------------------------------------------------------------------------------------------------

    def _find(self, *, inbox_id: int | None = None, turn_id: int | None = None) -> TurnBox | None:
        for box in reversed(self.timeline.boxes):
            if (inbox_id is not None and box.inbox_id == inbox_id) or (turn_id is not None and box.turn_id == turn_id):
                return box
        return None

    def _concerns(self, conversation: int) -> bool:
        if conversation != self.conversation:
            return False
        self._news += 1
        return not self._loading

    def _received(self, event: MessageReceived) -> None:
        if event.sender_name == OWNER_NAME and self._sending:
            self._pictures[event.inbox_id], self._sending = self._sending, ()
        if not self._concerns(event.conversation_id):
            return
        box = self._new_box(event.inbox_id, event.text, event.sender_name)
        others = self.running
        self.timeline.append(box)
        box.set_waiting(others)
        self.running_changed.emit(True)

    def _started(self, event: TurnStarted) -> None:
        if self._concerns(event.conversation_id) and (box := self._find(inbox_id=event.inbox_id)):
            box.start(event.turn_id)
            self.running_changed.emit(True)

    def _joined(self, event: TurnJoined) -> None:
        if self._concerns(event.conversation_id) and (box := self._find(inbox_id=event.inbox_id)):
            box.join()

    def _happened(self, event: TurnEvent) -> None:
        if self._loading or conversation_of(event) != self.conversation:
            return
        box = self._find(turn_id=turn_of(event))
        if box is not None:
            self._apply(box, event)
            if not isinstance(event, ToolOutput):  # it goes into a card that may be closed
                self.timeline.tell_new()
        elif isinstance(event, MessageSent) and not event.call_id:
            tasks.run(self._show_sent(event.turn_id, self._shown), "message of another conversation")

    async def _show_sent(self, turn_id: int, shown: int) -> None:
        """Another conversation wrote into this one."""
        with contextlib.suppress(TrayClawError):  # removed meanwhile
            view, _ = await self._service.turn(turn_id)
            if shown == self._shown and self._find(inbox_id=view.inbox_id) is None:
                box = self._box(view)
                self.timeline.append(box)
                self._fill(box, view)
                await self._render(box, shown)

    def _apply(self, box: TurnBox, event: TurnEvent) -> None:
        apply(box, event)
        if isinstance(event, ApprovalAsked):
            self.approval_shown.emit(box.approvals[event.approval.id])
        elif isinstance(event, QuestionAsked):
            self.question_shown.emit(box.questions[event.question.id])

    def _finished(self, event: TurnFinished) -> None:
        if event.outbox_id is not None:
            self._deliveries[event.outbox_id] = event.inbox_id
        if not self._concerns(event.conversation_id):
            return
        box = self._find(inbox_id=event.inbox_id)
        if box is not None:
            box.finish(event)
            if event.outbox_id is not None:
                box.set_delivery("waiting")
            self.timeline.tell_new()
        self.running_changed.emit(self.running)

    def _delivered(self, event: DeliveryChanged) -> None:
        if event.conversation_id != self.conversation:
            return
        box = self._find(inbox_id=self._deliveries.get(event.outbox_id, -1))
        if box is not None:
            box.set_delivery(event.state)

    def _decide(self, approval_id: str, choice: str) -> None:
        self.decided.emit()
        tasks.run(self._resolve(approval_id, choice), "approval")

    async def _resolve(self, approval_id: str, choice: str) -> None:
        choices: dict[str, ApprovalChoice] = {"allow": "allow", "conversation": "conversation", "always": "always"}
        chosen = choices.get(choice, "deny")
        await self._service.resolve_approval(approval_id, chosen, "desktop")

    async def _resend(self, box: TurnBox) -> None:
        try:
            await self._service.deliveries.resend_turn(box.turn_id or 0)
        except TrayClawError as error:
            box.show_undo_problem(f"{error} {error.hint}")

    def _reply(self, question_id: str, text: str) -> None:
        self.decided.emit()
        tasks.run(self._service.answer_question(question_id, text, "desktop"), "answer")

    # --- what was done ------------------------------------------------------------------------------------------------

    def _look_up(self, box: TurnBox) -> None:
        tasks.run(self._show_receipt(box), "receipt")

    async def _show_receipt(self, box: TurnBox) -> None:
        try:
            box.show_receipt(await self._service.receipt(box.turn_id or 0))
        except TrayClawError as error:
            box.show_undo_problem(f"{error} {error.hint}")

    def _take_back(self, box: TurnBox) -> None:
        tasks.run(self._undo(box), "undo")

    async def _undo(self, box: TurnBox) -> None:
        try:
            box.show_undo(await self._service.undo(box.turn_id or 0))
        except TrayClawError as error:
            box.show_undo_problem(f"{error} {error.hint}")
