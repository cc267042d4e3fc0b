"""The mailbox through aioimaplib; what goes wrong comes out as ChannelError, without password or token.

aioimaplib (2.0) leaves three things to do here: STARTTLS; the empty line that a server waits for after it refused
XOAUTH2; and a connection that breaks ends no command that waits, so each wait here ends with the connection as well.
Nothing in the mailbox is changed: no flag is set, nothing is moved or deleted.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent.errors import ChannelError
from agent.settings import EmailSettings

if TYPE_CHECKING:
    from aioimaplib import IMAP4, Response  # type: ignore[import-untyped]

ANSWER_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 5 * 60.0
"""IDLE is begun anew this often: servers end it after 30 minutes, some routers forget a silent connection sooner."""
HEADER_BYTES: Final = 256 * 1024
_CLOSE_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Login:
    """What proves who we are: a password, or an access token of OAuth2."""

    secret: str
    oauth: bool = False

    def __repr__(self) -> str:
        return f"<Login oauth={self.oauth}>"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was opened. Numbers of mails hold as long as `validity` is the same."""

    validity: str
    next_uid: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail before its body is fetched. `size` in bytes, `arrived` in seconds since 1970."""

    uid: int
    size: int
    arrived: float
    header: bytes


class Mailbox:
    """One connection, with one folder open."""

    def __init__(self, imap: IMAP4, lost: asyncio.Event) -> None:
        self._imap = imap
        self._lost = lost
        self._news = False
        heard = imap.protocol._untagged_response

        def hear(line: bytes) -> Any:
            # The library drops this when it comes beside the answer to another command; IDLE would not repeat it.
            self._news = self._news or line.rstrip().endswith(b" EXISTS")
            return heard(line)

        imap.protocol._untagged_response = hear

    @classmethod
    async def connect(cls, settings: EmailSettings, login: Login, tls: ssl.SSLContext | None) -> Mailbox:
        """Connect and log in. Raises ChannelError (wrong_token, network)."""
        aioimaplib = await asyncio.to_thread(_load)
        lost = asyncio.Event()
        host = settings.imap_host
        context = tls if settings.imap_security == "tls" else None
        imap = aioimaplib.IMAP4(
            host, settings.imap_port, timeout=ANSWER_SECONDS, conn_lost_cb=lambda _: lost.set(), ssl_context=context
        )
        self = cls(imap, lost)
        try:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await imap.wait_hello_from_server()
            except ssl.SSLCertVerificationError as error:
                raise _untrusted(host, error) from error
            except (OSError, TimeoutError) as error:
                raise ChannelError("network", f"The mail server {host} cannot be reached: {_words(error)}.") from error
            if settings.imap_security == "starttls":
                await self._start_tls(host, tls)
            await self._log_in(settings.username, login)
        except BaseException:
            await self.close()
            raise
        return self

    @property
    def can_idle(self) -> bool:
        """Whether the server tells of new mail by itself."""
        return bool(self._imap.has_capability("IDLE"))

    async def open(self, name: str) -> Folder:
        """Open the folder. Raises ChannelError (not_found, network)."""
        from aioimaplib import quoted

        answer = await self._command(self._imap.select(quoted(name)))
        if answer.result != "OK":
            raise ChannelError("not_found", f"The mailbox has no folder {name}.", hint="Check channels.email.folder.")
        told = b"\n".join(bytes(line) for line in answer.lines).decode("ascii", "replace")
        validity = re.search(r"UIDVALIDITY (\d+)", told)
        following = re.search(r"UIDNEXT (\d+)", told)
        if validity is None:
            raise ChannelError("rejected", "The mail server does not number its mails (UIDVALIDITY).")
        if following is not None:
            return Folder(validity[1], int(following[1]))
        uids = await self._search("ALL")
        return Folder(validity[1], max(uids, default=0) + 1)

    async def after(self, uid: int) -> list[int]:
        """The numbers of the mails that came after that one, in order."""
        self._news = False
        return [one for one in await self._search("UID", f"{uid + 1}:*") if one > uid]

    async def since(self, day: str) -> list[int]:
        """The numbers of the mails since a day ("25-Nov-2026"), in order."""
        return await self._search("SINCE", day)

    async def envelope(self, uid: int) -> Envelope | None:
        """Headers, size and time of a mail; None when it is gone."""
        answer = await self._fetch(uid, f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER]<0.{HEADER_BYTES}>)")
        header, told = _literal(answer), _told(answer)
        if header is None:
            return None
        size = re.search(r"RFC822\.SIZE (\d+)", told)
        date = re.search(r'INTERNALDATE "([^"]+)"', told)
        return Envelope(uid, int(size[1]) if size else 0, _seconds(date[1] if date else ""), header)

    async def content(self, uid: int, limit: int) -> bytes | None:
        """The mail as it is, at most `limit` bytes of it; None when it is gone. It stays unread."""
        return _literal(await self._fetch(uid, f"(UID BODY.PEEK[]<0.{limit}>)"))

    async def wait(self, seconds: float) -> None:
        """Wait for new mail: at most that long, less where the server tells of it. Raises ChannelError (network)."""
        if self._news:
            return
        if self.can_idle:
            await self._idle(min(seconds, IDLE_SECONDS))
        else:
            await self._or_lost(asyncio.sleep(seconds))
            await self.check()

    async def check(self) -> None:
        """Ask for a sign of life, and for what is new."""
        answer = await self._command(self._imap.noop())
        if answer.result != "OK":
            raise ChannelError("network", "The mail server ended the connection.")

    async def close(self) -> None:
        """Log out; gives up after a second."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                if not self._lost.is_set() and self._imap.get_state() in ("AUTH", "SELECTED"):
                    await self._imap.logout()
        except Exception:  # noqa: BLE001, S110 - nothing depends on a farewell, and the library has errors of many kinds
            pass
        if self._imap.protocol is not None and self._imap.protocol.transport is not None:
            self._imap.protocol.transport.abort()
        left = list(self._imap.tasks)  # an IDLE that was cut off waits for its end for ever
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _log_in(self, user: str, login: Login) -> None:
        from aioimaplib import quoted

        if login.oauth:
            if not self._imap.has_capability("AUTH=XOAUTH2"):
                raise ChannelError("rejected", "The mail server offers no OAuth2 (XOAUTH2) for IMAP.")
            answer = await self._command(_authenticate(self._imap, user, login.secret))
        else:
            if self._imap.has_capability("LOGINDISABLED"):
                raise ChannelError("rejected", "The mail server takes no password here.", hint="Set imap_security.")
            answer = await self._command(self._imap.login(quoted(user), login.secret))
        if answer.result == "OK":
            await self._command(self._imap.protocol.capability())  # more of them after the login
            return
        words = " ".join(bytes(line).decode("utf-8", "replace") for line in answer.lines)
        if re.search(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]|try again|too many", words, re.IGNORECASE):
            raise ChannelError("network", "The mail server lets nobody in at the moment.")
        raise wrong_secret("IMAP", login)

    async def _start_tls(self, host: str, tls: ssl.SSLContext | None) -> None:
        from aioimaplib import Command

        protocol = self._imap.protocol
        if not self._imap.has_capability("STARTTLS"):
            raise ChannelError("rejected", "The mail server offers no encryption here.", hint="Use port 993 with TLS.")
        answer = await self._command(protocol.execute(Command("STARTTLS", protocol.new_tag(), timeout=ANSWER_SECONDS)))
        if answer.result != "OK" or protocol.incomplete_line or tls is None:
            raise ChannelError("network", "The mail server does not begin the encryption.")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                protocol.transport = await asyncio.get_running_loop().start_tls(
                    protocol.transport, protocol, tls, server_hostname=host
                )
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(host, error) from error
        except (OSError, TimeoutError) as error:
            raise ChannelError("network", f"The encryption with {host} failed: {_words(error)}.") from error
        await self._command(protocol.capability())  # what was said before the encryption does not count

    async def _idle(self, seconds: float) -> None:
        ended = await self._command(self._imap.idle_start(timeout=seconds + ANSWER_SECONDS))
        try:
            async with asyncio.timeout(seconds):
                while not self._news and self._imap.has_pending_idle():
                    await self._or_lost(self._imap.wait_server_push(seconds))
        except TimeoutError:
            pass  # begin anew
        if self._imap.has_pending_idle():
            self._imap.idle_done()
        # A server that does not answer this is gone, whatever the connection looks like.
        await self._command(asyncio.wait_for(asyncio.shield(ended), ANSWER_SECONDS))

    async def _search(self, *criteria: str) -> list[int]:
        answer = await self._command(self._imap.uid_search(*criteria, charset=None))
        if answer.result != "OK":
            raise ChannelError("network", "The mail server could not search the mailbox.")
        words = b" ".join(bytes(line) for line in answer.lines[:-1]).split()
        return sorted(int(word) for word in words if word.isdigit())

    async def _fetch(self, uid: int, what: str) -> Response:
        answer = await self._command(self._imap.uid("fetch", str(uid), what))
        if answer.result != "OK":
            raise ChannelError("network", "The mail server could not fetch a mail.")
        return answer

    async def _command(self, work: Awaitable[T]) -> T:
        """A command that ends: with its answer, in time, or with the connection."""
        from aioimaplib import AioImapException

        try:
            return await self._or_lost(work)
        except (AioImapException, TimeoutError, OSError) as error:
            raise ChannelError("network", "The mail server does not answer.") from error

    async def _or_lost(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        lost = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ChannelError("network", "The connection to the mail server was lost.")
        finally:
            for one in (task, lost):
                one.cancel()
            await asyncio.gather(task, lost, return_exceptions=True)


def wrong_secret(what: str, login: Login) -> ChannelError:
    """The server does not accept the password or the token."""
    if login.oauth:
        hint = "Allow TrayClaw again at your provider and enter the new refresh token in Settings > Channels."
        return ChannelError("wrong_token", f"The mail server refuses the access token ({what}).", hint=hint)
    hint = "Check user name and password in Settings > Channels; many providers want an app password."
    return ChannelError("wrong_token", f"The mail server refuses user name or password ({what}).", hint=hint)


def _load() -> Any:
    import aioimaplib

    logging.getLogger("aioimaplib").setLevel(logging.WARNING)  # at DEBUG it writes whole mails
    return aioimaplib


async def _authenticate(imap: IMAP4, user: str, token: str) -> Response:
    """XOAUTH2; `IMAP4.xoauth2` waits for ever when the server refuses: it wants an empty line first."""
    from base64 import b64encode

    from aioimaplib import AUTH, Command

    protocol = imap.protocol

    class Authenticate(Command):  # type: ignore[misc]
        def append_to_resp(self, line: bytes, result: str = "Pending") -> None:
            if result == "Pending" and bytes(line).startswith(b"+"):
                protocol.transport.write(b"\r\n")
            super().append_to_resp(line, result)

    proof = b64encode(f"user={user}\1auth=Bearer {token}\1\1".encode()).decode()
    command = Authenticate("AUTHENTICATE", protocol.new_tag(), "XOAUTH2", proof, timeout=ANSWER_SECONDS)
    answer: Response = await protocol.execute(command, scrub=proof)
    if answer.result == "OK":
        protocol.state = AUTH
    return answer


def _literal(answer: Response) -> bytes | None:
    """The text in a FETCH answer: the one line that the library keeps as a bytearray."""
    return next((bytes(line) for line in answer.lines if isinstance(line, bytearray)), None)


def _told(answer: Response) -> str:
    return b" ".join(line for line in answer.lines if not isinstance(line, bytearray)).decode("ascii", "replace")


def _seconds(internal_date: str) -> float:
    try:
        return parsedate_to_datetime(internal_date.strip().replace("-", " ", 2)).timestamp()
    except (ValueError, TypeError):
        return 0.0


def _untrusted(host: str, error: ssl.SSLCertVerificationError) -> ChannelError:
    return ChannelError(
        "rejected",
        f"The certificate of {host} is not trusted: {error.verify_message}.",
        hint="Check the host name; for a server of your own set network.ca_file.",
    )


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
