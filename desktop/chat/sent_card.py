"""What the agent handed over in the window: its words, and a line for each file to open it or show where it lies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop import tasks
from desktop.chat.markdown.view import MarkdownView
from desktop.widgets import Button, ElidedLabel, TextLabel, identify

# fmt: off
SHOWN = frozenset((
    ".pdf", ".txt", ".md", ".csv", ".tsv", ".log", ".json", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".docx",
    ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".rtf", ".epub", ".ics", ".mp3", ".ogg", ".wav", ".mp4", ".webm", ".zip",
))
"""Kinds of files that the system shows; any other, which it might run, is only shown in its folder."""
# fmt: on


class FileLine(QFrame):
    """One file."""

    def __init__(self, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = path
        self.setProperty("code", True)
        identify(self, "sentFile", path.name)
        name = ElidedLabel(path.name, "strong", mode=Qt.TextElideMode.ElideMiddle)
        name.setToolTip(str(path))
        self.fact = TextLabel("", "secondary", object_name="sentFact")
        words = self.tr("Open {name}").format(name=path.name)
        self.open = Button(self.tr("Open"), "link", object_name="sentOpen", accessible_name=words)
        if path.suffix.lower() not in SHOWN:
            self.open.hide()
        words = self.tr("Show {name} in its folder").format(name=path.name)
        self.reveal = Button(self.tr("Show in folder"), "link", object_name="sentReveal", accessible_name=words)
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 6, 8, 6)
        line.setSpacing(12)
        line.addWidget(name, 1)
        line.addWidget(self.fact)
        line.addWidget(self.open)
        line.addWidget(self.reveal)
        self.open.clicked.connect(lambda: self._hand_over(path))
        self.reveal.clicked.connect(lambda: self._hand_over(path.parent))
        tasks.run(self._look(), "look at a sent file")

    async def _look(self) -> None:
        def size() -> int | None:
            try:
                return self.path.stat().st_size
            except OSError:
                return None

        self.show_size(await asyncio.to_thread(size))

    def show_size(self, size: int | None) -> None:
        """How large it is, in bytes; None: it is gone."""
        if size is None:
            self.fact.setText(self.tr("no longer there"))
            self.open.setEnabled(False)
        else:
            self.fact.setText(_size(size))

    def _hand_over(self, path: Path) -> None:
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.fact.setText(self.tr("could not be opened"))


class SentCard(QFrame):
    """The words above, the files below."""

    def __init__(self, text: str, files: Sequence[Path], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "sentCard", self.tr("Handed over"))
        self.setProperty("card", "plain")
        column = QVBoxLayout(self)
        column.setContentsMargins(13, 11, 13, 11)
        column.setSpacing(8)
        self.words = MarkdownView()
        self.words.append(text)
        self.words.close_text()
        column.addWidget(self.words)
        self.words.setHidden(not text)
        self.lines = [FileLine(path) for path in files]
        for line in self.lines:
            column.addWidget(line)


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:,.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"
