"""What a mail says: its parts decoded whatever they claim to be, HTML as text with its quotations marked by ">"."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from typing import Final

MOST_TEXT: Final = 400_000
"""Characters of a text that are looked at; what is beyond is no message of a person."""
_MOST_PARTS = 200
_LOOKS_LIKE_HTML = re.compile(
    r"\s*(?:<!doctype html|<html|<head|<body|<meta|<div|<p[ >]|<span|<table|<br)", re.IGNORECASE
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_SILENT: Final = frozenset(("script", "style", "title", "template", "noscript", "svg", "object"))
_BLOCKS: Final = frozenset(
    ("div", "ul", "ol", "li", "table", "tr", "section", "article", "header", "footer", "form", "center", "dl", "dd")
)
_SPACED: Final = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre"))


def parse(raw: bytes) -> Message:
    """The mail as its parts. Never raises: what is broken is taken as text."""
    return message_from_bytes(raw, policy=policy.compat32)


def parts(mail: Message) -> Iterator[Message]:
    """The leaves of a mail in order; an attached mail is one leaf."""
    left = [_MOST_PARTS]

    def walk(part: Message) -> Iterator[Message]:
        left[0] -= 1
        if left[0] < 0:
            return
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            for one in payload:
                if isinstance(one, Message):
                    yield from walk(one)
        else:
            yield part

    return walk(mail)


def is_attachment(part: Message) -> bool:
    """Whether a part is a file rather than the text of the mail."""
    if part.get_content_type() not in ("text/plain", "text/html"):
        return True
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def body(mail: Message) -> str:
    """The text of the mail: its plain parts, or its HTML where those say nothing. "\\n" ends the lines."""
    texts = [part for part in parts(mail) if not is_attachment(part)]
    plain = "\n\n".join(text for part in texts if part.get_content_type() == "text/plain" and (text := _plain(part)))
    if plain.strip():
        return plain
    return "\n\n".join(html_to_text(decoded(part)) for part in texts if part.get_content_type() == "text/html")


def as_text(raw: bytes) -> str:
    """A text that is no mail: plain, or HTML by the looks of it."""
    text = _tidy(_decode(raw[: 4 * MOST_TEXT], ""))
    return html_to_text(text) if _LOOKS_LIKE_HTML.match(text) else text


def decoded(part: Message) -> str:
    """The text of a part: by the character set it names, by UTF-8, or by what Windows writes."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    try:
        named = (part.get_content_charset("") or "").strip("'\" ")
    except (LookupError, ValueError):
        named = ""
    return _tidy(_decode(data[: 4 * MOST_TEXT], named))


def header(mail: Message, name: str) -> str:
    """A header in one line as people read it, its encoded words decoded; empty where there is none."""
    value = mail.get(name)
    if value is None:
        return ""
    text = ""
    try:
        for piece, charset in decode_header(str(value)):
            text += piece if isinstance(piece, str) else _decode(piece, charset or "")
    except (ValueError, LookupError, MessageError):  # encoded words that are broken
        text = str(value)
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())


def _decode(data: bytes, named: str) -> str:
    for charset in (named, "utf-8"):
        try:
            if charset and codecs.lookup(charset):
                return data.decode("cp1252" if charset.lower() in ("iso-8859-1", "latin-1") else charset)
        except (LookupError, UnicodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")[:MOST_TEXT]


def _plain(part: Message) -> str:
    text = decoded(part)
    if _LOOKS_LIKE_HTML.match(text) and "</" in text:
        return html_to_text(text)  # HTML that claims to be plain
    if str(part.get_param("format", "")).lower() == "flowed":
        text = _unflowed(text, delete_space=str(part.get_param("delsp", "")).lower() == "yes")
    return text


def _unflowed(text: str, *, delete_space: bool) -> str:
    """Join the lines that were broken only for the way (RFC 3676)."""
    done: list[str] = []
    open_depth: int | None = None
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:]
        content = content[1:] if content.startswith(" ") else content
        soft = content.endswith(" ") and content != "-- "
        shown = content[:-1] if soft and delete_space else content
        if open_depth == depth and content != "-- ":
            done[-1] += shown
        else:
            done.append((">" * depth + " " if depth else "") + shown)
        open_depth = depth if soft else None
    return "\n".join(done)


