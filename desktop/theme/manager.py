"""Applies the appearance to the application and follows the system between light and dark."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from desktop.theme import fonts, icons, style
from desktop.theme.tokens import DARK, LIGHT, Palette

Mode = Literal["system", "light", "dark"]

_SCHEMES = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}


class Theme(QObject):
    """The appearance in use. `changed(Palette)` fires after the application was restyled."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._app: QApplication | None = None
        self._mode: Mode = "system"
        self._palette = LIGHT
        self._applied: tuple[str, float] | None = None

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def palette(self) -> Palette:
        return self._palette

    def apply(self, app: QApplication, mode: Mode = "system", *, text_scale: float | None = None) -> Palette:
        """Styles `app`; call again for another mode or text size (1.0 to 2.0). Returns the palette now in use."""
        fonts.load_fonts()
        if text_scale is not None:
            fonts.set_scale(text_scale)
        hints = app.styleHints()
        if app is not self._app:
            self._app, self._applied = app, None
            app.setStyle("Fusion")
            hints.colorSchemeChanged.connect(self._follow)
            app.aboutToQuit.connect(icons.clear_cache)
        self._mode = mode
        if mode == "system":
            hints.unsetColorScheme()
        else:
            hints.setColorScheme(_SCHEMES[mode])  # title bars and native dialogs follow where the platform can
        self._restyle()
        return self._palette

    def system_is_dark(self) -> bool:
        """The system's own appearance; an unknown one counts as light."""
        return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark

    def _follow(self, _scheme: Qt.ColorScheme) -> None:
        self._restyle()

    def _restyle(self) -> None:
        app = self._app
        if app is None:
            return
        dark = self._mode == "dark" or (self._mode == "system" and self.system_is_dark())
        palette = DARK if dark else LIGHT
        if self._applied == (palette.name, fonts.scale()):
            return
        self._applied = (palette.name, fonts.scale())
        self._palette = palette
        app.setFont(fonts.ui_font())
        app.setPalette(style.qt_palette(palette))
        app.setStyleSheet(style.stylesheet(palette))
        self.changed.emit(palette)


theme = Theme()
