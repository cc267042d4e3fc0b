"""Files that people send: streamed to the workspace under names that are safe on every system."""

from __future__ import annotations

import asyncio
import re
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import IO

from agent.channels.channel import Attachment
from agent.errors import ChannelError
from agent.safety.workspace import ATTACHMENTS

_LONGEST_NAME = 120
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)


class AttachmentFolder:
    """Implements `agent.channels.channel.Files`; one folder a day. `root` gives the workspace."""

    def __init__(self, root: Callable[[], Path]) -> None:
        self._root = root

    async def take(self, name: str, media_type: str, pieces: AsyncIterator[bytes], *, limit: int) -> Attachment:
        """See `Files`."""
        folder = self._root() / ATTACHMENTS / datetime.now().astimezone().strftime("%Y-%m-%d")
        shown = safe_name(name)
        file, path = await asyncio.to_thread(_create, folder)
        size = 0
        try:
            with file:
                async for piece in pieces:
                    size += len(piece)
                    if size > limit:
                        raise ChannelError("rejected", f"{shown} has more than {limit / 1e6:.0f} MB.")
                    await asyncio.to_thread(file.write, piece)
            final = await asyncio.to_thread(_name, path, folder, shown)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Attachment(final.name, media_type, final, size)


def safe_name(name: str) -> str:
    """A file name without folders, hidden or reserved forms, control, bidirectional and forbidden characters."""
    kept = "".join(
        "_"
        if character in '<>:"|?*' or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character
        for character in unicodedata.normalize("NFC", re.split(r"[\\/]", name)[-1])
    )
    kept = kept.strip(" .") or "file"
    if _RESERVED.fullmatch(kept):
        kept = f"_{kept}"
    stem, dot, suffix = kept.rpartition(".")
    if not dot or len(suffix) > 16:
        stem, suffix = kept, ""
    room = _LONGEST_NAME - len(suffix.encode()) - 1
    stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") or "file"
    return f"{stem}.{suffix}" if suffix else stem


def _create(folder: Path) -> tuple[IO[bytes], Path]:
    folder.mkdir(parents=True, exist_ok=True)
    file = tempfile.NamedTemporaryFile(dir=folder, prefix=".coming-", delete=False)  # noqa: SIM115 - closed by `take`
    return file, Path(file.name)


def _name(path: Path, folder: Path, name: str) -> Path:
    """The first free name: report.pdf, report (2).pdf, ... A hard link never replaces what is there."""
    stem, dot, suffix = name.rpartition(".")
    for number in range(1, 10_000):
        numbered = name if number == 1 else f"{stem} ({number}).{suffix}" if dot else f"{name} ({number})"
        target = folder / numbered
        try:
            target.hardlink_to(path)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links
            if target.exists():
                continue
            path.rename(target)
            return target
        path.unlink()
        return target
    raise ChannelError("rejected", f"Too many files of the name {name} came today.")
