"""What a Discord message means to the agent: a person's text, pictures and files; what cannot be read is named."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.channels.channel import Attachment, Files, Inbound
from agent.errors import ChannelError
from agent.providers.types import Image

if TYPE_CHECKING:
    import discord

    from agent.channels.discord_bot import DiscordBot

PICTURE_BYTES = 10_000_000
"""A larger picture is taken as a file."""
FILE_BYTES = 50_000_000
"""A larger file is not fetched."""

_PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")
_QUOTE_CHARS = 200
_TOKEN = re.compile(r"<(?P<kind>@!?|@&|#|a?:\w+:)(?P<id>\d+)>")


class Place(NamedTuple):
    """Where something was said. `group_id` is empty in a direct chat."""

    chat_id: str
    group_id: str
    title: str


def is_for_people(message: discord.Message) -> bool:
    """Whether somebody said something, and it is no notice of the service (a pin, a new member)."""
    import discord

    return message.type in (discord.MessageType.default, discord.MessageType.reply)


def place_of(channel: Any, guild: Any, person: str, *, in_server: bool = False) -> Place:
    """The chat of a message. A channel of a server that is not known (yet) is a group all the same."""
    import discord

    chat_id = str(channel.id)
    known = guild or getattr(channel, "guild", None) or getattr(channel, "guild_id", None)
    if not known and not in_server:
        return Place(chat_id, "", person)
    name = getattr(channel, "name", "")
    if isinstance(channel, discord.Thread):
        return Place(chat_id, str(channel.parent_id), name)
    server = getattr(guild, "name", "")
    return Place(chat_id, chat_id, f"#{name} ({server})" if name and server else name or server)


def from_message(message: discord.Message, me: int) -> Inbound:
    """What was said, without pictures, files and the message that it answers."""
    name = message.author.display_name
    place = place_of(message.channel, message.guild, name)
    return Inbound(
        channel="discord",
        transport_id=transport_id(message),
        chat_id=place.chat_id,
        sender_id=str(message.author.id),
        sender_name=name,
        text=readable(message, me),
        title=place.title,
        direct=not place.group_id,
        sent_at=message.created_at.timestamp(),
        group_id=place.group_id,
        addressed=not place.group_id or _is_addressed(message, me),
        bot=message.author.bot,
    )


def transport_id(message: discord.Message) -> str:
    """Unique within Discord."""
    return f"{message.channel.id}:{message.id}"


def edit_id(message: discord.Message) -> str:
    """The same for the same text of a message."""
    edited = message.edited_at.timestamp() if message.edited_at else 0.0
    return f"{transport_id(message)}:{edited * 1000:.0f}"


def message_of(transport: str) -> tuple[str, str] | None:
    """Channel and message of a transport id; None for interactions, which are none."""
    channel, _, rest = transport.partition(":")
    message = rest.partition(":")[0]
    return (channel, message) if channel.isdigit() and message.isdigit() else None


def readable(message: discord.Message, me: int) -> str:
    """The text with names in place of ids, without the mention of the bot at its beginning or end."""
    text = message.content.replace("\0", "")
    own = rf"<@!?{me}>"
    text = re.sub(rf"\A(?:\s*{own})+[\s,:]*|(?:\s*{own})+\s*\Z", "", text)
    people = {one.id: one.display_name for one in message.mentions}
    roles = {one.id: one.name for one in message.role_mentions}
    channels = {one.id: one.name for one in message.channel_mentions}

    def name(found: re.Match[str]) -> str:
        kind, number = found["kind"], int(found["id"])
        if kind.endswith(":"):
            return kind.removeprefix("a")
        known = roles if kind == "@&" else channels if kind == "#" else people
        return f"{kind[0]}{known[number]}" if number in known else found[0]

    return _TOKEN.sub(name, text).strip()


def _is_addressed(message: discord.Message, me: int) -> bool:
    if any(one.id == me for one in message.mentions):
        return True
    own_role = message.guild.self_role if message.guild else None
    if own_role is not None and own_role in message.role_mentions:
        return True
    answered = _answered(message)
    return answered is not None and answered.author.id == me


def _answered(message: discord.Message) -> discord.Message | None:
    import discord

    resolved = message.reference.resolved if message.reference else None
    return resolved if isinstance(resolved, discord.Message) else None


async def quoted(message: discord.Message, me: int, knows: Callable[[str], Awaitable[bool]]) -> str:
    """The beginning of the message that this one answers, of people whom the agent knows; else only who wrote it."""
    answered = _answered(message)
    if answered is None:
        return ""
    who = answered.author.display_name
    ours = answered.author.id in (me, message.author.id) or await knows(str(answered.author.id))
    text = " ".join(readable(answered, me).split()) if ours else ""
    if not text:
        return f"[in reply to a message of {who}]"
    return f"> {who}: {text[:_QUOTE_CHARS]}{'…' if len(text) > _QUOTE_CHARS else ''}"


class Carried(NamedTuple):
    """What came with a message. `unread` names what could not be taken, a line each."""

    images: tuple[Image, ...]
    files: tuple[Attachment, ...]
    unread: str


async def fetch(bot: DiscordBot, message: discord.Message, files: Files) -> Carried:
    """The pictures in memory, all other files on the disk."""
    images: list[Image] = []
    taken: list[Attachment] = []
    unread = [f"[a sticker: {one.name}]" for one in message.stickers]
    if message.message_snapshots:
        unread.append("[a forwarded message, which cannot be read here]")
    for one in message.attachments:
        kind = (one.content_type or "application/octet-stream").partition(";")[0].strip()
        try:
            if one.size > FILE_BYTES:
                unread.append(f"[{one.filename} has {one.size / 1e6:.0f} MB, too large to be read here]")
            elif kind in _PICTURE_TYPES and one.size <= PICTURE_BYTES:
                images.append(Image(kind, await _picture(bot, one.url)))
            else:
                taken.append(await files.take(one.filename, kind, bot.download(one.url), limit=FILE_BYTES))
        except ChannelError:
            unread.append(f"[{one.filename} could not be fetched]")
    return Carried(tuple(images), tuple(taken), "\n".join(unread))


async def _picture(bot: DiscordBot, url: str) -> bytes:
    data = bytearray()
    async for piece in bot.download(url):
        data += piece
        if len(data) > PICTURE_BYTES:
            raise ChannelError("rejected", "The picture is larger than it said.")
    return bytes(data)
