"""The supervisor: what a person reads about a channel, and when it tries again."""

import asyncio
import time
from collections.abc import Callable

import pytest

from agent.channels.channel import Delivered, Draft, Inbound, Outbound, Receive, ReportHealth
from agent.channels.supervisor import ChannelKind, Supervisor
from agent.errors import ChannelError, KeyringLockedError, UsageError
from agent.events import ChannelChanged, Event
from tests.conftest import LogGuard
from tests.peers.changes import Changes


class Line:
    """A channel that does in each connection what the test wrote down."""

    name = "line"
    label = "Line"

    def __init__(self, script: list[object]) -> None:
        self.script = script
        self.release = asyncio.Event()

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        report("connecting", "")
        step = self.script.pop(0) if self.script else "ready"
        if isinstance(step, BaseException):
            raise step
        report("ready", "@line")
        if step == "breaks":
            raise ChannelError("network", "The line broke.")
        if step == "deaf":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await self.release.wait()
                raise
        await asyncio.Event().wait()

    async def send(self, message: Outbound) -> Delivered:
        raise NotImplementedError

    def draft(self, chat_id: str) -> Draft:
        raise NotImplementedError

    async def identify(self) -> str:
        return "@line"


class Panel:
    def __init__(self, *script: object) -> None:
        self.events: list[ChannelChanged] = []
        self.ready: list[str] = []
        self.made: list[Line] = []
        self.script = list(script)
        self.changes = Changes()

        def make() -> Line:
            self.made.append(Line(self.script))
            return self.made[-1]

        kinds = {"line": ChannelKind("line", "Line", make, lambda: True)}
        self.supervisor = Supervisor(kinds, self.receive, self.publish, self.ready.append, first_retry=0.02)

    async def receive(self, inbound: Inbound) -> None:
        raise AssertionError("nobody speaks here")

    def publish(self, event: Event) -> None:
        assert isinstance(event, ChannelChanged)
        self.events.append(event)
        self.changes.pulse()

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.events]

    async def until(self, predicate: Callable[[], object]) -> None:
        await self.changes.until(predicate, 5, what="the state")


async def test_the_life_of_a_channel() -> None:
    panel = Panel()
    [health] = panel.supervisor.health()
    assert (health.name, health.label, health.state, health.configured) == ("line", "Line", "stopped", True)
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states == ["connecting", "ready"])
    assert panel.events[-1].detail == "@line"
    assert panel.ready == ["line"]
    assert panel.supervisor.channel("line") is panel.made[0]
    panel.supervisor.start("line")
    assert len(panel.made) == 1
    await panel.supervisor.stop("line")
    assert panel.states == ["connecting", "ready", "stopped"]
    assert panel.supervisor.channel("line") is None


async def test_a_break_is_told_and_healed() -> None:
    panel = Panel("breaks", "breaks")
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states.count("ready") == 3)
    assert panel.states == ["connecting", "ready", "degraded", "ready", "degraded", "ready"]
    assert panel.events[2].detail == "The line broke."
    assert len(panel.ready) == 3
    await panel.supervisor.stop_all()


async def test_the_wait_between_tries_grows_and_is_told() -> None:
    panel = Panel(*(ChannelError("network", "No route.") for _ in range(5)))
    started = time.monotonic()
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "ready")
    assert time.monotonic() - started >= 0.75 * (0.02 + 0.04 + 0.08 + 0.16 + 0.32)
    await panel.supervisor.stop_all()

    patient = Panel(ChannelError("rate_limit", "Slow down.", retry_after=30))
    patient.supervisor.start("line")
    await patient.until(lambda: patient.states[-1] == "degraded")
    assert patient.events[-1].detail == "Slow down. Next try in 30 s."
    await patient.supervisor.stop_all()


async def test_a_wrong_token_is_not_tried_again_until_restarted() -> None:
    panel = Panel(ChannelError("wrong_token", "Nobody knows this token.", hint="Get another one."))
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "wrong_token")
    assert panel.events[-1].detail == "Nobody knows this token. Get another one."
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "ready")
    await panel.supervisor.stop_all()


async def test_a_locked_keyring_is_asked_once() -> None:
    panel = Panel(KeyringLockedError("The keyring is locked.", hint="Unlock it."))
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "stopped")
    assert panel.events[-1].detail == "The keyring is locked. Unlock it."
    assert len(panel.script) == 0
    await panel.supervisor.stop_all()


async def test_a_defect_is_logged_and_tried_again(log_guard: LogGuard) -> None:
    log_guard.expect("the channel line failed")
    panel = Panel(ZeroDivisionError("secret words"))
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "ready")
    assert panel.events[1].detail == "Unexpected failure: ZeroDivisionError."
    await panel.supervisor.stop_all()


async def test_restart_replaces_the_channel() -> None:
    panel = Panel()
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "ready")
    await panel.supervisor.restart("line")
    await panel.until(lambda: panel.states[-1] == "ready")
    assert len(panel.made) == 2
    assert panel.supervisor.channel("line") is panel.made[1]
    await panel.supervisor.stop_all()


async def test_a_channel_that_does_not_listen_holds_nothing_up(log_guard: LogGuard) -> None:
    log_guard.expect("did not stop within")
    panel = Panel("deaf")
    panel.supervisor.start("line")
    await panel.until(lambda: panel.states[-1] == "ready")
    started = time.monotonic()
    await panel.supervisor.stop("line")
    assert time.monotonic() - started < 2.5
    assert panel.states[-1] == "stopped"
    panel.made[0].release.set()
    late = [task for task in asyncio.all_tasks() if task.get_name() == "channel-line"]
    assert len(late) == 1
    await asyncio.wait(late)
    assert panel.states[-1] == "stopped"


async def test_unknown_names_are_an_error() -> None:
    panel = Panel()
    with pytest.raises(UsageError, match="no channel 'fax'"):
        panel.supervisor.start("fax")
    with pytest.raises(UsageError):
        await panel.supervisor.stop("fax")
