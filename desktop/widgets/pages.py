"""What a page is made of besides cards: its header, and what stands there while there is nothing to show."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from desktop.theme import icons
from desktop.theme.fonts import px
from desktop.widgets.buttons import Button
from desktop.widgets.labels import TextLabel
from desktop.widgets.naming import identify


class PageHeader(QWidget):
    """The title of a page, one line of explanation, and controls at the end."""

    def __init__(
        self, title: str, subtitle: str = "", *trailing: QWidget, object_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        identify(self, object_name, title)
        self.title = TextLabel(title, "title", wrap=True)
        self.subtitle = TextLabel(subtitle, "dim", wrap=True)
        texts = QVBoxLayout()
        texts.setSpacing(4)
        texts.addWidget(self.title)
        texts.addWidget(self.subtitle)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(12)
        line.addLayout(texts, 1)
        for widget in trailing:
            line.addWidget(widget, 0, Qt.AlignmentFlag.AlignTop)
        self.subtitle.setVisible(bool(subtitle))

    def set_subtitle(self, subtitle: str) -> None:
        self.subtitle.setText(subtitle)
        self.subtitle.setVisible(bool(subtitle))


class EmptyState(QWidget):
    """Stands where nothing is yet: what would be here and the next step. `glyph` "" shows the mark."""

    action_triggered = Signal()

    def __init__(
        self,
        title: str,
        text: str = "",
        action: str = "",
        *,
        glyph: str = "",
        object_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        identify(self, object_name, title)
        self._glyph_name = glyph
        self._picture = QLabel()
        self.title = TextLabel(title, "heading", wrap=True)
        self.text = TextLabel(text, "dim", wrap=True)
        self.action = Button(action, "primary", object_name=f"{object_name}_action" if object_name else "")
        for label in (self._picture, self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(28, 28, 28, 28)
        column.setSpacing(8)
        column.addStretch(2)
        column.addWidget(self._picture)
        column.addSpacing(4)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addSpacing(8)
        column.addWidget(self.action, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)
        self.action.clicked.connect(self.action_triggered)
        self.set_message(title, text, action)
        self._draw()

    def set_message(self, title: str, text: str = "", action: str = "") -> None:
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.action.setText(action)
        self.action.setVisible(bool(action))
        self.setAccessibleName(title)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange) and hasattr(self, "_picture"):
            self._draw()

    def _draw(self) -> None:
        ratio = self.devicePixelRatioF()
        if self._glyph_name:
            self._picture.setPixmap(icons.glyph_pixmap(self._glyph_name, px(32), ratio, "faint"))
        else:
            self._picture.setPixmap(icons.mark_pixmap(px(44), "accent", ratio))


class Page(QScrollArea):
    """A page that scrolls when it must: header, then cards, with the window's edges around them."""

    def __init__(
        self, header: PageHeader | None = None, *, object_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        identify(self, object_name)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its controls take the focus and scroll themselves into view
        self._body = QWidget()
        self._body.setProperty("ground", "bg")
        self._column = QVBoxLayout(self._body)
        self._column.setContentsMargins(28, 24, 28, 28)
        self._column.setSpacing(16)
        self._column.addStretch(1)
        self.setWidget(self._body)
        if header is not None:
            self.add(header)

    def add(self, widget: QWidget) -> None:
        """Appends below what is there."""
        self._column.insertWidget(self._column.count() - 1, widget)

    def minimumSizeHint(self) -> QSize:
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self._body.minimumSizeHint().width() + bar, px(160))
