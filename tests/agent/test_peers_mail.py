"""Dovecot and Postfix as the tests start them, proven with the programs of the standard library."""

import imaplib
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.agent.email_kit import mail
from tests.peers.mail_servers import ADA, AGENT, AUTHSERV, PASSWORDS, STRANGER, MailServers, mail_servers, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no mail servers: {why_not()}")


@pytest.fixture(scope="module")
def servers() -> Iterator[MailServers]:
    with mail_servers() as found:
        yield found


def test_mail_from_outside_is_delivered_and_its_sender_confirmed(servers: MailServers) -> None:
    servers.deliver(mail("Hello", message_id="<1@friend.test>"))
    came = message_from_bytes(servers.wait_for_mails(AGENT, 1)[0])
    names = [name for name, _ in came.items() if name in ("Authentication-Results", "Received")]
    assert names == ["Authentication-Results", "Received"], "confirmed above the way"
    assert came["Authentication-Results"] == f"{AUTHSERV}; spf=pass smtp.mailfrom=friend.test"
    assert came["Message-ID"] == "<1@friend.test>"


def test_nobody_sends_through_it_without_a_login(servers: MailServers) -> None:
    with smtplib.SMTP("127.0.0.1", servers.incoming, timeout=20) as smtp:
        smtp.ehlo()
        assert "auth" not in smtp.esmtp_features
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.sendmail(STRANGER, ["someone@elsewhere.test"], b"x")
    with smtplib.SMTP_SSL(servers.host, servers.smtps, context=servers.tls(), timeout=20) as smtp:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login(AGENT, "wrong")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.sendmail(AGENT, [ADA], b"x")


def test_people_send_and_read_with_tls_from_the_beginning_or_later(servers: MailServers) -> None:
    with smtplib.SMTP(servers.host, servers.submission, timeout=20) as smtp:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            smtp.login(AGENT, PASSWORDS[AGENT])
        smtp.starttls(context=servers.tls())
        smtp.login(AGENT, PASSWORDS[AGENT])
        smtp.sendmail(AGENT, [ADA], b"Subject: later\r\n\r\nx")
    assert b"Subject: later" in servers.wait_for_mails(ADA, 1)[0]
    imap = imaplib.IMAP4(servers.host, servers.imap, timeout=20)
    imap.starttls(ssl_context=servers.tls())
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(ADA, "wrong")
    imap.login(ADA, PASSWORDS[ADA])
    assert "IDLE" in imap.capabilities
    assert imap.select("INBOX")[0] == "OK"
    imap.logout()


def test_the_certificate_is_of_a_ca_that_nobody_knows(servers: MailServers) -> None:
    with (
        socket.create_connection((servers.host, servers.imaps), timeout=20) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname=servers.host)


def test_it_can_be_started_by_hand() -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.peers.mail_servers"], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(7)]
    finally:
        process.send_signal(2)
        process.stdout.read()
        process.wait(30)
        process.stdout.close()
    assert lines[0].startswith("IMAP localhost:")
    assert f"{AGENT}  {PASSWORDS[AGENT]}\n" in lines
    assert process.returncode == 0
