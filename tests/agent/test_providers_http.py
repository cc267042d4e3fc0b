"""Proxies and certificates: the company's network works, and what does not is said in words."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.errors import ConfigError, ProviderError
from agent.providers import ChatRequest, connect, user
from agent.settings import NetworkSettings

REQUEST = ChatRequest("m", [user("hi")])
ANSWER = json.dumps({"choices": [{"message": {"content": "through"}, "finish_reason": "stop"}]}).encode()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with the certificate of a company (`ca.pem`) and one of a server on this computer (`server.pem`)."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Company CA", "localhost")]
    made = []
    for n in range(2):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[n])
            .issuer_name(names[0])
            .public_key(keys[n].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=n == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[n].public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if n == 0:
            usage = dict.fromkeys(
                ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
            )
            usage |= {"encipher_only": False, "decipher_only": False, "digital_signature": True, "crl_sign": True}
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        else:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in made]
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ca.pem").write_bytes(pem[0])
    (tmp_path / "server.pem").write_bytes(key + pem[1])
    return tmp_path


@asynccontextmanager
async def server(
    answer: Callable[[str], bytes], context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[str]]]:
    """Its port, and the heads of the requests that came."""
    heads: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.read(65_536)).decode("latin-1")  # of TLS, too, where none is spoken here
            heads.append(head)
            writer.write(answer(head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    made = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield made.sockets[0].getsockname()[1], heads
    finally:
        made.close()


def reply(status: str, body: bytes = ANSWER, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def ask(base_url: str, network: NetworkSettings | None = None) -> str:
    provider = connect("chat-completions", base_url, "a-long-key", network=network)
    try:
        return (await provider.complete(REQUEST)).text
    finally:
        await provider.aclose()


def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    return context


@pytest.fixture(params=["the system's store", "SSL_CERT_FILE"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either way a person's certificates are kept."""
    from agent.providers import http

    monkeypatch.setattr(http, "_contexts", {})
    if request.param == "the system's store":
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)


async def test_a_certificate_of_ones_own_is_trusted_when_its_file_is_named(authority: Path, store: None) -> None:
    async with server(lambda _: reply("200 OK"), tls(authority)) as (port, _):
        with pytest.raises(ProviderError) as caught:
            await ask(f"https://127.0.0.1:{port}/v1")
        assert caught.value.kind == "network"
        assert not caught.value.retryable
        assert "certificate" in str(caught.value)
        network = NetworkSettings(ca_file=str(authority / "ca.pem"))
        assert await ask(f"https://127.0.0.1:{port}/v1", network) == "through"


async def test_ssl_cert_file_is_honoured(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.providers import http

    monkeypatch.setattr(http, "_contexts", {})
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    async with server(lambda _: reply("200 OK"), tls(authority)) as (port, _):
        assert await ask(f"https://127.0.0.1:{port}/v1") == "through"


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_a_file_that_holds_no_certificates_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / f"{content is None}.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"network\.ca_file") as caught:
        await ask("https://127.0.0.1:9/v1", NetworkSettings(ca_file=str(file)))
    assert "PEM" in caught.value.hint


async def test_plain_http_behind_https_is_said(authority: Path) -> None:
    async with server(lambda _: b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        with pytest.raises(ProviderError) as caught:
            await ask(f"https://127.0.0.1:{port}/v1")
    assert "http://" in caught.value.hint


@pytest.mark.parametrize("how", ["setting", "environment"])
async def test_requests_go_through_the_proxy(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(lambda _: reply("200 OK")) as (port, heads):
        network = None
        if how == "setting":
            network = NetworkSettings(proxy=f"http://127.0.0.1:{port}")
        else:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert await ask("http://model.invalid/v1", network) == "through"
    assert heads[0].startswith("POST http://model.invalid/v1/chat/completions HTTP/1.1")


async def test_a_server_on_this_computer_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with server(lambda _: reply("200 OK")) as (port, heads):
        assert await ask(f"http://127.0.0.1:{port}/v1", NetworkSettings(proxy="http://127.0.0.1:9")) == "through"
    assert heads[0].startswith("POST /v1/chat/completions")


async def test_a_proxy_that_refuses_is_told_apart_from_the_provider() -> None:
    refusal = reply("403 Forbidden", b"")
    async with server(lambda _: refusal) as (port, heads):
        with pytest.raises(ProviderError) as caught:
            await ask("https://model.invalid/v1", NetworkSettings(proxy=f"http://127.0.0.1:{port}"))
    assert heads[0].startswith("CONNECT model.invalid:443")
    assert "proxy" in str(caught.value)
    assert "proxy" in caught.value.hint


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "nonsense", "ftp://x"])
async def test_a_proxy_that_cannot_be_used_is_named(proxy: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.proxy") as caught:
        await ask("https://model.invalid/v1", NetworkSettings(proxy=proxy))
    assert "http://host:port" in caught.value.hint
