"""What a person wrote: their words in a bubble at the right, the pictures they sent above them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QGraphicsOpacityEffect, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from desktop import theme
from desktop.chat.markdown.prose import PlainText
from desktop.widgets import TextLabel, identify

WIDEST = 0.76
"""Of the column: a bubble is never as wide as an answer."""
MOST_CHARS = 20_000
"""More is cut in the window; all of it was sent."""
PICTURE = 160  # px, the longer side of a thumbnail


class Bubble(QWidget):
    """The ground and the text."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        shown = text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "…"
        self.text = PlainText(shown, "questionText", self.tr("Your message"))
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 14, 8)
        row.addWidget(self.text)

    def fit(self, widest: int) -> None:
        """Be as wide as the text, at most `widest` px."""
        wanted = min(self.text.natural_width() + 28, widest)
        if wanted != self.width():
            self.setFixedWidth(wanted)

    def paintEvent(self, _event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.current().bubble))
            painter.drawRoundedRect(QRectF(self.rect()), theme.RADIUS_CARD, theme.RADIUS_CARD)


class Question(QWidget):
    """The message of a turn; `set_waiting` dims it while others are answered first."""

    def __init__(
        self, text: str, sender: str = "", pictures: Sequence[QPixmap] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        identify(self, "question", self.tr("Message"))
        end = Qt.AlignmentFlag.AlignRight
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.bubble: Bubble | None = None
        if sender:
            column.addWidget(TextLabel(sender, "faint", object_name="sender"), 0, end)
        if pictures:
            line = QHBoxLayout()
            line.addStretch(1)
            for picture in pictures:
                label = QLabel()
                label.setAccessibleName(self.tr("Picture"))
                label.setPixmap(thumbnail(picture, theme.px(PICTURE), self.devicePixelRatioF()))
                line.addWidget(label)
            column.addLayout(line)
        if text or not pictures:
            self.bubble = Bubble(text or self.tr("(picture)"))
            column.addWidget(self.bubble, 0, end)
        self._waiting = TextLabel(self.tr("waiting"), "faint", object_name="waiting")
        column.addWidget(self._waiting, 0, end)
        self._waiting.hide()

    def set_waiting(self, waiting: bool) -> None:
        """It is not its turn yet."""
        self._waiting.setVisible(waiting)
        if self.bubble is not None:
            effect = None
            if waiting:
                effect = QGraphicsOpacityEffect(self.bubble)
                effect.setOpacity(0.6)
            self.bubble.setGraphicsEffect(effect)  # type: ignore[arg-type]  # None takes it off

    def fit(self, width: int) -> None:
        """The column is so wide."""
        if self.bubble is not None:
            self.bubble.fit(int(width * WIDEST))

    def restyle(self, width: int) -> None:
        """Another palette or text size."""
        if self.bubble is not None:
            self.bubble.text.restyle()
            self.fit(width)


def thumbnail(picture: QPixmap, side: int, ratio: float) -> QPixmap:
    """The picture with its longer side at `side` px, sharp at the device's ratio."""
    size = QSize(round(side * ratio), round(side * ratio))
    small = picture.scaled(size, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
    small.setDevicePixelRatio(ratio)
    return small
