"""Programs that go on while the turn does: each belongs to a conversation and ends with it at the latest."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.errors import ToolError
from agent.safety.workspace import Place
from agent.tools.clip import HeadAndTail
from agent.tools.fenced import Fenced
from agent.tools.processes import Ended

log = logging.getLogger(__name__)

SESSION_TOOL = "session"
"""The tool for them: it is offered as soon as there is one."""
MOST_HERE, MOST = 4, 16
"""Running sessions of one conversation, and of all."""
LIFE_SECONDS = 3600.0
"""Of a session that asks for less or nothing."""
KEPT_ENDED = 4
"""Ended sessions of a conversation whose last output can still be read."""
MOST_UNREAD = 200_000
"""Characters of output that wait to be read; of more, both ends are kept."""
SETTLE_SECONDS = 0.15
"""After the first of an output, for the rest of it."""
GUARD_SECONDS = 15.0
"""Between two looks at what git would run."""


@dataclass(slots=True)
class Session:
    """A program in the background. `role` is that of whose turn started it, `fence` the name of its fence. `listener`
    hears it as long as the call that started it lasts."""

    id: str
    conversation_id: int
    command: str
    role: str
    place: Place
    network: bool
    hosts: tuple[str, ...]
    fence: str
    seconds: float
    started: float = field(default_factory=time.monotonic)
    ended: Ended | None = None
    stopped: bool = False
    listener: Callable[[str], None] | None = None
    put_back: list[str] = field(default_factory=list)
    fenced: Fenced | None = None
    unread: HeadAndTail = field(default_factory=lambda: HeadAndTail(MOST_UNREAD))
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return not self.over.is_set()

    @property
    def reached(self) -> tuple[str, ...]:
        """The hosts that it got through to, of those it was allowed."""
        gate = self.fenced.gate if self.fenced is not None else None
        return tuple(gate.reached) if gate is not None else ()

    def hear(self, text: str) -> None:
        """It printed something."""
        self.unread.add(text)
        self.heard.set()
        if self.listener is not None:
            self.listener(text)

    async def read(self, seconds: float) -> str:
        """What it printed since the last time; waits for something to come, or for its end."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.heard, self.over)]
        try:
            if seconds > 0:
                await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if self.runs:
                    await asyncio.wait(waits[1:], timeout=SETTLE_SECONDS)
        finally:
            for wait in waits:
                wait.cancel()
        text, self.unread = self.unread.text(), HeadAndTail(MOST_UNREAD)
        self.heard.clear()
        return text

    def state(self) -> str:
        """How it is, in words."""
        age = time.monotonic() - self.started
        if self.runs:
            return f"running for {age:.0f} s, {max(self.seconds - age, 0):.0f} s left"
        if self.stopped:
            return "ended because it was stopped"
        if self.ended is None:
            return "ended"
        if self.ended.status is None:
            return f"ended after {self.seconds:g} seconds: its time was over"
        if self.ended.status < 0:
            return f"ended by signal {-self.ended.status}"
        return f"ended with exit code {self.ended.status}"


class Sessions:
    """All of them; lives on the loop."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._numbers = itertools.count(1)
        self._closed = False

    def of(self, conversation_id: int) -> tuple[Session, ...]:
        """Those of a conversation, the oldest first; ended ones are there for a while."""
        return tuple(one for one in self._sessions.values() if one.conversation_id == conversation_id)

    def find(self, conversation_id: int, session_id: str) -> Session:
        """One by its id. Raises `ToolError` for what is not of this conversation."""
        found = self._sessions.get(session_id)
        if found is None or found.conversation_id != conversation_id:
            there = ", ".join(one.id for one in self.of(conversation_id))
            raise ToolError(f"There is no session {session_id!r}. The sessions are: {there or 'none'}.")
        return found

    def conversations(self) -> tuple[int, ...]:
        """Those in which something runs in the background."""
        return tuple(dict.fromkeys(one.conversation_id for one in self._sessions.values() if one.runs))

    def check_room(self, conversation_id: int) -> None:
        """Raises `ToolError` when no other may be started."""
        running = [one for one in self._sessions.values() if one.runs]
        here = [one.id for one in running if one.conversation_id == conversation_id]
        if self._closed:
            raise ToolError("TrayClaw is being quit.")
        if len(here) >= MOST_HERE:
            raise ToolError(f"{len(here)} sessions run already ({', '.join(here)}); end one of them first.")
        if len(running) >= MOST:
            raise ToolError(f"{len(running)} sessions run in all conversations together; that is the most.")

    def make(
        self,
        conversation_id: int,
        command: str,
        role: str,
        place: Place,
        *,
        network: bool,
        hosts: tuple[str, ...],
        fence: str,
        seconds: float,
    ) -> Session:
        """Room for one that is about to be started. Raises `ToolError` when there is none."""
        self.check_room(conversation_id)
        for one in [one for one in self.of(conversation_id) if not one.runs][:-KEPT_ENDED]:
            del self._sessions[one.id]
        name = f"s{next(self._numbers)}"
        found = Session(name, conversation_id, command, role, place, network, hosts, fence, seconds)
        self._sessions[name] = found
        return found

    def forget(self, session: Session) -> None:
        """It could not be started, or all of it was read after its end."""
        session.over.set()
        self._sessions.pop(session.id, None)

    def keep(self, session: Session, fenced: Fenced) -> None:
        """It was started: look after it from now on."""
        session.fenced = fenced
        session.task = asyncio.create_task(_live(session, fenced), name=f"session-{session.id}")

    async def end(self, sessions: Iterable[Session]) -> int:
        """End these by force; how many ran. They are gone when it returns."""
        running = [one for one in sessions if one.runs and one.task is not None]
        for one in running:
            if one.task is not None and not one.stopped:
                one.stopped = True
                one.task.cancel()
        await asyncio.gather(*(one.over.wait() for one in running))
        return len(running)

    async def drop(self, conversation_id: int) -> None:
        """The conversation is gone: end its sessions and forget them."""
        await self.end(self.of(conversation_id))
        for one in self.of(conversation_id):
            self.forget(one)

    async def close(self) -> None:
        """End all of them and start no other."""
        self._closed = True
        await self.end(tuple(self._sessions.values()))


async def _live(session: Session, fenced: Fenced) -> None:
    guarding = asyncio.ensure_future(_guard(session, fenced))
    try:
        session.ended = await fenced.wait(session.seconds)
    except asyncio.CancelledError:
        session.stopped = True  # by `Sessions.end`, which waits for the rest of this
    finally:
        guarding.cancel()
        try:
            session.put_back += await asyncio.shield(fenced.end())
        except OSError as error:
            log.warning("what session %s left behind could not be looked at: %s", session.id, error)
        finally:
            session.over.set()


async def _guard(session: Session, fenced: Fenced) -> None:
    """An hour is long enough for git to run what was put into its way."""
    while True:
        await asyncio.sleep(GUARD_SECONDS)
        with contextlib.suppress(OSError):
            session.put_back += await fenced.put_back()
