"""Text files on disk: read with their encoding and byte order mark, replaced atomically with mode and encoding kept."""

from __future__ import annotations

import codecs
import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent.errors import ToolError
from agent.tools import beneath

LARGEST = 20_000_000
"""Bytes that are read into memory at most."""
LARGEST_IMAGE = 64_000
"""Bytes of a before-image that a receipt keeps."""

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
    symlink that took the place of the file or a folder meanwhile. Raises `ToolError`, `OSError`."""
    return _read(path)[0]


def open_regular(path: Path) -> BinaryIO:
    """The same, open."""
    handle = beneath.open_file(path) if not _is_folder(path) else -1
    if handle < 0:
        raise ToolError(f"{path.name} is a folder; use list_dir.")
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise ToolError(f"{path.name} is not an ordinary file.")
    return file


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), beneath.folder(path.parent) as parent:
        status = beneath.status_in(parent, path)
        return status is not None and stat.S_ISDIR(status.st_mode)
    return False


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size > LARGEST:
            raise ToolError(f"{path.name} has {status.st_size:,} bytes; more than {LARGEST:,} are not read at once.")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:  # it grew meanwhile
        raise ToolError(f"{path.name} has more than {LARGEST:,} bytes; they are not read at once.")
    return data, status


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


def replace(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write beside the file and rename: whole or not at all. The mode of an existing file stays unless given; missing
    folders are made. Raises `ToolError`, `OSError`."""
    with beneath.folder(path.parent, make=True) as parent:
        status = beneath.status_in(parent, path)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise ToolError(f"{path.name} is not an ordinary file.")
        if mode is None:
            mode = stat.S_IMODE(status.st_mode) if status else 0o666 & ~_umask()
        temporary = path.with_name(f".{secrets.token_hex(8)}.trayclaw")
        handle = beneath.create_in(parent, temporary)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            beneath.rename_in(parent, temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                beneath.remove_in(parent, temporary)
            raise


def remove(path: Path) -> None:
    """Delete a regular file. Raises `ToolError`, `OSError`."""
    with beneath.folder(path.parent) as parent:
        status = beneath.status_in(parent, path)
        if status is None:
            raise ToolError(f"There is no file {path.name}.")
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(f"{path.name} is not an ordinary file.")
        beneath.remove_in(parent, path)


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    with beneath.folder(path.parent) as parent:
        status = beneath.status_in(parent, path)
    if status is None:
        raise ToolError(f"There is no file {path.name}.")
    return stat.S_IMODE(status.st_mode)


def _umask() -> int:
    # The only portable way to read it is to set it; Linux tells without that race.
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    return 0o077
