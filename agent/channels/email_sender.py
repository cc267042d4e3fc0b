"""Who wrote a mail, when that can be relied on: one plain From, confirmed by the receiving provider (RFC 8601).

Everything here errs on the side of nobody. Only headers are looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.headerregistry import AddressHeader, HeaderRegistry
from email.message import Message
from email.utils import parseaddr
from typing import Final

from agent.channels.email_text import header

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_MACHINES: Final = frozenset(
    ("mailer-daemon", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply", "bounce")
)
_LIST_HEADERS: Final = ("List-Id", "List-Post", "List-Unsubscribe", "List-Help", "Mailing-List", "X-Mailing-List")
_REPLY_HEADERS: Final = ("X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-Autoresponse", "X-FC-MachineGenerated")
_headers = HeaderRegistry()


@dataclass(frozen=True, slots=True)
class Sender:
    """The address in lower case, and the name that stands beside it."""

    address: str
    name: str


def sender(mail: Message) -> Sender | None:
    """The one author of a mail; None where the header is missing, there twice, has several addresses or is odd."""
    values = mail.get_all("From", [])
    if len(values) != 1:
        return None
    value = re.sub(r"\r?\n(?=[ \t])", "", str(values[0]))
    if not value.isascii() or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        return None
    try:
        parsed = _headers("from", value)
        if not isinstance(parsed, AddressHeader):
            return None
        groups, addresses = parsed.groups, parsed.addresses
    except Exception:  # noqa: BLE001 - the standard library's parser gives up on some forms, with errors of any kind
        return None
    if len(addresses) != 1 or len(groups) != 1 or groups[0].display_name is not None:
        return None
    address = addresses[0].addr_spec
    if not _ADDRESS.fullmatch(address) or ".." in address or parseaddr(value)[1] != address:
        return None
    # Whatever reads it differently than we do (the provider that confirms it) must find the same address.
    bare = _without_comments_and_quotes(value)
    if bare is None or bare.count("@") != 1 or address not in bare or bare.count("<") > 1 or "," in bare:
        return None
    name = header(mail, "From").rpartition("<")[0].strip(' "') or address
    return Sender(address.lower(), name[:80])


def why_automatic(mail: Message, own: str) -> str:
    """Why a mail was not written by a person who waits for an answer (RFC 3834); empty where it may have been."""
    submitted = header(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return "an automatic reply"
    if header(mail, "Precedence").lower() in ("bulk", "junk", "list", "auto_reply", "auto-reply"):
        return "a mass mail"
    if any(name in mail for name in _LIST_HEADERS):
        return "a mail of a list"
    if any(name in mail for name in _REPLY_HEADERS):
        return "an automatic reply"
    suppressed = header(mail, "X-Auto-Response-Suppress").lower()
    if suppressed and suppressed != "none":
        return "a mail that wants no answer"
    if "Return-Path" in mail and header(mail, "Return-Path") in ("<>", ""):
        return "a report of a mail server"
    if mail.get_content_type() == "multipart/report":
        return "a report of a mail server"
    author = sender(mail)
    if author is not None and author.address == own.lower():
        return "a mail of its own"
    if author is not None and author.address.partition("@")[0] in _MACHINES:
        return "a mail of a program"
    return ""


def is_authentic(mail: Message, address: str, trusted: str) -> bool:
    """Whether the receiving provider confirms that the domain of the address sent this mail.

    `trusted` is the provider's name in its header; headers with another name are never looked at, and of its own only
    the topmost counts: it is the last that was put in. Without a name only a header above the topmost Received counts,
    because everything from there down may have come with the mail.
    """
    found = _results(mail, trusted.strip().lower())
    if found is None:
        return False
    domain = address.rpartition("@")[2].lower()
    results = _parse(found)
    if results is None:
        return False
    verdicts = [one for one in results if one.method == "dmarc" and one.result != "none"]
    if verdicts:
        return all(
            one.result == "pass" and one.properties.get("header.from", domain).lower() == domain for one in verdicts
        )
    return any(one.result == "pass" and _domain(one) == domain for one in results)


@dataclass(frozen=True, slots=True)
class Result:
    """One check of the provider: `dkim=pass header.d=example.org`."""

    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)


def _domain(one: Result) -> str:
    """The domain that a check speaks for; that of a signature is the one in header.d, where it is given."""
    match one.method:
        case "dkim":
            return (one.properties.get("header.d") or one.properties.get("header.i", "").rpartition("@")[2]).lower()
        case "spf":
            return one.properties.get("smtp.mailfrom", "").rpartition("@")[2].lower()
        case _:
            return ""


def _results(mail: Message, trusted: str) -> str | None:
    """The one header to believe, without its folds."""
    for name, value in mail.items():
        lowered = name.lower()
        if lowered == "received" and not trusted:
            return None
        if lowered == "authentication-results":
            text = re.sub(r"\s*\r?\n\s+", " ", str(value))
            if not trusted or _server(text) == trusted:
                return text
    return None


def _server(text: str) -> str:
    """The authserv-id of a header."""
    bare = _without_comments_and_quotes(text.partition(";")[0])
    words = (bare or "").split()
    return words[0].lower() if words else ""


def _parse(text: str) -> list[Result] | None:
    """The checks in a header; None when it is not well-formed: then somebody may have meddled with it."""
    if not text.isascii():
        return None
    pieces = _split(text)
    if pieces is None:
        return None
    found = []
    for piece in pieces[1:]:
        words = piece.split()
        if not words or words == ["none"]:
            continue
        method, sign, result = "".join(words[:1]).partition("=")
        if not sign or not re.fullmatch(r"[a-zA-Z0-9-]+(?:/\d+)?", method) or not re.fullmatch(r"[a-zA-Z]+", result):
            return None
        properties: dict[str, str] = {}
        for word in words[1:]:
            name, sign, value = word.partition("=")
            if sign and re.fullmatch(r"[a-zA-Z]+\.[a-zA-Z0-9-]+", name):
                if name.lower() in properties:
                    return None
                properties[name.lower()] = value
        found.append(Result(method.partition("/")[0].lower(), result.lower(), properties))
    return found


def _split(text: str) -> list[str] | None:
    """The parts between semicolons; comments are left out, what is quoted stays in one word. None: not well-formed."""
    pieces = [""]
    depth = 0
    quoted = False
    escaped = False
    for char in text:
        if escaped:
            escaped = False
            if not depth:
                pieces[-1] += "?"  # an escaped character belongs into none of the values that count
        elif char == "\\" and (quoted or depth):
            escaped = True
        elif quoted:
            if char == '"':
                quoted = False
            else:
                pieces[-1] += char if char not in " \t;=" else "?"
        elif char == '"' and not depth:
            quoted = True
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                return None
            if not depth:
                pieces[-1] += " "
        elif depth:
            continue
        elif char == ";":
            pieces.append("")
        else:
            pieces[-1] += char
    if quoted or depth or escaped:
        return None
    return [re.sub(r"\s*=\s*", "=", piece).strip() for piece in pieces]


def _without_comments_and_quotes(text: str) -> str | None:
    """A header with comments and quoted strings left out; None when one of them is not closed."""
    bare = ""
    depth = 0
    quoted = False
    escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif quoted:
            quoted = char != '"'
        elif char == '"' and not depth:
            quoted = True
        elif char == "(":
            depth += 1
        elif char == ")" and depth:
            depth -= 1
        elif not depth:
            bare += char
    return None if quoted or depth or escaped else bare
