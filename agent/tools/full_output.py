"""The whole text of an output that a model is shown the ends of: a file in the workspace, which it may read."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from agent.errors import ToolError
from agent.safety.workspace import OWN_FOLDER, Workspace
from agent.tools import beneath

MOST_CHARS = 5_000_000
"""Of one output; of a longer one both ends are kept."""
MOST_FILES = 20
MOST_BYTES = 50_000_000
"""Of all files together."""
DAYS = 3


def keep(workspace: Workspace, text: str) -> str:
    """Write it down; the path as the model writes it. Older ones that are too many go. Blocks. Raises `ToolError`,
    `OSError`."""
    folder = workspace.root / OWN_FOLDER / "output"
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.txt"
    with beneath.folder(folder, make=True) as parent:
        _tidy(folder, parent)
        with os.fdopen(beneath.create_in(parent, path), "wb") as file:
            file.write(text.encode("utf-8", "replace"))
    with contextlib.suppress(FileExistsError, ToolError, OSError), beneath.folder(folder.parent) as parent:
        ignore = folder.parent / ".gitignore"
        with os.fdopen(beneath.create_in(parent, ignore), "wb") as file:
            file.write(b"*\n")
    return path.relative_to(workspace.root).as_posix()


def _tidy(folder: Path, parent: int | None) -> None:
    """Keep the newest, within the limits and with room for one more."""
    total, oldest = 0, time.time() - DAYS * 86_400
    for count, name in enumerate(sorted(_names(folder, parent), reverse=True), 1):
        path = folder / name
        status = beneath.status_in(parent, path)
        if status is None:
            continue
        total += status.st_size
        if count >= MOST_FILES or total > MOST_BYTES - MOST_CHARS or status.st_mtime < oldest:
            with contextlib.suppress(OSError):  # a folder that somebody put there
                beneath.remove_in(parent, path)


def _names(folder: Path, parent: int | None) -> list[str]:
    if parent is None:
        return [entry.name for entry in folder.iterdir()]
    handle = beneath.listing(parent)
    try:
        return os.listdir(handle)  # noqa: PTH208 - of an open folder
    finally:
        os.close(handle)
