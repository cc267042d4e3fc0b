"""The side of the window: search, a new conversation, all conversations of all channels, the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QMenu,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from agent.errors import TrayClawError
from agent.views import Conversation
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.chat.conversation_model import CONVERSATION, ConversationModel
from desktop.chat.conversation_row import ConversationRow
from desktop.state import AppState
from desktop.widgets import Button, GlyphButton, NavButton, TextLabel, identify

if TYPE_CHECKING:
    from agent.service import AgentService

REFRESH_MS = 80
"""Events that come faster lead to one reading."""
SEARCH_MS = 150
MINUTE_MS = 60_000
WIDTH = 264  # px


class _View(QListView):
    """Enter opens, F2 renames, Delete asks."""

    opened = Signal(QModelIndex)
    delete_wanted = Signal(QModelIndex)
    left_upwards = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._closed: QWidget | None = None

    def closeEditor(self, editor: QWidget, hint: QAbstractItemDelegate.EndEditHint) -> None:
        self._closed = editor
        super().closeEditor(editor, hint)

    def commitData(self, editor: QWidget) -> None:
        if editor is not self._closed:  # losing the focus while it is closed, it would be committed once more
            super().commitData(editor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid():
            self.opened.emit(index)
        elif event.key() == Qt.Key.Key_Delete and index.isValid():
            self.delete_wanted.emit(index)
        elif event.key() == Qt.Key.Key_Up and index.row() <= 0:
            self.left_upwards.emit()
        else:
            super().keyPressEvent(event)


class _Search(QLineEdit):
    """Down and Enter lead into the list."""

    left_downwards = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.left_downwards.emit()
        else:
            super().keyPressEvent(event)


class ConversationList(QFrame):
    """`chosen(id)`, `new_requested`, `settings_requested`, `removed(id)`, `read` after the list was read."""

    chosen = Signal(int)
    new_requested = Signal()
    settings_requested = Signal()
    removed = Signal(int)
    read = Signal()

    def __init__(self, service: AgentService, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "conversations", self.tr("Conversations"))
        self.setProperty("side", True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._service, self._bridge = service, bridge
        self._current: int | None = None
        self._doomed: int | None = None
        self.search = _Search()
        identify(self.search, "search", self.tr("Search conversations"))
        self.search.setPlaceholderText(self.tr("Search everything"))
        self.search.setClearButtonEnabled(True)
        self.new = GlyphButton("plus", self.tr("New conversation"), kind="default", color="text", object_name="new")
        self.model = ConversationModel()
        self.view = self._make_view()
        self.nothing = TextLabel("", "secondary", wrap=True, object_name="nothingFound")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.confirm, self._question, self._yes, self._no = self._make_confirm()
        self.settings = NavButton(self.tr("Settings"), checkable=False)
        self.settings.setObjectName("openSettings")
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.search, 1)
        head.addWidget(self.new)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(10)
        column.addLayout(head)
        column.addWidget(self.nothing)
        column.addWidget(self.view, 1)
        column.addWidget(self.confirm)
        column.addWidget(self.settings)
        self.nothing.hide()
        self.confirm.hide()
        self._soon: asyncio.TimerHandle | None = None
        self._minute = QTimer(self)
        self._minute.setInterval(MINUTE_MS)
        self._minute.timeout.connect(self.model.refresh)
        self._minute.start()
        self._connect()
        self.refresh(0)

    def _connect(self) -> None:
        bridge = self._bridge
        for signal in (bridge.conversation_changed, bridge.message_received, bridge.turn_finished):
            signal.connect(self._changed)
        bridge.state_changed.connect(self._show_state)
        self.model.set_state(bridge.state)
        self.search.textChanged.connect(lambda: self.refresh(SEARCH_MS))
        self.search.left_downwards.connect(self._enter_list)
        self.new.clicked.connect(self.new_requested)
        self.settings.clicked.connect(self.settings_requested)
        self.view.clicked.connect(self._open)
        self.view.opened.connect(self._open)
        self.view.delete_wanted.connect(lambda index: self._ask_delete(index.data(CONVERSATION)))
        self.view.left_upwards.connect(self.search.setFocus)
        self.view.customContextMenuRequested.connect(self._menu)
        self.model.renamed.connect(lambda number, title: self._do(self._service.rename_conversation(number, title)))
        self._yes.clicked.connect(self._delete)
        self._no.clicked.connect(self._keep)

    def show_current(self, conversation: int | None) -> None:
        """Mark the conversation that is open."""
        self._current = conversation
        row = self.model.row_of(conversation)
        if row >= 0:
            flag = QItemSelectionModel.SelectionFlag.ClearAndSelect
            self.view.selectionModel().setCurrentIndex(self.model.index(row), flag)
        else:
            self.view.clearSelection()

    def refresh(self, milliseconds: int = REFRESH_MS) -> None:
        """Read the list again, soon."""
        if self._soon is not None:
            self._soon.cancel()
        self._soon = asyncio.get_running_loop().call_later(milliseconds / 1000, self._read)

    def focus_search(self) -> None:
        """Where a conversation is looked for."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def _changed(self, _event: object) -> None:
        self.refresh()

    def _show_state(self, state: AppState) -> None:
        self.model.set_state(state)

    def _restyle(self, *_: object) -> None:
        self.view.doItemsLayout()

    def _read(self) -> None:
        if isValid(self):  # asyncio's timer does not end with the window, as Qt's would
            tasks.run(self._read_now(), "read conversations")

    async def _read_now(self) -> None:
        query = self.search.text().strip()
        try:
            rows = await self._service.conversations(query)
        except TrayClawError as error:
            self._say(f"{error.title}. {error}")
            return
        if query != self.search.text().strip():
            return
        if self.view.state() != QAbstractItemView.State.EditingState:
            self.model.set_rows(rows)
            self.show_current(self._current)
        self._say("" if rows else self._nothing(query))
        self.read.emit()

    def _nothing(self, query: str) -> str:
        if query:
            return self.tr("Nothing with “{query}”.").format(query=query)
        return self.tr("Your conversations will be listed here.")

    def _say(self, words: str) -> None:
        self.nothing.setText(words)
        self.nothing.setVisible(bool(words))

    def _enter_list(self) -> None:
        if self.model.rowCount():
            if self.view.currentIndex().row() < 0:
                self.view.setCurrentIndex(self.model.index(0))
            self.view.setFocus(Qt.FocusReason.TabFocusReason)

    def _open(self, index: QModelIndex) -> None:
        row = index.data(CONVERSATION)
        if isinstance(row, Conversation):
            self.chosen.emit(row.id)

    def _menu(self, position: QPoint) -> None:
        index = self.view.indexAt(position)
        if not index.isValid():
            index = self.view.currentIndex()  # opened by the keyboard
        if not index.isValid():
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        row = index.data(CONVERSATION)
        menu.addAction(self.tr("Rename"), lambda: self.view.edit(index))
        menu.addAction(self.tr("Delete…"), lambda: self._ask_delete(row))
        menu.popup(self.view.viewport().mapToGlobal(position))

    def _ask_delete(self, row: Conversation) -> None:
        self._doomed = row.id
        title = self.model.title(row)
        self._question.setText(self.tr("Delete “{title}” for good?").format(title=title))
        self.confirm.show()
        self._no.setFocus()

    def _delete(self) -> None:
        if self._doomed is not None:
            number = self._doomed
            self._do(self._service.delete_conversation(number))
            self.removed.emit(number)
        self._keep()

    def _keep(self) -> None:
        self._doomed = None
        self.confirm.hide()
        self.view.setFocus()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        tasks.run(self._told(work), "conversations")

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TrayClawError as error:
            self._say(f"{error.title}. {error}")

    def _make_view(self) -> _View:
        view = _View()
        identify(view, "conversationList", self.tr("Conversations"))
        view.setModel(self.model)
        view.setItemDelegate(ConversationRow(view))
        view.setMouseTracking(True)
        view.setUniformItemSizes(True)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.ensurePolished()
        theme.on_change(self._restyle)
        return view

    def _make_confirm(self) -> tuple[QFrame, TextLabel, Button, Button]:
        frame = QFrame()
        frame.setProperty("card", "amber")
        identify(frame, "confirmDelete", self.tr("Delete a conversation"))
        question = TextLabel("", wrap=True)
        yes = Button(self.tr("Delete"), "danger", object_name="deleteYes")
        no = Button(self.tr("Keep"), object_name="deleteNo")
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(yes)
        buttons.addWidget(no)
        buttons.addStretch(1)
        column = QVBoxLayout(frame)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(12)
        column.addWidget(question)
        column.addLayout(buttons)
        return frame, question, yes, no
