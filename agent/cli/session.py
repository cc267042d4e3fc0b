"""Runs a command with the agent behind it: log file, event loop, service, clean end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from agent.paths import Paths

if TYPE_CHECKING:
    from agent.service import AgentService

Work = Callable[["AgentService"], Awaitable[int | None]]


def with_service(work: Work, *, resident: bool = False) -> int:
    """Start the agent, do `work` on its loop, stop the agent. Returns the exit code, 0 where `work` gives none."""
    from agent import logs

    paths = Paths.locate()
    logs.configure(paths)

    async def run() -> int:
        from agent.service import AgentService

        service = await AgentService.start(paths, resident=resident)
        try:
            return await work(service) or 0
        finally:
            await service.stop()

    return asyncio.run(run())


@contextlib.contextmanager
def on_signals(callback: Callable[[], None], *numbers: int) -> Iterator[None]:
    """Call `callback` on the running loop when one of these signals comes, instead of what Python does with it."""
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def handle(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(callback)

    for number in numbers:
        # Not loop.add_signal_handler: Windows lacks it, and taking it away again does not restore what was before.
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_signals() -> tuple[int, ...]:
    """The signals that ask a program to end, on this system."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGBREAK"):
        numbers.append(signal.SIGBREAK)
    return tuple(numbers)
