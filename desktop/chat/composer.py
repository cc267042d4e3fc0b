"""Where a message is written and sent, and a running turn is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtGui import QImage, QTextCursor
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop import tasks, theme
from desktop.chat.attachments import MEDIA_TYPES, Attachment, Attachments, encode_picture, is_picture, read_picture
from desktop.chat.writing_line import WritingLine
from desktop.widgets import Button, TextLabel, identify


@dataclass(frozen=True, slots=True)
class Draft:
    """What was written and not sent yet."""

    text: str = ""
    pictures: tuple[Attachment, ...] = ()


class Composer(QFrame):
    """`sent(text, pictures)` and `stop_requested`. What is sent is taken out; `restore` puts it back."""

    sent = Signal(str, object)
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "composer", self.tr("Write a message"))
        self.setProperty("card", "plain")
        self._running = False
        self.line = WritingLine()
        self.pictures = Attachments()
        self.problem = TextLabel("", "bad", wrap=True, object_name="composerProblem")
        self.attach = Button(self.tr("Attach"), "quiet", glyph="plus", object_name="attach")
        self.attach.setAccessibleName(self.tr("Attach pictures or files"))
        self.hint = TextLabel("", "secondary", object_name="composerHint")
        self.send = Button(self.tr("Send"), "primary", object_name="send")
        self.stop = Button(self.tr("Stop"), "primary", glyph="stop", object_name="stop")
        self._dialog: QFileDialog | None = None
        foot = QHBoxLayout()
        foot.setSpacing(8)
        foot.addWidget(self.attach)
        foot.addStretch(1)
        foot.addWidget(self.hint)
        foot.addWidget(self.send)
        foot.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 10, 10)
        column.setSpacing(6)
        for widget in (self.pictures, self.line, self.problem):
            column.addWidget(widget)
        column.addLayout(foot)
        self.problem.hide()
        self.stop.hide()
        self._restyle()
        theme.on_change(self._restyle)
        self.line.focus_changed.connect(lambda focused: theme.set_property(self, "focused", focused))
        self.line.submitted.connect(self._submit)
        self.line.textChanged.connect(self._changed)
        self.line.files_given.connect(self.add_files)
        self.line.image_given.connect(self._add_image)
        self.pictures.changed.connect(self._changed)
        self.send.clicked.connect(self._submit)
        self.stop.clicked.connect(self.stop_requested)
        self.attach.clicked.connect(self._choose)
        self._changed()

    @property
    def running(self) -> bool:
        return self._running

    @property
    def draft(self) -> Draft:
        """What is written now."""
        return Draft(self.line.toPlainText(), tuple(self.pictures.items))

    def restore(self, draft: Draft) -> None:
        """Show what was written before."""
        self.line.setPlainText(draft.text)
        self.line.moveCursor(QTextCursor.MoveOperation.End)
        self.pictures.set_items(list(draft.pictures))
        self.say("")

    def set_running(self, running: bool) -> None:
        """A turn runs: Stop takes the place of Send."""
        if running == self._running:
            return
        self._running = running
        had_focus = self.send.hasFocus() or self.stop.hasFocus()
        self.send.setVisible(not running)
        self.stop.setVisible(running)
        if had_focus:
            self.line.setFocus()
        self._changed()

    def say(self, problem: str) -> None:
        """What went wrong, below the text; "" takes it away."""
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def insert(self, text: str) -> None:
        """Put text where the cursor is."""
        self.line.insertPlainText(text)
        self.line.setFocus()

    def add_files(self, paths: Sequence[str]) -> None:
        """Pictures become chips, of other files the path is written."""
        for path in paths:
            if is_picture(path):
                tasks.run(self._add_file(path), "read picture")
            else:
                before = self.line.textCursor().block().text()[: self.line.textCursor().positionInBlock()]
                self.insert(("" if not before or before.endswith(" ") else " ") + path + " ")

    def _restyle(self, *_: object) -> None:
        """The outline shows where the person writes; the line in it has none of its own."""
        focus = theme.current().focus
        self.setStyleSheet(
            f'QPlainTextEdit {{ min-height: 0; }}QFrame#composer[focused="true"] {{ border: 1px solid {focus}; }}'
        )

    def _submit(self) -> None:
        draft = self.draft
        if not draft.text.strip() and not draft.pictures:
            return
        self.restore(Draft())
        self.sent.emit(draft.text.strip(), draft.pictures)

    def _changed(self) -> None:
        something = bool(self.line.toPlainText().strip()) or bool(self.pictures.items)
        self.send.setEnabled(something)
        if self._running:
            self.hint.setText(self.tr("Enter sends it next · Esc stops") if something else self.tr("Esc stops"))
        else:
            self.hint.setText("")

    def _add_image(self, image: QImage) -> None:
        tasks.run(self._add_pasted(image), "paste picture")

    async def _add_pasted(self, image: QImage) -> None:
        self._take(await encode_picture(image, self.tr("Pasted picture")), self.tr("The pasted picture"))

    async def _add_file(self, path: str) -> None:
        self._take(await read_picture(path), path)

    def _take(self, found: Attachment | str, name: str) -> None:
        if isinstance(found, Attachment):
            self.say("" if self.pictures.add(found) else self.tr("More pictures do not fit into one message."))
            return
        words = {
            "large": self.tr("{name} is too large: 10 MB is the most."),
            "broken": self.tr("{name} is not a picture that can be read."),
        }
        self.say(words.get(found, self.tr("{name}: {reason}")).format(name=name, reason=found))

    def _choose(self) -> None:
        if self._dialog is None:
            self._dialog = QFileDialog(self, self.tr("Attach pictures or files"))
            self._dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
            patterns = " ".join(f"*{suffix}" for suffix in MEDIA_TYPES)
            pictures = self.tr("Pictures ({patterns})").format(patterns=patterns)
            self._dialog.setNameFilters([self.tr("All files (*)"), pictures])
            self._dialog.filesSelected.connect(self.add_files)
        self._dialog.open()
