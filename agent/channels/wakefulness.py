"""Notices that the computer slept, or that it is on another network: connections may be dead then without knowing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

LOOK_SECONDS = 2.0
SLEPT_SECONDS = 10.0
"""A look that comes so much later than it was due: the computer slept in between (or the clock was set, which does no
harm)."""
_ANYWHERE = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Documentation addresses (RFC 5737, RFC 3849): a route to them is looked up, nothing is sent."""


async def watch(
    woke: Callable[[], None],
    *,
    look_seconds: float = LOOK_SECONDS,
    now: Callable[[], float] = time.time,
    addresses: Callable[[], tuple[str, ...]] | None = None,
) -> None:
    """Call `woke` after each sleep and each change to another network, until cancelled."""
    addresses = addresses or own_addresses
    last, here = now(), addresses()
    while True:
        await asyncio.sleep(look_seconds)
        before, last = last, now()
        there = addresses()
        if last - before > look_seconds + SLEPT_SECONDS or (there and there != here):
            woke()
        here = there or here


def own_addresses() -> tuple[str, ...]:
    """The addresses that this computer would talk to the internet from; none when it has no way there."""
    found = []
    for address, family in _ANYWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))  # UDP: nothing is sent
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return tuple(found)
