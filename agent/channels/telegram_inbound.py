"""What a Telegram update means to the agent: a person's text and pictures; what cannot be read is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.channels.channel import Inbound
from agent.errors import ChannelError
from agent.providers.types import Image

if TYPE_CHECKING:
    from telegram import Message, Update

    from agent.channels.telegram_bot import TelegramBot

PICTURE_BYTES = 10_000_000
"""A larger picture is not fetched."""

_PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")
_UNREADABLE = {
    "voice": "a voice message",
    "audio": "an audio file",
    "video": "a video",
    "video_note": "a video message",
    "animation": "an animation",
    "sticker": "a sticker",
    "document": "a file",
    "location": "a location",
    "contact": "a contact",
    "poll": "a poll",
}


def from_update(update: Update) -> tuple[Inbound, Message] | None:
    """The message of a person in a direct chat, without its pictures; None for everything else."""
    message = update.message
    if message is None or message.from_user is None or message.from_user.is_bot or message.chat.type != "private":
        return None
    sender = message.from_user
    inbound = Inbound(
        channel="telegram",
        transport_id=f"{message.chat.id}:{message.message_id}",
        chat_id=str(message.chat.id),
        sender_id=str(sender.id),
        sender_name=sender.full_name,
        text=(message.text or message.caption or "").replace("\0", ""),
        title=sender.full_name,
        sent_at=message.date.timestamp(),
    )
    return inbound, message


async def fetch_pictures(bot: TelegramBot, message: Message) -> tuple[tuple[Image, ...], str]:
    """The pictures of a message, and a line that names what could not be read (empty when all could)."""
    found = _picture(message)
    if found is None:
        what = next((words for name, words in _UNREADABLE.items() if getattr(message, name, None)), "")
        return (), f"[{what} that cannot be read here]" if what else ""
    file_id, media_type, size = found
    if size > PICTURE_BYTES:
        return (), f"[a picture of {size / 1e6:.0f} MB, too large to be read here]"
    try:
        return (Image(media_type, await bot.download(file_id)),), ""
    except ChannelError:
        return (), "[a picture that could not be fetched]"


def _picture(message: Message) -> tuple[str, str, int] | None:
    """File id, media type and bytes of the best version that is small enough."""
    if message.photo:
        sizes = sorted(message.photo, key=lambda one: one.width * one.height)
        fitting = [one for one in sizes if (one.file_size or 0) <= PICTURE_BYTES] or sizes[:1]
        return fitting[-1].file_id, "image/jpeg", fitting[-1].file_size or 0
    document = message.document
    if document is not None and document.mime_type in _PICTURE_TYPES:
        return document.file_id, document.mime_type, document.file_size or 0
    return None
