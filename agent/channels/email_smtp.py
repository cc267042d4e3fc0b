"""Hands a mail to the provider's SMTP server through aiosmtplib; what goes wrong comes out as ChannelError."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from agent.channels.email_imap import Login, wrong_secret
from agent.errors import ChannelError
from agent.settings import EmailSettings

if TYPE_CHECKING:
    from aiosmtplib import SMTP

ANSWER_SECONDS: Final = 30.0
DATA_SECONDS: Final = 180.0
"""Some servers look through a mail before they take it."""
LATER_SECONDS: Final = 30.0
"""After "not now" (4xx)."""


async def check_login(settings: EmailSettings, login: Login, tls: ssl.SSLContext | None) -> None:
    """Log in and out. Raises ChannelError."""
    async with _connected(settings, login, tls):
        pass


async def send_mail(settings: EmailSettings, login: Login, tls: ssl.SSLContext | None, to: str, mail: bytes) -> None:
    """Returns once the server took the mail over. Raises ChannelError; `uncertain` when it may have been taken."""
    from aiosmtplib import SMTPDataError, SMTPException

    async with _connected(settings, login, tls) as smtp:
        async with _translated(login):
            await smtp.mail(settings.address or settings.username, options=_options(smtp, mail))
            await smtp.rcpt(to)
        try:
            await smtp.data(mail, timeout=DATA_SECONDS)
        except SMTPDataError as error:  # it answered: the mail was not taken
            raise _refused(error.code, str(error.message)) from error
        except (SMTPException, OSError, TimeoutError) as error:
            words = "The connection broke while the mail was handed over."
            raise ChannelError("network", words, uncertain=True) from error


@asynccontextmanager
async def _connected(settings: EmailSettings, login: Login, tls: ssl.SSLContext | None) -> AsyncIterator[SMTP]:
    aiosmtplib = await asyncio.to_thread(_load)
    smtp = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        tls_context=tls if settings.smtp_security != "none" else None,
        local_hostname=_greeting(settings),
        timeout=ANSWER_SECONDS,
    )
    try:
        async with _translated(login, settings.smtp_host):
            await smtp.connect()
            if login.oauth:
                await smtp.auth_xoauth2(settings.username, login.secret)
            elif login.secret:
                await smtp.login(settings.username, login.secret)
        yield smtp
    finally:
        if smtp.is_connected:
            try:
                async with asyncio.timeout(1.0):
                    await smtp.quit()
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                pass  # nothing depends on a farewell
            finally:
                smtp.close()


@asynccontextmanager
async def _translated(login: Login, host: str = "") -> AsyncIterator[None]:
    from aiosmtplib import (
        SMTPAuthenticationError,
        SMTPException,
        SMTPRecipientRefused,
        SMTPResponseException,
        SMTPSenderRefused,
    )

    try:
        yield
    except SMTPAuthenticationError as error:
        if 400 <= error.code < 500:
            raise ChannelError("network", "The mail server cannot check the password at the moment.") from error
        raise wrong_secret("SMTP", login) from error
    except (SMTPRecipientRefused, SMTPSenderRefused, SMTPResponseException) as error:
        raise _refused(error.code, str(error.message)) from error
    except (SMTPException, OSError, TimeoutError) as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError) or isinstance(error, ssl.SSLCertVerificationError):
            broken = cause if isinstance(cause, ssl.SSLCertVerificationError) else error
            raise ChannelError(
                "rejected",
                f"The certificate of {host} is not trusted: {getattr(broken, 'verify_message', broken)}.",
                hint="Check the host name; for a server of your own set network.ca_file.",
            ) from error
        if isinstance(error, SMTPException) and not isinstance(error, OSError | TimeoutError):
            raise ChannelError("rejected", f"The mail server does not do what is needed: {error.message}") from error
        raise ChannelError("network", f"The mail server {host} cannot be reached.".replace("  ", " ")) from error


def _refused(code: int, message: str) -> ChannelError:
    """4xx may go well later (RFC 5321, 4.2.1), 5xx will not."""
    words = " ".join(message.split())[:300]
    if 400 <= code < 500:
        return ChannelError("rate_limit", f"The mail server says “{words}” ({code}).", retry_after=LATER_SECONDS)
    return ChannelError("rejected", f"The mail server says “{words}” ({code}).")


def _options(smtp: SMTP, mail: bytes) -> list[str]:
    """Tell the size where the server wants it: a mail that is too large is refused before it is sent."""
    return [f"SIZE={len(mail)}"] if smtp.supports_extension("size") else []


def _greeting(settings: EmailSettings) -> str:
    """What the server is told we are called: not the name of this computer."""
    return (settings.address or settings.username).rpartition("@")[2] or "localhost"


def _load() -> Any:
    import aiosmtplib

    logging.getLogger("aiosmtplib").setLevel(logging.WARNING)
    return aiosmtplib
