"""A tool call as one line that opens: what was asked, what came back, how long it took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from desktop.chat.disclosure import Disclosure
from desktop.chat.markdown.code_card import CodeText
from desktop.chat.texts import SHORTEST, duration
from desktop.theme.style import set_property
from desktop.widgets import TextLabel, identify

MOST_LINES = 14
MOST_CHARS = 30_000
INDENT = 20  # px of the calls of a subagent
LIVE_CHARS = 8_000
"""Of the output of a running call: its end."""


class ToolCard(QFrame):
    """Runs until `finish`. The calls of a subagent are lines below that of the call which started it: in sight while it
    works, afterwards with the details."""

    def __init__(
        self, call_id: str, name: str, arguments: Mapping[str, Any], summary: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.call_id = call_id
        self._name, self._arguments = name, arguments
        self._text: str | None = None
        self._printed = ""
        self._live: CodeText | None = None
        self.ok: bool | None = None
        identify(self, "toolCard", self.tr("Tool call: {summary}").format(summary=summary or name))
        self.setProperty("card", "plain")
        self.line = Disclosure(summary or name, "clock")
        self.line.set_state("clock", "dim", self.tr("Running"))
        self._details: QWidget | None = None
        self.inner: list[ToolCard] = []
        self._inner: QWidget | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(1, 1, 1, 1)
        self._column.setSpacing(0)
        self._column.addWidget(self.line)
        self.line.toggled.connect(self._toggle)

    def finish(self, ok: bool | None, text: str | None, seconds: float | None) -> None:
        """What came of it; `ok` None when the turn ended before anything did."""
        self.ok, self._text = ok, text
        if ok is None:
            self.line.set_state("stop", "dim", self.tr("Not finished"))
        elif ok:
            self.line.set_state("check", "ok", self.tr("Done"))
        else:
            self.line.set_state("cross", "bad", self.tr("Failed"))
        if seconds is not None and seconds >= SHORTEST:
            self.line.fact.setText(duration(seconds))
        if self.inner:
            calls = len(self.inner)
            count = self.tr("1 call") if calls == 1 else self.tr("{n} calls").format(n=calls)
            self.line.fact.setText(" · ".join(part for part in (count, self.line.fact.text()) if part))
            self._show_inner()
        if self._details is not None:
            self._fill()

    def add_inner(self, card: ToolCard) -> None:
        """A call of the subagent."""
        if self._inner is None:
            self._inner = QWidget()
            identify(self._inner, "innerCalls", self.tr("Calls of the subagent"))
            column = QVBoxLayout(self._inner)
            column.setContentsMargins(INDENT, 0, 0, 6)
            column.setSpacing(0)
            self._column.insertWidget(1, self._inner)
        set_property(card, "card", "")  # the frame is that of the call which started it
        self.inner.append(card)
        lines = self._inner.layout()
        assert lines is not None
        lines.addWidget(card)
        self._show_inner()

    def _show_inner(self) -> None:
        if self._inner is not None:
            self._inner.setVisible(self.ok is None or self.line.is_open)

    def add_output(self, text: str) -> None:
        """It printed something; shown while the card is open, the end of it is kept."""
        if self.ok is not None or self._text is not None:
            return
        first = not self._printed
        self._printed = (self._printed + text)[-LIVE_CHARS:]
        if self._details is None or not self.line.is_open:
            return
        if first or self._live is None:
            self._fill()
            return
        bar = self._live.verticalScrollBar()
        follows = bar.value() >= bar.maximum()  # else the person reads what is further up
        self._live.append_code(text)
        self._live.keep_end(LIVE_CHARS)
        if follows:
            bar.setValue(bar.maximum())

    def restyle(self) -> None:
        """Another palette or text size."""
        for code in self.findChildren(CodeText):
            code.restyle()

    def _toggle(self, is_open: bool) -> None:
        if is_open:
            self._fill()
        if self._details is not None:
            self._details.setVisible(is_open)
        self._show_inner()

    def _fill(self) -> None:
        if self._details is not None:
            self._column.removeWidget(self._details)
            self._details.deleteLater()
        self._details = QWidget()
        identify(self._details, "toolDetails", self.tr("Details"))
        column = QVBoxLayout(self._details)
        column.setContentsMargins(12, 2, 12, 12)
        column.setSpacing(4)
        if self._arguments:  # the record does not have those of a subagent
            column.addWidget(TextLabel(self.tr("{tool} was called with").format(tool=self._name), "faint"))
            column.addWidget(_framed(_arguments(self._arguments), self.tr("Arguments")))
            column.addSpacing(4)
        self._live = None
        if self._text is None and self.ok is None and self._printed:
            column.addWidget(TextLabel(self.tr("Output so far"), "faint"))
            frame = _framed(self._printed, self.tr("Output so far"))
            column.addWidget(frame)
            self._live = frame.findChild(CodeText)
        elif self._text is None:
            words = self.tr("Nothing came back yet.") if self.ok is None else self.tr("Nothing came back.")
            column.addWidget(TextLabel(words, "faint"))
        else:
            column.addWidget(TextLabel(self.tr("Result"), "faint"))
            column.addWidget(_framed(self._text or self.tr("(empty)"), self.tr("Result")))
        self._column.addWidget(self._details)
        self._details.setVisible(self.line.is_open)
        if self._live is not None:
            self._live.verticalScrollBar().setValue(self._live.verticalScrollBar().maximum())


def _framed(text: str, name: str) -> QFrame:
    frame = QFrame()
    frame.setProperty("code", True)
    code = CodeText(name, most_lines=MOST_LINES, wrap=True)
    code.setPlainText(text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "…")
    column = QVBoxLayout(frame)
    column.setContentsMargins(10, 6, 10, 6)
    column.addWidget(code)
    return frame


def _arguments(arguments: Mapping[str, Any]) -> str:
    lines = []
    for key, value in arguments.items():
        words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key}:\n{words}" if "\n" in words else f"{key}: {words}")
    return "\n".join(lines)
