"""The look of TrayClaw: colours, type, icons and the style of every standard control.

    from desktop import theme
    theme.apply(app, "system", text_scale=1.0)   # once at start, again when the setting changes ("light", "dark")
    theme.current()                              # the Palette in use: .bg .panel .text .dim .link .accent .warn ...
    theme.on_change(self.restyle)                # called with the new Palette; bound methods of QObjects only
    theme.glyph("plus", "dim")                   # QIcon; colour is a token name or "#rrggbb"
    theme.channel_icon("telegram")               # letter badge; badge("A", "#C96A4B") for any other letter
    theme.tray_icon("needs_you", dark_panel=True), theme.app_icon(), theme.mark_pixmap(48)
    theme.ui_font("title", weight=600), theme.mono_font(), theme.px(20)   # px() grows with the text size
    theme.set_kind(button, "primary")            # primary | default | quiet | link | danger | pill | nav

Dynamic properties understood by the style sheet:
    QPushButton/QToolButton `kind` as above; `selected` true on a nav row is the checked state
    QLabel `role`: title | display | heading | strong | dim | secondary | faint | code | link | ok | warn | bad
    QFrame `card`: "plain" | "amber" | "rose" | "info" | "choice" (with `selected` true: accent outline)
    QWidget `ground`: bg | panel | side | code | bubble
Custom-painted widgets read `theme.current()` in paintEvent; they are repainted when the theme changes.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QApplication

from desktop.theme.fonts import load_fonts, mono_font, points, px, ui_font
from desktop.theme.icons import (
    GLYPHS,
    TRAY_STATES,
    TrayState,
    app_icon,
    badge,
    channel_icon,
    glyph,
    mark_pixmap,
    tray_icon,
)
from desktop.theme.manager import Mode, Theme, theme
from desktop.theme.motion import reduced_motion, set_reduced_motion
from desktop.theme.style import set_kind, set_property
from desktop.theme.tokens import ANIMATION_MS, DARK, LIGHT, RADIUS_CARD, RADIUS_CONTROL, STEP, Palette, contrast


def apply(app: QApplication, mode: Mode = "system", *, text_scale: float | None = None) -> Palette:
    """Styles the application; see `Theme.apply`."""
    return theme.apply(app, mode, text_scale=text_scale)


def current() -> Palette:
    """The palette in use."""
    return theme.palette


def on_change(slot: Callable[[Palette], object]) -> None:
    """Calls `slot` with the new palette after each change, until the QObject it is bound to is gone."""
    theme.changed.connect(slot)


__all__ = [
    "ANIMATION_MS",
    "DARK",
    "GLYPHS",
    "LIGHT",
    "RADIUS_CARD",
    "RADIUS_CONTROL",
    "STEP",
    "TRAY_STATES",
    "Mode",
    "Palette",
    "Theme",
    "TrayState",
    "app_icon",
    "apply",
    "badge",
    "channel_icon",
    "contrast",
    "current",
    "glyph",
    "load_fonts",
    "mark_pixmap",
    "mono_font",
    "on_change",
    "points",
    "px",
    "reduced_motion",
    "set_kind",
    "set_property",
    "set_reduced_motion",
    "theme",
    "tray_icon",
    "ui_font",
]
