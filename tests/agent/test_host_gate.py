"""Network by host: what a fenced program reaches through the gate, and that there is no way around it."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BlockedAddressError
from agent.safety.host_gate import HostGate
from agent.safety.network import CheckedUrl, check_host
from agent.safety.rules import standing_rule
from agent.safety.sandbox import Sandbox
from agent.safety.sandbox.choose import candidates, works
from agent.tools import shell
from tests.agent.tool_desk import ToolDesk

PUBLIC = "93.184.215.14"


class Site:
    """A web server on loopback that stands for every public host; counts who came."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.port = 0
        self.addresses: dict[str, list[str]] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nfrom the host\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def connect(self, checked: CheckedUrl) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def resolve(self, host: str) -> list[str]:
        return self.addresses.get(host, [PUBLIC])

    def gate(self, hosts: Any) -> HostGate:
        return HostGate(hosts, resolve=self.resolve, connect=self.connect)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.handle, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


async def ask(gate: HostGate, data: bytes) -> bytes:
    """Send it to the gate as a program would; all that comes back."""
    door = socket.create_server(("127.0.0.1", 0))
    door.setblocking(False)
    port = door.getsockname()[1]
    await gate.serve(door)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        found = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return found
    finally:
        await gate.close()


# --- the gate itself --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://good.example/x?y=1 HTTP/1.1\r\nHost: other.example\r\nProxy-Connection: keep-alive\r\n\r\n",
        b"CONNECT good.example:443 HTTP/1.1\r\n\r\nGET /x?y=1 HTTP/1.1\r\nHost: good.example\r\n\r\n",
        b"CONNECT GOOD.example.:80 HTTP/1.1\r\n\r\nGET /x?y=1 HTTP/1.1\r\nHost: good.example\r\n\r\n",
    ],
)
async def test_an_allowed_host_is_reached(site: Site, request_: bytes) -> None:
    gate = site.gate(["good.example"])
    answer = await ask(gate, request_)
    assert answer.endswith(b"from the host\n") and gate.reached == ["good.example"] and not gate.refused
    [head] = site.heads
    assert head.startswith("GET /x?y=1 HTTP/1.1\r\n") and "Host: good.example" in head and "Proxy" not in head


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT bad.example:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT good.example:22 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT good.example.bad.example:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT sub.good.example:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT 93.184.215.14:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"GET http://bad.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n", b"403"),
        (b"GET http://good.example:8080/ HTTP/1.1\r\n\r\n", b"403"),
        (b"GET http://good.example@bad.example/ HTTP/1.1\r\n\r\n", b"403"),
        (b"GET https://good.example/ HTTP/1.1\r\n\r\n", b"403"),
        (b"GET /x HTTP/1.1\r\nHost: good.example\r\n\r\n", b"403"),
        (b"CONNECT good.example:x HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01 hello", b"400"),
        (b"GET http://good.example/ HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"400"),
    ],
)
async def test_everything_else_is_refused_and_nobody_is_connected(site: Site, request_: bytes, status: bytes) -> None:
    gate = site.gate(["good.example"])
    answer = await ask(gate, request_)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert site.heads == [] and gate.reached == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1", "198.18.0.1"]
)
async def test_an_allowed_name_that_leads_inside_is_refused(site: Site, address: str) -> None:
    site.addresses["good.example"] = [PUBLIC, address]
    gate = site.gate(["good.example"])
    answer = await ask(gate, b"CONNECT good.example:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403") and site.heads == [] and gate.reached == []


async def test_a_second_request_does_not_ride_on_the_first(site: Site) -> None:
    gate = site.gate(["good.example"])
    first = b"GET http://good.example/1 HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"
    await ask(gate, first)
    assert "Connection: close" in site.heads[0] and "keep-alive" not in site.heads[0]


