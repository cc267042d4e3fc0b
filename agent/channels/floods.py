"""How much one person may write: a person talks in bursts, a program that loops or a prank does not stop."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

BURST = {"paired": 30, "member": 15}
"""Messages at once."""
EACH_SECONDS = {"paired": 4.0, "member": 8.0}
"""After a burst one more message in so many seconds."""
NOTICE_SECONDS = 60.0
"""How often a person is told that what they write is not taken."""
_MOST_PEOPLE = 5_000

Verdict = Literal["take", "tell", "drop"]


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    told_at: float = float("-inf")


class Floods:
    """A token bucket for each person; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def judge(self, channel: str, sender_id: str, role: str) -> Verdict:
        """Take the message, drop it and tell its sender so, or drop it in silence because they were just told."""
        now = self._clock()
        burst, each = BURST.get(role, BURST["member"]), EACH_SECONDS.get(role, EACH_SECONDS["member"])
        bucket = self._buckets.setdefault((channel, sender_id), _Bucket(float(burst), now))
        self._buckets.move_to_end((channel, sender_id))
        while len(self._buckets) > _MOST_PEOPLE:
            self._buckets.popitem(last=False)
        bucket.left = min(float(burst), bucket.left + (now - bucket.at) / each)
        bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return "take"
        if now - bucket.told_at < NOTICE_SECONDS:
            return "drop"
        bucket.told_at = now
        return "tell"
