"""Addresses of this computer and its networks in every form that resolvers and translators read; and public ones that
look suspicious and are not."""

from __future__ import annotations

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BlockedAddressError
from agent.safety.network import check_url

INSIDE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1"]
INSIDE += ["100.127.255.254", "198.18.0.1", "198.19.255.255", "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.2.1"]
INSIDE += ["198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"]
OUTSIDE = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"]
OUTSIDE += ["198.17.255.255", "198.20.0.1", "11.0.0.1", "9.255.255.255", "192.167.255.255", "192.169.0.1"]
OUTSIDE += ["169.253.255.255", "169.255.0.1", "223.255.255.254", "128.0.0.1", "126.255.255.255"]


def never(host: str) -> list[str]:
    raise AssertionError(f"{host} was looked up")


def blocked(url: str, *found: str) -> bool:
    try:
        check_url(url, (lambda host: found) if found else never)
    except BlockedAddressError as error:
        assert str(error)
        return True
    return False


def short_forms(address: str) -> list[str]:
    """All that inet_aton reads as this address."""
    number = int(ipaddress.IPv4Address(address))
    one, two, three, four = address.split(".")
    last_two, last_three = int(three) * 256 + int(four), number & 0xFFFFFF
    forms = [str(number), hex(number), f"0{number:o}", f"{one}.{last_three}", f"{one}.{two}.{last_two}"]
    forms += [f"0x{int(one):x}.0x{int(two):x}.{three}.{four}", f"0{int(one):o}.{two}.{three}.0{int(four):o}"]
    return [*forms, f"{one}.{two}.{three}.{four}.", f"0x{number:08X}", f"000{int(one):o}.{two}.{three}.{four}"]


