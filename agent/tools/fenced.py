"""A program behind its fence, from the start to the last thing it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.safety.hooks import HookGuard
from agent.safety.host_gate import HostGate
from agent.safety.sandbox import Launch
from agent.safety.sandbox.doorway import Doorway
from agent.tools import processes
from agent.tools.processes import Ended, Running
from agent.tools.tool import ToolContext


@dataclass(slots=True)
class Fenced:
    """A started program. Whoever has it calls `end` in any case."""

    running: Running
    gate: HostGate | None
    _guard: HookGuard
    _protected: bool
    _gently: bool
    _door: Doorway | None
    _ended: bool = False

    @classmethod
    async def start(
        cls,
        context: ToolContext,
        argv: Sequence[str],
        cwd: Path,
        *,
        network: bool,
        hosts: tuple[str, ...],
        output: Callable[[str], None],
        keyboard: bool = False,
    ) -> Fenced:
        """Put the fence up and start the program behind it; without a fence a person has allowed it. With `keyboard` it
        can be written to, and runs for so long that a person may work beside it.

        Raises `SandboxError`, `OSError`."""
        sandbox = context.sandbox
        gate = context.gate(hosts) if hosts and sandbox is not None and sandbox.by_host and not network else None
        fence = await asyncio.to_thread(
            context.workspace.fence, network=network or (bool(hosts) and gate is None), gated=gate is not None
        )
        guard = await asyncio.to_thread(HookGuard.look, fence.writable, fence.startup)
        launch = Launch(tuple(argv), context.environment())
        if sandbox is not None:
            put_up = functools.partial(
                sandbox.launch, tuple(argv), cwd=cwd, environment=launch.environment, fence=fence
            )
            launch = await _put_up(put_up)
        try:
            running = await processes.start(
                launch.argv,
                cwd=cwd,
                environment=launch.environment,
                output=output,
                options=launch.options,
                keyboard=keyboard,
            )
        except BaseException:
            _let_go(launch, door=True)
            raise
        _let_go(launch, door=False)
        protected = sandbox is not None and sandbox.name == "bubblewrap"
        found = cls(running, gate, guard, protected, keyboard, launch.door)
        try:
            await found._open()
        except BaseException:
            await asyncio.shield(found.end())
            raise
        return found

    async def _open(self) -> None:
        """The gate is there before the program takes its first step."""
        if self._door is None or self.gate is None:
            return
        listening = asyncio.ensure_future(asyncio.to_thread(self._door.listen))
        try:
            await self.gate.serve(await asyncio.shield(listening))
        except asyncio.CancelledError:
            await asyncio.shield(self.running.end())  # then the other end of the pipe is closed, and the thread is done
            with contextlib.suppress(Exception):  # whatever it says now, nobody wants to know any more
                (await listening).close()
            raise
        self._door.let_go()

    async def wait(self, seconds: float) -> Ended:
        """Until it has ended, by force when its time is over."""
        return await self.running.wait(seconds)

    async def end(self) -> list[str]:
        """Nothing of it runs any more; what git would run of what it left is as it was before: the names of those."""
        if self._ended:
            return []
        self._ended = True
        await self.running.end()
        if self.gate is not None:
            await self.gate.close()
        if self._door is not None:
            self._door.close()
        return await self.put_back()

    async def put_back(self) -> list[str]:
        """The same for one that goes on to run. What a person may have changed beside it is left alone."""
        known = not (self._gently and self._protected)  # behind bubblewrap it cannot have touched those
        return await asyncio.to_thread(self._guard.restore, known=known, settings=not self._gently)


async def _put_up(put_up: Callable[[], Launch]) -> Launch:
    """In a thread; when nobody waits for it any more, what it opened is closed."""
    task = asyncio.ensure_future(asyncio.to_thread(put_up))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _let_go(await task, door=True)
        raise


def _let_go(launch: Launch, *, door: bool) -> None:
    """Close our ends of what the program was given."""
    for handle in launch.close:
        os.close(handle)
    if door and launch.door is not None:
        launch.door.close()
