"""A code block: its language, a button that copies it, and the code, which scrolls sideways."""

from __future__ import annotations

import asyncio
from math import ceil

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent, QTextCursor, QWheelEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from desktop import tasks, theme
from desktop.chat.copy_button import CopyButton
from desktop.chat.markdown.highlight import Highlighter, read
from desktop.widgets import TextLabel, identify


class CodeText(QPlainTextEdit):
    """Read-only code, as high as it has lines up to `most_lines`; longer lines scroll or wrap."""

    def __init__(self, accessible_name: str, *, most_lines: int = 0, wrap: bool = False) -> None:
        super().__init__()
        identify(self, "code", accessible_name)
        self._most_lines = most_lines
        self._wrap = wrap
        self.setProperty("bare", True)
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTabChangesFocus(True)
        scrolls = bool(most_lines)  # then it must be reached by keyboard as well
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if scrolls else Qt.FocusPolicy.ClickFocus)
        modes = QPlainTextEdit.LineWrapMode
        self.setLineWrapMode(modes.WidgetWidth if wrap else modes.NoWrap)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        if wrap:  # a line that just fits would ask for one
            self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(0)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self.horizontalScrollBar().rangeChanged.connect(self.updateGeometry)
        self.restyle()

    def restyle(self) -> None:
        """Take the current code font."""
        self.setFont(theme.mono_font())
        self.document().setDefaultFont(theme.mono_font())
        self._fit()

    def append_code(self, code: str) -> None:
        """Add to the end; what is there stays as it is."""
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.insertText(code)

    def keep_end(self, characters: int) -> None:
        """Take away the beginning of what is longer."""
        surplus = self.document().characterCount() - 1 - characters
        if surplus > 0:
            cursor = QTextCursor(self.document())
            cursor.setPosition(surplus, QTextCursor.MoveMode.KeepAnchor)
            cursor.removeSelectedText()

    def sizeHint(self) -> QSize:
        lines = self._wrapped_lines() if self._wrap else int(self.document().size().height())  # counts lines, not px
        if self._most_lines:
            lines = min(lines, self._most_lines)
        bar = self.horizontalScrollBar()
        sideways = bar.sizeHint().height() if bar.maximum() > 0 else 0
        return QSize(0, ceil(max(1, lines) * self._line_height()) + sideways + 1)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._wrap and event.size().width() != event.oldSize().width():
            self._fit()

    def _fit(self) -> None:
        """Qt's own scroll bar takes width, so a line more wraps, so it is needed: it is decided here instead."""
        if self._most_lines:
            policies = Qt.ScrollBarPolicy
            scrolls = self._wrapped_lines() > self._most_lines
            self.setVerticalScrollBarPolicy(policies.ScrollBarAlwaysOn if scrolls else policies.ScrollBarAlwaysOff)
        self.updateGeometry()

    def _wrapped_lines(self) -> int:
        """How many lines are drawn, as far as it matters: Qt counts only those it has laid out."""
        most = self._most_lines + 1 if self._most_lines else 1000
        block = self.document().firstBlock()
        line = self._line_height()
        height = 0.0
        while block.isValid() and height < most * line:
            height += self.blockBoundingRect(block).height()
            block = block.next()
        return ceil(height / line - 0.1)

    def _line_height(self) -> float:
        """Of a line as it is laid out, in px: at some text sizes it is no whole number."""
        block = self.document().firstBlock()
        self.blockBoundingRect(block)  # lays it out
        return block.layout().lineAt(0).height() if block.layout().lineCount() else self.fontMetrics().lineSpacing()

    def wheelEvent(self, event: QWheelEvent) -> None:
        sideways = abs(event.angleDelta().x()) > abs(event.angleDelta().y())
        if sideways or self.verticalScrollBar().maximum() > 0:
            super().wheelEvent(event)
        else:
            event.ignore()


class CodeCard(QFrame):
    """Code with its label. `append` while it comes, `finish` when all of it is there: then it gets its colours."""

    def __init__(self, language: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "codeCard", self.tr("Code, {language}").format(language=language or self.tr("plain text")))
        self.setProperty("code", True)
        self.language = language
        self._finished = False
        self.label = TextLabel(language or self.tr("text"), "faint", object_name="codeLanguage")
        self.copy = CopyButton(lambda: self.code, object_name="copyCode", accessible_name=self.tr("Copy the code"))
        self.text = CodeText(self.accessibleName())
        self._highlighter: Highlighter | None = None
        head = QHBoxLayout()
        head.addWidget(self.label, 1)
        head.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 4, 12, 10)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self.text)

    @property
    def code(self) -> str:
        return self.text.toPlainText()

    def append(self, code: str) -> None:
        """More of it."""
        self.text.append_code(code)

    def set_code(self, language: str, code: str) -> None:
        """All of it so far; only what is new is written when it goes on from what is there."""
        if language != self.language:
            self.language = language
            self.label.setText(language or self.tr("text"))
        old = self.code
        if code.startswith(old):
            if len(code) > len(old):
                self.append(code[len(old) :])
        else:
            self.text.setPlainText(code)

    def finish(self) -> None:
        """It is complete: colour it."""
        if not self._finished:
            self._finished = True
            if self.language:
                tasks.run(self._highlight(), "highlight")

    def restyle(self) -> None:
        """Another palette or text size."""
        self.text.restyle()
        if self._highlighter is not None:
            self._highlighter.rehighlight()

    async def _highlight(self) -> None:
        try:
            tokens = await asyncio.to_thread(read, self.language, self.code)
            if tokens:
                self._highlighter = Highlighter(self.text.document())
                self._highlighter.show_tokens(tokens)
        except RuntimeError:
            return  # the card is gone

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange and hasattr(self, "text"):
            self.text.updateGeometry()
