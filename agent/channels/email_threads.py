"""Which mails belong together, kept in the channel's notes: a restart can still answer, and finds the conversation."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from email.message import Message
from typing import Final

from agent.channels.channel import Notes
from agent.channels.email_sender import Sender
from agent.channels.email_text import header

_ID = re.compile(r"<[^<>\s\x00-\x1f\x7f-\uffff]{1,250}>")
_CHAT = re.compile(r"(.+)/[0-9a-f]{16}")
_AGAIN = re.compile(
    r"\s*(?:re|aw|sv|vs|antw|r|rv|ref|odp|回复|回覆|答复|fwd?|wg|tr|vb|doorst)\s*(?:\[\d+\])?\s*[:：]\s*", re.IGNORECASE
)
_MOST_REFERENCES: Final = 20


@dataclass(frozen=True, slots=True)
class Thread:
    """What an answer in a conversation needs. `references`: the ids of its mails, the first one and the latest."""

    to: str
    name: str
    subject: str
    references: tuple[str, ...]


class Threads:
    """A conversation is named by the address of its person, and a number made of its first mail: two people in one
    thread have a conversation each. The address alone is the one that the agent begins with them by itself."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def chat_of(self, mail: Message, author: Sender, transport_id: str) -> str:
        """The conversation that a mail belongs to, a new one if need be."""
        mentioned = references(mail)
        for one in reversed(mentioned):
            chat_id = await self._notes.get(_mail_key(author.address, one))
            if chat_id is not None:
                return chat_id
        root = mentioned[0] if mentioned else transport_id
        return f"{author.address}/{_digest(author.address, root)}"

    async def came(self, chat_id: str, mail: Message, author: Sender) -> None:
        """Remember what an answer to this mail needs."""
        own = message_id(mail)
        before = await self.get(chat_id)
        ids = [one for one in (*before.references, *references(mail)) if one != own] + ([own] if own else [])
        subject = plain_subject(header(mail, "Subject"))
        await self._save(chat_id, Thread(author.address, author.name, subject, _shortened(ids)))
        if own:
            await self._notes.set(_mail_key(author.address, own), chat_id)

    async def sending(self, chat_id: str, thread: Thread, own: str) -> None:
        """An answer is about to leave: a reply to it, which may come at once, belongs to the same conversation."""
        await self._notes.set(_mail_key(thread.to, own), chat_id)

    async def sent(self, chat_id: str, own: str) -> None:
        """An answer was sent: it is part of the thread."""
        thread = await self.get(chat_id)
        if own not in thread.references:
            new = Thread(thread.to, thread.name, thread.subject, _shortened([*thread.references, own]))
            await self._save(chat_id, new)

    async def knows(self, address: str, one: str) -> bool:
        """Whether a mail with this number was exchanged with that person."""
        return await self._notes.get(_mail_key(address, one)) is not None

    async def get(self, chat_id: str) -> Thread:
        """The thread of a conversation; an empty one where no mail came yet."""
        stored = await self._notes.get(f"thread:{chat_id}")
        if stored is not None:
            found = json.loads(stored)
            return Thread(found["to"], found["name"], found["subject"], tuple(found["references"]))
        named = _CHAT.fullmatch(chat_id)
        return Thread(named[1] if named else chat_id, "", "", ())

    async def _save(self, chat_id: str, thread: Thread) -> None:
        await self._notes.set(f"thread:{chat_id}", json.dumps(asdict(thread)))


def message_id(mail: Message) -> str:
    """The Message-ID with its angle brackets; empty where there is none or it is malformed."""
    found = _ID.fullmatch(header(mail, "Message-ID"))
    return found[0] if found else ""


def transport_id(mail: Message) -> str:
    """What names a mail for good, wherever it lies: its Message-ID, or a number made of its header without the way."""
    if found := message_id(mail):
        return found
    kept = "\n".join(f"{name}:{mail.get(name)}" for name in ("From", "To", "Date", "Subject", "Content-Type"))
    return f"sha256:{hashlib.sha256(kept.encode('utf-8', 'replace')).hexdigest()}"


def references(mail: Message) -> list[str]:
    """The ids of the mails before this one, the first one first."""
    before = _ID.findall(str(mail.get("References", "")))
    answered = _ID.findall(str(mail.get("In-Reply-To", "")))[:1]
    return [*before, *(one for one in answered if one not in before)]


def plain_subject(subject: str) -> str:
    """A subject without what programs put before it ("Re: AW: Fwd:")."""
    while found := _AGAIN.match(subject):
        subject = subject[found.end() :]
    return subject.strip()[:200]


def _shortened(ids: list[str]) -> tuple[str, ...]:
    unique = list(dict.fromkeys(ids))
    return (*unique[:1], *unique[1:][-_MOST_REFERENCES + 1 :])


def _mail_key(address: str, one: str) -> str:
    return f"mail:{_digest(address, one)}"


def _digest(address: str, one: str) -> str:
    return hashlib.sha256(f"{address}\n{one}".encode()).hexdigest()[:16]
