"""Type: the shipped fonts, the sizes of UI.md and the user's text size (100 to 200 %)."""

from __future__ import annotations

import sys
from typing import Literal

from PySide6.QtGui import QFont, QFontDatabase

import resources

SANS = "Inter"
MONO = "JetBrains Mono"

Size = Literal["body", "secondary", "code", "heading", "title", "display"]
SIZES: dict[Size, float] = {"body": 13.5, "secondary": 12, "code": 12, "heading": 15, "title": 18, "display": 24}  # px

MIN_SCALE, MAX_SCALE = 1.0, 2.0

_FILES = (
    "Inter-Regular.otf",
    "Inter-Italic.otf",
    "Inter-Medium.otf",
    "Inter-SemiBold.otf",
    "Inter-Bold.otf",
    "JetBrainsMono-Regular.ttf",
)
# Qt takes fractions only in points, 72 to the inch on macOS and 96 px elsewhere; high-DPI scaling comes on top.
_POINTS_PER_PX = 1.0 if sys.platform == "darwin" else 0.75

_scale = 1.0
_loaded: list[int] = []


def load_fonts() -> None:
    """Registers the shipped fonts with Qt once; needs a QGuiApplication. A file Qt refuses leaves the system font."""
    if not _loaded:
        _loaded.extend(QFontDatabase.addApplicationFont(str(resources.path(f"fonts/{name}"))) for name in _FILES)


def set_scale(scale: float) -> float:
    """Sets the text size as a factor, clamped to 1.0 .. 2.0, and returns the one in use. `theme.apply` calls it."""
    global _scale  # one text size a process, like Qt's application font
    _scale = min(MAX_SCALE, max(MIN_SCALE, scale))
    return _scale


def scale() -> float:
    """The text size in use, 1.0 to 2.0."""
    return _scale


def points(px: float) -> float:
    """A type size of `px` (as designed at 100 %) in points at the user's text size."""
    return round(px * _scale * _POINTS_PER_PX, 3)


def px(length: float) -> int:
    """A length that must grow with the text (icon, control height), designed at 100 %, in device-independent px."""
    return round(length * _scale)


def ui_font(size: Size = "body", *, weight: int = 400, tabular: bool = False) -> QFont:
    """The interface font; `weight` is 400, 500 or 600, `tabular` gives every figure the same width (tables)."""
    font = QFont([SANS, QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont).family()])
    font.setPointSizeF(points(SIZES[size]))
    font.setWeight(QFont.Weight(weight))
    if tabular:
        font.setFeature(QFont.Tag("tnum"), 1)
    return font


def mono_font(size: Size = "code") -> QFont:
    """The font of code, commands and paths."""
    font = QFont([MONO, QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()])
    font.setPointSizeF(points(SIZES[size]))
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setFeature(QFont.Tag("calt"), 0)  # no ligatures: a command is shown as it will run
    return font
