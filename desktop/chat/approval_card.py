"""The question before something is done: what exactly, why it is asked, whether it can be undone. No is the default."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from agent.events import Approval, ApprovalChoice
from desktop import theme
from desktop.chat.markdown.code_card import CodeText
from desktop.settings.times import clock
from desktop.widgets import Button, TextLabel, identify

WAKE_MS = 1000
"""Allow can be pressed so long after it came into sight: nobody allows what they had no time to read."""
MOST_LINES = 12


class ApprovalCard(QFrame):
    """`decided(approval_id, "allow" | "conversation" | "always" | "deny")`; `resolve` shows how it was decided, by
    whomever."""

    decided = Signal(str, str)

    def __init__(self, approval: Approval, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.approval = approval
        self._awake = False
        self._read = False
        identify(self, "approvalCard", self.tr("Your decision: {title}").format(title=approval.title))
        self.setAccessibleDescription(approval.action)
        self.setProperty("card", "amber")
        self.title = TextLabel(approval.title, "strong", wrap=True, object_name="approvalTitle")
        self.action = CodeText(self.tr("What would be done"), most_lines=MOST_LINES, wrap=True)
        self.action.setPlainText(approval.action)
        frame = QFrame()
        frame.setProperty("code", True)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(12, 8, 12, 8)
        inside.addWidget(self.action)
        self.why = TextLabel(self._reasons(), "secondary", wrap=True, object_name="approvalWhy")
        self.outcome = TextLabel("", "strong", wrap=True, object_name="approvalOutcome")
        self._once = approval.tool != "use_skill"  # a skill that was allowed is accepted, until it changes
        words = self.tr("Allow once") if self._once else self.tr("Accept")
        self.allow = Button(words, "primary", object_name="approvalAllow")
        self.session = Button(self.tr("In this conversation"), object_name="approvalSession")
        self.always = Button(self.tr("Always"), object_name="approvalAlways")
        self.deny = Button(self.tr("Deny"), object_name="approvalDeny")
        self.allowing = (self.allow, self.session, self.always)
        self.hint = TextLabel(self.tr("Scroll to the end of it to allow it."), "secondary", object_name="approvalHint")
        for button, words in ((self.session, approval.session), (self.always, approval.always)):
            if not words:  # never shown before it has a parent: it would be a window and take the focus
                button.hide()
            button.setToolTip(words)
            button.setAccessibleDescription(words)
        self.allow.setAccessibleDescription(approval.title)
        self.deny.setAccessibleDescription(approval.title)
        for button in self.allowing:
            button.setEnabled(False)
        self._buttons = QWidget()
        line = QHBoxLayout(self._buttons)
        line.setContentsMargins(0, 4, 0, 0)
        line.setSpacing(8)
        for button in (*self.allowing, self.deny):
            line.addWidget(button)
        line.addWidget(self.hint, 1)
        line.addStretch(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(13, 11, 13, 11)
        column.setSpacing(8)
        for widget in (self.title, frame, self.why, self._buttons, self.outcome):
            column.addWidget(widget)
        self.outcome.hide()
        self.hint.hide()
        self.allow.clicked.connect(lambda: self._decide("allow"))
        self.session.clicked.connect(lambda: self._decide("conversation"))
        self.always.clicked.connect(lambda: self._decide("always"))
        self.deny.clicked.connect(lambda: self._decide("deny"))
        bar = self.action.verticalScrollBar()
        bar.valueChanged.connect(self._look)
        bar.rangeChanged.connect(self._look)
        self._wake = QTimer(self)
        self._wake.setSingleShot(True)
        self._wake.setInterval(WAKE_MS)
        self._wake.timeout.connect(self._wake_up)
        self._wake.start()

    @property
    def is_open(self) -> bool:
        return not self._buttons.isHidden()

    def resolve(self, choice: ApprovalChoice, by: str) -> None:
        """It was decided."""
        theme.set_property(self, "card", "plain")
        self._buttons.hide()
        self.why.setText(self._reasons(waits=False))
        self.outcome.setText(self._outcome(choice, by))
        self.outcome.set_role("ok" if choice != "deny" else "bad")
        self.outcome.show()
        self.setAccessibleName(f"{self.approval.title} {self.outcome.text()}")

    def fail(self, words: str) -> None:
        """The answer could not be given."""
        self.hint.setText(words)
        self.hint.show()
        self.deny.setEnabled(True)

    def restyle(self) -> None:
        """Another palette or text size."""
        self.action.restyle()

    def _decide(self, choice: ApprovalChoice) -> None:
        for button in (*self.allowing, self.deny):
            button.setEnabled(False)
        self.decided.emit(self.approval.id, choice)

    def _wake_up(self) -> None:
        self._awake = True
        self._look()

    def _look(self) -> None:
        bar = self.action.verticalScrollBar()
        self._read = self._read or (self._awake and bar.value() >= bar.maximum())
        for button in self.allowing:
            button.setEnabled(self._awake and self._read and self.is_open)
        self.hint.setVisible(self._awake and not self._read and self.is_open)

    def _reasons(self, *, waits: bool = True) -> str:
        approval = self.approval
        read = (
            self.tr("Read before: {sources}.").format(sources=", ".join(approval.sources)) if approval.sources else ""
        )
        fence = self.tr("Behind {name}.").format(name=approval.sandbox) if approval.sandbox else ""
        both = bool(approval.session) and approval.session == approval.always
        session = self.tr("“In this conversation” permits: {what}.") if approval.session and not both else ""
        always = self.tr("“Always” permits: {what}.") if approval.always else ""
        if both:
            always = self.tr("“In this conversation” and “Always” permit: {what}.")
        standing = [session.format(what=approval.session), always.format(what=approval.always)]
        undo = self.tr("It can be undone.") if approval.undoable else self.tr("It cannot be undone.")
        reason = (
            self.tr("Asked because {reason}.").format(reason=approval.reason.rstrip(".")) if approval.reason else ""
        )
        ends = self.tr("Without an answer it is denied at {time}.").format(time=clock(approval.expires_at))
        return " ".join(
            part for part in (reason, read, fence, undo, *(standing if waits else ()), ends if waits else "") if part
        )

    def _outcome(self, choice: ApprovalChoice, by: str) -> str:
        place, _, _who = by.partition(":")
        if choice != "deny":
            words = {
                "always": self.tr("✓ Allowed always, {where}"),
                "conversation": self.tr("✓ Allowed in this conversation, {where}"),
            }.get(choice, self.tr("✓ Allowed once, {where}") if self._once else self.tr("✓ Accepted, {where}"))
            return words.format(where=self._where(place))
        if place == "timeout":
            return self.tr("✗ Denied: nobody answered in time")
        if place == "stopped":
            return self.tr("✗ Not done: it was stopped")
        return self.tr("✗ Denied, {where}").format(where=self._where(place))

    def _where(self, place: str) -> str:
        names = {
            "desktop": self.tr("by you, here"),
            "telegram": self.tr("on Telegram"),
            "chat": self.tr("in a messenger"),
            "terminal": self.tr("in the terminal"),
        }
        return names.get(place, self.tr("by {place}").format(place=place))
