"""Text files on disk: read with their encoding and byte order mark, replaced atomically with mode and encoding kept."""

from __future__ import annotations

import codecs
import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ToolError

LARGEST = 20_000_000
"""Bytes that are read into memory at most."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class TextFile:
    """Decoded text, line ends as they are, and what is needed to write it back the same way."""

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""

    def encode(self, text: str) -> bytes:
        """Raises `ToolError` for characters that the file's encoding does not have."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            missing = error.object[error.start : error.end]
            raise ToolError(f"The file is in {self.encoding}, which has no {missing!r}.") from error


def read_bytes(path: Path) -> bytes:
    """The content of a regular file whose path was resolved before. Never waits on a pipe or device, never follows a
    symlink that took the file's place meanwhile. Raises `ToolError`, `OSError`."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    if path.is_dir():
        raise ToolError(f"{path.name} is a folder; use list_dir.")
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(f"{path.name} is not an ordinary file.")
        if os.path.realpath(path) != str(path):
            raise ToolError(f"{path.name} was replaced by a link meanwhile.")
        if status.st_size > LARGEST:
            raise ToolError(f"{path.name} has {status.st_size:,} bytes; more than {LARGEST:,} are not read at once.")
        return file.read(LARGEST + 1)


def decode(data: bytes, name: str) -> TextFile:
    """The text of a file. Raises `ToolError` for what is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            with contextlib.suppress(UnicodeDecodeError):
                return TextFile(data[len(mark) :].decode(encoding), encoding, mark)
    if b"\0" in data:
        raise ToolError(f"{name} is a binary file ({len(data):,} bytes), not text.")
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in data[:4096])
    if control > len(data[:4096]) // 50 + 2:
        raise ToolError(f"{name} is a binary file ({len(data):,} bytes), not text.")
    for encoding in ("utf-8", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            return TextFile(data.decode(encoding), encoding)
    return TextFile(data.decode("latin-1"), "latin-1")


def read_text(path: Path) -> TextFile:
    """Read and decode."""
    return decode(read_bytes(path), path.name)


def replace(path: Path, data: bytes) -> None:
    """Write beside the file and rename: whole or not at all. The mode of an existing file stays; missing folders are
    made. Raises `ToolError`, `OSError`."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise ToolError(f"{path.name} is not an ordinary file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.realpath(path.parent) != str(path.parent):
        raise ToolError(f"{path.parent} was replaced by a link meanwhile.")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".trayclaw")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(stat.S_IMODE(status.st_mode) if status else 0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    # The only portable way to read it is to set it; Linux tells without that race.
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    return 0o077
