"""A mail provider on loopback: Dovecot and Postfix from the distribution, in a folder of their own.

Their TLS certificate comes from a CA that is made here. Postfix confirms senders like a provider does: by the domain
of the envelope sender it adds `Authentication-Results: mx.agent.test; spf=pass smtp.mailfrom=...` on top. Mail to
other hosts is taken over and comes back.

By hand: `python -m tests.peers.mail_servers` prints hosts, ports, users and passwords, and runs until Ctrl+C.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from imaplib import IMAP4_SSL
from pathlib import Path
from ssl import SSLContext, create_default_context

AGENT, ADA, BOB = "agent@agent.test", "ada@friend.test", "bob@friend.test"
STRANGER = "eve@evil.test"
PASSWORDS = {AGENT: "agent-pass word", ADA: "ada-pass", BOB: "bob-pass"}
AUTHSERV = "mx.agent.test"
MAIL_UID = 5000
START_SECONDS = 20.0
MASTER = Path("/usr/lib/postfix/sbin/master")


def why_not() -> str:
    """Why the servers cannot run here; empty when they can."""
    for program, package in (("dovecot", "dovecot-imapd"), ("postfix", "postfix")):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"{program} is not installed (Debian package {package})"
    if not MASTER.exists():
        return f"{MASTER} is not there"
    if os.geteuid() != 0:
        return "Dovecot and Postfix are started as root only"
    return ""


@dataclass
class MailServers:
    """Where they listen. `imap` and `submission` begin in the clear (STARTTLS), `imaps` and `smtps` with TLS;
    `incoming` is where mail from outside comes in, without a login."""

    folder: Path
    imap: int
    imaps: int
    submission: int
    smtps: int
    incoming: int
    oauth_port: int
    idle: bool = True
    host: str = "localhost"
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def tls(self) -> SSLContext:
        return create_default_context(cafile=str(self.ca_file))

    def start_dovecot(self) -> None:
        (self.folder / "dovecot.conf").write_text(_dovecot(self))
        command = ["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")]
        self._start("dovecot", command, (self.imap, self.imaps))

    def start_postfix(self) -> None:
        _write_postfix(self)
        config = str(self.folder / "postfix")
        checked = subprocess.run(["postfix", "-c", config, "check"], capture_output=True, env=_environment())
        if checked.returncode:
            raise RuntimeError(f"Postfix cannot run here:\n{checked.stderr.decode(errors='replace')}\n{self.log()}")
        self._start("postfix", [str(MASTER), "-c", config, "-d"], (self.submission, self.smtps, self.incoming))

    def stop_dovecot(self) -> None:
        """All connections break."""
        self._stop("dovecot")

    def stop_postfix(self) -> None:
        self._stop("postfix")

    def stop(self) -> None:
        for name in list(self._processes):
            self._stop(name)

    def _start(self, name: str, command: list[str], ports: tuple[int, ...]) -> None:
        output = (self.folder / f"{name}.out").open("ab")
        with output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=_environment(), process_group=0
            )
        self._processes[name] = process
        deadline = time.monotonic() + START_SECONDS
        for port in ports:
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"{name} did not start:\n{self.log()}")
                time.sleep(0.05)

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):  # what it started
            os.killpg(process.pid, signal.SIGKILL)

    def log(self) -> str:
        """What both wrote, for a test that failed."""
        names = ("dovecot.out", "dovecot.log", "postfix.out", "postfix.log")
        found = [self.folder / name for name in names if (self.folder / name).exists()]
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-6000:]}" for path in found)

    # --- what people do with it -------------------------------------------------------------------------------------
    def deliver(self, mail: EmailMessage | bytes, *, to: str = AGENT, envelope_from: str = ADA) -> None:
        """Mail from outside, as another provider hands it over."""
        data = mail if isinstance(mail, bytes) else mail.as_bytes()
        with smtplib.SMTP("127.0.0.1", self.incoming, timeout=20) as smtp:
            smtp.sendmail(envelope_from, [to], data)

    def put(self, raw: bytes, user: str = AGENT) -> None:
        """A mail straight into a mailbox, by none of the servers."""
        folder = self.maildir(user) / "new"
        name = f"{time.time_ns()}.test"
        path = self.maildir(user) / "tmp" / name
        path.write_bytes(raw)
        os.chown(path, MAIL_UID, MAIL_UID)
        path.rename(folder / name)

    def maildir(self, user: str) -> Path:
        return self.folder / "mail" / user.partition("@")[2] / user.partition("@")[0] / "Maildir"

    @contextmanager
    def mailbox(self, user: str) -> Iterator[IMAP4_SSL]:
        """A person's own program, with INBOX open."""
        imap = IMAP4_SSL(self.host, self.imaps, ssl_context=self.tls(), timeout=20)
        try:
            imap.login(user, PASSWORDS[user])
            imap.select("INBOX")
            yield imap
        finally:
            imap.logout()

    def mails(self, user: str) -> list[bytes]:
        """All of a mailbox, oldest first."""
        with self.mailbox(user) as imap:
            found = []
            for number in imap.search(None, "ALL")[1][0].split():
                parts = imap.fetch(number.decode(), "(BODY.PEEK[])")[1]
                found += [part[1] for part in parts if isinstance(part, tuple)]
            return found

    def wait_for_mails(self, user: str, count: int, seconds: float = 15.0) -> list[bytes]:
        deadline = time.monotonic() + seconds
        while len(found := self.mails(user)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{user} has {len(found)} of {count} mails\n{self.log()}")
            time.sleep(0.1)
        return found


@contextmanager
def mail_servers(*, idle: bool = True, oauth_port: int = 0) -> Iterator[MailServers]:
    """Both servers, until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="tcmail-"))
    servers = MailServers(folder, *_free_ports(5), oauth_port=oauth_port, idle=idle)
    try:
        folder.chmod(0o755)  # the servers work under users of their own
        _certificates(folder)
        _users(folder)
        servers.start_dovecot()
        servers.start_postfix()
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _users(folder: Path) -> None:
    lines = [f"{user}:{{PLAIN}}{password}" for user, password in PASSWORDS.items()]
    (folder / "users").write_text("\n".join(lines) + "\n")
    for user in PASSWORDS:
        domain, name = user.partition("@")[2], user.partition("@")[0]
        for part in ("cur", "new", "tmp"):
            (folder / "mail" / domain / name / "Maildir" / part).mkdir(parents=True)
    for path in (folder / "mail", *(folder / "mail").rglob("*")):
        os.chown(path, MAIL_UID, MAIL_UID)


def _certificates(folder: Path) -> None:
    """A CA, and a certificate of it for localhost."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def builder(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Test CA"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )

    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    ca = (
        builder("Test CA", ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, decipher_only=False, **usage),
            critical=True,
        )
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        builder("localhost", key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _dovecot(servers: MailServers) -> str:
    folder = servers.folder
    capability = "" if servers.idle else "imap_capability = IMAP4rev1 LITERAL+ UIDPLUS"
    oauth = ""
    if servers.oauth_port:
        (folder / "oauth2.conf").write_text(
            f"tokeninfo_url = http://127.0.0.1:{servers.oauth_port}/tokeninfo?access_token=\n"
            "introspection_mode = auth\nusername_attribute = email\nactive_attribute = active\nactive_value = true\n"
            f"introspection_url = http://127.0.0.1:{servers.oauth_port}/introspect\n"
        )
        oauth = f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2\n  args = {folder}/oauth2.conf\n}}"
    mechanisms = "plain login xoauth2" if servers.oauth_port else "plain login"
    return f"""\
base_dir = {folder}/run
state_dir = {folder}/state
protocols = imap
listen = 127.0.0.1
log_path = {folder}/dovecot.log
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
disable_plaintext_auth = yes
auth_mechanisms = {mechanisms}
auth_failure_delay = 0 secs
mail_location = maildir:~/Maildir
mail_max_userip_connections = 50
first_valid_uid = 1000
{capability}
{oauth}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={MAIL_UID} gid={MAIL_UID} home={folder}/mail/%d/%n
}}
service imap-login {{
  inet_listener imap {{
    port = {servers.imap}
  }}
  inet_listener imaps {{
    port = {servers.imaps}
    ssl = yes
  }}
}}
service auth {{
  unix_listener {folder}/auth.sock {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
service stats {{
  chroot =
}}
protocol imap {{
  imap_idle_notify_interval = 2 mins
}}
mailbox_list_index = no
"""


