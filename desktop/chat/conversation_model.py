"""The conversations as a list for Qt: what a row says of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from agent.views import Conversation
from desktop.chat.texts import when
from desktop.state import AppState

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()
CONVERSATION = Qt.ItemDataRole.UserRole
STATE = Qt.ItemDataRole.UserRole + 1
_MARKUP = re.compile(r"\*\*|__|`+|^#+ |(?<= )#+ |^> |\|")
"""What Markdown leaves in a preview that is one line of plain text."""


class ConversationModel(QAbstractListModel):
    """Rows are rewritten only where they changed. `renamed(id, title)` when a title was edited in place."""

    renamed = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Conversation] = []
        self._asked: dict[int, str] = {}
        self._busy: frozenset[int] = frozenset()

    @property
    def rows(self) -> list[Conversation]:
        return self._rows

    def set_rows(self, rows: Sequence[Conversation]) -> None:
        """Show these. The view keeps its place when the order is the same."""
        new = list(rows)
        if [row.id for row in new] != [row.id for row in self._rows]:
            self.beginResetModel()
            self._rows = new
            self.endResetModel()
            return
        old, self._rows = self._rows, new
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            if before != after:
                self.dataChanged.emit(self.index(number), self.index(number))

    def set_state(self, state: AppState) -> None:
        """What waits for the person, and where a turn runs."""
        asked = {question.conversation_id: question.text for question in reversed(state.questions)}
        asked |= {approval.conversation_id: approval.title for approval in reversed(state.approvals)}
        busy = state.busy
        if (asked, frozenset(busy)) != (self._asked, self._busy):
            self._asked, self._busy = asked, frozenset(busy)
            self.refresh()

    def refresh(self) -> None:
        """Write all rows again: times pass."""
        if self._rows:
            self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))

    def row_of(self, conversation: int | None) -> int:
        """The row of a conversation, -1 when it is not in the list."""
        return next((number for number, row in enumerate(self._rows) if row.id == conversation), -1)

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) | Qt.ItemFlag.ItemIsEditable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self.title(row)
        if role == CONVERSATION:
            return row
        if role == STATE:
            return self.state(row)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(
                part for part in (self.title(row), row.channel, when(row.updated_at), self.state(row)) if part
            )
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.title(row)
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        title = " ".join(str(value).split())
        row = self._rows[index.row()]
        if role != Qt.ItemDataRole.EditRole or not title or title == row.title:
            return False
        self.renamed.emit(row.id, title)
        return True

    def title(self, row: Conversation) -> str:
        """A conversation without a word in it has no title yet."""
        return row.title or self.tr("New conversation")

    def state(self, row: Conversation) -> str:
        """The second line: what waits, what runs, or what was said last."""
        if row.id in self._asked:
            return self.tr("Waiting for you: {question}").format(question=self._asked[row.id])
        if row.id in self._busy:
            return self.tr("Working…")
        return _MARKUP.sub("", row.preview)
