"""Icons drawn at run time from the SVG files: the app's mark, the tray states, glyphs and letter badges.

QtSvg is imported at the first icon, and every icon is built once per colour.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

from PySide6.QtCore import QByteArray, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QImage, QPainter, QPen, QPixmap

import resources
from desktop.theme import fonts
from desktop.theme.tokens import DARK, LIGHT

TrayState = Literal["stopped", "ready", "working", "needs_you", "error", "offline"]
TRAY_STATES: tuple[TrayState, ...] = get_args(TrayState)

TRAY_SIZES = (16, 18, 20, 22, 24, 32, 44, 48, 64)  # px: panels of all systems at 100 to 200 %
_APP_SIZES = (16, 24, 32, 48, 64, 128, 256)
_GLYPH_SIZES = (16, 20, 24, 32, 48)

GLYPHS = frozenset(
    {
        "attach", "chat", "check", "chevron-down", "chevron-left", "chevron-right", "chevron-up", "clock", "copy",
        "cross", "edit", "error", "external", "eye", "file", "folder", "globe", "info", "key", "monitor", "more",
        "pause", "play", "plus", "refresh", "search", "send", "settings", "shield", "stop", "terminal", "trash",
        "undo", "warning",
    }
)  # fmt: skip

# Letter and ground of each channel's badge; white on it reaches 3:1 (WCAG 1.4.11).
CHANNELS = {
    "telegram": ("T", "#1F8CC9"),
    "discord": ("D", "#5865F2"),
    "slack": ("S", "#611F69"),
    "email": ("@", "#855800"),
}

_GREY = {False: "#77726A", True: "#A9A49D"}  # a stopped mark on a light and on a dark panel
_AMBER, _RED = "#E3A008", {False: "#B3261E", True: "#E5484D"}


def glyph(name: str, color: str = "dim") -> QIcon:
    """A small interface icon; `color` is a token of the current palette or `#rrggbb`. KeyError for an unknown name."""
    return _glyph(name, _resolve(color))


def glyph_pixmap(name: str, size: int, ratio: float, color: str = "dim") -> QPixmap:
    """One glyph at `size` device-independent px, sharp at the device's pixel `ratio`; for custom painting."""
    return _glyph_pixmap(name, _resolve(color), size, ratio)


def mark_pixmap(size: int, color: str = "accent", ratio: float = 1.0) -> QPixmap:
    """The mark at `size` device-independent px."""
    return _pixmap(_svg("icons/trayclaw-mark.svg", _resolve(color)), size, ratio)


@cache
def app_icon() -> QIcon:
    """The application's icon, in the accent colour that holds on light and dark task bars."""
    icon = QIcon()
    for size in _APP_SIZES:
        icon.addPixmap(_pixmap(resources.path("icons/trayclaw.svg").read_bytes(), size))
    return icon


@cache
def tray_icon(state: TrayState, dark_panel: bool, template: bool = False) -> QIcon:
    """The tray icon of a state for a dark or light panel; `template` gives macOS its alpha-only mask."""
    if state not in TRAY_STATES:
        raise ValueError(f"not a tray state: {state}")
    icon = QIcon()
    for size in TRAY_SIZES:
        icon.addPixmap(QPixmap.fromImage(_tray_image(state, size, dark_panel, template)))
    icon.setIsMask(template)
    return icon


def channel_icon(name: str) -> QIcon:
    """The badge of a channel; the desktop's own window and unknown names get a grey one."""
    letter, ground = CHANNELS.get(name, ("", "#6B665F"))
    return _badge(letter, ground, "" if letter else "monitor")


def badge(letter: str, ground: str) -> QIcon:
    """A square badge with a white letter on `ground` (`#rrggbb`)."""
    return _badge(letter, ground, "")


def clear_cache() -> None:
    """Frees all icons; called before the application object goes, since pixmaps must not outlive it."""
    for cached in (app_icon, tray_icon, _glyph, _glyph_pixmap, _badge):
        cached.cache_clear()


def _resolve(color: str) -> str:
    if color.startswith("#"):
        return color
    from desktop.theme.manager import theme

    return theme.palette.color(color)


@cache
def _glyph(name: str, color: str) -> QIcon:
    if name not in GLYPHS:
        raise KeyError(name)
    icon = QIcon()
    for size in _GLYPH_SIZES:
        pixmap = _pixmap(_svg(f"icons/glyphs/{name}.svg", color), size)
        icon.addPixmap(pixmap)
        icon.addPixmap(_faded(pixmap), QIcon.Mode.Disabled)
    return icon


