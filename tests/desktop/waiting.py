"""Waits for a condition while Qt and the agent go on; for asynchronous tests on Qt's loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T], what: str = "", timeout: float = 10.0) -> T:
    """The first true value of `condition`; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for {what or condition}"
        await asyncio.sleep(0.01)
    return value
