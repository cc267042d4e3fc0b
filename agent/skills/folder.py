"""A skill's folder: which of its files count, what they hold, and the hash of all of it. No link is followed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import SkillError
from agent.safety.effects import one_line
from agent.tools import beneath, textfile

MOST_FILES = 500
MOST_BYTES = 20_000_000
_DEEPEST = 8
LEFT_OUT = frozenset((".git", "__pycache__", ".DS_Store", "Thumbs.db"))
"""What comes and goes by itself: neither hashed nor named to the model."""


@dataclass(frozen=True, slots=True)
class SkillFile:
    """A file that counts; `path` is relative to the folder, with slashes. Size in bytes, times in nanoseconds as the
    system gives them. A link has a `target` and is never followed."""

    path: str
    size: int
    changed: tuple[int, int, int] = (0, 0, 0)
    runs: bool = False
    target: str = ""


def look(folder: Path) -> tuple[SkillFile, ...]:
    """The files of a resolved folder by path, without opening one. Raises `SkillError`, `ToolError`, `OSError`."""
    with beneath.folder(folder) as handle:
        found = sorted(_walk(None if handle is None else beneath.listing(handle), folder, ""), key=lambda f: f.path)
    if sum(file.size for file in found) > MOST_BYTES:
        raise SkillError(f"its files have more than {MOST_BYTES:,} bytes")
    return tuple(found)


def read(folder: Path, files: tuple[SkillFile, ...]) -> dict[str, bytes]:
    """What the files hold, links left out. Raises `ToolError`, `OSError`."""
    return {file.path: textfile.read_bytes(folder / file.path) for file in files if not file.target}


def digest(files: tuple[SkillFile, ...], contents: Mapping[str, bytes]) -> str:
    """The hash of everything that counts: paths, contents, which files run, where links lead."""
    exact = [
        [file.path, file.runs, file.target or hashlib.sha256(contents[file.path]).hexdigest(), bool(file.target)]
        for file in files
    ]
    return hashlib.sha256(json.dumps(exact).encode()).hexdigest()


def _walk(handle: int | None, folder: Path, within: str) -> Iterator[SkillFile]:
    count = 0
    waiting = [(handle, folder, within)]
    try:
        while waiting:
            opened, here, prefix = waiting.pop()
            try:
                with os.scandir(here if opened is None else opened) as entries:
                    for entry in entries:
                        if entry.name in LEFT_OUT:
                            continue
                        count += 1
                        if count > MOST_FILES:
                            raise SkillError(f"it has more than {MOST_FILES} files and folders")
                        path = prefix + entry.name
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            if path.count("/") >= _DEEPEST:
                                raise SkillError(f"its folders are nested more than {_DEEPEST} deep")
                            below = None if opened is None else beneath.listing(opened, entry.name)
                            waiting.append((below, here / entry.name, path + "/"))
                            continue
                        yield _file(path, status, entry, opened)
            finally:
                if opened is not None:
                    os.close(opened)
    finally:
        for left, _, _ in waiting:
            if left is not None:
                os.close(left)


def _file(path: str, status: os.stat_result, entry: os.DirEntry[str], handle: int | None) -> SkillFile:
    changed = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(entry.path if handle is None else entry.name, dir_fd=handle)
        return SkillFile(path, 0, changed, target=target or "?")
    if not stat.S_ISREG(status.st_mode):
        raise SkillError(f"{one_line(path)} in it is no ordinary file")
    runs = os.name != "nt" and bool(status.st_mode & 0o111)
    return SkillFile(path, status.st_size, changed, runs)
