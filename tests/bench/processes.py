"""Processes seen from the outside: wall clock, CPU by rusage, memory of a whole tree, readiness."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """A figure could not be taken; the text says why."""


@dataclass(frozen=True)
class Finished:
    wall_s: float
    cpu_s: float
    """User and system time of the process and its reaped children."""
    output: str


def run(command: Sequence[str], environ: Mapping[str, str], cwd: Path, timeout: float = 600.0) -> Finished:
    """Run to the end; raise `BenchError` with the last lines of its output when the exit code is not 0."""
    with tempfile.TemporaryFile() as out:
        begun = time.perf_counter()
        process = subprocess.Popen(
            list(command), env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        deadline = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, deadline)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read().decode(errors="replace")
    if process.returncode != 0:
        tail = " / ".join(line.strip() for line in output.strip().splitlines()[-2:])
        raise BenchError(f"exit code {process.returncode}: {tail[-300:]}")
    return Finished(wall, usage.ru_utime + usage.ru_stime, output)


@contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], cwd: Path, ready: Callable[[subprocess.Popen[str]], bool]
) -> Iterator[tuple[int, float]]:
    """Start, poll `ready` until it is true, yield the pid and the seconds that took; SIGTERM at the end."""
    with tempfile.TemporaryFile("w+") as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            while not ready(process):
                if process.poll() is not None or time.perf_counter() - begun > 60:
                    errors.seek(0)
                    tail = " / ".join(errors.read().strip().splitlines()[-2:])
                    raise BenchError(f"did not become ready (exit code {process.poll()}): {tail[-300:]}")
            yield process.pid, time.perf_counter() - begun
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def line_with(text: str) -> Callable[[subprocess.Popen[str]], bool]:
    """Ready when a line of stdout holds `text`."""

    def ready(process: subprocess.Popen[str]) -> bool:
        assert process.stdout is not None
        return text in process.stdout.readline()

    return ready


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += tree(int(child))
    return found


def memory_mib(pid: int) -> tuple[float, float]:
    """RSS and PSS of the tree in MiB. Linux only."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise BenchError("memory is read from /proc, which this system does not have")
    rss = pss = 0
    for one in tree(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("Rss", "Pss"):
                size = int(value.split()[0])
                rss, pss = (rss + size, pss) if name == "Rss" else (rss, pss + size)
    return rss / 1024, pss / 1024
