"""Contents that undo may need: kept once each under the hash of what they are, compressed, with limits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_LEVEL = 1
"""Of compression: speed counts more here than the last percent."""


class ImageStore:
    """A folder of images, named by SHA-256. All methods block; they are safe from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep a content; its name. Raises `OSError`."""
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        try:
            os.utime(path)  # in use again: it is not the oldest any more
            return name
        except FileNotFoundError:
            pass
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(zlib.compress(data, _LEVEL))
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return name

    def get(self, name: str) -> bytes | None:
        """A content; None when it is not kept any more or is damaged."""
        try:
            data = zlib.decompress(self._path(name).read_bytes())
        except (OSError, zlib.error):
            return None
        return data if hashlib.sha256(data).hexdigest() == name else None

    def has(self, name: str) -> bool:
        """Whether it is kept."""
        return self._path(name).exists()

    def tidy(self, *, total: int, days: float) -> int:
        """Remove what is older than that, and the oldest until all together is at most `total` bytes; how many went."""
        entries = sorted(self._entries(), key=lambda entry: entry[0], reverse=True)
        oldest, kept, gone = time.time() - days * 86_400, 0, 0
        for changed, size, path in entries:
            if changed < oldest or kept + size > total:
                with contextlib.suppress(OSError):
                    path.unlink()
                    gone += 1
            else:
                kept += size
        return gone

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name
