"""Programs that a tool starts: in a group of their own, ended as a whole, heard while they run."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

MARK = "TRAYCLAW_RUN"
"""In the environment of everything that a program starts: by it strays are found."""
GRACE_SECONDS = 0.4
"""Between SIGTERM and SIGKILL: together with the rest, a stop stays below one second."""
STRAY_LOOKS = 30
"""How often strays are looked for, 10 ms apart."""
DRAIN_SECONDS = 0.3
"""How long output is awaited after the program itself has ended."""


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

    Nothing of it outlives the call, whether it ends, times out or is cancelled: neither its group nor, on Linux, what
    left the group. `options` are those of a fence. Raises `OSError`.
    """
    mark = secrets.token_hex(8)
    started = time.monotonic()
    start: Callable[..., Any] = asyncio.get_running_loop().subprocess_exec
    starting = asyncio.ensure_future(
        start(
            lambda: _Program(output),
            *argv,
            cwd=cwd,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
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
        await asyncio.shield(clean_up(transport, program, mark))
        raise
    try:
        try:
            async with asyncio.timeout(seconds):
                await program.ended.wait()
        except TimeoutError:
            await _end_group(transport, program)
            await _drained(program)
            return Ended(None, time.monotonic() - started)
        silent = await _drained(program)
        return Ended(transport.get_returncode(), time.monotonic() - started, not silent)
    finally:
        # Also after an ordinary end: what the program left running in the background ends with the call.
        await asyncio.shield(clean_up(transport, program, mark))


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


async def _drained(program: _Program) -> bool:
    """Whether all output has come: nobody holds the pipe any more."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(program.silent.wait(), DRAIN_SECONDS)
    return program.silent.is_set()


class Ending(Protocol):
    """Knows when a program has ended."""

    ended: asyncio.Event


async def clean_up(transport: asyncio.SubprocessTransport, program: Ending, mark: str) -> None:
    """Let nothing of a program outlive this call: neither its group nor, on Linux, what left the group."""
    await _end_group(transport, program)
    await asyncio.to_thread(_end_strays, f"{MARK}={mark}".encode())
    transport.close()


def _end_strays(mark: bytes) -> None:
    """End what left the group (setsid, daemons): it still carries the mark in its environment. Until nothing is found
    any more, for a stray may have started another meanwhile, and a fence takes some time to come down."""
    if not sys.platform.startswith("linux"):
        return
    pause = threading.Event()
    for _ in range(STRAY_LOOKS):
        found = False
        for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of names, no paths needed
            if not name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes():
                    os.kill(int(name), signal.SIGKILL)
                    found = True
        if not found:
            return
        pause.wait(0.01)


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
