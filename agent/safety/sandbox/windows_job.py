"""The fence of Windows: a job that ends as a whole, and a token without privileges at low integrity.

It keeps programs from writing to anything but folders that are labelled low: the workspace, and those that a person
opened for writing. It does not keep them from reading the home, and not from the network: a command behind it counts as
one that may reach all of the network, so that it asks (docs/adr/007-sessions-hosts-and-windows.md).
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.errors import SandboxError
from agent.safety.sandbox import Fence, Launch
from agent.safety.sandbox import windows_api as api
from agent.safety.sandbox.windows_api import Api

LOW, MEDIUM = "low", "medium"
_LABEL_SECONDS = 60.0
_TEMPORARY = ("TEMP", "TMP")


class Job:
    """Processes that end together: all of them when the job is ended, when it is closed, or when this process dies."""

    def __init__(self, windows: Api, *, memory: int = 0, processes: int = 0) -> None:
        self._windows = windows
        self._handle = windows.make_job()
        try:
            windows.limit(self._handle, api.EXTENDED_LIMITS, limits(memory, processes))
        except BaseException:
            self.close()
            raise

    def add(self, process: int) -> None:
        """By its handle; what it starts from now on belongs to the job as well."""
        self._windows.assign(self._handle, process)

    def add_pid(self, pid: int) -> None:
        """By its number."""
        process = self._windows.open_process(pid)
        try:
            self.add(process)
        finally:
            self._windows.close(process)

    def without_windows(self) -> None:
        """No clipboard, no messages to the windows of other programs, no shutdown."""
        self._windows.limit(self._handle, api.UI_RESTRICTIONS, ctypes.c_uint32(api.NO_UI))

    def end(self) -> None:
        """End all of its processes now."""
        if self._handle:
            self._windows.end_job(self._handle)

    def close(self) -> None:
        """The same, and the job is gone. Safe to call twice."""
        if self._handle:
            self._windows.close(self._handle)
        self._handle = 0


def limits(memory: int = 0, processes: int = 0) -> api.ExtendedLimits:
    """What a job is limited to; bytes of all processes together, and their number. 0: no limit."""
    found = api.ExtendedLimits()
    flags = api.KILL_ON_CLOSE | api.DIE_ON_EXCEPTION
    if memory:
        flags |= api.JOB_MEMORY
        found.JobMemoryLimit = memory
    if processes:
        flags |= api.ACTIVE_PROCESSES
        found.Basic.ActiveProcessLimit = processes
    found.Basic.LimitFlags = flags
    return found


def around(pid: int, windows: Api | None = None) -> Job | None:
    """A job for a program that runs already; None when it has ended, or where Windows does not allow it."""
    job: Job | None = None
    try:
        job = Job(windows or api.Windows())
        job.add_pid(pid)
    except OSError:
        if job is not None:
            job.close()
        return None
    return job


class WindowsJob:
    """Starts programs by a small process of ours that holds the job: when it is ended, everything is."""

    name = "windows job"
    closes_network = False
    by_host = False

    def __init__(self) -> None:
        self._labelled: set[tuple[Path, str]] = set()

    def launch(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], fence: Fence) -> Launch:
        """The command that runs `argv` behind the fence. Raises `SandboxError`."""
        temporary = fence.writable[0] / ".tmp"
        temporary.mkdir(exist_ok=True)
        for folder in fence.writable:
            self._label(folder, LOW)
        for path in fence.protected:
            if path.exists():  # what is put there meanwhile, whoever starts the program takes away
                self._label(path, MEDIUM)
        inside = {**environment, **dict.fromkeys(_TEMPORARY, str(temporary))}
        return Launch((*launcher(), order(fence, argv)), inside)

    def _label(self, path: Path, level: str) -> None:
        """Say who may write there. What is put into a folder later gets its label."""
        if (path, level) in self._labelled and level == LOW:
            return
        try:
            done = subprocess.run(
                label_command(path, level),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_LABEL_SECONDS,
                check=False,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxError(f"{path} cannot be labelled: {error}.") from error
        if done.returncode and level == MEDIUM:
            raise SandboxError(f"{path} cannot be protected.")
        self._labelled.add((path, level))


def label_command(path: Path, level: str) -> tuple[str, ...]:
    """icacls: the integrity label of a path and of everything below it, going on where something cannot be changed."""
    tool = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "icacls.exe")
    return (str(tool), str(path), "/setintegritylevel", f"(OI)(CI){level}", "/T", "/C", "/Q")


def launcher() -> tuple[str, ...]:
    """The process of ours that holds the job, from the checkout and from the executable."""
    if getattr(sys, "frozen", False):
        return (sys.executable, "_fenced")
    start = "import sys; sys.path.insert(0, sys.argv[1]); from agent.safety.sandbox.windows_job import main; "
    return (sys.executable, "-c", f"{start}sys.exit(main(sys.argv[2:]))", str(Path(__file__).resolve().parents[3]))


def order(fence: Fence, argv: Sequence[str]) -> str:
    """What it is told: one argument, for what comes after it is quoted once more by Windows."""
    return json.dumps({"argv": list(argv), "memory": fence.memory, "processes": fence.processes})


def main(arguments: Sequence[str], windows: Api | None = None) -> int:
    """That process: start the program with the lesser token inside of a job, and end as it does."""
    told = json.loads(arguments[0])
    calls = windows or api.Windows()
    job = Job(calls, memory=told["memory"], processes=told["processes"])
    job.without_windows()
    token = calls.low_token()
    process, thread = calls.start(token, told["argv"], os.environ)
    try:
        job.add(process)
        calls.resume(thread)
        return calls.wait(process)
    finally:
        job.close()
        for handle in (thread, process, token):
            calls.close(handle)
