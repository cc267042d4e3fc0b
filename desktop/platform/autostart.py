"""Start at login: off until the person asks, one handler a platform, one file or registry value each."""

from __future__ import annotations

import os
import plistlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError

NAME = "TrayClaw"
FLAG = "--background"
"""Tells a start at login: the tray icon appears, the window stays closed."""


def enabled() -> bool:
    """Whether the system starts TrayClaw at login. Blocks for a file read."""
    return _handler().enabled()


def set_enabled(on: bool) -> None:
    """Register or unregister; leaves nothing behind when off. Raises `ConfigError` where the system refuses."""
    try:
        _handler().enable(command()) if on else _handler().disable()
    except OSError as error:
        raise ConfigError(
            f"{error.filename or 'The login items'}: {error.strerror}.",
            title="Start at login could not be changed",
            hint="Make that place writable, or add TrayClaw to the login items of your desktop yourself.",
        ) from error


def command(executable: str = sys.executable, frozen: bool | None = None) -> list[str]:
    """What the system has to run; an AppImage is named by its own file, not by where it is mounted."""
    if getattr(sys, "frozen", False) if frozen is None else frozen:
        return [os.environ.get("APPIMAGE") or executable, FLAG]
    return [executable, "-m", "desktop", FLAG]


@dataclass(frozen=True)
class Handler:
    """One way to start at login."""

    works_here: Callable[[], bool]
    enabled: Callable[[], bool]
    enable: Callable[[list[str]], None]
    disable: Callable[[], None]


def _handler() -> Handler:
    return next(handler for handler in HANDLERS if handler.works_here())


# --- freedesktop.org: Desktop Application Autostart Specification 0.5 ------------------------------------------------


def _desktop_file() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "autostart" / "trayclaw.desktop"


def _xdg_enabled() -> bool:
    try:
        lines = _desktop_file().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return not {"Hidden=true", "X-GNOME-Autostart-enabled=false"} & {line.replace(" ", "") for line in lines}


def _xdg_enable(words: list[str]) -> None:
    file = _desktop_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "[Desktop Entry]",
        "Type=Application",
        f"Name={NAME}",
        "Comment=Personal AI agent in the system tray",
        f"Exec={' '.join(map(_exec_word, words))}",
        "Icon=trayclaw",
        "Terminal=false",
        "X-GNOME-Autostart-enabled=true",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _exec_word(word: str) -> str:
    """A word of an Exec line. Desktop Entry Specification 1.5, "The Exec key": quoting, and %% for a percent sign."""
    escaped = word.replace("%", "%%")
    if word and word == shlex.quote(word):
        return escaped
    for character in '\\"`$':
        escaped = escaped.replace(character, "\\" + character)
    return '"' + escaped.replace("\\", "\\\\") + '"'


def _xdg_disable() -> None:
    _desktop_file().unlink(missing_ok=True)


# --- macOS: launchd.plist(5) -----------------------------------------------------------------------------------------


def _agent_file() -> Path:
    return Path.home() / "Library" / "LaunchAgents" / "app.trayclaw.plist"


def _macos_enable(words: list[str]) -> None:
    file = _agent_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"Label": "app.trayclaw", "ProgramArguments": words, "RunAtLoad": True, "ProcessType": "Interactive"}
    file.write_bytes(plistlib.dumps(content))


def _macos_disable() -> None:
    _agent_file().unlink(missing_ok=True)


# --- Windows: Run key of the user ------------------------------------------------------------------------------------

RUN_KEY = r"Software\Microsoft\Windows\CurrentVersion\Run"


def _windows_enabled() -> bool:
    if sys.platform != "win32":
        return False
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, RUN_KEY) as key:
            winreg.QueryValueEx(key, NAME)
    except FileNotFoundError:
        return False
    return True


def _windows_enable(words: list[str]) -> None:
    if sys.platform == "win32":
        import subprocess
        import winreg

        with winreg.CreateKey(winreg.HKEY_CURRENT_USER, RUN_KEY) as key:
            winreg.SetValueEx(key, NAME, 0, winreg.REG_SZ, subprocess.list2cmdline(words))


def _windows_disable() -> None:
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, RUN_KEY, 0, winreg.KEY_SET_VALUE) as key:
                winreg.DeleteValue(key, NAME)
        except FileNotFoundError:
            pass


HANDLERS = (
    Handler(lambda: sys.platform == "win32", _windows_enabled, _windows_enable, _windows_disable),
    Handler(lambda: sys.platform == "darwin", lambda: _agent_file().exists(), _macos_enable, _macos_disable),
    Handler(lambda: True, _xdg_enabled, _xdg_enable, _xdg_disable),
)
