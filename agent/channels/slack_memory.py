"""What the Slack channel knows beyond the life of the process: how far it has read, and where it takes part."""

from __future__ import annotations

import json
from typing import Any

from agent.channels.channel import Notes

KEY = "state"
SAVE_SECONDS = 60.0
"""So far the stored position may lag behind: the messages in between are fetched again and recognised."""
_MOST_THREADS = 100
_MOST_FETCHED = 100


class SlackMemory:
    """Everything that was written at or before `position` (Slack's time, as text) is committed; empty: unknown."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._since = 0.0
        self._position = 0.0
        self._newest = 0.0
        self._stored_position = 0.0
        self._under_way: dict[str, float] = {}
        self._threads: dict[str, None] = {}
        self._stored_threads: set[str] = set()
        self._assistants: dict[str, None] = {}
        self._fetched: dict[str, None] = {}
        self._reading_up = True

    async def load(self, now: float) -> None:
        """Read what was stored; at the very first start reading begins at `now`. Raises StorageError."""
        stored = _parsed(await self._notes.get(KEY))
        self._under_way.clear()
        self._reading_up = True
        self._since = float(stored.get("since") or now)
        self._position = self._newest = float(stored.get("position") or now)
        self._stored_position = float(stored.get("position") or 0.0)
        self._threads = dict.fromkeys(stored.get("threads") or ())
        self._stored_threads = set(self._threads)
        self._assistants = dict.fromkeys(stored.get("assistants") or ())
        self._fetched = dict.fromkeys(stored.get("fetched") or ())
        if not self._stored_position:
            await self.save()

    async def save(self) -> None:
        """Store it. Raises StorageError."""
        position, threads = self._position, list(self._threads)
        document = {
            "since": f"{self._since:.6f}",
            "position": f"{position:.6f}",
            "threads": threads,
            "assistants": list(self._assistants),
            "fetched": list(self._fetched),
        }
        await self._notes.set(KEY, json.dumps(document))
        self._stored_position, self._stored_threads = position, set(threads)

    def oldest(self, overlap: float) -> str:
        """From where messages may have been missed, as Slack's `ts`: so many seconds before the position, never before
        the very first start."""
        return f"{max(self._position - overlap, self._since):.6f}"

    @property
    def threads(self) -> tuple[str, ...]:
        """Conversations that are threads in which the bot takes part, the latest last."""
        return tuple(self._threads)

    async def read_up(self) -> None:
        """All that was missed is committed; until then the position stays. Raises StorageError."""
        self._reading_up = False
        self._advance()
        await self.save()

    def begin(self, transport_id: str, ts: str) -> None:
        """A message came; the position does not pass it before `committed`."""
        if ts:
            self._under_way[transport_id] = float(ts)

    async def committed(self, transport_id: str) -> None:
        """It is in the database. Raises StorageError."""
        self._newest = max(self._newest, self._under_way.pop(transport_id, 0.0))
        self._advance()
        if self._position - self._stored_position >= SAVE_SECONDS:
            await self.save()

    def can_be_read_again(self, ts: str, chat_id: str, thread: str) -> bool:
        """Whether a message that is lost in a crash would be found in Slack's history after it."""
        known = not thread or chat_id in self._stored_threads
        return bool(ts and self._stored_position) and float(ts) > self._stored_position and known

    def takes_part(self, chat_id: str) -> bool:
        """Whether a thread is one of the bot's."""
        return chat_id in self._threads

    async def join(self, chat_id: str) -> None:
        """The bot takes part in a thread from now on. Raises StorageError."""
        known = chat_id in self._threads
        _add(self._threads, chat_id, _MOST_THREADS)
        if not known:
            await self.save()

    def is_assistant(self, chat_id: str) -> bool:
        """Whether a thread has a place for a status."""
        return chat_id in self._assistants

    async def add_assistant(self, chat_id: str) -> None:
        """Somebody opened an assistant thread. Raises StorageError."""
        _add(self._assistants, chat_id, _MOST_THREADS)
        await self.join(chat_id)

    def was_fetched(self, transport_id: str) -> bool:
        """Whether the files of a message were put on the disk and the message committed."""
        return transport_id in self._fetched

    async def add_fetched(self, transport_id: str) -> None:
        """Its files need not be fetched again. Raises StorageError."""
        _add(self._fetched, transport_id, _MOST_FETCHED)
        await self.save()

    def _advance(self) -> None:
        if not self._reading_up:
            before = min(self._under_way.values(), default=float("inf")) - 0.000001
            self._position = max(self._position, min(self._newest, before))


def _add(known: dict[str, None], entry: str, most: int) -> None:
    known.pop(entry, None)
    known[entry] = None
    while len(known) > most:
        del known[next(iter(known))]


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
