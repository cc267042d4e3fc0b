"""Programs that a tool starts: in a group of their own, ended as a whole, heard while they run."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import functools
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from agent.safety.sandbox import windows_job

MARK = "TRAYCLAW_RUN"
"""In the environment of everything that a program starts: by it strays are found."""
GRACE_SECONDS = 0.2
"""Between SIGTERM and SIGKILL: together with the rest, a stop stays below one second."""
GATHER_SECONDS = 0.01
"""How long others that end as well are waited for before strays are looked for."""
STRAY_LOOKS = 30
"""How often strays are looked for, 10 ms apart."""
DRAIN_SECONDS = 0.3
"""How long output is awaited after the program itself has ended."""
MOST_UNREAD = 1_000_000
"""Bytes that a program may leave unread before no more is written to it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `status` is its exit code, negative for a signal; None when its time was over."""

    status: int | None
    seconds: float
    left_children: bool = False


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    seconds: float,
    output: Callable[[str], None],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Ended:
    """Run a program with no input; its output and errors, decoded as UTF-8, go to `output` as they come.

    Nothing of it outlives the call, whether it ends, times out or is cancelled. `options` are those of a fence.
    Raises `OSError`.
    """
    running = await start(argv, cwd=cwd, environment=environment, output=output, options=options)
    try:
        return await running.wait(seconds)
    finally:
        # Also after an ordinary end: what the program left running in the background ends with the call.
        await asyncio.shield(running.end())


async def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    output: Callable[[str], None],
    options: Mapping[str, Any] = MappingProxyType({}),
    keyboard: bool = False,
) -> Running:
    """Start a program, which can be written to with `keyboard`. Whoever has it calls `end` in any case.

    Raises `OSError`."""
    mark = new_mark()
    begin: Callable[..., Any] = asyncio.get_running_loop().subprocess_exec
    starting = asyncio.ensure_future(
        begin(
            lambda: _Program(output),
            *argv,
            cwd=cwd,
            env={**environment, MARK: mark},
            stdin=subprocess.PIPE if keyboard else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **own_group(),
            **options,
        )
    )
    try:
        transport, program = await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already: nobody else would end it
        transport, program = await starting
        await asyncio.shield(Running(transport, program, mark).end())
        raise
    return Running(transport, program, mark)


class Running:
    """A program and everything that it started: its group and, on Linux, what left the group; on Windows its job."""

    def __init__(self, transport: asyncio.SubprocessTransport, program: _Program, mark: str) -> None:
        self.started = time.monotonic()
        self._transport, self._program, self._mark = transport, program, mark
        self._job = windows_job.around(transport.get_pid()) if sys.platform == "win32" else None

    async def wait(self, seconds: float) -> Ended:
        """Until it has ended, by force when its time is over. Others may call `end` meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._program.ended.wait()
        except TimeoutError:
            await self._end_job()
            await _end_group(self._transport, self._program)
            await self._drained()
            return Ended(None, time.monotonic() - self.started)
        silent = await self._drained()
        return Ended(self._transport.get_returncode(), time.monotonic() - self.started, not silent)

    def write(self, data: bytes) -> bool:
        """Give it this to read; False when it does not read any more, or has not read what it was given before."""
        pipe: Any = self._transport.get_pipe_transport(0)
        if pipe is None or pipe.is_closing() or pipe.get_write_buffer_size() > MOST_UNREAD:
            return False
        pipe.write(data)
        return True

    async def end(self) -> None:
        """Nothing of it runs any more afterwards."""
        await self._end_job()
        await clean_up(self._transport, self._program, self._mark)
        if self._job is not None:
            self._job.close()

    async def _drained(self) -> bool:
        """Whether all output has come: nobody holds the pipe any more."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._program.silent.wait(), DRAIN_SECONDS)
        return self._program.silent.is_set()

    async def _end_job(self) -> None:
        if self._job is not None:
            self._job.end()
            await _ended(self._program)


class Ending(Protocol):
    """Knows when a program has ended."""

    ended: asyncio.Event


async def clean_up(transport: asyncio.SubprocessTransport, program: Ending, mark: str) -> None:
    """Let nothing of a program outlive this call: neither its group nor, on Linux, what left the group."""
    await _end_group(transport, program)
    await _end_strays(f"{MARK}={mark}".encode())
    transport.close()


def new_mark() -> str:
    """A value for `MARK` that says whose program it is."""
    return f"{_myself()}:{secrets.token_hex(8)}"


class _Program(asyncio.SubprocessProtocol):
    """Hears a program. Not `asyncio.subprocess.Process`: its `wait` waits for the pipe as well, which a process in the
    background may hold open for ever (https://github.com/python/cpython/issues/119710)."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self.ended = asyncio.Event()
        self.silent = asyncio.Event()
        self._output = output
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._output(self._decoder.decode(data))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            return  # it does not read what is written to it any more
        if rest := self._decoder.decode(b"", final=True):
            self._output(rest)
        self.silent.set()

    def process_exited(self) -> None:
        self.ended.set()


def shell_argv(command: str) -> tuple[str, ...]:
    """The argument vector that runs a line of shell: bash if there is one, else sh; PowerShell on Windows."""
    if sys.platform == "win32":
        shell = shutil.which("pwsh") or shutil.which("powershell") or "powershell.exe"
        utf8 = "[Console]::OutputEncoding = [Text.Encoding]::UTF8; "
        return (shell, "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", utf8 + command)
    return (shutil.which("bash") or "/bin/sh", "-c", command)


def own_group() -> dict[str, Any]:
    """Options of a subprocess call: the program gets a process group of its own, and no console window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[set[bytes], asyncio.Task[None]]] = WeakKeyDictionary()
"""The next look for strays on each loop: when twenty programs are stopped at once, it is one for all of them."""


async def _end_strays(mark: bytes) -> None:
    """End what left the group of a program (setsid, daemons): it still carries the mark in its environment."""
    if not sys.platform.startswith("linux"):
        return
    loop = asyncio.get_running_loop()
    if loop not in _sweeps:
        marks: set[bytes] = set()
        _sweeps[loop] = marks, loop.create_task(_sweep_soon(loop, marks))
    marks, sweep = _sweeps[loop]
    marks.add(mark)
    await asyncio.shield(sweep)


async def _sweep_soon(loop: asyncio.AbstractEventLoop, marks: set[bytes]) -> None:
    await asyncio.sleep(GATHER_SECONDS)
    del _sweeps[loop]
    await asyncio.to_thread(_sweep, frozenset(marks))


def _sweep(marks: frozenset[bytes]) -> None:
    """Until nothing is found any more, for a stray may have started another meanwhile, and a fence takes some time to
    come down."""
    pause = threading.Event()
    for _ in range(STRAY_LOOKS):
        found = [pid for pid, environment in _marked() if any(mark in environment for mark in marks)]
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        pause.wait(0.01)


def end_orphans() -> int:
    """End what programs of a TrayClaw left that was killed before it could; how many there were. Blocks."""
    if not sys.platform.startswith("linux"):
        return 0
    count = 0
    for pid, environment in _marked():
        owner = _OWNER.search(environment)
        if owner is not None and not _lives(*(int(part) for part in owner.groups())):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                count += 1
    return count


_OWNER = re.compile(MARK.encode() + rb"=(\d+)\.(\d+)\.(\d+):")


def _marked() -> Iterator[tuple[int, bytes]]:
    """Every process with a mark, and its environment."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of names, no paths needed
        if name.isdigit():
            with contextlib.suppress(OSError):
                environment = Path("/proc", name, "environ").read_bytes()
                if MARK.encode() in environment:
                    yield int(name), environment


@functools.cache
def _myself() -> str:
    """This process, by a name that no later one has: its number, when it started, and the namespace of the number."""
    if not sys.platform.startswith("linux"):
        return "0.0.0"
    return f"{os.getpid()}.{_started(os.getpid())}.{Path('/proc/self/ns/pid').stat().st_ino}"


def _started(pid: int) -> int:
    """In ticks since the computer did. Raises `OSError`."""
    return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19])


def _lives(pid: int, started: int, namespace: int) -> bool:
    """Whether that process is still there. One of another namespace (a container) is none of our business."""
    try:
        return namespace != Path("/proc/self/ns/pid").stat().st_ino or _started(pid) == started
    except OSError:
        return False


async def _end_group(transport: asyncio.SubprocessTransport, program: Ending) -> None:
    pid = transport.get_pid()
    if sys.platform == "win32":
        if not program.ended.is_set():
            killer = await asyncio.create_subprocess_exec(
                "taskkill", "/F", "/T", "/PID", str(pid), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await killer.wait()
    # The group exists as long as one member does, so its id cannot have been given to anybody else.
    elif _signal_group(pid, signal.SIGTERM):
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and _signal_group(pid, 0):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
        _signal_group(pid, signal.SIGKILL)
    await _ended(program)


async def _ended(program: Ending) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(program.ended.wait(), GRACE_SECONDS)


def _signal_group(group: int, number: int) -> bool:
    """Whether the group was there to hear it."""
    if sys.platform == "win32":
        return False
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
