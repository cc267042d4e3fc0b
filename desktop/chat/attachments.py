"""Pictures that go with the next message: each a small picture that can be taken away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, Qt, Signal
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from agent.providers.types import Image
from desktop import theme
from desktop.chat.bubble import thumbnail
from desktop.widgets import ElidedLabel, GlyphButton, identify

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
LARGEST = 10_000_000  # bytes; what model services take at most is lower still for some
MOST = 8
SIDE = 40  # px of a chip's picture


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture with its name."""

    name: str
    image: Image
    pixmap: QPixmap


def is_picture(path: str) -> bool:
    """Whether a model is sent this file as a picture."""
    return Path(path).suffix.lower() in MEDIA_TYPES


async def read_picture(path: str) -> Attachment | str:
    """The picture in a file, or in words why it cannot be sent."""
    file = Path(path)

    def read() -> tuple[bytes, QImage] | str:
        try:
            if file.stat().st_size > LARGEST:
                return "large"
            data = file.read_bytes()
        except OSError as error:
            return error.strerror or type(error).__name__
        return data, QImage.fromData(data)

    found = await asyncio.to_thread(read)
    if isinstance(found, str):
        return found
    data, image = found
    if image.isNull():
        return "broken"
    return Attachment(file.name, Image(MEDIA_TYPES[file.suffix.lower()], data), QPixmap.fromImage(image))


async def encode_picture(image: QImage, name: str) -> Attachment | str:
    """A picture from the clipboard as PNG, or in words why it cannot be sent."""

    def encode() -> bytes:
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs know only str and QIODevice with bytes
        return bytes(buffer.data().data())

    data = await asyncio.to_thread(encode)
    if len(data) > LARGEST:
        return "large"
    return Attachment(name, Image("image/png", data), QPixmap.fromImage(image))


class Attachments(QWidget):
    """The row of chips; hidden while there are none."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "attachments", self.tr("Pictures to send"))
        self._items: list[tuple[Attachment, QWidget]] = []
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(8)
        self._line.addStretch(1)
        self.hide()

    @property
    def items(self) -> list[Attachment]:
        return [item for item, _chip in self._items]

    def add(self, item: Attachment) -> bool:
        """Append one; False when there are too many."""
        if len(self._items) >= MOST:
            return False
        chip = self._chip(item)
        self._items.append((item, chip))
        self._line.insertWidget(self._line.count() - 1, chip)
        self._update()
        return True

    def clear(self) -> None:
        """Take all away."""
        for _item, chip in self._items:
            chip.hide()
            chip.deleteLater()
        self._items = []
        self._update()

    def set_items(self, items: list[Attachment]) -> None:
        """Show these instead."""
        self.clear()
        for item in items:
            self.add(item)

    def _chip(self, item: Attachment) -> QWidget:
        chip = QFrame()
        chip.setProperty("code", True)
        identify(chip, "attachment", item.name)
        picture = QLabel()
        picture.setPixmap(thumbnail(item.pixmap, theme.px(SIDE), self.devicePixelRatioF()))
        name = ElidedLabel(item.name, "secondary", mode=Qt.TextElideMode.ElideMiddle)
        name.setMaximumWidth(theme.px(120))
        remove = GlyphButton("cross", self.tr("Remove {name}").format(name=item.name), object_name="removeAttachment")
        line = QHBoxLayout(chip)
        line.setContentsMargins(6, 4, 4, 4)
        line.setSpacing(6)
        line.addWidget(picture)
        line.addWidget(name)
        line.addWidget(remove)
        remove.clicked.connect(lambda: self._remove(item))
        return chip

    def _remove(self, item: Attachment) -> None:
        for index, (one, chip) in enumerate(self._items):
            if one is item:
                del self._items[index]
                chip.hide()
                chip.deleteLater()
                break
        self._update()

    def _update(self) -> None:
        self.setVisible(bool(self._items))
        self.changed.emit()
