"""Speaks to the running tray application over its local socket, without importing Qt.

One request a connection: a JSON object in one line, answered by a JSON object in one line.
    {"command": "show" | "toggle" | "quit" | "ping"}   ->   {"ok": true, "pid": 4711}
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Literal

from agent.errors import StorageError
from agent.paths import Paths

Command = Literal["show", "toggle", "quit", "ping"]

TIMEOUT_SECONDS = 3.0
MAX_LINE = 4096  # bytes of one request or answer


def endpoint(paths: Paths) -> str:
    """The socket's path (Windows: the pipe's name) of the application that uses this data folder.

    Raises `StorageError` where no folder of this user alone can hold it.
    """
    name = "trayclaw-" + _digest(paths)
    return name if sys.platform == "win32" else str(_runtime_folder() / f"{name}.sock")


def request(paths: Paths, command: Command, timeout: float = TIMEOUT_SECONDS) -> dict[str, Any] | None:
    """The running application's answer, or None when there is none that answers within `timeout` seconds."""
    message = {"command": command, "activation_token": os.environ.get("XDG_ACTIVATION_TOKEN", "")}
    line = json.dumps(message).encode() + b"\n"
    try:
        answer = _exchange(endpoint(paths), line, timeout)
        reply = json.loads(answer) if answer else None
    except (OSError, ValueError, StorageError):
        return None
    return reply if isinstance(reply, dict) else None


def send(paths: Paths, command: Command) -> bool:
    """Whether a running application took the command."""
    reply = request(paths, command)
    return reply is not None and reply.get("ok") is True


def _exchange(address: str, line: bytes, timeout: float) -> bytes:
    if sys.platform == "win32":
        pipe: IO[bytes]
        with open(rf"\\.\pipe\{address}", "r+b", buffering=0) as pipe:  # noqa: PTH123 - a pipe is no path
            pipe.write(line)
            return pipe.readline(MAX_LINE)
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.sendall(line)
        answer = b""
        while not answer.endswith(b"\n") and len(answer) < MAX_LINE:
            piece = connection.recv(MAX_LINE)
            if not piece:
                break
            answer += piece
        return answer


def _digest(paths: Paths) -> str:
    """Ten hex digits for user and data folder: short, because a socket's path may have 104 bytes on macOS."""
    user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    return hashlib.sha256(f"{user}:{paths.data.resolve()}".encode()).hexdigest()[:10]


def _runtime_folder() -> Path:
    """A folder that only this user can enter: the session's own, else one below the temporary folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and _is_private(Path(runtime)):
        return Path(runtime)
    folder = Path(tempfile.gettempdir()) / f"trayclaw-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be created: {error.strerror}.") from error
    if not _is_private(folder):
        raise StorageError(
            f"The folder {folder} can be used by others.", hint="Remove it, or set XDG_RUNTIME_DIR to a private folder."
        )
    return folder


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
