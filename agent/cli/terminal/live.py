"""The lines at the bottom of a terminal that change: redrawn in place, in one write, without flicker."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from typing import TextIO

from rich.cells import cell_len

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# Synchronized output (https://gist.github.com/christianparpart/d8a62cc1ab659194337d73e399004036); terminals that
# do not know it ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"


class LiveRegion:
    """Changing lines below lasting ones. With `enabled` False only the lasting ones are written."""

    def __init__(self, stream: TextIO, *, enabled: bool) -> None:
        self._stream = stream
        self.enabled = enabled
        self._lines: tuple[str, ...] = ()

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the changing lines by these; a line must not be wider than the terminal."""
        fresh = tuple(lines)
        if self.enabled and fresh != self._lines:
            self._write(self._home() + _joined(fresh) + "\x1b[J")
            self._lines = fresh

    def commit(self, text: str, lines: Sequence[str]) -> None:
        """Write lasting lines, and below them the changing ones as they are from now on."""
        if not self.enabled:
            self._stream.write(text if text.endswith("\n") else f"{text}\n")
            self._stream.flush()
            return
        lasting = "".join(f"{line}\x1b[K\n" for line in text.removesuffix("\n").split("\n"))
        home, self._lines = self._home(), tuple(lines)
        self._write(home + lasting + _joined(self._lines) + "\x1b[J" + ("" if lines else _SHOW))

    def clear(self) -> None:
        """Take the changing lines away and show the cursor."""
        if self.enabled and self._lines:
            self._write(self._home() + "\x1b[J" + _SHOW)
            self._lines = ()

    def _home(self) -> str:
        """Moves to the first of the changing lines, wherever a narrower window has wrapped them to."""
        if not self._lines:
            return _HIDE
        width = max(1, shutil.get_terminal_size().columns)
        rows = sum(max(1, math.ceil(cell_len(_ANSI.sub("", line)) / width)) for line in self._lines)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "")

    def _write(self, text: str) -> None:
        self._stream.write(_BEGIN + text + _END)
        self._stream.flush()


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(f"{line}\x1b[K" for line in lines)
