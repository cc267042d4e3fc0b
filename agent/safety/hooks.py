"""Keeps programs from leaving something behind that git or the next sign-in runs, outside of every fence."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from agent.safety.workspace import run_by_git

_LARGEST = 1_000_000
_TOO_LARGE = b"\0larger than is kept\0"
"""In place of such a content: that it changed is seen, and said."""
_MOST = 5_000


@dataclass(frozen=True, slots=True)
class HookGuard:
    """The hooks and configurations of all repositories in some folders, and start-up files, as they were. Methods
    block."""

    folders: tuple[Path, ...]
    startup: tuple[Path, ...]
    known: dict[Path, tuple[bytes, int]]

    @classmethod
    def look(cls, folders: tuple[Path, ...], startup: tuple[Path, ...] = ()) -> HookGuard:
        """Remember them."""
        return cls(folders, startup, dict(_files(folders, startup)))

    def restore(self, *, known: bool = True, settings: bool = True) -> list[str]:
        """Put changed ones back and take new hooks away; their names. A new repository keeps its own configuration, but
        for the settings that name programs.

        Without `known` only new ones count, without `settings` a changed configuration stays unless it names programs:
        a person may have changed them while the program ran."""
        now = dict(_files(self.folders, self.startup))
        changed: list[str] = []
        for path, (data, mode) in self.known.items() if known else ():
            if not settings and path.name == "config" and path in now and not _names_programs(now[path][0]):
                continue
            if now.get(path) != (data, mode):
                with contextlib.suppress(OSError):
                    if not data.startswith(_TOO_LARGE):
                        _put(path, data, mode)
                    changed.append(self._name(path))
        for path, (data, _mode) in now.items():
            if path in self.known or path.name.endswith(".sample"):
                continue
            if path.name != "config" or _names_programs(data):
                with contextlib.suppress(OSError):
                    path.unlink()
                    changed.append(self._name(path))
        return changed

    def _name(self, path: Path) -> str:
        folder = next((folder for folder in self.folders if folder in path.parents), path.parent)
        return path.relative_to(folder).as_posix()


def _files(folders: tuple[Path, ...], startup: tuple[Path, ...]) -> list[tuple[Path, tuple[bytes, int]]]:
    found: list[tuple[Path, tuple[bytes, int]]] = []
    for place in (*(place for folder in folders for place in run_by_git(folder)), *startup):
        with contextlib.suppress(OSError):
            for file in _inside(place, deep=place in startup):
                status = file.lstat()
                found.append((file, (_content(file, status), status.st_mode)))
    return found


def _inside(place: Path, *, deep: bool) -> list[Path]:
    if not place.is_dir() or place.is_symlink():
        return [place]
    entries = place.rglob("*") if deep else place.iterdir()
    return sorted(path for path in itertools.islice(entries, _MOST) if not deep or path.is_symlink() or path.is_file())


def _content(file: Path, status: os.stat_result) -> bytes:
    if stat.S_ISLNK(status.st_mode):
        return os.fsencode(file.readlink())
    if not stat.S_ISREG(status.st_mode):
        return b""
    if status.st_size > _LARGEST:
        return _TOO_LARGE + f"{status.st_size}:{status.st_mtime_ns}".encode()
    return file.read_bytes()


def _put(path: Path, data: bytes, mode: int) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        path.symlink_to(os.fsdecode(data))
        return
    path.write_bytes(data)
    path.chmod(stat.S_IMODE(mode))


_PROGRAMS = (b"hookspath", b"fsmonitor", b"sshcommand", b"pager", b"editor", b"askpass", b"helper", b"textconv")
_MORE_PROGRAMS = (b"clean", b"smudge", b"process", b"command", b"program", b"cmd", b"alias", b"include")


def _names_programs(config: bytes) -> bool:
    lowered = config.lower()
    return any(word in lowered for word in (*_PROGRAMS, *_MORE_PROGRAMS))
