"""An answer as Discord messages: pieces of text, files in messages of their own, buttons below the last piece."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agent.channels.channel import Button, Notes, Outbound
from agent.channels.discord_bot import DiscordBot
from agent.channels.discord_commands import with_custom_ids
from agent.channels.discord_inbound import message_of
from agent.channels.discord_text import message_pieces, note_line, with_note
from agent.errors import ChannelError, StorageError

FILE_BYTES = 10 * 1024 * 1024
"""What a bot may send at once; see https://discord.com/developers/docs/reference#uploading-files."""
MOST_FILES = 10

_SEED = "nonce"
_NONCE_CHARS = 24


class Part(NamedTuple):
    """One message. The buttons come with their custom ids."""

    text: str
    files: tuple[Path, ...] = ()
    buttons: tuple[tuple[str, Button], ...] = ()


class DiscordSender:
    """Cuts and sends. The notes tell this installation's messages from those of another one with the same bot."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._seeding = asyncio.Lock()

    async def parts(self, message: Outbound) -> list[Part]:
        """The messages that carry an answer, in order; none when there is nothing to see."""
        with _noted():
            buttons = tuple(await with_custom_ids(message.buttons, self._notes))
        return await asyncio.to_thread(_parts, message, buttons)

    async def send_rest(self, bot: DiscordBot, message: Outbound, parts: list[Part], sent: list[str]) -> None:
        """Send the parts that are not in `sent` yet and add their ids to it; the note goes above the first of them."""
        rest = parts[len(sent) :]
        if rest and message.note:
            noted = with_note(message.note, rest[0].text)
            if noted is not None:
                rest[0] = rest[0]._replace(text=noted)
            else:
                await bot.send(message.chat_id, note_line(message.note))
        answered = message_of(message.reply_to)
        for part in rest:
            sent.append(
                await bot.send(
                    message.chat_id,
                    part.text,
                    nonce=await self._nonce(message, len(sent)),
                    files=part.files,
                    buttons=part.buttons,
                    reply_to=answered[1] if answered and answered[0] == message.chat_id and not sent else "",
                )
            )

    async def _nonce(self, message: Outbound, place: int) -> str:
        """The same for the same part of an answer, also after a crash: Discord shows it once then."""
        if not message.outbox_id:
            return secrets.token_hex(_NONCE_CHARS // 2)
        what = f"{await self._seed()}:{message.chat_id}:{message.outbox_id}:{place}:{message.text}"
        return hashlib.sha256(what.encode()).hexdigest()[:_NONCE_CHARS]

    async def _seed(self) -> str:
        with _noted():
            async with self._seeding:  # many chats may send their first answer at once
                seed = await self._notes.get(_SEED)
                if seed is None:
                    seed = secrets.token_hex(8)
                    await self._notes.set(_SEED, seed)
                return seed


@contextmanager
def _noted() -> Iterator[None]:
    """An answer whose notes cannot be taken now is sent later."""
    try:
        yield
    except StorageError as error:
        raise ChannelError("network", f"The answer waits: {error}") from error


def _parts(message: Outbound, buttons: tuple[tuple[str, Button], ...]) -> list[Part]:
    batches, unsent = _batches(message.files)
    text = "\n\n".join(part for part in (message.text, "\n".join(unsent)) if part.strip())
    parts = [Part(piece) for piece in message_pieces(text)]
    below = len(parts) - 1
    parts += [Part("", batch) for batch in batches]
    if parts and buttons:
        parts[below] = parts[below]._replace(buttons=buttons)
    return parts


def _batches(files: tuple[Path, ...]) -> tuple[list[tuple[Path, ...]], list[str]]:
    """The files that fit, in order, as many at once as Discord takes; a line for each other one."""
    batches: list[list[Path]] = []
    unsent: list[str] = []
    room = 0
    for path in files:
        try:
            size = path.stat().st_size
        except OSError:
            unsent.append(f"({path.name} is not there any more.)")
            continue
        if size > FILE_BYTES:
            unsent.append(f"({path.name} has {size / 1e6:.0f} MB; Discord takes files of up to 10 MB.)")
            continue
        if not batches or size > room or len(batches[-1]) == MOST_FILES:
            batches.append([])
            room = FILE_BYTES
        batches[-1].append(path)
        room -= size
    return [tuple(batch) for batch in batches], unsent
