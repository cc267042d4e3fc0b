"""The Qt half of `trayclaw smoke`: platform plugin, SVG, fonts, local socket, and the agent's loop on Qt's."""

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.smoke import Check, SmokeError, echo_through_child, measure

if TYPE_CHECKING:
    from PySide6.QtGui import QImage

ICON_PIXELS = 64


def qt_checks() -> list[Check]:
    """Runs the checks in order; without a platform plugin the others cannot run and are left out."""
    if sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    platform = measure("qt-platform", _platform)
    if not platform.ok:
        return [platform]
    probes = {
        "qt-svg": _svg,
        "qt-fonts": _fonts,
        "qt-local-socket": _local_socket,
        "qt-dbus": _dbus,
        "qt-event-loop": _event_loop,
    }
    return [platform, *(measure(name, probe) for name, probe in probes.items())]


def _platform() -> str:
    from PySide6.QtCore import QLibraryInfo, QPluginLoader, qVersion
    from PySide6.QtGui import QGuiApplication
    from PySide6.QtWidgets import QApplication, QSystemTrayIcon

    # Qt aborts the process when its platform plugin does not load; a loader of our own says why instead.
    folder = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)) / "platforms"
    wanted = os.environ.get("QT_QPA_PLATFORM", "xcb" if os.environ.get("DISPLAY") else "").split(":")[0]
    for plugin in sorted(folder.glob(f"*q{wanted}.*")) if wanted else []:
        loader = QPluginLoader(str(plugin))
        if not loader.load():
            raise SmokeError(loader.errorString())
    if not isinstance(QApplication.instance(), QApplication):
        # Kept for the rest of the process: widgets and pixmaps must not outlive their application.
        global _application
        _application = QApplication(["trayclaw"])
    tray = "tray" if QSystemTrayIcon.isSystemTrayAvailable() else "no tray"
    return f"Qt {qVersion()}, {QGuiApplication.platformName()}, {tray}"


_application: object = None


def _svg() -> str:
    from PySide6.QtCore import QSize
    from PySide6.QtGui import QIcon, QImage, QImageReader

    with as_file(files("resources") / "icons") as folder:
        drawings = sorted(folder.glob("**/*.svg"))
        for drawing in drawings:
            reader = QImageReader(str(drawing))
            reader.setScaledSize(QSize(ICON_PIXELS, ICON_PIXELS))
            image = reader.read()
            if image.isNull():
                raise SmokeError(f"{drawing.name}: {reader.errorString()}")
            if not _drawn(image.convertToFormat(QImage.Format.Format_ARGB32)):
                raise SmokeError(f"{drawing.name} renders as an empty picture")
        mark = folder / "trayclaw.svg"
        # QIcon goes another way than the reader: through the icon engine plugin.
        if not _drawn(QIcon(str(mark)).pixmap(ICON_PIXELS, ICON_PIXELS).toImage()):
            raise SmokeError(f"{mark.name} gives an empty icon")
    return f"{len(drawings)} drawings"


def _drawn(image: "QImage") -> bool:
    return any(image.pixelColor(x, y).alpha() for x in range(image.width()) for y in range(image.height()))


def _fonts() -> str:
    from PySide6.QtGui import QFontDatabase

    bundled = list(_bundled_fonts())
    for font in bundled:
        identifier = QFontDatabase.addApplicationFont(str(font))
        if identifier < 0:
            raise SmokeError(f"Qt cannot read {font.name}")
        QFontDatabase.removeApplicationFont(identifier)
    families = len(QFontDatabase.families())
    if not families and not bundled:
        raise SmokeError("neither this copy nor the system has a font")
    return f"{len(bundled)} bundled, {families} families on this system"


def _bundled_fonts() -> Iterator[Path]:
    root = files("resources") / "fonts"
    if root.is_dir():
        with as_file(root) as folder:
            yield from (font for pattern in ("*.ttf", "*.otf") for font in sorted(folder.glob(pattern)))


def _local_socket() -> str:
    from PySide6.QtNetwork import QLocalServer, QLocalSocket

    with tempfile.TemporaryDirectory(prefix="trayclaw-smoke-") as folder:
        # On Windows the name is a pipe's, elsewhere a path.
        name = f"trayclaw-smoke-{os.getpid()}" if sys.platform == "win32" else str(Path(folder) / "socket")
        server = QLocalServer()
        if not server.listen(name):
            raise SmokeError(server.errorString())
        client = QLocalSocket()
        client.connectToServer(name)
        if not client.waitForConnected(5000) or not server.waitForNewConnection(5000):
            raise SmokeError(client.errorString())
        client.abort()
        server.close()
    return "connected"


def _dbus() -> str:
    if not sys.platform.startswith("linux"):
        return "not used on this system"
    from PySide6.QtDBus import QDBusConnection

    return "session bus" if QDBusConnection.sessionBus().isConnected() else "no session bus"


def _event_loop() -> str:
    import asyncio

    os.environ.pop("QT_API", None)  # as the application does: qasync takes the binding that is imported
    import qasync  # type: ignore[import-untyped]
    from PySide6.QtWidgets import QApplication

    loop = qasync.QEventLoop(QApplication.instance(), already_running=False)
    try:
        with loop:
            asyncio.set_event_loop(loop)
            return f"{loop.run_until_complete(echo_through_child())}, child process"
    finally:
        asyncio.set_event_loop(None)
