"""Files that people send in Slack: pictures for the model, all others to the disk; what cannot be fetched is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.channels.channel import Attachment, Files
from agent.channels.slack_bot import SlackBot
from agent.errors import ChannelError
from agent.providers.types import Image

PICTURE_BYTES = 10_000_000
"""A larger picture is kept as a file."""
FILE_BYTES = 100_000_000
"""A larger file is not fetched."""
MOST_FILES = 10

_PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")

File = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came with a message. `notes` are lines that name what could not be fetched."""

    images: tuple[Image, ...] = ()
    files: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()


async def fetch(bot: SlackBot, shelf: Files, files: Sequence[File]) -> Fetched:
    """Fetch them one after the other, so that a small one is not held up by many."""
    images: list[Image] = []
    kept: list[Attachment] = []
    notes: list[str] = []
    for file in files[:MOST_FILES]:
        name = str(file.get("name") or file.get("title") or "a file")
        try:
            known = await _complete(bot, file)
            name = str(known.get("name") or name)
            fetched = await _one(bot, shelf, known, name)
        except ChannelError as error:
            notes.append(f"[the file {name} could not be fetched: {error}]")
            continue
        except OSError as error:
            notes.append(f"[the file {name} could not be saved: {error.strerror}]")
            continue
        if isinstance(fetched, Image):
            images.append(fetched)
        else:
            kept.append(fetched)
    if len(files) > MOST_FILES:
        notes.append(f"[{len(files) - MOST_FILES} more files that were not fetched]")
    return Fetched(tuple(images), tuple(kept), tuple(notes))


async def _complete(bot: SlackBot, file: File) -> File:
    """Of files of another workspace an event tells only that there is one."""
    return await bot.file_info(str(file.get("id"))) if file.get("file_access") == "check_file_info" else file


async def _one(bot: SlackBot, shelf: Files, file: File, name: str) -> Image | Attachment:
    url = str(file.get("url_private_download") or file.get("url_private") or "")
    if not url or file.get("mode") == "tombstone":
        raise ChannelError("rejected", "It is no longer there.")
    media_type, size = str(file.get("mimetype") or "application/octet-stream"), int(file.get("size") or 0)
    if size > FILE_BYTES:
        raise ChannelError("rejected", f"It has {size / 1e6:.0f} MB; {FILE_BYTES / 1e6:.0f} MB are the most.")
    async with bot.download(url) as (found_type, pieces):
        if found_type == "text/html" and media_type != "text/html":
            # What Slack answers, with status 200, to an app that may not read files: its page to log in.
            raise ChannelError("forbidden", "The Slack app lacks the permission files:read.")
        if media_type in _PICTURE_TYPES and size <= PICTURE_BYTES:
            data = bytearray()
            async for piece in pieces:
                data += piece
                if len(data) > PICTURE_BYTES:
                    raise ChannelError("rejected", "It is larger than Slack said.")
            return Image(media_type, bytes(data))
        return await shelf.take(name, media_type, pieces, limit=FILE_BYTES)
