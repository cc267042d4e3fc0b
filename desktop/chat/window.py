"""The chat window: wires the list, the timeline and the composer to the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFocusEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QStackedWidget, QVBoxLayout, QWidget

from agent.errors import TrayClawError
from agent.events import ConversationChanged, MessageReceived, SettingsChanged, TurnFinished
from agent.settings import STARTER
from agent.storage.conversations import LOCAL
from agent.views import Conversation
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.chat.approval_card import ApprovalCard
from desktop.chat.attachments import Attachment
from desktop.chat.composer import Composer, Draft
from desktop.chat.conversation_list import WIDTH, ConversationList
from desktop.chat.empty import Welcome
from desktop.chat.find_bar import FindBar
from desktop.chat.header import Header
from desktop.chat.markdown.parser import prepare
from desktop.chat.model_menu import ModelMenu
from desktop.chat.notes import Note
from desktop.chat.options_menu import OptionsMenu
from desktop.chat.question_card import QuestionCard
from desktop.chat.timeline import Timeline
from desktop.chat.transcript import Transcript
from desktop.state import AppState
from desktop.widgets import EmptyState, identify

if TYPE_CHECKING:
    from agent.service import AgentService


class ChatWindow(QWidget):
    """`show_conversation(id)` opens one, None a new one. `settings_requested(page)`, "" for no page in particular."""

    settings_requested = Signal(str)

    def __init__(self, service: AgentService, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "chatWindow", self.tr("Chat"))
        self._service, self._bridge = service, bridge
        self._drafts: dict[int | None, Draft] = {}
        self._conversation: Conversation | None = None
        self._new_model = ""  # chosen for a conversation that has no number yet
        self._sending = asyncio.Lock()
        self._looked = False
        self.list = ConversationList(service, bridge)
        self.header = Header()
        self.timeline = Timeline()
        self.transcript = Transcript(service, bridge, self.timeline)
        self.welcome = Welcome()
        self.problem = EmptyState(self.tr("This could not be read"), glyph="error", object_name="chatProblem")
        self.find_bar = FindBar(self.timeline, self.transcript)
        self.composer = Composer()
        self.starter = Note(
            self.tr("A tiny model for trying the app: it makes things up and cannot use tools."),
            self.tr("Add a real one"),
            "starterNote",
        )
        self.offline = Note(
            self.tr("The model was not reached. Is this computer online?"), self.tr("Settings"), "offlineNote"
        )
        self.pages = QStackedWidget()
        for page in (self.welcome, self.timeline, self.problem):
            self.pages.addWidget(page)
        self._lay_out()
        self._connect()
        self._add_shortcuts()
        self.setFocusProxy(self.composer.line)
        self.setAcceptDrops(True)
        tasks.run(asyncio.to_thread(prepare), "prepare Markdown")
        self.show_conversation(None)
        self._show_state(bridge.state)

    # --- what others ask of it ----------------------------------------------------------------------------------------

    @property
    def conversation(self) -> int | None:
        """The conversation that is open; None for a new one."""
        return self.transcript.conversation

    def show_conversation(self, conversation: int | None) -> None:
        """Open a conversation, or begin a new one."""
        self._looked = self._looked or conversation is not None
        self._drafts[self.conversation] = self.composer.draft
        self._conversation = None
        self._new_model = ""
        self.find_bar.hide_bar()
        self.transcript.open(conversation)
        self.composer.restore(self._drafts.pop(conversation, Draft()))
        self.list.show_current(conversation)
        self.header.show_title(self.tr("New conversation") if conversation is None else "")
        self.header.options.setVisible(conversation is not None)
        self._show_page()
        self._show_model()
        if conversation is not None:
            tasks.run(self._read_conversation(conversation), "read conversation")
        self.composer.line.setFocus()

    # --- wiring -------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self._notes = QVBoxLayout()
        self._notes.setSpacing(8)
        for widget in (self.offline, self.starter, self.composer):
            self._notes.addWidget(widget)
        self.offline.hide()
        self.starter.hide()
        main = QVBoxLayout()
        main.setSpacing(0)
        main.addWidget(self.header)
        main.addWidget(self.find_bar)
        main.addWidget(self.pages, 1)
        main.addLayout(self._notes)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(0)
        line.addWidget(self.list)
        line.addLayout(main, 1)
        self._fit()
        theme.on_change(self._fit)

    def _connect(self) -> None:
        bridge, settings = self._bridge, self.settings_requested
        self.list.chosen.connect(self._choose)
        self.list.new_requested.connect(lambda: self.show_conversation(None))
        self.list.settings_requested.connect(lambda: settings.emit(""))
        self.list.removed.connect(self._removed)
        self.list.read.connect(self._listed)
        self.header.model_menu_requested.connect(self._open_model_menu)
        self.header.options_requested.connect(self._open_options)
        self.welcome.example_chosen.connect(lambda text: self._send(text, ()))
        self.problem.action_triggered.connect(lambda: self.show_conversation(self.conversation))
        self.composer.sent.connect(self._send)
        self.composer.stop_requested.connect(self._stop)
        self.starter.triggered.connect(lambda: settings.emit("models"))
        self.offline.triggered.connect(lambda: settings.emit("models"))
        self.transcript.loaded.connect(self._show_page)
        self.transcript.failed.connect(self._show_problem)
        self.transcript.running_changed.connect(self._running)
        self.transcript.settings_requested.connect(settings)
        self.transcript.retry_requested.connect(self._send)
        self.transcript.approval_shown.connect(self._look_at_approval)
        self.transcript.question_shown.connect(self._look_at_question)
        self.transcript.decided.connect(self.composer.line.setFocus)
        self.timeline.installEventFilter(self)
        bridge.state_changed.connect(self._show_state)
        bridge.conversation_changed.connect(self._reread)
        bridge.message_received.connect(self._reread)
        bridge.turn_finished.connect(self._reread)
        bridge.settings_changed.connect(self._settings_changed)

    def _add_shortcuts(self) -> None:
        keys = {
            "Ctrl+N": lambda: self.show_conversation(None),
            "Ctrl+K": self.list.focus_search,
            "Ctrl+F": self._find,
            "Ctrl+,": lambda: self.settings_requested.emit(""),
            "Esc": self._escape,
        }
        for key, slot in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self, text: str, pictures: tuple[Attachment, ...]) -> None:
        self._looked = True
        tasks.run(self._deliver(text, tuple(pictures), self.conversation), "send")

    async def _deliver(self, text: str, pictures: tuple[Attachment, ...], conversation: int | None) -> None:
        async with self._sending:
            try:
                if conversation is None:
                    conversation = self.conversation or await self._begin()
                self.transcript.expect_pictures(pictures)
                await self._service.send(conversation, text, [one.image for one in pictures])
            except TrayClawError as error:
                if self.conversation == conversation:
                    self.composer.restore(Draft(text, pictures))
                    self.composer.say(_words(error))
                return
        if self.conversation == conversation:
            self._show_page()
            self.timeline.go_to_end()

    async def _begin(self) -> int:
        """A conversation of its own for what is written into a new one."""
        number = await self._service.new_conversation()
        if self._new_model:
            await self._service.set_conversation_model(number, self._new_model)
        if self.conversation is None:
            self.transcript.adopt(number)
            self.list.show_current(number)
            self.header.options.show()
            tasks.run(self._read_conversation(number), "read conversation")
        return number

    def _stop(self) -> None:
        if self.conversation is not None:
            tasks.run(self._told(self._service.stop_turn(self.conversation)), "stop")

    def _escape(self) -> None:
        if self.find_bar.isVisible():
            self.find_bar.hide_bar()
            self.composer.line.setFocus()
        elif self.list.search.hasFocus() and self.list.search.text():
            self.list.search.clear()
        elif self.list.search.hasFocus():
            self.composer.line.setFocus()
        elif self.composer.running:
            self._stop()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _choose(self, conversation: int) -> None:
        if conversation != self.conversation:
            self.show_conversation(conversation)
        else:
            self.composer.line.setFocus()

    def _listed(self) -> None:
        """At the start the newest conversation is open, if there is one and nothing was begun."""
        if self._looked:
            return
        self._looked = True
        draft = self.composer.draft
        newest = next((row.id for row in self.list.model.rows if row.channel == LOCAL), None)
        if newest is not None and self.conversation is None and not draft.text and self.transcript.is_empty:
            self.show_conversation(newest)

    def _removed(self, conversation: int) -> None:
        self._drafts.pop(conversation, None)
        if conversation == self.conversation:
            self.composer.restore(Draft())
            self.show_conversation(None)

    def _reread(self, event: ConversationChanged | MessageReceived | TurnFinished) -> None:
        if event.conversation_id == self.conversation:
            tasks.run(self._read_conversation(event.conversation_id), "read conversation")

    async def _read_conversation(self, number: int) -> None:
        try:
            found = await self._service.conversation(number)
        except TrayClawError:
            if number == self.conversation:  # removed from somewhere else
                self.show_conversation(None)
            return
        if number == self.conversation:
            self._conversation = found
            self.header.show_title(self.list.model.title(found))
            self._show_model()

    def _show_page(self) -> None:
        empty = self.transcript.is_empty and not self.transcript.loading
        self.pages.setCurrentWidget(self.welcome if empty else self.timeline)

    def _show_problem(self, error: TrayClawError) -> None:
        text = " ".join(part for part in (str(error), error.hint) if part)
        self.problem.set_message(error.title, text, self.tr("Try again"))
        self.pages.setCurrentWidget(self.problem)

    def _running(self, running: bool) -> None:
        self.composer.set_running(running)
        if running:
            self._show_page()

    def _show_state(self, state: AppState) -> None:
        self.header.show_state(state)
        self.offline.setVisible(state.offline)

    def _settings_changed(self, _event: SettingsChanged) -> None:
        self._show_model()

    def _show_model(self) -> None:
        chosen = self._conversation.model if self._conversation is not None else self._new_model
        model = chosen or self._service.settings.model.default
        self.header.show_model(model)
        self.starter.setVisible(model == STARTER)
        self.welcome.set_tools(model != STARTER)

    def _open_model_menu(self) -> None:
        chosen = self._conversation.model if self._conversation is not None else self._new_model
        menu = ModelMenu(self._service, chosen, self)
        menu.chosen.connect(self._set_model)
        menu.settings_requested.connect(lambda: self.settings_requested.emit("models"))
        pill = self.header.model
        menu.popup(pill.mapToGlobal(pill.rect().bottomLeft()))

    def _open_options(self) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        menu = OptionsMenu(conversation, self._service.settings, self)
        menu.queue_chosen.connect(lambda mode: self._set_modes(queue=mode))
        menu.safety_chosen.connect(lambda mode: self._set_modes(safety=mode))
        pill = self.header.options
        menu.popup(pill.mapToGlobal(pill.rect().bottomLeft()))

    def _set_modes(self, **modes: Any) -> None:
        if self.conversation is not None:
            tasks.run(self._told(self._service.set_conversation_modes(self.conversation, **modes)), "set modes")

    def _set_model(self, reference: str) -> None:
        if self.conversation is None:
            self._new_model = reference
            self._show_model()
        else:
            change = self._service.set_conversation_model(self.conversation, reference)
            tasks.run(self._told(change), "set model")

    async def _told(self, work: Coroutine[Any, Any, object]) -> None:
        """Do it; what goes wrong is said where the person writes."""
        try:
            await work
        except TrayClawError as error:
            self.composer.say(_words(error))

    def _look_at_approval(self, card: ApprovalCard) -> None:
        """No is the default: the focus goes to Deny, unless the person is writing."""
        if self.isVisible() and not self._writing():
            card.deny.setFocus(Qt.FocusReason.OtherFocusReason)

    def _look_at_question(self, card: QuestionCard) -> None:
        """Whoever has begun to write answers by that; else the focus goes to the answers."""
        if self.isVisible() and not self._writing():
            card.first.setFocus(Qt.FocusReason.OtherFocusReason)

    def _writing(self) -> bool:
        return isinstance(self.focusWidget(), QPlainTextEdit) and bool(self.composer.line.toPlainText().strip())

    def _find(self) -> None:
        if self.pages.currentWidget() is self.timeline:
            self.find_bar.show_bar()

    # --- dropped anywhere in the window -------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self.composer.line.canInsertFromMimeData(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.composer.line.insertFromMimeData(event.mimeData())
        event.acceptProposedAction()

    # --- size ---------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.timeline and event.type() == QEvent.Type.Resize:
            self._fit()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.composer.line.setFocus()

    def _fit(self, *_: object) -> None:
        """The list gives way in a narrow window; the composer stands in the column of the turns."""
        self.list.setFixedWidth(max(theme.px(170), min(theme.px(WIDTH), self.width() * 2 // 7)))
        self._notes.setContentsMargins(self.timeline.edge(), 6, self.timeline.edge(), 16)


def _words(error: TrayClawError) -> str:
    return " ".join(part for part in (f"{error.title}:", str(error), error.hint) if part)