def wrapped(address: str) -> list[str]:
    """IPv6 addresses out of which something on the way takes this one."""
    number = int(ipaddress.IPv4Address(address))
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    inverted = number ^ 0xFFFFFFFF
    return [
        f"::ffff:{address}",
        f"::ffff:{high}:{low}",
        f"::{address}",
        f"::ffff:0:{high}:{low}",
        f"64:ff9b::{high}:{low}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{high}:{low}",
        f"2002:{high}:{low}::1",
        f"2002:{high}:{low}:ffff::",
        f"2001:0:{high}:{low}:0:0:{0x08080808 ^ 0xFFFFFFFF:x}"[:-8] + "f7f7:f7f7",
        f"2001:0:808:808:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        f"2606:4700::5efe:{high}:{low}",
        f"2606:4700::200:5efe:{high}:{low}",
    ]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_blocked_in_every_form(address: str) -> None:
    for form in short_forms(address):
        assert blocked(f"http://{form}/"), form
    for form in wrapped(address):
        assert blocked(f"http://[{form}]/"), form
        assert blocked("http://name.example/", form), f"a name that leads to {form}"
    assert blocked("http://name.example/", address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_fetched_in_every_form(address: str) -> None:
    for form in short_forms(address):
        assert check_url(f"http://{form}/", never).addresses == (address,), form
    assert check_url("http://name.example/", lambda host: [address]).addresses == (address,)
    assert check_url(f"http://[::ffff:{address}]/", never).addresses
    assert check_url(f"http://[2002:{int(ipaddress.IPv4Address(address)) >> 16:x}:1::1]/", never).addresses


OWN_IPV6 = (
    "::1 fe80::1 fe80::1%eth0 fc00::1 fdff::1 fec0::1 ff02::1 ff0e::1 100::1 2001:db8::1 3fff::1 5f00::1 2001:10::1"
)


@pytest.mark.parametrize("address", ["::", *OWN_IPV6.split(), "2001:2::1", "fd00:ec2::254"])
def test_what_ipv6_keeps_for_itself(address: str) -> None:
    assert blocked(f"http://[{address.replace('%', '%25')}]/") and blocked("http://name.example/", address)


def test_public_ipv6() -> None:
    for address in ("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:80b::200e"):
        assert check_url(f"https://[{address}]:8443/x", never).addresses == (address,)
        checked = check_url(f"https://[{address}]:8443/x", never)
        assert (checked.host, checked.port, checked.scheme) == (address, 8443, "https")


NAMES = "localhost LOCALHOST localhost. a.localhost printer.local router.lan nas.home db.internal x.corp x.intranet"
NAMES += (
    " x.localdomain x.home.arpa hidden.onion intranet ｌｏｃａｌｈｏｓｔ loc%61lhost x.local. x。local metadata wpad"
)


@pytest.mark.parametrize("host", NAMES.split())
def test_names_that_never_lead_outside_are_not_looked_up(host: str) -> None:
    assert blocked(f"http://{host}/")


@pytest.mark.parametrize("host", ["localhost.example.com", "local.example", "homely.example", "mylan.example"])
def test_names_that_only_look_like_it(host: str) -> None:
    assert check_url(f"http://{host}/", lambda name: ["1.1.1.1"]).host == host


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"{scheme}://example.com/"
            for scheme in ("file", "ftp", "gopher", "dict", "ldap", "jar", "data", "ws", "HTTPX")
        ),
        *(
            "file:///etc/passwd",
            "data:text/html,x",
            "javascript:1",
            "example.com",
            "//example.com",
            "http:///x",
            "",
            " ",
        ),
        *("http://me@example.com/", "http://me:pw@example.com/", "http://@example.com/", "http://a@b@example.com/"),
        *("http://example.com\\@127.0.0.1/", "http://exa\nmple.com/", "http://exa\x00mple.com/", "http://\u2028x.com/"),
        *(
            "http://exa mple.com/",
            "http://example.com:99999/",
            "http://example.com:x/",
            "http://[::1/",
            "http://256.1/",
        ),
        *("http://1.2.3.4.5/", "http://0x7f.1.1.1.1/", "http://1.2.3.256/", "http://" + "a" * 64 + ".example/"),
        *("http://" + "a." * 130 + "example/", "http://%00.example/", "http://ex%2fample.com/", "http://ex%40x.com/"),
        *("http://[v1.x]/", "http://\u00ad/", "http://./", "http://../", "http://％/", "http://4294967296/"),
    ],
)
def test_what_is_no_address_of_the_web(url: str) -> None:
    assert blocked(url, "1.1.1.1"), url


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://Example.COM", "example.com", 80),
        ("https://example.com/a?b#c", "example.com", 443),
        ("http://example.com:8080/", "example.com", 8080),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example", 443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://ｅxample.com/", "example.com", 443),
        ("https://example。com/", "example.com", 443),
        (" https://example.com/ ", "example.com", 443),
        ("https://ex%61mple.com/", "example.com", 443),
        ("https://example.com./", "example.com", 443),
        ("https://a_b.example.com/", "a_b.example.com", 443),
    ],
)
def test_a_host_is_read_as_resolvers_read_it(url: str, host: str, port: int) -> None:
    asked: list[str] = []

    def resolve(name: str) -> list[str]:
        asked.append(name)
        return ["1.1.1.1", "1.1.1.1", "2606:4700:4700::1111"]

    checked = check_url(url, resolve)
    assert asked == [host] and (checked.host, checked.port) == (host, port)
    assert checked.addresses == ("1.1.1.1", "2606:4700:4700::1111")
    assert checked.url == url.strip().replace("HTTP", "http")


def test_one_bad_address_among_good_ones_is_enough() -> None:
    for found in itertools.permutations(["1.1.1.1", "10.0.0.1", "2606:4700:4700::1111"]):
        with pytest.raises(BlockedAddressError, match=r"name\.example \(10\.0\.0\.1\) belongs to this computer"):
            check_url("http://name.example/", lambda host, found=found: found)


def test_a_name_without_an_address() -> None:
    def unknown(host: str) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(BlockedAddressError, match=r"There is no host name\.example\.") as caught:
        check_url("http://name.example/", unknown)
    assert caught.value.title == "This host is not known" and "typing mistake" in (caught.value.hint or "")
    with pytest.raises(BlockedAddressError, match=r"name\.example has no address") as caught:
        check_url("http://name.example/", lambda host: [])
    assert caught.value.title == "This host is not known"
    with pytest.raises(BlockedAddressError, match="leads to nonsense, which is no address"):
        check_url("http://name.example/", lambda host: ["nonsense"])
    assert blocked("http://name.example/", "fe80::1%eth0")


