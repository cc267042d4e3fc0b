"""Patterns for paths (`*.py`, `src/**/*.{ts,tsx}`), matched folder by folder so that whole trees can be passed over."""

from __future__ import annotations

import fnmatch
import re

from agent.errors import ToolArgumentsError

_MOST = 64
State = frozenset[tuple[int, int]]
"""How far each alternative of a pattern has matched: (alternative, part)."""


class Glob:
    """A compiled pattern. One without a slash matches names at any depth."""

    def __init__(self, pattern: str) -> None:
        if not pattern or len(pattern) > 500 or "\0" in pattern:
            raise ToolArgumentsError("The pattern is empty, too long or contains a NUL character.")
        pattern = pattern.replace("\\", "/").removeprefix("./")
        if pattern.startswith("/") or re.match(r"[A-Za-z]:/", pattern) or ".." in pattern.split("/"):
            raise ToolArgumentsError("The pattern is relative to the folder; name the folder as path.")
        self._ways = [_compiled(one) for one in _alternatives(pattern)]
        self.start: State = self._closed({(way, 0) for way in range(len(self._ways))})

    def step(self, state: State, name: str) -> State:
        """After entering an entry of that name; empty when nothing in it can match."""
        after: set[tuple[int, int]] = set()
        for way, part in state:
            parts = self._ways[way]
            if part == len(parts):
                continue
            matcher = parts[part]
            if matcher is None:
                after.add((way, part))
            elif matcher.match(name):
                after.add((way, part + 1))
        return self._closed(after)

    def fits(self, state: State) -> bool:
        """Whether the path that led here matches as a whole."""
        return any(part == len(self._ways[way]) for way, part in state)

    def _closed(self, state: set[tuple[int, int]]) -> State:
        for way, part in list(state):
            parts = self._ways[way]
            while part < len(parts) and parts[part] is None:  # ** may stand for nothing
                part += 1
                state.add((way, part))
        return frozenset(state)


def _compiled(pattern: str) -> list[re.Pattern[str] | None]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if "/" not in pattern:
        parts.insert(0, "**")
    if parts and parts[-1] == "**":
        parts.append("*")
    return [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]


def _alternatives(pattern: str) -> list[str]:
    """{a,b} written out."""
    waiting, done = [pattern], []
    while waiting:
        one = waiting.pop()
        found = re.search(r"\{([^{}]*,[^{}]*)\}", one)
        if found is None:
            done.append(one)
        else:
            waiting += [one[: found.start()] + choice + one[found.end() :] for choice in found[1].split(",")]
        if len(waiting) + len(done) > _MOST:
            raise ToolArgumentsError(f"The pattern has more than {_MOST} alternatives.")
    return done
