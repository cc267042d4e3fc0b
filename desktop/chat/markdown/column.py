"""Parts under each other, one widget for each; text that goes on stays in its widget."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from desktop import theme
from desktop.chat.markdown.code_card import CodeCard
from desktop.chat.markdown.parts import CodePart, Line, Part, QuotePart, RulePart, TablePart, TextPart
from desktop.chat.markdown.prose import Prose
from desktop.chat.markdown.table_card import TableCard

MOST_LINES = 40
"""Text blocks in one document: laying out a change stays cheap."""
SPACING = 10  # px
GROUP = 12  # widgets


class PartColumn(QWidget):
    """`add` parts that are final, `set_tail` for the end that may change. What was added is never touched again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACING)
        self._widgets: list[QWidget] = []
        self._groups: list[QWidget] = []  # each holds GROUP of them
        self.made = 0  # widgets, ever
        self._final = 0  # so many widgets hold only what is final, or text that more may be added to
        self._open_text: Prose | None = None  # the last final widget, when text may go on in it
        self._final_lines: tuple[Line, ...] = ()  # what is final in it

    def widgets(self) -> list[QWidget]:
        """All of them, in order."""
        return list(self._widgets)

    def append_code(self, code: str) -> None:
        """More code for the code block that was added last."""
        card = self._widgets[self._final - 1]
        assert isinstance(card, CodeCard)
        card.append(code)

    def set_tail(self, parts: Sequence[Part]) -> None:
        """What follows the final parts for now."""
        parts = list(parts)
        if self._open_text is not None:
            more: tuple[Line, ...] = ()
            if parts and isinstance(parts[0], TextPart) and self._has_room():
                more = parts.pop(0).lines  # type: ignore[union-attr]
            self._open_text.set_lines((*self._final_lines, *more))
        for offset, part in enumerate(parts):
            self._show(self._final + offset, part)
        self._drop_from(self._final + len(parts))

    def finish(self) -> None:
        """Nothing will change any more."""
        self.set_tail(())
        for widget in self._widgets:
            if isinstance(widget, CodeCard):
                widget.finish()

    def restyle(self) -> None:
        """Another palette or text size."""
        for widget in self._widgets:
            if isinstance(widget, Prose | CodeCard | TableCard | Quote):
                widget.restyle()
        self.update()

    def _has_room(self) -> bool:
        return len(self._final_lines) < MOST_LINES

    def add(self, part: Part) -> None:
        """A part that will not change, in place of the beginning of the tail."""
        if self._final and isinstance(self._widgets[self._final - 1], CodeCard):
            self._widgets[self._final - 1].finish()  # type: ignore[attr-defined]
        if isinstance(part, TextPart):
            if self._open_text is None or not self._has_room():
                self._open_text = None
                widget = self._show(self._final, part)
                assert isinstance(widget, Prose)
                self._final += 1
                self._open_text, self._final_lines = widget, part.lines
            else:
                self._final_lines = (*self._final_lines, *part.lines)
                self._open_text.set_lines(self._final_lines)
            return
        if self._open_text is not None:
            self._open_text.set_lines(self._final_lines)
            self._open_text = None
        self._show(self._final, part)
        self._final += 1

    def _show(self, index: int, part: Part) -> QWidget:
        """The widget at `index` shows `part`; one of another sort is replaced."""
        kind = _KINDS[type(part)]
        widget = self._widgets[index] if index < len(self._widgets) else None
        if widget is None or type(widget) is not kind:
            self._drop_from(index)
            widget = CodeCard(part.language) if isinstance(part, CodePart) else kind()
            self._fill(widget, part)
            self._place(index, widget, getattr(part, "indent", 0) * theme.px(24))
        else:
            self._fill(widget, part)
        return widget

    def _place(self, index: int, widget: QWidget, indent: int) -> None:
        """Into the group of its index: Qt lays out a whole column when one widget in it changes, so they are short."""
        self.made += 1
        self._widgets.append(widget)
        if index // GROUP == len(self._groups):
            self._groups.append(_group())
        group = self._groups[index // GROUP]
        column = group.layout()
        assert isinstance(column, QVBoxLayout)
        if indent:
            row = QVBoxLayout()
            row.setContentsMargins(indent, 0, 0, 0)
            row.addWidget(widget)
            column.addLayout(row)
        else:
            column.addWidget(widget)
        if index % GROUP == 0:
            self._column.addWidget(group)

    @staticmethod
    def _fill(widget: QWidget, part: Part) -> None:
        match part:
            case TextPart():
                widget.set_lines(part.lines)  # type: ignore[attr-defined]
            case CodePart():
                widget.set_code(part.language, part.code)  # type: ignore[attr-defined]
            case TablePart():
                widget.set_table(part)  # type: ignore[attr-defined]
            case QuotePart():
                widget.set_parts(part.parts)  # type: ignore[attr-defined]
            case RulePart():
                pass

    def _drop_from(self, index: int) -> None:
        for widget in self._widgets[index:]:
            widget.hide()
            widget.deleteLater()
        del self._widgets[index:]
        needed = (index + GROUP - 1) // GROUP
        for group in self._groups[needed:]:
            self._column.removeWidget(group)
            group.hide()
            group.deleteLater()
        del self._groups[needed:]


def _group() -> QWidget:
    group = QWidget()
    column = QVBoxLayout(group)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(SPACING)
    return group


class Quote(QWidget):
    """Quoted parts behind a bar."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.parts = PartColumn()
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 2, 0, 2)
        column.addWidget(self.parts)

    def set_parts(self, parts: Sequence[Part]) -> None:
        """Show these."""
        self.parts.set_tail(parts)

    def restyle(self) -> None:
        """Another palette or text size."""
        self.parts.restyle()

    def paintEvent(self, _event: QPaintEvent) -> None:
        mirrored = self.layoutDirection() == Qt.LayoutDirection.RightToLeft
        left = self.width() - 3 if mirrored else 0
        with QPainter(self) as painter:
            painter.fillRect(QRectF(left, 0, 3, self.height()), QColor(theme.current().edge))


class Rule(QFrame):
    """A line across."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("rule", "h")


_KINDS: dict[type, type[QWidget]] = {
    TextPart: Prose,
    CodePart: CodeCard,
    TablePart: TableCard,
    QuotePart: Quote,
    RulePart: Rule,
}