@given(st.integers(0, 2**32 - 1))
def test_all_forms_of_an_address_are_judged_alike(number: int) -> None:
    address = str(ipaddress.IPv4Address(number))
    public = ipaddress.IPv4Address(number).is_global
    for form in short_forms(address):
        found = blocked(f"http://{form}/")
        assert found or public, "an address that is not public was let through"
        assert found == blocked(f"http://{address}/"), form


@given(st.integers(0, 2**128 - 1))
def test_no_address_that_is_not_public_gets_through(number: int) -> None:
    address = ipaddress.IPv6Address(number)
    if not address.is_global or address.is_multicast:
        assert blocked(f"http://[{address}]/")


@given(st.text())
def test_any_text_is_an_address_or_a_clear_refusal(text: str) -> None:
    for url in (text, f"http://{text}/", f"http://{text}", f"https://example.com:{text}"):
        try:
            assert check_url(url, lambda host: ["1.1.1.1"]).scheme in ("http", "https")
        except BlockedAddressError as error:
            assert str(error)


REFUSALS = [
    ("http://exa\nmple.com/", "The address holds characters that no address has."),
    ("http://exa\u2028mple.com/", "The address holds characters that no address has."),
    ("http://exa\u2029mple.com/", "The address holds characters that no address has."),
    ("http://example.com\\x", "The address holds characters that no address has."),
    ("http://[::1/", "This is no address: Invalid IPv6 URL."),
    ("ftp://example.com/", "ftp: addresses are not fetched. Use http:// or https://."),
    ("example.com", "One without http:// addresses are not fetched. Use http:// or https://."),
    ("http://me@example.com/", "An address with a name or password before the host is not fetched."),
    ("http://@example.com/", "An address with a name or password before the host is not fetched."),
    ("http:///x", "The address names no host."),
    ("http://a*b.example/", "The address names no host that can be looked up."),
    ("http://.a.example/", "The address names no host that can be looked up."),
    ("http://\u2488example.com\ud800/", "1.example.com\ud800 is no host name."),
    ("http://example.com:x/", "The port of the address is no number."),
    ("http://1.2.3.4.5/", "1.2.3.4.5 is no address."),
    ("http://x.5/", "x.5 is no address."),
    ("http://256.1/", "256.1 is no address."),
    ("http://08.1.1.1.1/", "08.1.1.1.1 is no address."),
    ("http://nas.lan/", "nas.lan is a name of this computer or network. Tools reach public hosts only."),
    ("http://10.0.0.1/", "10.0.0.1 belongs to this computer or a private network. Tools reach public hosts only."),
    ("http://name.example/", "There is no host name.example. Check the address for a typing mistake."),
]


@pytest.mark.parametrize(("url", "words"), REFUSALS, ids=[ascii(url) for url, _ in REFUSALS])
def test_a_refusal_says_what_is_wrong_and_what_to_do(url: str, words: str) -> None:
    def unknown(host: str) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(BlockedAddressError) as caught:
        check_url(url, unknown)
    assert f"{caught.value} {caught.value.hint or ''}".strip() == words


def test_a_name_may_have_253_characters_and_a_label_63() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 57, "com"])
    assert len(longest) == 253
    assert check_url(f"http://{longest}/", lambda host: ["1.1.1.1"]).host == longest
    assert blocked(f"http://b{longest}/", "1.1.1.1")


def test_numbers_are_read_as_c_does() -> None:
    assert check_url("http://0x8.010.8.8/", never).addresses == ("8.8.8.8",)
    assert check_url("http://8.8.8.010/", never).addresses == ("8.8.8.8",)
    assert check_url("http://8.8.8.08/", never).addresses == ("8.8.8.8",), "no octal number: decimal"
    assert blocked("http://0x/") and blocked("http://127.0x1/") and blocked("http://0/")


def test_a_name_of_this_computer_is_looked_up_by_the_system() -> None:
    from agent.safety.network import _resolve

    assert "127.0.0.1" in _resolve("127.0.0.1") and len(_resolve("127.0.0.1")) == 1
