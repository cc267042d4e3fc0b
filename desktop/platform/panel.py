"""Whether the panel that carries the tray icon is dark, as far as each system tells."""

from __future__ import annotations

import os
import sys

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

DARK_PANELS = ("gnome", "unity", "pantheon", "budgie", "cinnamon")
"""Desktops whose panel is dark under a light theme as well."""

_system_scheme = Qt.ColorScheme.Unknown


def remember_system_scheme() -> None:
    """Call before the person's own choice of light or dark is applied: that one hides the system's from Qt."""
    global _system_scheme  # one system a process
    _system_scheme = QGuiApplication.styleHints().colorScheme()


def is_dark() -> bool:
    """The best knowledge of the panel's ground; an unknown one counts as light."""
    if sys.platform == "win32":
        return _windows_taskbar_is_dark()
    desktop = os.environ.get("XDG_CURRENT_DESKTOP", "").lower()
    if sys.platform != "darwin" and any(name in desktop for name in DARK_PANELS):
        return True
    from desktop.theme import theme

    scheme = QGuiApplication.styleHints().colorScheme() if theme.mode == "system" else _system_scheme
    return scheme == Qt.ColorScheme.Dark


def _windows_taskbar_is_dark() -> bool:
    if sys.platform != "win32":
        return False
    import winreg

    path = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
            return not winreg.QueryValueEx(key, "SystemUsesLightTheme")[0]
    except OSError:
        return True
