"""One turn: the question, everything the agent did about it in order, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import Signal
from PySide6.QtGui import QPixmap, QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from agent.events import Approval, ApprovalChoice, Failure, Question, TurnFinished, TurnStatus
from agent.providers.types import Usage
from agent.views import LOOKS, ReasoningItem, Receipt, SentItem, TextItem, ToolItem, TurnItem, TurnView, UndoReport
from desktop import theme
from desktop.chat.approval_card import ApprovalCard
from desktop.chat.bubble import Question as Message
from desktop.chat.ending import Ending
from desktop.chat.failure_card import FailureCard
from desktop.chat.markdown.view import MarkdownView
from desktop.chat.question_card import QuestionCard
from desktop.chat.reasoning import Reasoning
from desktop.chat.receipt_panel import ReceiptPanel
from desktop.chat.sent_card import SentCard
from desktop.chat.tool_card import ToolCard
from desktop.chat.working import Working
from desktop.widgets import TextLabel, identify

State = TurnStatus | Literal["waiting", "running"]
GAP = 12  # px between the parts of a turn
"""Kinds of effects that change nothing by themselves."""


class TurnBox(QWidget):
    """Keeps up with its turn while it runs. `settings_requested(page)`, `retry_requested`, `decided(id, choice)`,
    `replied(id, text)`."""

    retry_requested = Signal()
    settings_requested = Signal(str)
    command_requested = Signal(str)
    decided = Signal(str, str)
    replied = Signal(str, str)
    receipt_requested = Signal()
    undo_requested = Signal()
    resend_requested = Signal()

    def __init__(
        self,
        inbox_id: int,
        question: str,
        sender: str,
        pictures: Sequence[QPixmap] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        identify(self, "turn", self.tr("Turn"))
        self.inbox_id = inbox_id
        self.turn_id: int | None = None
        self.question_text = question
        self.state: State = "waiting"
        self.question = Message(question, sender, pictures)
        self._text: MarkdownView | None = None
        self._reasoning: Reasoning | None = None
        self._working: Working | None = None
        self.ending: Ending | None = None
        self.receipt: ReceiptPanel | None = None
        self._tools: dict[str, ToolCard] = {}
        self.approvals: dict[str, ApprovalCard] = {}
        self.questions: dict[str, QuestionCard] = {}
        self._unrendered: list[MarkdownView] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(GAP)
        self._column.addWidget(self.question)
        theme.on_change(self._restyle)

    # --- from the record ----------------------------------------------------------------------------------------------

    def show_view(self, view: TurnView) -> None:
        """All that is known of a turn from the record."""
        self.turn_id = view.turn_id
        self.question.setHidden(view.unasked)
        for item in view.items:
            self.add_item(item)
        if view.status == "waiting":
            self.set_waiting(True)
        elif view.status == "running":
            self.start(view.turn_id or 0)
        else:
            self._end(
                view.status,
                view.failure,
                view.seconds,
                view.usage,
                view.cost_usd,
                view.model,
                acted=view.acted,
                undone=view.undone,
            )
            self.set_delivery(view.delivery)

    def add_item(self, item: TurnItem) -> None:
        """A piece of the record."""
        match item:
            case TextItem(text):
                self._close_texts()
                view = MarkdownView()
                view.load(text)
                self._unrendered.append(view)
                self._add(view)
            case ReasoningItem(text):
                self._close_texts()
                self._add(Reasoning(text))
            case SentItem(text, files):
                self.show_sent(text, files)
            case ToolItem():
                card = self.tool_called(item.call_id, item.name, item.arguments, item.summary)
                for inner in item.inner:
                    line = self.tool_called(inner.call_id, inner.name, inner.arguments, inner.summary, item.call_id)
                    if inner.text is not None:
                        line.finish(inner.ok, inner.text, inner.seconds)
                if item.text is not None:
                    card.finish(item.ok, item.text, item.seconds)

    def render_some(self) -> bool:
        """Render a bounded piece of what came from the record; whether more is left."""
        while self._unrendered:
            if self._unrendered[0].work():
                return True
            self._unrendered.pop(0)
        return False

    # --- as it happens ------------------------------------------------------------------------------------------------

    def set_waiting(self, waiting: bool) -> None:
        """Others are answered first."""
        self.question.set_waiting(waiting)

    def start(self, turn_id: int) -> None:
        """The agent works on it."""
        self.turn_id = turn_id
        self.state = "running"
        self.set_waiting(False)
        if self._working is None:
            self._working = Working()
            self._column.addWidget(self._working)

    def add_text(self, delta: str) -> None:
        """A piece of the answer."""
        if self._text is None:
            self._close_texts()
            self._text = MarkdownView()
            self._add(self._text)
            self._say(self.tr("Answering…"))
        self._text.append(delta)

    def add_reasoning(self, delta: str) -> None:
        """A piece of the model's thinking."""
        if self._reasoning is None:
            self._close_texts()
            self._reasoning = Reasoning()
            self._add(self._reasoning)
            self._say(self.tr("Thinking…"))
        self._reasoning.append(delta)

    def notice(self, text: str) -> None:
        """Something to know while waiting."""
        self._say(text)

    def tool_called(
        self, call_id: str, name: str, arguments: Mapping[str, Any], summary: str, parent: str = ""
    ) -> ToolCard:
        """The model asked for a tool, or the subagent that the call `parent` started."""
        card = ToolCard(call_id, name, arguments, summary)
        self._tools[call_id] = card
        if parent in self._tools:
            self._tools[parent].add_inner(card)
        else:
            self._close_texts()
            self._add(card)
        self._say(self.tr("Working…"))
        return card

    def tool_output(self, call_id: str, text: str) -> None:
        """A running tool printed something."""
        if call_id in self._tools:
            self._tools[call_id].add_output(text)

    def tool_finished(self, call_id: str, ok: bool, text: str, seconds: float) -> None:
        """A tool call ended."""
        if call_id in self._tools:
            self._tools[call_id].finish(ok, text, seconds)
        self._say(self.tr("Thinking…"))

    def show_sent(self, text: str, files: Sequence[Path]) -> SentCard:
        """A message with files that the agent handed over."""
        self._close_texts()
        card = SentCard(text, files)
        self._add(card)
        return card

    def ask(self, approval: Approval) -> ApprovalCard:
        """A person has to decide."""
        if approval.id in self.approvals:
            return self.approvals[approval.id]
        self._close_texts()
        card = ApprovalCard(approval)
        card.decided.connect(self.decided)
        self.approvals[approval.id] = card
        self._add(card)
        self._say(self.tr("Waiting for your decision"))
        return card

    def resolved(self, approval_id: str, choice: ApprovalChoice, by: str) -> None:
        """Somebody decided."""
        if approval_id in self.approvals:
            self.approvals[approval_id].resolve(choice, by)
        self._say(self.tr("Working…"))

    def pose(self, question: Question) -> QuestionCard:
        """The model wants to know something."""
        if question.id in self.questions:
            return self.questions[question.id]
        self._close_texts()
        card = QuestionCard(question)
        card.replied.connect(self.replied)
        self.questions[question.id] = card
        if question.call_id in self._tools:
            self._tools[question.call_id].hide()  # the card says all of it
        self._add(card)
        self._say(self.tr("Waiting for your answer"))
        return card

    def answered(self, question_id: str, answer: str, by: str) -> None:
        """Somebody answered, or nobody did."""
        if question_id in self.questions:
            self.questions[question_id].resolve(answer, by)
        self._say(self.tr("Working…"))

    def finish(self, event: TurnFinished) -> None:
        """It is over."""
        self.turn_id = event.turn_id
        if event.text and not self.answer_text():
            self.add_text(event.text)  # the reply to a command comes in one piece
        acted = any(row["kind"] not in LOOKS and row["state"] != "denied" for row in event.effects)
        self._end(event.status, event.failure, event.seconds, event.usage, event.cost_usd, event.model, acted=acted)

    def join(self) -> None:
        """The turn that runs above answers this message as well."""
        self.state = "answered"
        self.set_waiting(False)
        note = TextLabel(self.tr("Answered together with the message before."), "faint", object_name="joinedNote")
        self._column.addWidget(note)

    def set_delivery(self, state: str) -> None:
        """How far the answer got on its way to a messenger."""
        if self.ending is not None:
            self.ending.set_delivery(state)

    # --- what was done ------------------------------------------------------------------------------------------------

    def show_receipt(self, receipt: Receipt) -> None:
        """Everything that it did."""
        self._panel().show_receipt(receipt)

    def show_undo(self, report: UndoReport) -> None:
        """What came of an undo."""
        self._panel().show_undo(report)
        if report.done and self.ending is not None:
            self.ending.set_undone()

    def show_undo_problem(self, words: str) -> None:
        """It could not be looked up or taken back."""
        self._panel().show_problem(words)

    def _panel(self) -> ReceiptPanel:
        if self.receipt is None:
            self.receipt = ReceiptPanel()
            self._column.addWidget(self.receipt)
        self.receipt.show()
        return self.receipt

    def _toggle_receipt(self) -> None:
        if self.receipt is not None and self.receipt.isVisible():
            self.receipt.hide()
        else:
            self.receipt_requested.emit()

    # --- what is in it ------------------------------------------------------------------------------------------------

    def answer_text(self) -> str:
        """The answer as Markdown."""
        return "\n\n".join(view.source for view in self._views())

    def open_approval(self) -> ApprovalCard | None:
        """The first question that waits for an answer."""
        return next((card for card in self.approvals.values() if card.is_open), None)

    def open_question(self) -> QuestionCard | None:
        """The first question of the model that waits for an answer."""
        return next((card for card in self.questions.values() if card.is_open), None)

    def _views(self) -> list[MarkdownView]:
        found = [self._column.itemAt(index) for index in range(self._column.count())]
        widgets = [item.widget() for item in found if item is not None]
        return [widget for widget in widgets if isinstance(widget, MarkdownView)]

    def _end(
        self,
        status: TurnStatus,
        failure: Failure | None,
        seconds: float,
        usage: Usage,
        cost_usd: float,
        model: str,
        *,
        acted: bool = False,
        undone: bool = False,
    ) -> None:
        self.state = status
        self.set_waiting(False)
        self._close_texts()
        if self._working is not None:
            self._column.removeWidget(self._working)
            self._working.hide()
            self._working.deleteLater()
            self._working = None
        for card in self._tools.values():
            if card.ok is None:
                card.finish(None, None, None)
        if failure is not None:
            card_of_failure = FailureCard(failure, status)
            card_of_failure.retry_requested.connect(self.retry_requested)
            card_of_failure.settings_requested.connect(self.settings_requested)
            card_of_failure.command_requested.connect(self.command_requested)
            self._column.addWidget(card_of_failure)
        self.ending = Ending(status, seconds, usage, cost_usd, model, self.answer_text, acted=acted, undone=undone)
        self.ending.receipt_requested.connect(self._toggle_receipt)
        self.ending.undo_requested.connect(self.undo_requested)
        self.ending.resend_requested.connect(self.resend_requested)
        self._column.addWidget(self.ending)

    def _add(self, widget: QWidget) -> None:
        """Below what is there, above the line that says what the agent is at."""
        at = self._column.count() if self._working is None else self._column.indexOf(self._working)
        self._column.insertWidget(at, widget)

    def _close_texts(self) -> None:
        if self._text is not None:
            self._text.close_text()
        self._text = None
        self._reasoning = None

    def _say(self, word: str) -> None:
        if self._working is not None:
            self._working.say(word)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.question.fit(self.width())

    def _restyle(self, *_: object) -> None:
        self.question.restyle(self.width())
        for tool in self._tools.values():
            tool.restyle()
        for card in self.approvals.values():
            card.restyle()
