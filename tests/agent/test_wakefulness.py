"""After a sleep or on another network the channels are back at once; files that people send are stored safely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.channels import wakefulness
from agent.channels.attachments import AttachmentFolder, safe_name
from agent.channels.channel import Receive, ReportHealth
from agent.channels.floods import BURST, Floods
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.errors import ChannelError
from agent.events import Event


class Line:
    """A channel whose connections the test looks at. A dead one hangs, as a socket does after a sleep."""

    name, label = "line", "Line"

    def __init__(self) -> None:
        self.connections = 0
        self.network = True

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        self.connections += 1
        report("connecting", "")
        if not self.network:
            raise ChannelError("network", "Nobody answers.")
        report("ready", "")
        await asyncio.Event().wait()


async def supervised(line: Line, events: list[Event]) -> Supervisor:
    async def receive(_: object) -> None: ...

    kinds = {"line": ChannelKind("line", "Line", lambda: line, lambda: True)}  # type: ignore[arg-type,return-value]
    supervisor = Supervisor(kinds, receive, events.append, first_retry=0.01)
    supervisor.start("line")
    await settled(lambda: line.connections == 1)
    return supervisor


async def settled(condition: object, turns: int = 2000) -> None:
    for _ in range(turns):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not happen")


async def test_a_connection_that_slept_is_made_anew() -> None:
    line = Line()
    supervisor = await supervised(line, [])
    supervisor.wake()
    await settled(lambda: line.connections == 2 and supervisor.health()[0].state == "ready")
    await supervisor.stop("line")
    assert supervisor.health()[0].state == "stopped"


async def test_while_the_network_is_away_it_is_tried_often_after_a_sleep() -> None:
    line = Line()
    supervisor = await supervised(line, [])
    line.network = False
    supervisor.wake()
    await settled(lambda: line.connections >= 5)
    assert supervisor.health()[0].state in ("degraded", "connecting")
    line.network = True
    await settled(lambda: supervisor.health()[0].state == "ready")
    await supervisor.stop_all()


async def test_a_stop_in_the_middle_of_a_wake_is_a_stop() -> None:
    line = Line()
    supervisor = await supervised(line, [])
    supervisor.wake()
    await supervisor.stop("line")
    seen = line.connections
    await asyncio.sleep(0.05)
    assert (line.connections, supervisor.health()[0].state) == (seen, "stopped")


@pytest.mark.parametrize(
    ("clock", "addresses", "woken"),
    [
        ([0, 1, 2, 3], [("10.0.0.5",)] * 4, 0),
        ([0, 1, 3602, 3603], [("10.0.0.5",)] * 4, 1),
        ([0, 1, 2, 3], [("10.0.0.5",), ("10.0.0.5",), ("192.168.1.9",), ("192.168.1.9",)], 1),
        ([0, 1, 2, 3], [("10.0.0.5",), (), (), ("10.0.0.5",)], 0),
        ([0, 1, 2, 3], [(), (), ("10.0.0.5",), ("10.0.0.5",)], 1),
    ],
    ids=["nothing", "slept", "other network", "short break", "came up"],
)
async def test_a_sleep_and_another_network_are_noticed(
    clock: list[float], addresses: list[tuple[str, ...]], woken: int
) -> None:
    found: list[int] = []
    times, places = iter(clock), iter(addresses)
    watching = asyncio.create_task(
        wakefulness.watch(
            lambda: found.append(1), look_seconds=0, now=lambda: next(times), addresses=lambda: next(places)
        )
    )
    with pytest.raises(RuntimeError):  # the clock of the test has run out
        await watching
    assert len(found) == woken


def test_the_own_addresses_are_read_without_sending_anything() -> None:
    assert all("." in address or ":" in address for address in wakefulness.own_addresses())


# --- files ----------------------------------------------------------------------------------------------------------
async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_file_lands_in_the_workspace_and_replaces_none(tmp_path: Path) -> None:
    folder = AttachmentFolder(lambda: tmp_path)
    first = await folder.take("report.pdf", "application/pdf", pieces(b"one", b"two"), limit=100)
    second = await folder.take("report.pdf", "application/pdf", pieces(b"other"), limit=100)
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"onetwo", b"other")
    assert (first.name, second.name, first.size) == ("report.pdf", "report (2).pdf", 6)
    assert first.path.parent.parent == tmp_path / "attachments"


async def test_a_file_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match="more than 0 MB"):
        await AttachmentFolder(lambda: tmp_path).take("a.bin", "", pieces(b"x" * 60, b"x" * 60), limit=100)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system32\\evil.exe", "evil.exe"),
        (".bashrc", "bashrc"),
        ("con.txt", "_con.txt"),
        ("a\u202egpj.exe", "a_gpj.exe"),
        ("what?.txt", "what_.txt"),
        ("  . ", "file"),
        ("", "file"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
        ("Größe 日本.txt", "Größe 日本.txt"),
        ("trailing. ", "trailing"),
    ],
)
def test_names_are_safe_on_every_system(given: str, kept: str) -> None:
    assert safe_name(given) == kept


# --- floods ---------------------------------------------------------------------------------------------------------
def test_a_burst_passes_and_what_goes_on_does_not() -> None:
    now = [0.0]
    floods = Floods(lambda: now[0])
    verdicts = [floods.judge("telegram", "7", "paired") for _ in range(BURST["paired"] + 3)]
    assert verdicts == ["take"] * BURST["paired"] + ["tell", "drop", "drop"]
    assert floods.judge("telegram", "8", "paired") == "take"
    now[0] = 4.5
    assert floods.judge("telegram", "7", "paired") == "take"
    assert floods.judge("telegram", "7", "paired") == "drop"
    now[0] = 61.0
    assert [floods.judge("telegram", "7", "paired") for _ in range(15)][-1] == "tell"