async def test_a_proxy_of_the_person_is_used(site: Site) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if b"good.example:80" in asked[-1]:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await site.handle(reader, writer)
        else:
            writer.write(b"HTTP/1.1 407 No\r\n\r\n")
            writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gate = HostGate(["good.example"], proxy=f"http://me:p%40ss@127.0.0.1:{port}")
    assert (await ask(gate, b"GET http://good.example/ HTTP/1.1\r\n\r\n")).endswith(b"from the host\n")
    assert asked[0].startswith(b"CONNECT good.example:80 ") and b"Basic bWU6cEBzcw==" in asked[0]
    assert (await ask(gate, b"CONNECT bad.example:80 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 403")
    refused = HostGate(["good.example"], proxy=f"http://127.0.0.1:{port}")
    assert (await ask(refused, b"CONNECT good.example:443 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 502")
    socks = HostGate(["good.example"], proxy="socks5://127.0.0.1:1")
    assert b"http:// ones only" in await ask(socks, b"CONNECT good.example:443 HTTP/1.1\r\n\r\n")
    server.close()


async def test_what_is_open_ends_with_the_gate(site: Site) -> None:
    gate = site.gate(["good.example"])
    door = socket.create_server(("127.0.0.1", 0))
    door.setblocking(False)
    port = door.getsockname()[1]
    await gate.serve(door)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"CONNECT good.example:443 HTTP/1.1\r\n\r\n")
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    await gate.close()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.close()


@pytest.mark.parametrize(("text", "host"), [("PyPI.org", "pypi.org"), ("bücher.example", "xn--bcher-kva.example")])
def test_a_host_is_named_as_it_is_compared(text: str, host: str) -> None:
    assert check_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", "*.org", "https://pypi.org", "pypi.org/x", "pypi.org:22", "me@pypi.org", "localhost", "router.lan"),
        *("10.0.0.1", "[::1]", "2130706433", "a b.org", "pypi.org\\x"),
    ],
)
def test_what_is_no_public_host_cannot_be_named(text: str) -> None:
    with pytest.raises(BlockedAddressError):
        check_host(text)


# --- behind the fence -------------------------------------------------------------------------------------------------
@pytest.fixture
def bubblewrap() -> Sandbox:
    found = next((one for one in candidates() if one.by_host and works(one)), None)
    if found is None:
        pytest.skip("this system cannot put up a fence that opens the network by host")
    return found


@pytest.fixture
async def desk(tmp_path: Path, site: Site, bubblewrap: Sandbox) -> AsyncIterator[ToolDesk]:
    desk = ToolDesk(tmp_path, sandbox=bubblewrap, gate=site.gate)
    yield desk
    await desk.scope.sessions.close()


KNOCK = """
import socket, sys, urllib.request
def tried(what, work):
    try:
        print(what, "REACHED", work())
    except Exception as error:
        print(what, type(error).__name__)
tried("allowed", lambda: urllib.request.urlopen("http://good.example/a", timeout=5).read())
tried("other", lambda: urllib.request.urlopen("http://bad.example/a", timeout=5).read())
tried("tunnel", lambda: urllib.request.urlopen("https://bad.example/a", timeout=5).read())
port = int(sys.argv[1])
tried("host-loopback", lambda: socket.create_connection(("127.0.0.1", port), 2))
tried("direct", lambda: socket.create_connection(("93.184.215.14", 80), 2))
tried("six", lambda: socket.create_connection(("2606:2800:21f:cb07::1", 80), 2))
tried("names", lambda: socket.getaddrinfo("good.example", 80))
def datagram():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"x", ("93.184.215.14", 53))
tried("datagram", datagram)
"""


async def test_behind_the_fence_only_the_allowed_host_is_there(desk: ToolDesk, site: Site) -> None:
    (desk.folder / "knock.py").write_text(KNOCK)
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        port = door.getsockname()[1]
        result = await desk.call("run_command", command=f"/usr/bin/python3 knock.py {port}", hosts=["good.example"])
        with pytest.raises(BlockingIOError):
            door.accept()
    lines = dict(line.split(" ", 1) for line in result.text.splitlines() if " " in line and line[0] != "[")
    assert lines["allowed"] == "REACHED b'from the host\\n'"
    assert {name for name, words in lines.items() if "REACHED" in words} == {"allowed"}
    assert len(lines) == 8 and len(site.heads) == 1
    assert "not allowed and not reached: bad.example:80, bad.example:443" in result.text


async def test_curl_goes_through_the_gate(desk: ToolDesk) -> None:
    command = "curl -sS -m 5 http://good.example/; curl -sS -m 5 http://bad.example/; curl -sS -m5 --noproxy '*' http://1.1.1.1/"
    result = await desk.call("run_command", command=command, hosts=["good.example"])
    if "command not found" in result.text:
        pytest.skip("there is no curl here")
    assert "from the host" in result.text and "bad.example:80 is not among the hosts" in result.text
    assert "Couldn't connect" in result.text or "Failed to connect" in result.text


