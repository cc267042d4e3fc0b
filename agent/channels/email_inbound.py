"""A mail as a message to the agent: the new text, pictures and files; what others wrote in it is marked as theirs."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final

from agent.channels.channel import Attachment, Files, Inbound
from agent.channels.email_reply import divide, passes_on
from agent.channels.email_sender import Sender
from agent.channels.email_text import body, header, is_attachment, parts
from agent.channels.email_threads import plain_subject, references, transport_id
from agent.errors import ChannelError
from agent.providers.types import Image
from agent.safety.quoting import quote_untrusted

PICTURE_BYTES: Final = 10_000_000
FILE_BYTES: Final = 25_000_000
_MOST_FILES = 20
_DECORATION_BYTES = 4096
"""Smaller pictures that stand in the text are logos and dots."""
_PIECE = 256 * 1024
_PICTURE_TYPES: Final = ("image/jpeg", "image/png", "image/webp", "image/gif")
_CODE_WORD = re.compile(
    r"\s*(?:`|\")?(allow|deny)\s+([0-9A-Za-z]{4,12})((?:\s+(?:once|conversation|always))?)[`\".!]*\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A mail, read: its text, and its files (name, media type, content, whether it stands in the text)."""

    text: str
    files: tuple[tuple[str, str, bytes, bool], ...]


def open_mail(mail: Message) -> Opened:
    """Decode a mail. Takes CPU: call it in a thread."""
    subject = plain_subject(header(mail, "Subject"))
    files = tuple(_file(part) for part in parts(mail) if is_attachment(part))
    reply, forwarded = divide(body(mail), passes_on=passes_on(header(mail, "Subject")))
    return Opened(_said(reply, forwarded, subject, is_new=not references(mail)), files)


async def inbound_of(mail: Message, opened: Opened, author: Sender, chat_id: str, files: Files, remark: str) -> Inbound:
    """The message; its files are put where files that people send belong. `remark` is added to the text."""
    images: list[Image] = []
    taken: list[Attachment] = []
    remarks = [remark] if remark else []
    for name, media_type, content, inside in opened.files:
        if media_type in _PICTURE_TYPES and len(content) <= PICTURE_BYTES:
            if not inside or len(content) >= _DECORATION_BYTES:
                images.append(Image(media_type, content))
        elif len(taken) >= _MOST_FILES:
            remarks.append(f"[{name}: not taken, there are more than {_MOST_FILES} files]")
        else:
            try:
                taken.append(await files.take(name, media_type, _pieces(content), limit=FILE_BYTES))
            except ChannelError as error:
                remarks.append(f"[{name} was not taken: {error}]")
            except OSError as error:
                remarks.append(f"[{name} could not be saved: {error.strerror or error}]")
    text = opened.text
    if remarks and not text.startswith("/"):
        text = "\n\n".join([*([text] if text else []), *remarks])
    subject = plain_subject(header(mail, "Subject"))
    return Inbound(
        channel="email",
        transport_id=transport_id(mail),
        chat_id=chat_id,
        sender_id=author.address,
        sender_name=author.name,
        text=text,
        title=subject or author.name,
        images=tuple(images),
        sent_at=_sent_at(mail),
        files=tuple(taken),
    )


def _said(reply: str, forwarded: str, subject: str, *, is_new: bool) -> str:
    """The person's words: a code word as the command that it stands for, the subject before the first mail."""
    first, _, _ = reply.partition("\n")
    if word := _CODE_WORD.fullmatch(first):
        return f"/{word[1].lower()} {word[2].upper()}{word[3].lower()}"
    if reply.startswith("/"):
        return reply
    if is_new and subject and not reply.lower().startswith(subject.lower()):
        reply = f"{subject}\n\n{reply}".strip()
    elif not reply and not forwarded:
        reply = subject
    return "\n\n".join(
        one for one in (reply, quote_untrusted(forwarded, "a forwarded mail") if forwarded else "") if one
    )


def _file(part: Message) -> tuple[str, str, bytes, bool]:
    media_type = part.get_content_type()
    payload = part.get_payload()
    if isinstance(payload, list):  # an attached mail
        content = payload[0].as_bytes() if payload and isinstance(payload[0], Message) else b""
    else:
        data = part.get_payload(decode=True)
        content = data if isinstance(data, bytes) else b""
    name = _name(part)
    if not name:
        suffix = ".eml" if media_type == "message/rfc822" else mimetypes.guess_extension(media_type) or ""
        name = f"attachment{suffix}"
    inside = part.get_content_disposition() != "attachment" and "Content-ID" in part
    return name, media_type, content, inside


def _name(part: Message) -> str:
    """The name of a file as its sender's program wrote it, in any of the ways that they do."""
    try:
        name = part.get_filename() or ""
    except (LookupError, ValueError, TypeError):
        return ""
    if "=?" in name:
        carrier = Message()
        carrier["Name"] = name.replace("\r", "").replace("\n", "")
        name = header(carrier, "Name")
    return name


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
        await asyncio.sleep(0)


def _sent_at(mail: Message) -> float:
    try:
        return parsedate_to_datetime(header(mail, "Date")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return time.time()
