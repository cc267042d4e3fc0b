"""Which processes of this installation are alive: an OS lock a process holds until it ends, however it ends."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agent.errors import StorageError
from agent.paths import HOME_VARIABLE

if os.name == "nt":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


class Instance:
    """This process. `name` marks the work that it took on. Raises `StorageError` where nothing can be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = uuid.uuid4().hex
        with _named(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = (folder / self.name).open("wb")
        _lock(self._file)
        self._resident: IO[bytes] | None = None

    def become_resident(self) -> bool:
        """Be the one process that runs channels and recovers lost work; False when another one is."""
        with _named(self._folder):
            file = (self._folder / "resident").open("ab")
        if not _lock(file):
            file.close()
            return False
        self._resident = file
        return True

    def is_alive(self, name: str) -> bool:
        """Whether the process of that name still runs."""
        if name == self.name:
            return True
        path = self._folder / name
        try:
            with path.open("rb+") as file:
                if not _lock(file):
                    return True
        except OSError:
            return False
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Give the locks back."""
        self._file.close()
        (self._folder / self.name).unlink(missing_ok=True)
        if self._resident is not None:
            self._resident.close()


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Nothing can be written in {folder}: {error.strerror}.",
            title="TrayClaw cannot write in its folder",
            hint=f"Make it yours and writable, or set {HOME_VARIABLE} to a folder that is.",
        ) from error
