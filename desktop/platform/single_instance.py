"""One application a user and data folder: it listens on a local socket, later starts speak to it and end.

The line protocol and its client are in `agent.cli.remote`, which does without Qt.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from PySide6.QtCore import QLockFile, QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from agent.cli import remote
from agent.paths import Paths

log = logging.getLogger(__name__)

COMMANDS = frozenset({"show", "toggle", "quit", "ping"})
LOCK_WAIT_MS = 2000


class SingleInstance(QObject):
    """The socket of the first start. `commanded(str)` tells "show", "toggle" or "quit"."""

    commanded = Signal(str)

    def __init__(self, paths: Paths, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paths = paths
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._accept)

    def claim(self) -> bool:
        """Listen; False when another application holds the place and answers. What a killed one left is replaced.

        Raises `StorageError` where the socket cannot be made private.
        """
        address = remote.endpoint(self._paths)
        # Two starts at the same moment must not remove each other's fresh socket.
        lock = QLockFile(address + ".lock") if sys.platform != "win32" else None
        if lock is not None and not lock.tryLock(LOCK_WAIT_MS):
            log.warning("the lock beside %s is held for long; going on without", address)
        try:
            if remote.send(self._paths, "ping"):
                return False
            if sys.platform != "win32" and Path(address).exists():
                QLocalServer.removeServer(address)
            if not self._server.listen(address):
                log.warning("the local socket %s cannot be used: %s", address, self._server.errorString())
        finally:
            if lock is not None:
                lock.unlock()
        return True

    def release(self) -> None:
        """Stop listening and remove the socket."""
        self._server.close()

    def _accept(self) -> None:
        while (connection := self._server.nextPendingConnection()) is not None:
            connection.readyRead.connect(self._read)
            connection.disconnected.connect(connection.deleteLater)
            if connection.canReadLine():
                self._serve(connection)

    def _read(self) -> None:
        connection = self.sender()
        if isinstance(connection, QLocalSocket) and (
            connection.canReadLine() or connection.bytesAvailable() > remote.MAX_LINE
        ):
            self._serve(connection)

    def _serve(self, connection: QLocalSocket) -> None:
        line = bytes(connection.readLine(remote.MAX_LINE).data())
        command, token = _parse(line)
        known = command in COMMANDS
        reply = {"ok": known, "pid": os.getpid()} if known else {"ok": False, "error": "unknown command"}
        connection.write(json.dumps(reply).encode() + b"\n")
        connection.flush()
        connection.disconnectFromServer()
        if token:
            # Qt's Wayland plugin takes the right to raise a window from here and then unsets it.
            os.environ["XDG_ACTIVATION_TOKEN"] = token
        if known and command != "ping":
            self.commanded.emit(command)


def _parse(line: bytes) -> tuple[str, str]:
    try:
        message = json.loads(line)
    except ValueError:
        return "", ""
    if not isinstance(message, dict):
        return "", ""
    return str(message.get("command", "")), str(message.get("activation_token", "") or "")
