"""What a Telegram update means to the agent: who says what to whom, and which pictures and files come along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from agent.channels.channel import Attachment, Files, Inbound
from agent.errors import ChannelError
from agent.providers.types import Image

if TYPE_CHECKING:
    from telegram import CallbackQuery, Message, Update

    from agent.channels.telegram_bot import TelegramBot

PICTURE_BYTES = 10_000_000
"""A larger picture is not fetched."""
FILE_BYTES = 20_000_000
"""The Bot API hands out no larger file (https://core.telegram.org/bots/api#getfile)."""
QUOTE_CHARS = 400

_PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")
_FILES = {
    "document": "document",
    "voice": "voice message.ogg",
    "audio": "audio",
    "video": "video.mp4",
    "video_note": "video message.mp4",
    "animation": "animation.mp4",
}
"""Kinds of messages that carry a file, and what it is called that has no name."""
_UNREADABLE = {"sticker": "a sticker", "contact": "a contact", "poll": "a poll", "dice": "a die"}


class Said(NamedTuple):
    """A message of a person. `message` is the original, for what must be fetched; None for a pressed button."""

    inbound: Inbound
    message: Message | None = None
    query: CallbackQuery | None = None


def from_update(update: Update, username: str, bot_id: int) -> Said | None:
    """The message of a person, an edit of one, or a button that was pressed; None for everything else. `username` is
    the bot's, without the @."""
    if update.callback_query is not None:
        return _pressed(update.callback_query)
    message = update.message or update.edited_message
    if message is None or message.from_user is None or message.from_user.is_bot:
        return None
    sender, chat = message.from_user, message.chat
    direct = chat.type == "private"
    text = (message.text or message.caption or "").replace("\0", "")
    mention = re.compile(rf"@{re.escape(username)}\b", re.IGNORECASE)
    if text.startswith("/") and "@" in text.split(maxsplit=1)[0] and not mention.search(text.split(maxsplit=1)[0]):
        return None  # a command for another bot
    answered = message.reply_to_message
    to_us = answered is not None and answered.from_user is not None and answered.from_user.id == bot_id
    addressed = direct or to_us or text.startswith("/") or bool(mention.search(text))
    text = mention.sub("", text).strip() if not direct else text
    if answered is not None and (quoted := _quote(message, answered)) and not text.startswith("/"):
        text = f"{quoted}\n\n{text}"
    own = f"{chat.id}:{message.message_id}"
    edited = update.edited_message is not None
    inbound = Inbound(
        channel="telegram",
        transport_id=f"{own}:{message.edit_date.timestamp():.0f}" if edited and message.edit_date else own,
        chat_id=chat_id_of(message),
        sender_id=str(sender.id),
        sender_name=sender.full_name,
        text=text,
        title=sender.full_name if direct else chat.title or "",
        direct=direct,
        sent_at=message.date.timestamp(),
        group_id="" if direct else str(chat.id),
        addressed=addressed,
        edits=own if edited else "",
    )
    return Said(inbound, message)


def chat_id_of(message: Message) -> str:
    """The conversation of a message: the chat, or a topic of it (`-100123:7`)."""
    topic = message.message_thread_id if message.is_topic_message else None
    return f"{message.chat.id}:{topic}" if topic else str(message.chat.id)


def album_of(said: Said) -> str:
    """Messages with the same one are one album; empty for what belongs to none."""
    message = said.message
    group = message.media_group_id if message is not None and not said.inbound.edits else None
    return f"{said.inbound.chat_id}/{group}" if group else ""


async def fetched(bot: TelegramBot, album: Sequence[Said], files: Files) -> Inbound:
    """One message with the pictures, files and places of all messages of an album (or of the only one)."""
    images: list[Image] = []
    attached: list[Attachment] = []
    texts: list[str] = []
    for said in album:
        if said.inbound.text and said.inbound.text not in texts:
            texts.append(said.inbound.text)
        if said.message is None:
            continue
        found, words = await _content(bot, said.message, files)
        if isinstance(found, Image):
            images.append(found)
        elif isinstance(found, Attachment):
            attached.append(found)
        if words:
            texts.append(words)
    return replace(album[0].inbound, text="\n\n".join(texts), images=tuple(images), files=tuple(attached))


def _pressed(query: CallbackQuery) -> Said | None:
    from telegram import Message

    message = query.message
    if message is None or not query.data or query.from_user.is_bot:
        return None
    chat = message.chat
    inbound = Inbound(
        channel="telegram",
        transport_id=f"press:{query.id}",
        chat_id=chat_id_of(message) if isinstance(message, Message) else str(chat.id),
        sender_id=str(query.from_user.id),
        sender_name=query.from_user.full_name,
        text=query.data,
        title=query.from_user.full_name if chat.type == "private" else chat.title or "",
        direct=chat.type == "private",
        group_id="" if chat.type == "private" else str(chat.id),
        pressed=True,
    )
    return Said(inbound, query=query)


def _quote(message: Message, answered: Message) -> str:
    """What a reply refers to, as a quotation; the part that the person chose where they chose one."""
    if answered.is_topic_message and answered.forum_topic_created is not None:
        return ""  # every message of a topic refers to its beginning
    chosen = message.quote.text if message.quote is not None else answered.text or answered.caption or ""
    short = chosen if len(chosen) <= QUOTE_CHARS else f"{chosen[:QUOTE_CHARS]}…"
    return "\n".join(f"> {line}" for line in short.replace("\0", "").splitlines())


async def _content(bot: TelegramBot, message: Message, files: Files) -> tuple[Image | Attachment | None, str]:
    """What a message carries besides its text, or a line that says what it is."""
    if message.location is not None:
        place = message.venue
        named = f" ({place.title}, {place.address})" if place is not None else ""
        return None, f"[location: {message.location.latitude:.6f}, {message.location.longitude:.6f}{named}]"
    picture = _picture(message)
    try:
        if picture is not None:
            file_id, media_type, size = picture
            if size > PICTURE_BYTES:
                return None, f"[a picture of {size / 1e6:.0f} MB, too large to be read here]"
            return Image(media_type, await bot.download(file_id)), ""
        for kind, name in _FILES.items():
            content = getattr(message, kind, None)
            if content is not None:
                size = content.file_size or 0
                shown = getattr(content, "file_name", None) or name
                if size > FILE_BYTES:
                    return None, f"[the file {shown} of {size / 1e6:.0f} MB, too large to be fetched]"
                media_type = getattr(content, "mime_type", None) or ""
                return await files.take(shown, media_type, bot.pieces(content.file_id), limit=FILE_BYTES), ""
    except ChannelError as error:
        return None, f"[a file that could not be fetched: {error}]"
    what = next((words for name, words in _UNREADABLE.items() if getattr(message, name, None)), "")
    return None, f"[{what} that cannot be read here]" if what else ""


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
