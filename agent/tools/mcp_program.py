"""The transport to an MCP server that is a program: started behind the fence, spoken to in lines, ended as a whole.

The SDK's own transport starts the program itself, without a fence; its sessions run on this one just as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.safety.effects import one_line
from agent.safety.sandbox import Launch
from agent.tools import processes

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

LONGEST_LINE = 8_000_000
"""Bytes of one message."""
MOST_UNSENT = 4_000_000
"""Bytes that wait because the program does not read."""
MOST_NOISE = 1_000
"""Lines in a row that are no messages; many servers print a few."""
FLOOD = 5_000
"""Messages within `FLOOD_SECONDS` that are too many."""
FLOOD_SECONDS = 10.0
GOODBYE_SECONDS = 0.3
"""How long a program may take to end by itself once nobody speaks to it any more."""
_PAUSE_AT = 1_000_000
_KEPT_ERRORS = 2_000
_NEVER_ON_THE_LOOP = 100_000
"""Bytes; longer lines are parsed in a thread."""


class _Program(asyncio.SubprocessProtocol):
    """Collects what a program prints, and stops listening while nobody takes it."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.problem = ""
        self.over = False
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._rest = bytearray()
        self._errors = bytearray()
        self._news = asyncio.Event()
        self._transport: Any = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._errors += data
            del self._errors[:-_KEPT_ERRORS]
            return
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            lines = (bytes(self._rest) + head).split(b"\n")
            self._lines.extend(lines)
            self._waiting += sum(map(_weight, lines))
            self._rest = bytearray(tail)
        else:
            self._rest += data
        if len(self._rest) > LONGEST_LINE:
            self.give_up(f"it sent a message of more than {LONGEST_LINE:,} bytes")
        if self._waiting > _PAUSE_AT and not self._paused:
            self._paused = True
            self._pipe(1).pause_reading()
        self._news.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.over = True
            self._news.set()

    def process_exited(self) -> None:
        self.ended.set()

    def give_up(self, problem: str) -> None:
        """Nothing of it is heard any more."""
        self.problem = self.problem or problem
        self.over = True
        self._lines.clear()
        self._rest.clear()
        self._news.set()

    async def line(self) -> bytes | None:
        """The next line, None when there will be none."""
        while not self._lines:
            if self.over:
                return None
            self._news.clear()
            await self._news.wait()
        line = self._lines.popleft()
        self._waiting -= _weight(line)
        if self._paused and self._waiting < _PAUSE_AT // 2:
            self._paused = False
            self._pipe(1).resume_reading()
        return line

    def say(self, data: bytes) -> None:
        """Write without waiting: a program that does not read must not hold up who stops it."""
        pipe = self._pipe(0)
        if pipe is None or pipe.is_closing():
            return
        pipe.write(data)
        if pipe.get_write_buffer_size() > MOST_UNSENT:
            self.give_up("it does not read what it is sent")

    def close_input(self) -> None:
        """Tell it that nobody speaks to it any more."""
        pipe = self._pipe(0)
        if pipe is not None:
            pipe.close()

    async def reason(self) -> str:
        """Why it is gone, in words; what it printed last may say more."""
        if not self.problem:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), GOODBYE_SECONDS)
        code = self._transport.get_returncode()
        what = self.problem or ("it closed its output" if code is None else f"it ended with exit code {code}")
        last = one_line(self._errors.decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
        return f"{what}: {last}" if last else what

    def _pipe(self, fd: int) -> Any:
        return self._transport.get_pipe_transport(fd)


def _weight(line: bytes) -> int:
    """Bytes of memory: empty lines are not nothing."""
    return len(line) + 64


@asynccontextmanager
async def speaking_to(launch: Launch, cwd: Path, gone: Callable[[str], None]) -> AsyncIterator[TransportStreams]:
    """Start the program and speak to it; nothing of it outlives the block. `gone` is told once why it went by itself.

    Enter and leave it in the same task. Raises `OSError` when it cannot be started.
    """
    import anyio

    mark = processes.new_mark()
    transport, program = await _start(launch, cwd, mark)
    heard, hearing = anyio.create_memory_object_stream[Any](0)
    saying, said = anyio.create_memory_object_stream[Any](0)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_hear, program, heard, gone)
            group.start_soon(_say, program, said)
            try:
                yield hearing, saying
            finally:
                group.cancel_scope.cancel()
    finally:
        for stream in (heard, hearing, saying, said):
            stream.close()
        await _to_the_end(_end(transport, program, mark))


async def _start(launch: Launch, cwd: Path, mark: str) -> tuple[asyncio.SubprocessTransport, _Program]:
    start: Callable[..., Any] = asyncio.get_running_loop().subprocess_exec
    starting = asyncio.ensure_future(
        start(
            _Program,
            *launch.argv,
            cwd=cwd,
            env={**launch.environment, processes.MARK: mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **processes.own_group(),
            **launch.options,
        )
    )
    try:
        transport, program = await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already: nobody else would end it
        transport, program = await starting
        await _to_the_end(_end(transport, program, mark))
        raise
    finally:
        for handle in launch.close:
            os.close(handle)
    return transport, program


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """However often the caller is cancelled meanwhile, by asyncio or by a scope of anyio."""
    import anyio

    task = asyncio.ensure_future(work)
    cancelled = False
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def _end(transport: asyncio.SubprocessTransport, program: _Program, mark: str) -> None:
    program.close_input()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(program.ended.wait(), GOODBYE_SECONDS)
    await processes.clean_up(transport, program, mark)


async def _hear(
    program: _Program, heard: MemoryObjectSendStream[SessionMessage | Exception], gone: Callable[[str], None]
) -> None:
    import anyio

    noise = 0
    since, count = time.monotonic(), 0
    with heard:
        while (line := await program.line()) is not None:
            message = await _message(line)
            noise = 0 if message is not None else noise + 1
            if noise > MOST_NOISE:
                program.give_up("it prints something else than messages of the protocol")
            count += 1
            if time.monotonic() - since > FLOOD_SECONDS:
                since, count = time.monotonic(), 0
            elif count > FLOOD:
                program.give_up("it sends messages without an end")
            if message is None:
                await asyncio.sleep(0)  # however much it prints, others get their turn
                continue
            try:
                await heard.send(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
        gone(await program.reason())


async def _say(program: _Program, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
    with said:
        async for message in said:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            program.say(text.encode() + b"\n")


async def _message(line: bytes) -> SessionMessage | None:
    """A message of the protocol, None for anything else."""
    if not line.lstrip().startswith(b"{"):
        return None
    if len(line) > _NEVER_ON_THE_LOOP:
        return await asyncio.to_thread(_parse, line)
    return _parse(line)


def _parse(line: bytes) -> SessionMessage | None:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None
