"""tool_search: the model finds the tools that are not in its prompt by words, and has them from its next call on."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from agent.errors import ToolArgumentsError
from agent.providers.types import ToolSpec
from agent.safety.effects import Effect, one_line
from agent.tools.tool import Outcome, Tool, ToolContext

NAME = "tool_search"
MOST_FOUND = 8
"""Tools that one search finds."""
MOST_REVEALED = 40
"""Tools of a conversation that stay in its prompt; those that were found first go."""
_MOST_CONVERSATIONS = 256
_BRIEF = 160
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_K, _B = 1.2, 0.75
"""Of BM25: how soon a repeated word stops to count, and how much a long text is held against it."""
_IN_NAME = 3
"""A word of the name counts as so many of the description."""


class Finder:
    """The search, and what each conversation has found so far; in memory only.

    `deferred` gives the tools that are not in the prompt, `outside` the names of the servers that have (or may have)
    some, `ready` waits until those that are just being started have told theirs, and says which have not.
    """

    def __init__(
        self,
        deferred: Callable[[], Iterable[Tool]],
        outside: Callable[[], Sequence[str]] = tuple,
        ready: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._deferred = deferred
        self._outside = outside
        self._ready = ready
        self._revealed: OrderedDict[int, dict[str, None]] = OrderedDict()
        self._made: tuple[tuple[tuple[str, ...], tuple[str, ...]], Tool] | None = None

    def tools(self) -> tuple[Tool, ...]:
        """The search tool, while there is something to find."""
        servers = tuple(self._outside())
        own = tuple(tool.name for tool in self._deferred() if not tool.origin)
        if not servers and not any(True for _ in self._deferred()):
            return ()
        if self._made is None or self._made[0] != (own, servers):
            self._made = (own, servers), self._make(own, servers)
        return (self._made[1],)

    def revealed(self, conversation_id: int) -> tuple[str, ...]:
        """Names of the tools that a conversation has found, in the order in which it found them."""
        return tuple(self._revealed.get(conversation_id, ()))

    def reveal(self, conversation_id: int, names: Iterable[str]) -> None:
        """From now on these are in the prompt of a conversation."""
        found = self._revealed.setdefault(conversation_id, {})
        self._revealed.move_to_end(conversation_id)
        found.update(dict.fromkeys(name for name in names if name not in found))
        for name in list(found)[: max(len(found) - MOST_REVEALED, 0)]:
            del found[name]
        while len(self._revealed) > _MOST_CONVERSATIONS:
            self._revealed.popitem(last=False)

    def forget(self, conversation_id: int) -> None:
        """A fresh start: what was found before is out of the prompt again."""
        self._revealed.pop(conversation_id, None)

    def _make(self, own: tuple[str, ...], servers: tuple[str, ...]) -> Tool:
        named = f": {', '.join(own)}" if own else ""
        theirs = f" There are tools of the MCP servers {', '.join(servers)}." if servers else ""

        def describe(context: ToolContext, query: str) -> Effect:
            if not _words(query):
                raise ToolArgumentsError("The query has no words. Say what the tool should do.")
            return Effect("find", f"Look for a tool: {one_line(query, 60)}")

        async def tool_search(context: ToolContext, query: str) -> Outcome:
            missing = await self._ready() if self._ready is not None else ""
            tools = tuple(self._deferred())
            found = await asyncio.to_thread(search, tools, query)
            if not found:
                return Outcome(f"None of {len(tools)} tools fits. Try other words. {missing}".strip())
            self.reveal(context.conversation_id, (tool.name for tool in found))
            lines = [f"{tool.name}: {one_line(tool.spec.description, _BRIEF)}" for tool in found]
            lines += [missing] if missing else []
            strangers = tuple(dict.fromkeys(tool.origin for tool in found if tool.origin))
            return Outcome("You can call these now:\n" + "\n".join(lines), source=" and ".join(strangers))

        words = {"type": "string", "description": "What the tool should do, in a few words."}
        spec = ToolSpec(
            NAME,
            f"Find more tools than those listed here{named}. What it finds can be called at once.{theirs}",
            {
                "type": "object",
                "properties": {"query": words},
                "required": ["query"],
                "additionalProperties": False,
            },
        )
        return Tool(tool_search, "find", describe, seconds=60.0, given=spec)


def search(tools: Sequence[Tool], query: str, most: int = MOST_FOUND) -> tuple[Tool, ...]:
    """The tools that fit these words best (BM25 over name and description), the best one first; equal ones by name."""
    texts = [_counted(tool) for tool in tools]
    if not texts:
        return ()
    lengths = [sum(text.values()) for text in texts]
    average = sum(lengths) / len(texts) or 1.0
    spread = Counter(word for text in texts for word in text)
    wanted = dict.fromkeys(_words(query))
    scored: list[tuple[float, str, Tool]] = []
    for tool, text, length in zip(tools, texts, lengths, strict=True):
        score = 0.0
        for word in wanted:
            if times := text.get(word, 0):
                rare = math.log(1 + (len(texts) - spread[word] + 0.5) / (spread[word] + 0.5))
                score += rare * times * (_K + 1) / (times + _K * (1 - _B + _B * length / average))
        if tool.name.lower() in query.lower().split():
            score += 100.0
        if score:
            scored.append((-score, tool.name, tool))
    return tuple(tool for _, _, tool in sorted(scored, key=lambda row: row[:2])[:most])


def _counted(tool: Tool) -> Counter[str]:
    counted = Counter(_words(tool.spec.description))
    for word in _words(tool.name):
        counted[word] += _IN_NAME
    return counted


def _words(text: str) -> list[str]:
    """In lower case, split at underscores and humps, without the plural's s."""
    parts = (part.lower() for word in _WORD.findall(text) for part in _HUMP.split(word))
    return [part.removesuffix("s") if len(part) > 3 else part for part in parts]
