"""Reports of mail servers that a mail could not be delivered after all (RFC 3464)."""

from __future__ import annotations

from email.message import Message
from typing import NamedTuple

from agent.channels.email_text import decoded, header, parse, parts
from agent.channels.email_threads import message_id

REPORT_BYTES = 1_000_000
"""A larger mail is no report."""


class Returned(NamedTuple):
    """A mail that came back: to whom it was, its Message-ID, and why in the words of a server."""

    address: str
    message_id: str
    why: str


def returned(mail: Message) -> Returned | None:
    """What a report says of a mail that failed for good; None for all other mails."""
    if mail.get_content_type() != "multipart/report":
        return None
    address = why = own = ""
    for part in parts(mail):
        payload = part.get_payload()
        match part.get_content_type():
            case "message/delivery-status" if isinstance(payload, list):
                for block in payload:
                    if isinstance(block, Message) and header(block, "Action").lower() == "failed":
                        address = header(block, "Final-Recipient").partition(";")[2].strip().lower()
                        why = header(block, "Diagnostic-Code").partition(";")[2].strip()
            case "message/rfc822" if isinstance(payload, list) and payload and isinstance(payload[0], Message):
                own = message_id(payload[0])
            case "text/rfc822-headers":
                own = message_id(parse(decoded(part).encode()))
    return Returned(address, own, why[:200]) if address and own else None