def html_to_text(html: str) -> str:
    """What a reader sees: blocks on lines of their own, links with their address, quotations after ">"."""
    from lxml import etree

    # `html.parser` takes minutes for some texts that are made for it; the time of this one grows with the length only.
    reader = _Reader()
    parser = etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True)  # type: ignore[arg-type] # only text comes
    parser.feed(html[:MOST_TEXT].encode("utf-8", "replace"))
    try:
        return str(parser.close())
    except etree.XMLSyntaxError:  # there is nothing in it
        return reader.close()


class _Reader:
    """What lxml tells of a text in HTML, in order; it closes what was left open."""

    def __init__(self) -> None:
        self._lines: list[str] = [""]
        self._depths: list[int] = [0]
        self._seen: list[bool] = []
        """Of each open tag, whether what is inside it is shown."""
        self._silent = 0
        self._depth = 0
        self._pre = 0
        self._link: tuple[str, int, int] | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """A tag opens."""
        hidden = tag in _SILENT or bool(_HIDDEN.search(attributes.get("style", "")))
        self._seen.append(not hidden)
        self._silent += hidden
        if tag in ("br", "hr"):
            self._break(always=tag == "br" or bool(self._lines[-1]))
        if tag in _BLOCKS or tag in _SPACED:
            self._break()
        if tag in _SPACED:
            self._gap()
        if tag == "blockquote":
            self._depth += 1
        self._pre += tag == "pre"
        if tag == "li":
            self._add("- ")
        if tag in ("td", "th") and self._lines[-1].strip():
            self._add(" ")
        if tag == "a" and (address := attributes.get("href")):
            self._link = (address, len(self._lines), len(self._lines[-1]))

    def end(self, tag: str) -> None:
        """A tag closes."""
        if tag == "a" and self._link is not None:
            address, line, start = self._link
            self._link = None
            label = self._lines[-1][start if line == len(self._lines) else 0 :].strip()
            if address.startswith(("http://", "https://")) and label and label not in (address, address.rstrip("/")):
                self._add(f" <{address}>")
        if tag in _BLOCKS or tag in _SPACED:
            self._break()
        if tag in _SPACED:
            self._gap()
        if tag == "blockquote":
            self._depth -= 1
        self._pre -= tag == "pre"
        if self._seen:
            self._silent -= not self._seen.pop()

    def data(self, data: str) -> None:
        """A text."""
        if self._pre:
            first, *rest = data.split("\n")
            self._add(first)
            for line in rest:
                self._break(always=True)
                self._add(line)
            return
        text = re.sub(r"[ \t\r\n\f]+", " ", data)
        if not self._lines[-1] or self._lines[-1].endswith(" "):
            text = text.lstrip(" ")
        self._add(text.replace("\xa0", " "))

    def close(self) -> str:
        """All of it, at most one empty line between two."""
        shown: list[str] = []
        for line, depth in zip(self._lines, self._depths, strict=True):
            text = (">" * depth + (" " if depth else "") + line.rstrip()).rstrip()
            if not line.strip() and (not shown or not shown[-1].strip("> ")):
                continue
            shown.append(text)
        while shown and not shown[-1].strip("> "):
            shown.pop()
        return "\n".join(shown)

    def _add(self, text: str) -> None:
        if text and not self._silent:
            if not self._lines[-1]:
                self._depths[-1] = self._depth
            self._lines[-1] += text

    def _break(self, *, always: bool = False) -> None:
        if not self._silent and (always or self._lines[-1]):
            self._lines.append("")
            self._depths.append(self._depth)

    def _gap(self) -> None:
        if not self._silent and len(self._lines) > 1 and self._lines[-2]:
            self._break(always=True)
