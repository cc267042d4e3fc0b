"""Whether the person asked their system for less motion."""

from __future__ import annotations

import configparser
import os
import sys
from functools import cache
from pathlib import Path

_override: bool | None = None


def set_reduced_motion(reduced: bool | None) -> None:
    """Decides for the system's setting; None goes back to it."""
    global _override  # one preference a process
    _override = reduced


def reduced_motion() -> bool:
    """True where nothing should move. The system is asked once a process."""
    return _system_prefers_reduced() if _override is None else _override


@cache
def _system_prefers_reduced() -> bool:
    if sys.platform == "win32":
        import ctypes

        enabled = ctypes.c_int(1)
        get_client_area_animation = 0x1042  # SPI_GETCLIENTAREAANIMATION
        ok = ctypes.windll.user32.SystemParametersInfoW(get_client_area_animation, 0, ctypes.byref(enabled), 0)
        return bool(ok) and not enabled.value
    if sys.platform == "darwin":
        return False
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    gtk = _read(config / "gtk-3.0/settings.ini", "Settings", "gtk-enable-animations")
    kde = _read(config / "kdeglobals", "KDE", "AnimationDurationFactor")
    return gtk.lower() in {"0", "false"} or kde in {"0", "0.0"}


def _read(file: Path, section: str, key: str) -> str:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return ""  # another program's file: when it is broken, there is no preference to read
    return parser.get(section, key, fallback="").strip()
