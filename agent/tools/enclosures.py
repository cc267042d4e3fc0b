"""Files that go with a message: read without following links, hashed and searched for keys before, copied as they were
decided upon. Everything here blocks."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.errors import ToolError
from agent.tools import beneath

MOST = 10
LARGEST = 50_000_000
"""Bytes of all files of one message: what a bot may send on Telegram."""
_PIECE = 65_536
_PAUSE = 0.0005  # seconds
_LONGEST_KEY = 4_096
"""Bytes of a key, however it is written, that begins in one piece and ends in the next."""


def pieces(path: Path) -> Iterator[bytes]:
    """What is in a file. Raises `ToolError` for what is no file or too large, `OSError`."""
    handle = beneath.open_file(path)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise ToolError(f"{path.name} is not a file.")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > LARGEST:
            raise ToolError(f"{path.name} has more than {LARGEST // 1_000_000} MB.")
        left = LARGEST
        while piece := file.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise ToolError(f"{path.name} has more than {LARGEST // 1_000_000} MB.")
            yield piece


def sizes_and_digest(paths: Iterable[Path]) -> tuple[list[int], str]:
    """Bytes of each file, and the hash of all of them with their names. Raises as `pieces`."""
    sizes, whole = [], hashlib.sha256()
    for path in paths:
        size, digest = 0, hashlib.sha256()
        for piece in pieces(path):
            size += len(piece)
            digest.update(piece)
        sizes.append(size)
        whole.update(f"{path.name}\0{digest.hexdigest()}\0".encode("utf-8", "surrogateescape"))
    return sizes, whole.hexdigest()


def carries_a_key(path: Path, scrub: Callable[[str], str]) -> bool:
    """Whether a known key stands in a file, also in the two bytes a character of Windows. What is packed (zip, and so
    Office documents) is not unpacked."""
    before = b""
    pause = threading.Event()
    for piece in pieces(path):
        pause.wait(_PAUSE)  # a search holds the interpreter: whoever waits for it gets it between two pieces
        data = before + piece
        for form in (data, data.replace(b"\0", b"")) if b"\0" in data else (data,):
            text = form.decode("latin-1")
            if scrub(text) != text:
                return True
        before = data[-_LONGEST_KEY:]
    return False


def copy(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Copies under the same names, each in a folder of its own below `folder`. Raises as `pieces`."""
    copies = []
    for number, path in enumerate(paths, 1):
        place = folder / str(number)
        place.mkdir(parents=True, mode=0o700)
        target = place / path.name
        with target.open("xb") as file:
            for piece in pieces(path):
                file.write(piece)
        copies.append(target)
    return copies
