"""Keeps the channels running: one task each, connected again after a break, its health in words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.channels.channel import Channel, Receive
from agent.errors import ChannelError, SecretError, UsageError
from agent.events import ChannelChanged, ChannelState, Event
from agent.views import ChannelHealth

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
SETTLED_SECONDS = 60.0
"""A connection that lasted this long begins again with the first, short wait."""
STOP_SECONDS = 2.0
AFTER_WAKE_SECONDS = 60.0
"""So long after a sleep or a change of the network a lost connection is tried again every `AFTER_WAKE_RETRY`."""
AFTER_WAKE_RETRY = 2.0


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """A channel that can be started. `configured` says whether it has what it needs (a token)."""

    name: str
    label: str
    make: Callable[[], Channel]
    configured: Callable[[], bool]


@dataclass(slots=True)
class _Running:
    channel: Channel
    task: asyncio.Task[None] | None = None
    connecting: bool = False
    """An attempt is under way, or a connection."""
    woken: bool = False
    """It was cancelled in order to begin anew."""


@dataclass(frozen=True, slots=True)
class _Broken:
    words: str
    retry_after: float
    lasted: float
    """Seconds that the channel was ready."""


class Supervisor:
    """`ready` is told of each channel that (again) has a connection: deliveries go on then."""

    def __init__(
        self,
        kinds: Mapping[str, ChannelKind],
        receive: Receive,
        publish: Callable[[Event], None],
        ready: Callable[[str], None] = lambda _: None,
        *,
        first_retry: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._kinds = kinds
        self._receive = receive
        self._publish = publish
        self._ready = ready
        self._first_retry = first_retry
        self._running: dict[str, _Running] = {}
        self._health: dict[str, tuple[ChannelState, str]] = dict.fromkeys(kinds, ("stopped", ""))
        self._woken_at = -math.inf
        self._woken = asyncio.Event()

    def health(self) -> tuple[ChannelHealth, ...]:
        """All channels, running or not, in the order they were given."""
        return tuple(
            ChannelHealth(kind.name, kind.label, *self._health[kind.name], kind.configured())
            for kind in self._kinds.values()
        )

    def channel(self, name: str) -> Channel | None:
        """The channel while it is connected."""
        running = self._running.get(name)
        return running.channel if running and self._health[name][0] == "ready" else None

    def start(self, name: str) -> None:
        """Connect in the background; a running channel is left alone. Raises UsageError for an unknown name."""
        kind = self._kind(name)
        running = self._running.get(name)
        if running and running.task and not running.task.done():
            return
        channel = kind.make()
        self._set(name, "connecting", "")
        running = self._running[name] = _Running(channel)
        running.task = asyncio.create_task(self._keep(running), name=f"channel-{name}")

    async def stop(self, name: str) -> None:
        """Disconnect; returns within two seconds."""
        self._kind(name)
        running = self._running.pop(name, None)
        if running is not None and running.task is not None:
            running.task.cancel()
            _, pending = await asyncio.wait({running.task}, timeout=STOP_SECONDS)
            if pending:
                log.warning("the channel %s did not stop within %.0f s", name, STOP_SECONDS)
        if name not in self._running:
            self._set(name, "stopped", "")

    async def restart(self, name: str) -> None:
        """Connect with the settings and the token as they are now."""
        await self.stop(name)
        self.start(name)

    def wake(self) -> None:
        """The computer slept or the network is another one: what is connected may be dead without knowing, and what
        waits for its next try need not wait."""
        self._woken_at = time.monotonic()
        self._woken.set()
        self._woken = asyncio.Event()
        for running in self._running.values():
            if running.connecting and not running.woken and running.task is not None:
                running.woken = running.task.cancel()

    async def stop_all(self) -> None:
        """Disconnect all at once; returns within two seconds."""
        await asyncio.gather(*(self.stop(name) for name in tuple(self._running)))

    def _kind(self, name: str) -> ChannelKind:
        if name not in self._kinds:
            known = ", ".join(self._kinds) or "none"
            raise UsageError(f"There is no channel {name!r}.", hint=f"Channels: {known}.")
        return self._kinds[name]

    async def _keep(self, running: _Running) -> None:
        """Run the channel until it is stopped or cannot work."""
        wait = self._first_retry
        while (broken := await self._connection(running)) is not None:
            since_wake = time.monotonic() - self._woken_at
            if broken.lasted >= SETTLED_SECONDS:
                wait = self._first_retry
            if since_wake < AFTER_WAKE_SECONDS:
                wait = min(wait, AFTER_WAKE_RETRY)
            pause = max(broken.retry_after, wait * random.uniform(0.75, 1.25))  # noqa: S311 - spreads the reconnects
            words = f"{broken.words} Next try in {pause:.0f} s." if pause >= 1 else broken.words
            self._report(running.channel, "degraded", words)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
            wait = min(wait * 2, LONGEST_RETRY_SECONDS)

    async def _connection(self, running: _Running) -> _Broken | None:
        """One connection, from beginning to end; `wake` ends it, and then it is made anew at once."""
        while True:
            running.connecting = True
            try:
                return await self._attempt(running.channel)
            except asyncio.CancelledError:
                if not running.woken or running.task is None or running.task.uncancel() > 0:
                    raise  # it was stopped
            finally:
                running.connecting = running.woken = False
            self._report(running.channel, "degraded", "The computer slept or the network changed; connecting again.")

    async def _attempt(self, channel: Channel) -> _Broken | None:
        """One connection, from beginning to end; None when another try is useless."""
        ready_at = math.inf

        def report(state: ChannelState, detail: str) -> None:
            nonlocal ready_at
            if state == "ready":
                ready_at = min(ready_at, time.monotonic())
            if state != "connecting" or self._health[channel.name][0] != "degraded":
                self._report(channel, state, detail)

        retry_after = 0.0
        try:
            await channel.run(self._receive, report)
            words = f"{channel.label} closed the connection."
        except ChannelError as error:
            words = _words(error)
            if error.kind == "wrong_token":
                self._report(channel, "wrong_token", words)
                return None
            retry_after = error.retry_after or 0.0
        except SecretError as error:
            self._report(channel, "stopped", _words(error))  # trying again could ask for a passphrase every minute
            return None
        except Exception as error:  # a defect in one channel must not end it for good
            log.exception("the channel %s failed", channel.name)
            words = f"Unexpected failure: {type(error).__name__}."
        return _Broken(words, retry_after, max(0.0, time.monotonic() - ready_at))

    def _report(self, channel: Channel, state: ChannelState, detail: str) -> None:
        running = self._running.get(channel.name)
        if running is None or running.channel is not channel:
            return  # the last words of one that was stopped
        self._set(channel.name, state, detail)
        if state == "ready":
            self._ready(channel.name)

    def _set(self, name: str, state: ChannelState, detail: str) -> None:
        if self._health[name] != (state, detail):
            self._health[name] = (state, detail)
            self._publish(ChannelChanged(name, state, detail, self._kinds[name].configured()))


def _words(error: ChannelError | SecretError) -> str:
    return f"{error} {error.hint}".strip()
