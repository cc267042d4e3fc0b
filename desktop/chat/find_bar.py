"""Finding in the conversation: all places marked, one of them the current one, older turns loaded where needed."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QColor, QKeyEvent, QTextCursor, QTextDocument
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

from desktop import tasks, theme
from desktop.chat.timeline import Timeline
from desktop.chat.transcript import Transcript
from desktop.widgets import GlyphButton, TextLabel, identify

WAIT_MS = 120
MOST_MATCHES = 2000

Editor = QTextEdit | QPlainTextEdit


@dataclass(frozen=True, slots=True)
class _Match:
    editor: Editor
    cursor: QTextCursor


class _Field(QLineEdit):
    """Enter is the next place, Shift+Enter the one before."""

    def __init__(self, bar: FindBar) -> None:
        super().__init__()
        self._bar = bar

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            back = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._bar.go(-1 if back else 1)
        else:
            super().keyPressEvent(event)


class FindBar(QFrame):
    """Hidden until `show_bar`. The newest match is the first one."""

    def __init__(self, timeline: Timeline, transcript: Transcript, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "findBar", self.tr("Find in this conversation"))
        self._timeline, self._transcript = timeline, transcript
        self._matches: list[_Match] = []
        self._current = -1
        self._marked: list[Editor] = []
        self.field = _Field(self)
        identify(self.field, "findField", self.tr("Find in this conversation"))
        self.field.setPlaceholderText(self.tr("Find in this conversation"))
        self.count = TextLabel("", "secondary", object_name="findCount")
        self.before = GlyphButton("chevron-up", self.tr("Previous match"), object_name="findPrevious")
        self.after = GlyphButton("chevron-down", self.tr("Next match"), object_name="findNext")
        self.close_button = GlyphButton("cross", self.tr("Close"), object_name="findClose")
        line = QHBoxLayout(self)
        line.setContentsMargins(20, 6, 20, 6)
        line.setSpacing(6)
        line.addWidget(self.field, 1)
        for widget in (self.count, self.before, self.after, self.close_button):
            line.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._search)
        self.field.textChanged.connect(lambda: self._timer.start())
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(WAIT_MS)
        self._again.timeout.connect(self._search_again)
        timeline.verticalScrollBar().rangeChanged.connect(self._grown)
        self.before.clicked.connect(lambda: self.go(-1))
        self.after.clicked.connect(lambda: self.go(1))
        self.close_button.clicked.connect(self.hide_bar)
        theme.on_change(self._mark)
        self.hide()

    def show_bar(self) -> None:
        """Open it, or go back to its field."""
        self.show()
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()
        self._search()

    def hide_bar(self) -> None:
        """Close it; the marks go."""
        self.hide()
        self._unmark()
        self._matches = []

    def go(self, step: int) -> None:
        """To the next match (1) or the one before (-1); beyond the oldest, older turns are loaded."""
        if self._timer.isActive():
            self._timer.stop()
            self._search()
            return
        at = self._current + step
        if at < 0 and self._transcript.has_older:
            tasks.run(self._go_older(), "find in older turns")
            return
        if self._matches:
            self._current = at % len(self._matches)
            self._show_current()

    async def _go_older(self) -> None:
        before = len(self._matches)
        self.count.setText(self.tr("Looking further back…"))
        while self._transcript.has_older and len(self._matches) == before:
            await self._transcript.load_older()
            self._collect()
        found = len(self._matches) - before
        self._current = found - 1 if found else len(self._matches) - 1
        self._show_current()

    def _search(self) -> None:
        self._collect()
        self._current = len(self._matches) - 1
        if not self._matches and self.field.text() and self._transcript.has_older:
            tasks.run(self._go_older(), "find in older turns")
            return
        self._show_current()

    def _grown(self) -> None:
        if not self.isHidden() and self.field.text() and not self._again.isActive():
            self._again.start()

    def _search_again(self) -> None:
        """There is more text than before: the same place stays the current one."""
        had = len(self._matches)
        self._collect()
        if not had:
            self._current = len(self._matches) - 1
        self._current = min(self._current, len(self._matches) - 1)
        self._mark()
        self._say_count()

    def _collect(self) -> None:
        self._matches = []
        wanted = self.field.text()
        if not wanted:
            return
        for box in self._timeline.boxes:
            for editor in _editors(box):
                document: QTextDocument = editor.document()
                cursor = document.find(wanted)
                while not cursor.isNull() and len(self._matches) < MOST_MATCHES:
                    self._matches.append(_Match(editor, cursor))
                    cursor = document.find(wanted, cursor)

    def _show_current(self) -> None:
        self._mark()
        self._say_count()
        if self._matches:
            match = self._matches[self._current]
            self._timeline.show_place(match.editor, match.editor.cursorRect(match.cursor))

    def _say_count(self) -> None:
        if not self.field.text():
            self.count.setText("")
        elif not self._matches:
            self.count.setText(self.tr("Nothing found"))
        else:
            words = self.tr("{n} of {all}")
            self.count.setText(words.format(n=self._current + 1, all=len(self._matches)))

    def _mark(self, *_: object) -> None:
        self._unmark()
        if self.isHidden():
            return
        palette = theme.current()
        marks: dict[Editor, list[QTextEdit.ExtraSelection]] = {}
        for number, match in enumerate(self._matches):
            mark = QTextEdit.ExtraSelection()
            mark.cursor = match.cursor
            current = number == self._current
            mark.format.setBackground(QColor(palette.focus if current else palette.amber))
            mark.format.setForeground(QColor(palette.panel if current else palette.text))
            marks.setdefault(match.editor, []).append(mark)
        for editor, found in marks.items():
            editor.setExtraSelections(found)
            self._marked.append(editor)

    def _unmark(self) -> None:
        for editor in self._marked:
            try:
                editor.setExtraSelections([])
            except RuntimeError:
                continue  # its turn is not shown any more
        self._marked = []


def _editors(box: QWidget) -> list[Editor]:
    """The texts of a turn, as they stand from top to bottom."""
    found: list[Editor] = [*box.findChildren(QTextEdit), *box.findChildren(QPlainTextEdit)]
    visible = [editor for editor in found if editor.isVisibleTo(box)]
    return sorted(visible, key=lambda editor: editor.mapTo(box, editor.rect().topLeft()).y())
