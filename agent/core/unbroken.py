"""What must not be left half done: a piece of work that a cancellation does not reach."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Run to the end, however often the caller is cancelled meanwhile: the result, and whether it was.

    Raises what `work` raises; `CancelledError` when the caller was cancelled as well.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and (task.cancelled() or task.exception() is not None):
        raise asyncio.CancelledError
    return task.result(), cancelled
