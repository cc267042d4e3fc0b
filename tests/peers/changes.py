"""Waiting for a condition on a peer's state without sleeping."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """A peer calls `pulse` after every change; tests await `until` a predicate over its state is true."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def pulse(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, predicate: Callable[[], T], timeout: float = 5.0, *, what: str = "the condition") -> T:
        """Return the first truthy value of `predicate`; raise `AssertionError` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not (value := predicate()):
                    await self._changed.wait()
                return value
        except TimeoutError:
            raise AssertionError(f"{what} did not happen within {timeout:g} s") from None