@cache
def _glyph_pixmap(name: str, color: str, size: int, ratio: float) -> QPixmap:
    if name not in GLYPHS:
        raise KeyError(name)
    return _pixmap(_svg(f"icons/glyphs/{name}.svg", color), size, ratio)


@cache
def _badge(letter: str, ground: str, inner: str) -> QIcon:
    icon = QIcon()
    for size in (18, 20, 24, 27, 36, 54):
        image = _canvas(size)
        with QPainter(image) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(ground))
            painter.drawRoundedRect(QRectF(0, 0, size, size), size * 0.26, size * 0.26)
            if inner:
                box = QRectF(size * 0.2, size * 0.2, size * 0.6, size * 0.6)
                _render(painter, _svg(f"icons/glyphs/{inner}.svg", "#FFFFFF"), box)
            else:
                font = QFont(fonts.SANS)
                font.setPixelSize(max(7, round(size * 0.58)))
                font.setWeight(QFont.Weight.DemiBold)
                painter.setFont(font)
                painter.setPen(QColor("#FFFFFF"))
                painter.drawText(QRectF(0, 0, size, size), Qt.AlignmentFlag.AlignCenter, letter)
        icon.addPixmap(QPixmap.fromImage(image))
    return icon


def _tray_image(state: TrayState, size: int, dark_panel: bool, template: bool) -> QImage:
    ink = "#000000" if template else (DARK if dark_panel else LIGHT).text
    accent = (DARK if dark_panel else LIGHT).accent
    color = ink
    if not template:
        color = {"stopped": _GREY[dark_panel], "offline": _GREY[dark_panel], "working": accent}.get(state, ink)
    image = _canvas(size)
    unit = size / 16  # shapes are designed on 16 px, where they must hold
    with QPainter(image) as painter:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        _render(painter, _svg("icons/trayclaw-mark.svg", color), QRectF(0, 0, size, size))
        if template and state == "stopped":  # a mask has no grey: it is the same shape, fainter
            painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
            painter.fillRect(image.rect(), QColor(0, 0, 0, 110))
        painter.setPen(Qt.PenStyle.NoPen)
        if state == "working":
            painter.setBrush(QColor(color))
            painter.drawEllipse(QPointF(12 * unit, 9.8 * unit), 1.5 * unit, 1.5 * unit)
        elif state == "needs_you":
            _cut(painter, lambda: painter.drawEllipse(QPointF(12 * unit, 4 * unit), 5 * unit, 5 * unit))
            painter.setBrush(QColor(ink if template else _AMBER))
            painter.drawEllipse(QPointF(12 * unit, 4 * unit), 3.75 * unit, 3.75 * unit)
        elif state == "error":
            _cut(painter, lambda: painter.drawRect(QRectF(8 * unit, 0, 8 * unit, 8 * unit)))
            painter.setBrush(QColor(ink if template else _RED[dark_panel]))
            painter.drawRect(QRectF(9 * unit, 0, 7 * unit, 7 * unit))
        elif state == "offline":
            ends = QPointF(8.4 * unit, 15.2 * unit), QPointF(15.2 * unit, 8.4 * unit)
            painter.setPen(QPen(Qt.GlobalColor.black, 4.4 * unit))
            _cut(painter, lambda: painter.drawLine(*ends))
            painter.setPen(QPen(QColor(color), 1.8 * unit, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawLine(*ends)
    return image


def _cut(painter: QPainter, draw: Callable[[], object]) -> None:
    """Erases a shape, so that the badge keeps a gap to the mark on any panel colour."""
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationOut)
    painter.setBrush(Qt.GlobalColor.black)
    draw()
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)


def _svg(name: str, color: str) -> bytes:
    return resources.path(name).read_bytes().replace(b"currentColor", color.encode())


def _canvas(pixels: int) -> QImage:
    image = QImage(pixels, pixels, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    return image


def _pixmap(svg: bytes, size: int, ratio: float = 1.0) -> QPixmap:
    image = _canvas(round(size * ratio))
    with QPainter(image) as painter:
        _render(painter, svg, QRectF(0, 0, image.width(), image.height()))
    image.setDevicePixelRatio(ratio)
    return QPixmap.fromImage(image)


def _faded(pixmap: QPixmap) -> QPixmap:
    image = _canvas(pixmap.width())
    with QPainter(image) as painter:
        painter.setOpacity(0.4)
        painter.drawPixmap(0, 0, pixmap)
    return QPixmap.fromImage(image)


def _render(painter: QPainter, svg: bytes, target: QRectF) -> None:
    from PySide6.QtSvg import QSvgRenderer

    QSvgRenderer(QByteArray(svg)).render(painter, target)
