"""Opening files and folders by their resolved path without following any link, so that what was checked is what is
used. POSIX: folder by folder with O_NOFOLLOW; Windows: the real path is compared after opening, as good as it gets."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.errors import ToolError

BY_FOLDER = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether this system opens files relative to an open folder."""


def _flags(*names: str) -> int:
    value = 0
    for name in names:
        value |= getattr(os, name, 0)
    return value


_PASS = _flags("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC") | getattr(os, "O_PATH", os.O_RDONLY)
_LIST = os.O_RDONLY | _flags("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_READ = os.O_RDONLY | _flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flags("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")


@contextlib.contextmanager
def folder(path: Path, *, make: bool = False) -> Iterator[int | None]:
    """A folder held open under its resolved path; None where the system has no such handles. Missing ones are made
    with `make`. Raises `ToolError` for a link on the way, `OSError`."""
    if not BY_FOLDER:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        _same(path)
        yield None
        return
    handle = os.open(path.anchor or "/", _PASS)
    try:
        for name in path.parts[1:]:
            below = _step(handle, name, path, make)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _step(handle: int, name: str, path: Path, make: bool) -> int:
    try:
        return os.open(name, _PASS, dir_fd=handle)
    except FileNotFoundError as error:
        if not make:
            raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=handle)
        return _step(handle, name, path, False)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            with contextlib.suppress(OSError):
                if stat.S_ISLNK(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                    raise ToolError(f"{path} was replaced by a link meanwhile.") from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def listing(handle: int, name: str = ".") -> int:
    """A folder inside an open one, to be listed."""
    return os.open(name, _LIST, dir_fd=handle)


def open_file(path: Path) -> int:
    """A file open for reading, of whatever kind it is: never waits, never follows a link."""
    with folder(path.parent) as parent:
        handle = open_in(parent, path)
    try:
        if parent is None:
            _same(path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def open_in(parent: int | None, path: Path) -> int:
    """The same inside an open folder; only the last part of the path counts there."""
    try:
        return os.open(path if parent is None else path.name, _READ, dir_fd=parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def status_in(parent: int | None, path: Path) -> os.stat_result | None:
    """What is there, links not followed; None when nothing is."""
    try:
        return os.stat(path if parent is None else path.name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def create_in(parent: int | None, path: Path) -> int:
    """A new file for its owner alone, open for writing."""
    return os.open(path if parent is None else path.name, _CREATE, 0o600, dir_fd=parent)


def rename_in(parent: int | None, path: Path, to: Path) -> None:
    """Rename inside one open folder, over what is there."""
    if parent is None:
        path.replace(to)
    else:
        os.replace(path.name, to.name, src_dir_fd=parent, dst_dir_fd=parent)


def remove_in(parent: int | None, path: Path) -> None:
    """Delete a file inside an open folder."""
    os.unlink(path if parent is None else path.name, dir_fd=parent)


def _same(path: Path) -> None:
    if os.path.realpath(path) != str(path):
        raise ToolError(f"{path} was replaced by a link meanwhile.")
