"""Runs coroutines that slots start: keeps them alive, and brings an unexpected failure to the crash report."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

_running: set[asyncio.Task[Any]] = set()


def run(work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
    """Start `work` on the running loop and return its task. Errors that a person should see are handled inside it."""
    task = asyncio.get_running_loop().create_task(work, name=name or None)
    _running.add(task)
    task.add_done_callback(_done)
    return task


async def cancel_all() -> None:
    """End what still runs, at shutdown."""
    tasks = [task for task in _running if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
