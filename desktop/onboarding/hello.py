"""The first exchange: one line to send, and the answer as it comes, on the page where the model was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QTextBrowser, QVBoxLayout, QWidget

from agent.errors import TrayClawError
from agent.events import TurnFinished, TurnNotice, TurnStarted, TurnText
from desktop import tasks
from desktop.settings.page import words
from desktop.state import model_label
from desktop.widgets import Button, TextLabel, identify

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge

RENDER_MS = 50
"""Pieces that come faster are drawn together."""


class Hello(QWidget):
    """`answered` once there is an answer."""

    answered = Signal()

    def __init__(self, service: AgentService, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "helloPage", self.tr("Say hello"))
        self._service = service
        self.conversation = 0
        self._text = ""
        self.line = QLineEdit(self.tr("Hello! What can you do for me?"))
        identify(self.line, "helloText", self.tr("Your message"))
        self.say = Button(self.tr("Send"), "primary", glyph="send", object_name="helloSend")
        self.status = TextLabel("", "secondary", wrap=True, selectable=True, object_name="helloStatus")
        self.answer = QTextBrowser()
        identify(self.answer, "helloAnswer", self.tr("Answer"))
        self.answer.setOpenLinks(False)
        self._draw_timer = QTimer(self)
        self._draw_timer.setSingleShot(True)
        self._draw_timer.setInterval(RENDER_MS)
        self._draw_timer.timeout.connect(self._draw)
        self._paper = QFrame()
        self._paper.setProperty("card", "plain")
        paper = QVBoxLayout(self._paper)
        paper.setContentsMargins(14, 12, 8, 12)
        paper.addWidget(self.answer)
        self._paper.hide()
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.line, 1)
        line.addWidget(self.say)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addLayout(line)
        column.addWidget(self.status)
        column.addWidget(self._paper, 1)
        column.addStretch(0)
        self.say.clicked.connect(lambda: tasks.run(self._send()))
        self.line.returnPressed.connect(self.say.click)
        bridge.turn_started.connect(self._started)
        bridge.turn_notice.connect(self._notice)
        bridge.turn_text.connect(self._more)
        bridge.turn_finished.connect(self._finished)

    def enter(self) -> None:
        """The page is shown."""
        self.line.setFocus()
        self.line.selectAll()

    async def _send(self) -> None:
        text = self.line.text().strip()
        if not text:
            return
        self.line.deselect()
        self._busy(True)
        self._text = ""
        self._draw()
        self._say(self.tr("Thinking…"))
        try:
            if not self.conversation:
                self.conversation = await self._service.new_conversation()
            await self._service.send(self.conversation, text)
        except TrayClawError as error:
            self._busy(False)
            self._say(words(error), "bad")

    def _started(self, event: TurnStarted) -> None:
        if event.conversation_id == self.conversation:
            self._say(self.tr("{model} is thinking…").format(model=model_label(event.model)))

    def _notice(self, event: TurnNotice) -> None:
        if event.conversation_id == self.conversation:
            self._say(event.text)

    def _more(self, event: TurnText) -> None:
        if event.conversation_id != self.conversation:
            return
        if not self._text:
            self._say("")
        self._text += event.delta
        if not self._draw_timer.isActive():
            self._draw_timer.start()

    def _finished(self, event: TurnFinished) -> None:
        if event.conversation_id != self.conversation:
            return
        self._busy(False)
        self._text = event.text or self._text
        self._draw()
        if event.failure is not None:
            self._say(
                " ".join(
                    part for part in (event.failure.title + ":", event.failure.message, event.failure.hint) if part
                ),
                "bad",
            )
            return
        self._say(self.tr("{model} · {seconds:.1f} s").format(model=model_label(event.model), seconds=event.seconds))
        if event.status == "answered":
            self.answered.emit()

    def _draw(self) -> None:
        self._paper.setVisible(bool(self._text))
        self.answer.setMarkdown(self._text)
        bar = self.answer.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _busy(self, busy: bool) -> None:
        self.line.setEnabled(not busy)
        self.say.setEnabled(not busy)

    def _say(self, text: str, role: str = "secondary") -> None:
        self.status.setText(text)
        self.status.set_role(role)
