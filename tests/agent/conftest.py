"""A real agent on a private home, answered by a model server on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from agent.events import Event
from agent.paths import Paths
from agent.service import AgentService
from tests.peers.model_server import ModelServer

E = TypeVar("E", bound=Event)

CONFIG = """\
[model]
default = "local/fake-1"
[providers.local]
protocol = "chat-completions"
base_url = "{base_url}"
"""


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """Set `model.script` to what it shall answer."""
    async with ModelServer() as server:
        yield server


@pytest.fixture
def config(paths: Paths, model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """config.toml for the loopback model; the key comes from the environment."""
    text = CONFIG.format(base_url=model.base_url)
    paths.config_file.write_text(text)
    monkeypatch.setenv("TRAYCLAW_KEY_LOCAL", "sk-loopback")
    return text


@pytest.fixture
async def service(paths: Paths, config: str) -> AsyncIterator[AgentService]:
    """A started agent."""
    found = await AgentService.start(paths)
    yield found
    await found.stop()


class Heard:
    """All events so far, and a way to wait for one."""

    def __init__(self, service: AgentService) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()
        service.events.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    def of(self, kind: type[E]) -> list[E]:
        """Those of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait(self, kind: type[E], count: int = 1, seconds: float = 10.0) -> E:
        """The `count`-th event of a kind, as soon as it is there."""
        async with asyncio.timeout(seconds):
            while len(self.of(kind)) < count:
                self._more.clear()
                await self._more.wait()
        return self.of(kind)[count - 1]


@pytest.fixture
def heard(service: AgentService) -> Heard:
    return Heard(service)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait for something that no event tells."""
    ends = time.monotonic() + seconds
    while True:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        assert time.monotonic() < ends, "it did not happen in time"
        await asyncio.sleep(0.02)
