"""Long output: its head and its tail are kept, the middle is counted."""

from __future__ import annotations

from collections import deque


def clip(text: str, limit: int) -> str:
    """At most about `limit` characters of a text, from both ends."""
    if len(text) <= limit:
        return text
    kept = HeadAndTail(limit)
    kept.add(text)
    return kept.text()


class HeadAndTail:
    """Collects a stream of text in bounded memory: the first and the last `limit / 2` characters."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head: list[str] = []
        self._room = self._half
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self._dropped = 0

    def add(self, text: str) -> None:
        """Take the next piece."""
        if self._room:
            self._head.append(text[: self._room])
            text, taken = text[self._room :], min(len(text), self._room)
            self._room -= taken
        if not text:
            return
        self._tail.append(text)
        self._tail_chars += len(text)
        while self._tail_chars > self._half:
            first = self._tail.popleft()
            surplus = min(self._tail_chars - self._half, len(first))
            if surplus < len(first):
                self._tail.appendleft(first[surplus:])
            self._tail_chars -= surplus
            self._dropped += surplus

    def text(self) -> str:
        """What was kept, with a note of how much was not."""
        head, tail = "".join(self._head), "".join(self._tail)
        if not self._dropped:
            return head + tail
        return f"{head}\n[... {self._dropped:,} characters left out ...]\n{tail}"
