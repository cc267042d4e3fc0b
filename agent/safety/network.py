"""Which addresses tools may reach: public ones, whatever form they are written in or hidden in."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from agent.errors import BlockedAddressError

Resolve = Callable[[str], Iterable[str]]
"""All addresses of a host name, as text; blocks. Raises `OSError` when there is none."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAMES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "home.arpa", "onion")
"""Names, and the ends of names, that never lead to a public address (RFC 6761, RFC 8375 and habits of routers)."""
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "fec0::/10",
        "ff00::/8",
        "100::/64",
        "3fff::/20",
        "5f00::/16",
    )
)
"""Besides what `is_global` knows; it differs between versions of Python."""
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that may be fetched: `host` as it goes into the request, and the addresses that were found good."""

    url: str
    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]


def check_url(url: str, resolve: Resolve | None = None) -> CheckedUrl:
    """The checked form of a URL. Blocks on name resolution. Raises `BlockedAddressError`.

    Every address of the name must be public: a resolver that gives a good and a bad one is not tried until it fits.
    """
    parts = _split(url)
    host = _host(parts)
    port = _port(parts)
    literal = _literal(host)
    if literal is None:
        _check_name(host)
    try:
        found = (str(literal),) if literal is not None else tuple(dict.fromkeys((resolve or _resolve)(host)))
    except (OSError, UnicodeError) as error:
        raise BlockedAddressError(
            f"There is no host {host}.", title="This host is not known", hint="Check the address for a typing mistake."
        ) from error
    if not found:
        raise BlockedAddressError(f"{host} has no address.", title="This host is not known")
    for address in found:
        _check_address(host, address)
    return CheckedUrl(parts.geturl(), parts.scheme, host, port, found)


def check_host(text: str) -> str:
    """A public host as it will be compared: in lower case, in ASCII. Looks nothing up. Raises `BlockedAddressError`."""
    if not re.fullmatch(r"[^\s/?#@:\\*]+", text):
        raise BlockedAddressError(f"{text!r} is no host name.", hint="Write it like pypi.org, without anything else.")
    host = _host(_split(f"https://{text}/"))
    literal = _literal(host)
    if literal is None:
        _check_name(host)
    else:
        _check_address(host, str(literal))
    return host


def _split(url: str) -> SplitResult:
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in url) or "\\" in url:
        raise BlockedAddressError("The address holds characters that no address has.")
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError as error:
        raise BlockedAddressError(f"This is no address: {error}.") from error
    if parts.scheme not in ("http", "https"):
        named = f"{parts.scheme}:" if parts.scheme else "One without http://"
        raise BlockedAddressError(f"{named} addresses are not fetched.", hint="Use http:// or https://.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise BlockedAddressError("An address with a name or password before the host is not fetched.")
    if not host or ("[" in parts.netloc and ":" not in host):
        raise BlockedAddressError("The address names no host.")
    return parts


def _host(parts: SplitResult) -> str:
    """The host as resolvers will read it: percent-decoded, folded to ordinary letters and dots, IDNA, lower case."""
    host = unquote(parts.hostname or "")
    if ":" in host:
        return host.partition("%")[0]  # an IPv6 literal; a zone would name one of our own interfaces
    host = unicodedata.normalize("NFKC", host).replace("。", ".").lower().rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise BlockedAddressError(f"{host} is no host name.") from error
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise BlockedAddressError("The address names no host that can be looked up.")
    return host


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BlockedAddressError("The port of the address is no number.") from error


def _literal(host: str) -> _Address | None:
    """An address written as such, in every form that C libraries read (inet_aton): decimal, octal, hex, short."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    parts = host.split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return None  # no name ends with a number
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise BlockedAddressError(f"{host} is no address.")
    numbers = [_number(part) for part in parts]
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
        raise BlockedAddressError(f"{host} is no address.")
    value = numbers[-1]
    for position, number in enumerate(numbers[:-1]):
        value |= number << (8 * (3 - position))
    return ipaddress.IPv4Address(value)


def _number(text: str) -> int:
    if text[:2].lower() == "0x":
        return int(text[2:] or "0", 16)
    if text.startswith("0") and text.isdigit() and all(digit in "01234567" for digit in text):
        return int(text, 8)
    return int(text)


def _check_name(host: str) -> None:
    if "." not in host or any(host == name or host.endswith(f".{name}") for name in _NAMES):
        raise BlockedAddressError(
            f"{host} is a name of this computer or network.", hint="Tools reach public hosts only."
        )


def _check_address(host: str, text: str) -> None:
    try:
        address: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError as error:
        raise BlockedAddressError(f"{host} leads to {text}, which is no address.") from error
    for inner in _unwrapped(address):
        if not _is_public(inner):
            where = host if str(inner) == host else f"{host} ({inner})"
            raise BlockedAddressError(
                f"{where} belongs to this computer or a private network.", hint="Tools reach public hosts only."
            )


def _unwrapped(address: _Address) -> list[_Address]:
    """The address and every IPv4 address that translators would take out of it."""
    found: list[_Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address.teredo is not None:
            found.extend(address.teredo)
        if any(address in network for network in _NAT64):
            return [low]
        if int(address) >> 32 in (0, 0xFFFF0000) or (int(address) >> 32) & 0xFDFFFFFF == 0x00005EFE:
            found.append(low)  # IPv4-compatible, IPv4-translated (RFC 2765), ISATAP (RFC 5214)
    return found


def _is_public(address: _Address) -> bool:
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _resolve(host: str) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
