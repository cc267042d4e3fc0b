"""Buttons: by kind, with a glyph, and the pill of the chat's header."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QPushButton, QSizePolicy, QToolButton, QWidget

from desktop.theme import icons
from desktop.theme.fonts import px
from desktop.theme.manager import theme
from desktop.theme.style import set_kind
from desktop.widgets.naming import identify

_RESTYLED = (QEvent.Type.PaletteChange, QEvent.Type.StyleChange, QEvent.Type.FontChange)


def plain(text: str) -> str:
    """A button's text with "&" shown as it is: Qt would take it for a mnemonic ("Save & test")."""
    return text.replace("&", "&&")


class Button(QPushButton):
    """A text button of a kind: primary, default, quiet, link or danger; `glyph` puts an icon before the text."""

    def __init__(
        self,
        text: str,
        kind: str = "default",
        *,
        glyph: str = "",
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(plain(text), parent)
        self._glyph = glyph
        self.setProperty("kind", kind)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        if kind == "link":
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAutoDefault(False)
        identify(self, object_name, accessible_name)
        self._draw_glyph()

    def setText(self, text: str) -> None:
        super().setText(plain(text))

    def set_kind(self, kind: str) -> None:
        set_kind(self, kind)
        self._draw_glyph()

    def set_glyph(self, glyph: str) -> None:
        self._glyph = glyph
        self._draw_glyph()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in _RESTYLED and hasattr(self, "_glyph"):  # also sent while the base is being built
            self._draw_glyph()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.hasFocus() and self.property("kind") == "primary":  # blue on the accent is too close: a line between
            with QPainter(self) as painter:
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(QPen(QColor(theme.palette.on_accent), 1.5))
                painter.drawRoundedRect(QRectF(self.rect()).adjusted(2.75, 2.75, -2.75, -2.75), 4.5, 4.5)

    def _draw_glyph(self) -> None:
        if self._glyph:
            kind = str(self.property("kind"))
            color = {"primary": "on_accent", "link": "link", "danger": "bad", "quiet": "dim"}.get(kind, "text")
            self.setIconSize(QSize(px(16), px(16)))
            self.setIcon(icons.glyph(self._glyph, color))


class GlyphButton(QToolButton):
    """A square button with only a glyph; its name is spoken and is the tooltip."""

    def __init__(
        self,
        glyph: str,
        accessible_name: str,
        *,
        kind: str = "quiet",
        color: str = "dim",
        object_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._glyph, self._color = glyph, color
        self.setProperty("kind", kind)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setToolTip(accessible_name)
        identify(self, object_name, accessible_name)
        self._draw_glyph()

    def set_glyph(self, glyph: str, color: str = "") -> None:
        self._glyph, self._color = glyph, color or self._color
        self._draw_glyph()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in _RESTYLED and hasattr(self, "_glyph"):
            self._draw_glyph()

    def _draw_glyph(self) -> None:
        self.setIconSize(QSize(px(16), px(16)))
        self.setIcon(icons.glyph(self._glyph, self._color))


class PillButton(QPushButton):
    """A small rounded button that shows a value; `chevron` says that it opens a choice."""

    def __init__(
        self,
        text: str,
        *,
        chevron: bool = False,
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(plain(text), parent)
        self._chevron = chevron
        self.setProperty("kind", "pill")
        self.setProperty("chevron", chevron)
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        identify(self, object_name, accessible_name)

    def setText(self, text: str) -> None:
        super().setText(plain(text))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._chevron:
            return
        half = px(7) / 2
        x = px(14) if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else self.width() - px(14)
        y = self.height() / 2
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            color = theme.palette.dim if self.isEnabled() else theme.palette.disabled
            painter.setPen(QPen(QColor(color), 1.5, c=Qt.PenCapStyle.RoundCap, j=Qt.PenJoinStyle.RoundJoin))
            points = [QPointF(x - half, y - half / 2), QPointF(x, y + half / 2), QPointF(x + half, y - half / 2)]
            painter.drawPolyline(QPolygonF(points))