def _write_postfix(servers: MailServers) -> None:
    folder = servers.folder
    config, queue, data = folder / "postfix", folder / "queue", folder / "postfix-data"
    for path in (config, queue, data):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
    shutil.chown(data, "postfix")
    mailboxes = "\n".join(f"{user} {user.partition('@')[2]}/{user.partition('@')[0]}/Maildir/" for user in PASSWORDS)
    (config / "mailboxes").write_text(mailboxes + "\n")
    (config / "senders").write_text(
        "".join(
            f"{domain} PREPEND Authentication-Results: {AUTHSERV}; spf=pass smtp.mailfrom={domain}\n"
            for domain in ("friend.test", "evil.test", "agent.test")
        )
    )
    (config / "main.cf").write_text(f"""\
compatibility_level = 3.6
myhostname = mx.agent.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
queue_directory = {queue}
data_directory = {data}
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
virtual_mailbox_domains = agent.test friend.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{config}/mailboxes
virtual_minimum_uid = 1000
virtual_uid_maps = static:{MAIL_UID}
virtual_gid_maps = static:{MAIL_UID}
virtual_mailbox_limit = 0
message_size_limit = 60000000
alias_maps =
local_recipient_maps =
local_transport = error:no local mail here
default_transport = smtp:[127.0.0.1]:{servers.incoming}
relay_transport = error:no mail to other hosts
smtpd_peername_lookup = no
smtpd_tls_cert_file = {folder}/server.pem
smtpd_tls_key_file = {folder}/server.key
smtpd_tls_loglevel = 0
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/auth.sock
smtpd_sasl_tls_security_options = noanonymous
smtpd_error_sleep_time = 0
smtpd_client_restrictions =
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination
""")
    signed_in = (
        "  -o smtpd_sasl_auth_enable=yes\n"
        "  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n"
        "  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n"
    )
    (config / "master.cf").write_text(f"""\
127.0.0.1:{servers.submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_auth_only=yes
{signed_in}127.0.0.1:{servers.smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
{signed_in}127.0.0.1:{servers.incoming} inet n - n - - smtpd
  -o smtpd_sender_restrictions=check_sender_access,texthash:{config}/senders
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
smtp unix - - n - - smtp
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
""")


def main() -> None:
    if reason := why_not():
        sys.exit(f"The mail servers cannot run here: {reason}.")
    with mail_servers() as servers:
        lines = [f"IMAP {servers.host}:{servers.imaps} (TLS), :{servers.imap} (STARTTLS)"]
        lines.append(f"SMTP {servers.host}:{servers.smtps} (TLS), :{servers.submission} (STARTTLS)")
        lines.append(f"From outside: 127.0.0.1:{servers.incoming}, confirmed by {AUTHSERV}")
        lines.append(f"Certificates: {servers.ca_file}")
        lines += [f"{user}  {password}" for user, password in PASSWORDS.items()]
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # from here on they are waited for
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
