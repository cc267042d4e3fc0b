"""A circuit breaker for each provider: one that fails again and again is left alone for a while.

See https://martinfowler.com/bliki/CircuitBreaker.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.errors import ProviderError

FAILURES: Final = 5
"""In a row, after which the circuit opens."""
FIRST_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 300.0
_ITS_FAULT: Final = frozenset({"server", "overloaded", "timeout", "network", "bad_response"})


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    pause: float = 0.0
    """Seconds it stays open; 0 while it is closed."""
    until: float = 0.0
    trying: bool = False
    """Half-open: one call is under way to see whether it works again."""


class Breaker:
    """Closed, open, or half-open for each provider by its name. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def allows(self, name: str) -> bool:
        """Whether to ask it now. After the pause, one call may try."""
        circuit = self._circuits.get(name)
        if circuit is None or not circuit.pause:
            return True
        if self._clock() < circuit.until or circuit.trying:
            return False
        circuit.trying = True
        return True

    def worked(self, name: str) -> None:
        """It answered: the circuit is closed."""
        self._circuits.pop(name, None)

    def failed(self, name: str, error: ProviderError) -> None:
        """It did not answer; what is not its fault does not count."""
        if error.kind not in _ITS_FAULT:
            if circuit := self._circuits.get(name):
                circuit.trying = False
            return
        circuit = self._circuits.setdefault(name, _Circuit())
        circuit.failures += 1
        if circuit.pause and not circuit.trying:
            return
        if circuit.trying or circuit.failures >= FAILURES:
            circuit.pause = min(circuit.pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            circuit.until = self._clock() + circuit.pause
            circuit.trying = False
