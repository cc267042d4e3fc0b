"""Folders as they are at one moment: what is there, and which contents can be brought back."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from agent.storage.images import ImageStore

MOST_FILES = 20_000
MOST_BYTES = 400_000_000
"""Beyond these a command is not covered by undo, and its receipt says so."""

Type = Literal["absent", "file", "folder", "link", "other"]


@dataclass(frozen=True, slots=True)
class State:
    """One path at one moment. `hash` is the SHA-256 of a file's content, or the target of a link; `mode` the permission
    bits. `covered`: the content is in the store."""

    type: Type = "absent"
    mode: int = 0
    size: int = 0
    hash: str = ""
    covered: bool = True

    def same(self, other: State) -> bool:
        """Whether nothing that undo restores differs."""
        return (self.type, self.mode, self.hash) == (other.type, other.mode, other.hash)


@dataclass(frozen=True, slots=True)
class Change:
    """A path and how it was before and after something."""

    path: Path
    before: State
    after: State

    def as_json(self) -> dict[str, Any]:
        """For a receipt."""
        return {"path": str(self.path), "before": asdict(self.before), "after": asdict(self.after)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Change:
        """What `as_json` made."""
        return cls(Path(row["path"]), State(**row["before"]), State(**row["after"]))


class TooMuchError(Exception):
    """A folder holds more than undo covers; the message says what, in words."""


class Eye:
    """Looks at paths. What it has read once is not read again while size, times and number of the file are the same."""

    def __init__(self, store: ImageStore, largest: Callable[[], int]) -> None:
        self._store = store
        self._largest = largest
        self._known: dict[tuple[int, int, int, int, int], State] = {}

    def look(self, path: Path, *, keep: bool) -> State:
        """How a path is now; `keep` puts the content of a file into the store. Never follows a link. Blocks."""
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return State()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            return State("link", 0, 0, str(path.readlink()))
        if stat.S_ISDIR(status.st_mode):
            return State("folder", mode)
        if not stat.S_ISREG(status.st_mode):
            return State("other", mode, covered=False)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._known.get(key)
        if known is not None and (not keep or not known.covered or self._store.has(known.hash)):
            return known
        found = self._read(path, status.st_size, mode, keep=keep)
        # A file that changed a moment ago may change again within the same tick of the clock.
        if found.covered and abs(status.st_mtime_ns - time.time_ns()) > 2_000_000_000:
            self._known[key] = found
        return found

    def _read(self, path: Path, size: int, mode: int, *, keep: bool) -> State:
        if size > self._largest():
            digest = hashlib.sha256()
            try:
                with path.open("rb") as file:
                    while piece := file.read(1 << 20):
                        digest.update(piece)
            except OSError:
                return State("file", mode, size, "", covered=False)
            return State("file", mode, size, digest.hexdigest(), covered=False)
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(handle, "rb") as file:
                data = file.read()
            name = self._store.put(data) if keep else hashlib.sha256(data).hexdigest()
        except OSError:
            return State("file", mode, size, "", covered=False)
        return State("file", mode, len(data), name)

    def tree(self, folders: Iterable[Path], but: Collection[Path] = (), *, keep: bool) -> dict[Path, State]:
        """All paths below some folders, without those in `but`. Raises `TooMuchError`. Blocks."""
        paths: list[Path] = []
        total = 0
        for path, size in _below(folders, but):  # all sizes first: nothing is read of what is too much anyway
            paths.append(path)
            total += size
            if len(paths) > MOST_FILES:
                raise TooMuchError(f"the folder holds more than {MOST_FILES:,} files")
            if total > MOST_BYTES:
                raise TooMuchError(f"the folder holds more than {MOST_BYTES // 1_000_000:,} MB")
        return {path: self.look(path, keep=keep) for path in paths}


def changes(before: Mapping[Path, State], after: Mapping[Path, State]) -> list[Change]:
    """What differs, folders before what is in them."""
    paths = sorted({*before, *after})
    pairs = ((path, before.get(path, State()), after.get(path, State())) for path in paths)
    return [Change(path, one, other) for path, one, other in pairs if not one.same(other)]


def _below(folders: Iterable[Path], but: Collection[Path]) -> Iterator[tuple[Path, int]]:
    waiting = list(folders)
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    path = Path(entry.path)
                    if path in but:
                        continue
                    folder_too = entry.is_dir(follow_symlinks=False)
                    yield path, 0 if folder_too else entry.stat(follow_symlinks=False).st_size
                    if folder_too:
                        waiting.append(path)
        except OSError:
            continue
