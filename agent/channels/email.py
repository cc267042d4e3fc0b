"""E-mail: one mailbox of the agent's own, by IMAP (told of new mail, or asking) and SMTP.

How far the mailbox was read is kept in the channel's notes: the number of the last mail, which is set after `receive`
has committed that mail. Numbers that a server gives out anew (UIDVALIDITY) are no harm: the mails of the last days are
looked at again, and `receive` recognises each by its Message-ID. What was there before the first start is not answered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from agent.channels.channel import Delivered, Draft, Mark, Needs, Outbound, Receive, ReportHealth
from agent.channels.email_bounces import REPORT_BYTES, Returned, returned
from agent.channels.email_imap import Envelope, Folder, Login, Mailbox
from agent.channels.email_inbound import Opened, inbound_of, open_mail
from agent.channels.email_oauth import AccessTokens
from agent.channels.email_outgoing import compose, own_address, own_message_id
from agent.channels.email_reply import extract_reply
from agent.channels.email_sender import Sender, is_authentic, sender, why_automatic
from agent.channels.email_smtp import check_login, send_mail
from agent.channels.email_text import parse
from agent.channels.email_threads import Threads, transport_id
from agent.channels.patience import Patience
from agent.errors import ChannelError, ConfigError, StorageError
from agent.providers.http import certificates
from agent.settings import EmailSettings, NetworkSettings

if TYPE_CHECKING:
    import ssl

__all__ = ["EmailChannel", "extract_reply"]

log = logging.getLogger(__name__)

MAIL_BYTES: Final = 40_000_000
"""Of a larger mail only the beginning is read."""
_BEGINNING_BYTES = 1_000_000
_LOOK_BACK_SECONDS = 2 * 86400.0
"""Mails so much older than the last one are looked at again when the server numbers its mails anew."""
MOST_MAILS: Final = 30
MOST_MAILS_SECONDS: Final = 600.0
"""To one person within that time; then answers wait."""
_CONSENT = "Mails are not read and answered yet."
_CONSENT_HINT = "Switch on “Answer mails” in Settings > Channels > E-mail (channels.email.consent)."
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Position:
    """How far the folder was read: the last number; when that mail and the first start were (seconds since 1970)."""

    validity: str
    uid: int
    began: float
    latest: float


class _Box(NamedTuple):
    """A mailbox that is being read, and where to with what is in it. `detail` is said with "ready"."""

    mailbox: Mailbox
    receive: Receive
    report: ReportHealth
    detail: str
    patience: Patience


class EmailChannel:
    """Implements `agent.channels.channel.Channel`.

    Only mails of known senders that the own provider confirms are opened. All others are left alone, without an answer
    of any kind: who is named in a mail as its sender may have nothing to do with it.
    """

    name = "email"
    label = "E-mail"

    def __init__(self, settings: EmailSettings, needs: Needs, network: NetworkSettings | None = None) -> None:
        self._settings = settings
        self._needs = needs
        self._network = network or NetworkSettings()
        self._tokens = AccessTokens(settings, self._network, needs.secret)
        self._threads = Threads(needs.notes)
        self._mails: dict[str, deque[float]] = defaultdict(deque)
        self._sending: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        """See `Channel`."""
        report("connecting", "")
        mailbox = await self._connect()
        try:
            folder = await mailbox.open(self._settings.folder)
            position = await self._position(folder)
            if not self._settings.consent:
                report("degraded", f"{_CONSENT} {_CONSENT_HINT}")
                await mailbox.close()
                await asyncio.Event().wait()
            await self._check_smtp()
            how = "told of new mail at once" if mailbox.can_idle else f"looks every {self._settings.poll_seconds:.0f} s"
            detail = f"{own_address(self._settings)} · {how}"
            report("ready", detail)
            patience = Patience(self.label, report, lambda: report("ready", detail))
            await self._read(_Box(mailbox, receive, report, detail, patience), folder, position)
        finally:
            await mailbox.close()

    async def send(self, message: Outbound) -> Delivered:
        """See `Channel`. A repeat has the same Message-ID."""
        if not self._settings.consent:
            raise ChannelError("forbidden", _CONSENT, hint=_CONSENT_HINT)
        thread = await self._threads.get(message.chat_id)
        if not await self._needs.knows(thread.to):
            raise ChannelError("forbidden", f"{thread.to} is not among the people who are answered.")
        self._pace(thread.to)
        own_id = own_message_id(message, self._settings)
        mail = await asyncio.to_thread(compose, message, thread, self._settings, own_id)
        await self._threads.sending(message.chat_id, thread, own_id)
        async with self._sending[thread.to]:
            tls = await self._tls()
            await self._with_login(lambda login: send_mail(self._settings, login, tls, thread.to, mail))
        try:
            await self._threads.sent(message.chat_id, own_id)
        except StorageError as error:  # it was sent; only the next answer's list of the thread lacks it
            log.warning("an answer by mail cannot be noted: %s", error)
        return Delivered((own_id,))

    def draft(self, chat_id: str) -> Draft:
        """See `Channel`: nobody wants to get a mail word by word."""
        return _Whole(self)

    async def mark(self, chat_id: str, transport_id: str, mark: Mark) -> None:
        """See `Channel`: there is nothing to mark."""

    async def identify(self) -> str:
        """See `Channel`: logs in to both servers and says what works."""
        mailbox = await self._connect()
        try:
            await mailbox.open(self._settings.folder)
            how = "IMAP with IDLE" if mailbox.can_idle else "IMAP (without IDLE)"
        finally:
            await mailbox.close()
        await self._check_smtp()
        return f"{own_address(self._settings)} · {how}, SMTP"

    # --- connections ------------------------------------------------------------------------------------------------
    async def _connect(self) -> Mailbox:
        missing = [
            words
            for words, value in (
                ("user name", self._settings.username),
                ("IMAP server", self._settings.imap_host),
                ("SMTP server", self._settings.smtp_host),
            )
            if not value
        ]
        if missing:
            raise ChannelError(
                "wrong_token",
                f"The mailbox is not set up: there is no {', no '.join(missing)}.",
                hint="See Settings > Channels > E-mail.",
            )
        tls = await self._tls()
        return await self._with_login(lambda login: Mailbox.connect(self._settings, login, tls))

    async def _check_smtp(self) -> None:
        tls = await self._tls()
        await self._with_login(lambda login: check_login(self._settings, login, tls))

    async def _tls(self) -> ssl.SSLContext:
        try:
            return await asyncio.to_thread(certificates, self._network.ca_file)
        except ConfigError as error:
            raise ChannelError("rejected", str(error), hint=error.hint) from error

    async def _with_login(self, work: Callable[[Login], Awaitable[T]]) -> T:
        """Do it with the password, or with an access token: with a new one when the old one is refused."""
        if self._settings.auth == "password":
            password = await self._needs.secret(self.name)
            if not password:
                raise ChannelError(
                    "wrong_token",
                    "There is no password for the mailbox yet.",
                    hint="Enter it in Settings > Channels; many providers want an app password.",
                )
            return await work(Login(password))
        try:
            return await work(Login(await self._tokens.get(), oauth=True))
        except ChannelError as error:
            if error.kind != "wrong_token":
                raise
            self._tokens.forget()
            return await work(Login(await self._tokens.get(), oauth=True))

    # --- reading ----------------------------------------------------------------------------------------------------
    async def _position(self, folder: Folder) -> _Position:
        """Where to go on; at the very first start behind what is there already."""
        stored = await self._needs.notes.get(self._position_key())
        if stored is not None:
            return _Position(**json.loads(stored))
        now = time.time()
        position = _Position(folder.validity, folder.next_uid - 1, now, now)
        await self._save(position)
        return position

    async def _read(self, box: _Box, folder: Folder, position: _Position) -> None:
        """Hand over one mail after the other, then wait for more, for good."""
        mailbox = box.mailbox
        if position.validity != folder.validity:
            day = datetime.fromtimestamp(position.latest - _LOOK_BACK_SECONDS, UTC)
            uids = await mailbox.since(f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}")
            for uid in (one for one in uids if one < folder.next_uid):
                await self._take(box, uid, position.began)
            position = replace(position, validity=folder.validity, uid=folder.next_uid - 1)
            await box.patience.surely(partial(self._save, position))
        while True:
            for uid in await mailbox.after(position.uid):
                arrived = await self._take(box, uid, 0.0)
                position = replace(position, uid=uid, latest=max(position.latest, arrived))
                await box.patience.surely(partial(self._save, position))
            await mailbox.wait(self._settings.poll_seconds if not mailbox.can_idle else 3600.0)

    async def _take(self, box: _Box, uid: int, not_before: float) -> float:
        """Hand over a mail if it is from somebody we talk to; when it arrived."""
        envelope = await box.mailbox.envelope(uid)
        if envelope is None or 0 < envelope.arrived < int(not_before):  # servers tell whole seconds
            return 0.0
        head = await asyncio.to_thread(parse, envelope.header)
        author, why_not = await box.patience.surely(lambda: self._author(head))
        if author is None:
            if why_not:
                log.info("a mail is left alone: %s", why_not)
            if why_not.startswith("it claims"):
                box.report("ready", f"{box.detail} · A mail was left alone: {why_not}")
            if head.get_content_type() == "multipart/report" and envelope.size <= REPORT_BYTES:
                await self._look_at_report(box, uid)
            return envelope.arrived
        raw = await box.mailbox.content(uid, MAIL_BYTES if envelope.size <= MAIL_BYTES else _BEGINNING_BYTES)
        if raw is not None:
            await self._hand_over(box, raw, envelope, author)
        return envelope.arrived

    async def _look_at_report(self, box: _Box, uid: int) -> None:
        """Name a mail that the provider took and could not deliver; reports of mails that are not ours are forged."""
        raw = await box.mailbox.content(uid, REPORT_BYTES)
        found = await asyncio.to_thread(_returned, raw or b"")
        if found is None:
            return
        ours = await box.patience.surely(partial(self._threads.knows, found.address, found.message_id))
        if ours:
            log.info("a mail came back: %s", found.why)
            box.report("ready", f"{box.detail} · A mail to {found.address} came back: {found.why}")

    async def _author(self, head: Message) -> tuple[Sender | None, str]:
        """Who wrote a mail, if that is somebody we answer and the provider confirms it; else why not."""
        author = sender(head)
        if author is None:
            return None, "it does not name one sender"
        if not await self._needs.knows(author.address):
            return None, ""
        if reason := why_automatic(head, own_address(self._settings)):
            return None, f"it is {reason}"
        if not is_authentic(head, author.address, self._settings.authentication_results):
            return None, (
                f"it claims to be from {author.address}, and your provider does not confirm that"
                " (channels.email.authentication_results)."
            )
        return author, ""

    async def _hand_over(self, box: _Box, raw: bytes, envelope: Envelope, author: Sender) -> None:
        mail, opened = await asyncio.to_thread(_open, raw, envelope.header)
        if (again := sender(mail)) is None or again.address != author.address:
            return  # not the mail whose header was looked at
        remark = ""
        if envelope.size > MAIL_BYTES:
            remark = f"[Only the beginning of this mail was read: it has {envelope.size / 1e6:.0f} MB.]"
            opened = replace(opened, files=())
        chat_id = await box.patience.surely(lambda: self._threads.chat_of(mail, author, transport_id(mail)))
        inbound = await inbound_of(mail, opened, author, chat_id, self._needs.files, remark)
        if not inbound.text and not inbound.images and not inbound.files:
            return
        await box.patience.surely(lambda: self._threads.came(chat_id, mail, author))
        await box.patience.surely(lambda: box.receive(inbound))

    async def _save(self, position: _Position) -> None:
        await self._needs.notes.set(self._position_key(), json.dumps(asdict(position)))

    def _position_key(self) -> str:
        settings = self._settings
        return f"position:{settings.username}@{settings.imap_host}/{settings.folder}"

    # --- sending ----------------------------------------------------------------------------------------------------
    def _pace(self, address: str) -> None:
        """A person gets no flood of mails, whatever goes wrong. Raises ChannelError (rate_limit)."""
        now = time.monotonic()
        sent = self._mails[address]
        while sent and sent[0] <= now - MOST_MAILS_SECONDS:
            sent.popleft()
        if len(sent) >= MOST_MAILS:
            wait = sent[0] + MOST_MAILS_SECONDS - now
            words = f"{address} got {MOST_MAILS} mails within {MOST_MAILS_SECONDS / 60:.0f} minutes; more of them wait."
            raise ChannelError("rate_limit", words, retry_after=wait)
        sent.append(now)


class _Whole:
    """Implements `agent.channels.channel.Draft`: sends when the answer is finished."""

    def __init__(self, channel: EmailChannel) -> None:
        self._channel = channel

    def update(self, text: str) -> None:
        """See `Draft`."""

    async def finish(self, message: Outbound) -> Delivered:
        """See `Draft`."""
        return await self._channel.send(message)

    async def discard(self) -> None:
        """See `Draft`."""


def _open(raw: bytes, head: bytes) -> tuple[Message, Opened]:
    try:
        mail = parse(raw)
        return mail, open_mail(mail)
    except Exception:  # a parser that gives up on one mail must not keep all later ones from being read
        log.warning("a mail of %d bytes cannot be read", len(raw), exc_info=True)
        return parse(head), Opened("[This mail is made in a way that cannot be read.]", ())


def _returned(raw: bytes) -> Returned | None:
    try:
        return returned(parse(raw))
    except Exception:  # noqa: BLE001 - as above; anybody can send one, so it is not even worth a warning
        log.info("a report of %d bytes cannot be read", len(raw))
        return None