async def test_the_question_names_the_hosts_and_the_receipt_those_reached(desk: ToolDesk, site: Site) -> None:
    command = "curl -s -m 5 http://good.example/"
    await desk.call("run_command", command=command, hosts=["good.example", "Unused.example"])
    [question] = desk.questions
    assert "to good.example, unused.example only" in question.action and "good.example" in question.reason
    assert "WHOLE" not in question.action and not question.undoable
    detail = desk.effects[0]["detail"]
    assert detail["hosts"] == ["good.example"] and detail["network"] is False
    assert desk.scope.taint.sources and "curl" in desk.scope.taint.sources[0], (
        "what came from there is a text of others"
    )
    loud = await desk.call("run_command", command=command, network=True)
    assert "WITH THE WHOLE NETWORK" in desk.questions[1].action and "whole network" in desk.questions[1].title
    assert loud.text


async def test_a_permission_is_for_exactly_these_hosts(desk: ToolDesk) -> None:
    context = desk.scope.context("x")

    def rule(**arguments: Any) -> Any:
        return standing_rule(shell._describe(context, "curl -s http://good.example/", **arguments))

    granted = rule(hosts=["good.example", "other.example"])
    assert granted is not None and "good.example, other.example" in granted.words
    assert granted.covers(rule(hosts=["other.example", "good.example"]))
    for arguments in ({"hosts": ["good.example"]}, {"hosts": ["good.example", "third.example"]}, {"network": True}, {}):
        assert not granted.covers(rule(**arguments)), arguments


async def test_a_name_that_is_no_host_is_refused_before_anybody_is_asked(desk: ToolDesk) -> None:
    for host in ("localhost", "*.org", "10.0.0.1", "https://pypi.org"):
        result = await desk.call("run_command", command="ls", hosts=[host])
        assert not result.ok
    assert not (await desk.call("run_command", command="ls", hosts=[f"h{n}.example" for n in range(9)])).ok
    assert desk.questions == []


async def test_who_says_no_is_not_asked_by_the_program(desk: ToolDesk, site: Site) -> None:
    desk.answers = lambda approval: "deny"
    await desk.call("run_command", command="curl -s http://good.example/", hosts=["good.example"])
    assert site.heads == []


async def test_a_session_keeps_its_gate(desk: ToolDesk, site: Site) -> None:
    started = await desk.call("run_command", command="bash", hosts=["good.example"], background=True)
    assert started.ok
    result = await desk.call("session", action="write", id="s1", text="curl -s -m 5 http://good.example/", seconds=5)
    assert "from the host" in result.text and "untrusted text" in result.text
    assert "to good.example only" in desk.questions[-1].action
    assert "may reach good.example" in desk.effects[0]["detail"]["gap"] and desk.effects[0]["detail"]["hosts"] == []
    poll = await desk.call("session", action="kill", id="s1")
    assert poll.ok and desk.effects[-1]["detail"]["hosts"] == ["good.example"]


async def test_a_fence_that_knows_no_hosts_says_that_it_would_be_all(tmp_path: Path, site: Site) -> None:
    fence = next((one for one in candidates() if not one.by_host and works(one)), None)
    if fence is None:
        pytest.skip("this system cannot put up Landlock")
    for sandbox, words in ((fence, f"{fence.name} cannot limit it"), (None, "no fence that could limit it")):
        desk = ToolDesk(tmp_path, sandbox=sandbox, gate=site.gate)
        await desk.call("run_command", command="true", hosts=["good.example"])
        assert "WITH THE WHOLE NETWORK, although only good.example is wanted" in desk.questions[0].action
        assert words in desk.questions[0].action and desk.effects[0]["detail"]["hosts"] == []
        assert desk.effects[0]["detail"]["network"] is True
        always = standing_rule(shell._describe(desk.scope.context("x"), "true", hosts=["good.example"]))
        assert always is None or "with network" in always.words


async def test_a_stop_while_the_door_is_opened_leaves_nothing(desk: ToolDesk) -> None:
    for delay in (0.02, 0.05, 0.1, 0.2):
        task = asyncio.ensure_future(desk.call("run_command", command="sleep 300.3131", hosts=["good.example"]))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, b"300.3131")]


def _holds(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except OSError:
        return False


async def test_a_key_does_not_leave_in_a_command(desk: ToolDesk) -> None:
    desk.scope = dataclasses.replace(desk.scope, scrub=lambda text: text.replace("planted-key", "[hidden]"))
    result = await desk.call("run_command", command="curl http://good.example/?planted-key", hosts=["good.example"])
    assert not result.ok and "key of yours" in result.text and desk.questions == []
