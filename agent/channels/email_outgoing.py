"""An answer as a mail: plain text and HTML, files, and the headers that put it into its thread."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import uuid
from email import charset, encoders
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import formataddr, formatdate
from io import BytesIO
from pathlib import Path
from typing import Final

from agent.channels.channel import Button, Outbound
from agent.channels.email_threads import Thread
from agent.channels.markup import to_email_html
from agent.settings import EmailSettings

FILES_BYTES: Final = 18_000_000
"""Of all files of a mail together: providers take 25 MB, and a file grows by a third on its way."""
_LINE: Final = 76
_POLICY: Final = compat32.clone(linesep="\r\n", max_line_length=990)
"""Lines are broken before; a number of a mail is left in one piece, which not all programs would put together again."""
_SUBJECT: Final = 70
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_NOT_FLOWED = re.compile(r"\s*[>|]|\s{4}|\t")
_MARKS = re.compile(r"[*_`#>\[\]]+")


def own_message_id(message: Outbound, settings: EmailSettings) -> str:
    """The same for the same row of the outbox: who gets an answer twice, or their mail program, can tell."""
    domain = own_address(settings).rpartition("@")[2] or "localhost"
    if not message.outbox_id:
        return f"<{uuid.uuid4().hex}@{domain}>"
    content = f"{own_address(settings)}\n{message.chat_id}\n{message.outbox_id}\n{message.text}"
    return (
        f"<trayclaw.{message.outbox_id}.{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:20]}@{domain}>"
    )


def own_address(settings: EmailSettings) -> str:
    """What answers are sent from."""
    return settings.address or settings.username


def compose(message: Outbound, thread: Thread, settings: EmailSettings, own_id: str) -> bytes:
    """The whole mail, lines ended by CRLF. Reads the files: call it in a thread."""
    files, missing = _files(message.files)
    markdown = "\n\n".join(part for part in (message.note, message.text, *missing, _choices(message.buttons)) if part)
    content: Message = MIMEMultipart("alternative", None, [_plain(markdown), _html(markdown)])
    mail = MIMEMultipart("mixed", None, [content, *files]) if files else content
    answered = message.reply_to if message.reply_to in thread.references else ""
    answered = answered or (thread.references[-1] if thread.references else "")
    subject = f"Re: {thread.subject}" if thread.references else thread.subject
    mail["From"] = _person(settings.display_name, own_address(settings))
    mail["To"] = _person(thread.name if "@" not in thread.name else "", thread.to)
    mail["Subject"] = _encoded(subject.strip() or _subject(message.text))
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = own_id
    if answered:
        mail["In-Reply-To"] = answered
        # as they stand there, answered last (RFC 5322, 3.6.4)
        mail["References"] = " ".join([*(one for one in thread.references if one != answered), answered])
    mail["Auto-Submitted"] = "auto-replied" if answered else "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=_POLICY).flatten(mail)
    return written.getvalue()


def _person(name: str, address: str) -> str:
    return formataddr((name, address)) if name.isascii() else f"{_encoded(name)} <{address}>"


def _encoded(text: str) -> str:
    """A header's text; what is not ASCII in encoded words, one a line (RFC 2047)."""
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=75).encode()


def flowed(text: str) -> str:
    """Lines of at most 76 characters; a blank at an end says that the line goes on (RFC 3676). Code and tables stay."""
    lines: list[str] = []
    fenced = False
    for line in text.replace("\r\n", "\n").split("\n"):
        fence = bool(_FENCE.match(line))
        if fenced or fence or _NOT_FLOWED.match(line):
            lines.append(_stuffed(line.rstrip()))
        else:
            lines.extend(_stuffed(one) for one in _wrapped(line.rstrip()))
        fenced = fenced != fence
    return "\n".join(lines)


def _wrapped(line: str) -> list[str]:
    pieces = []
    while len(line) > _LINE:
        at = line.rfind(" ", 1, _LINE)
        at = at if at > 0 else line.find(" ", _LINE)
        if at < 0 or not line[at + 1 :].strip():
            break
        pieces.append(line[: at + 1])
        line = line[at + 1 :]
    return [*pieces, line]


def _stuffed(line: str) -> str:
    return f" {line}" if line.startswith((" ", "From ")) else line


def _plain(markdown: str) -> MIMEText:
    part = _text(flowed(markdown), "plain")
    part.set_param("format", "flowed")
    return part


def _html(markdown: str) -> MIMEText:
    return _text(f"<!DOCTYPE html>\n<html><body>\n{to_email_html(markdown)}\n</body></html>\n", "html")


def _text(text: str, kind: str) -> MIMEText:
    encoding = charset.Charset("utf-8")
    encoding.body_encoding = charset.QP  # no line is longer than 76 characters then, and it stays readable
    part = MIMEText("", kind, "utf-8")
    del part["Content-Transfer-Encoding"]
    part.set_payload(text.encode("utf-8", "replace").decode(), encoding)
    return part


def _files(paths: tuple[Path, ...]) -> tuple[list[Message], list[str]]:
    """The files as parts of the mail, and remarks on those that cannot be sent."""
    found: list[Message] = []
    missing = []
    left = FILES_BYTES
    for path in paths:
        try:
            size = path.stat().st_size
            if size > left:
                missing.append(f"({path.name} is not attached: with {size / 1e6:.0f} MB it is too large for a mail.)")
                continue
            data = path.read_bytes()
        except OSError as error:
            missing.append(f"({path.name} is not attached: {error.strerror or 'it cannot be read'}.)")
            continue
        left -= len(data)
        media_type, packed = mimetypes.guess_type(path.name)
        kind, _, subtype = (media_type if media_type and not packed else "application/octet-stream").partition("/")
        part = MIMEBase(kind, subtype)
        part.set_payload(data)
        encoders.encode_base64(part)
        ascii_name = path.name.isascii() and '"' not in path.name
        name: str | tuple[str, str, str] = path.name if ascii_name else ("utf-8", "", path.name)
        part.add_header("Content-Disposition", "attachment", filename=name)
        found.append(part)
    return found, missing


def _choices(buttons: tuple[Button, ...]) -> str:
    """Mails have no buttons: what to write instead, in the first line of an answer."""
    if not buttons:
        return ""
    lines = [f"- {button.label}: `{spoken(button.command)}`" for button in buttons]
    return "\n".join(["Answer this mail with one of these as its first line:", "", *lines])


def spoken(command: str) -> str:
    """A command as one writes it in a mail ("allow 3F2A9C")."""
    bare = command.removeprefix("/")
    return bare if bare.startswith(("allow ", "deny ")) else command


def _subject(text: str) -> str:
    """For a mail that answers none: its first words."""
    first = next((line for line in text.splitlines() if _MARKS.sub("", line).strip()), "")
    words = " ".join(_MARKS.sub("", first).split())
    if len(words) > _SUBJECT:
        words = words[:_SUBJECT].rpartition(" ")[0] + " …"
    return words or "A message"
