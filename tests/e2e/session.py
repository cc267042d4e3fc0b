"""A private desktop session for one test: X server, message bus, home, and the application as a real process."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from agent.paths import Paths

PACKAGES = {
    "Xvfb": "xvfb",
    "dbus-daemon": "dbus",
    "gnome-keyring-daemon": "gnome-keyring",
    "secret-tool": "libsecret-tools",
    "trayer": "trayer",
    "xdotool": "xdotool",
}
T = TypeVar("T")
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={folder}</listen>
  <policy context="default"><allow send_destination="*"/><allow own="*"/><allow eavesdrop="true"/></policy>
</busconfig>
"""
"""A bus that starts no services by itself: a keyring is there only where a test starts one."""
TOKEN = "700700:test-token"


def need(*programs: str) -> None:
    """Skip, visibly, where one of these programs is missing."""
    if sys.platform != "linux":
        pytest.skip("ring 3 runs on Linux only")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(PACKAGES[program] for program in missing)
        pytest.skip(f"{', '.join(missing)} not found: apt install {packages}")


@dataclass
class App:
    """A running application; what it writes is kept in files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path
    started: float = field(default_factory=time.monotonic)

    def stdout(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def stderr(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float) -> int:
        """The exit code; fails when the application needs longer."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s; stderr:\n{self.stderr()}") from None

    def assert_quits(self, seconds: float = 5.0) -> None:
        """Exits 0 in time, without a word on stderr."""
        assert self.wait(seconds) == 0, self.stderr()
        assert self.stderr() == ""

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Desk:
    """A desktop session of one test."""

    folder: Path
    env: dict[str, str]
    bus: str
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)

    @property
    def paths(self) -> Paths:
        return Paths.locate(self.env)

    def configure(self, text: str = "", *, welcomed: bool = True) -> None:
        """Write config.toml."""
        file = self.paths.config_file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n[desktop]\nwelcomed = {str(welcomed).lower()}\n", encoding="utf-8")

    def start(self, *arguments: str, module: str = "desktop", script: str = "") -> App:
        """Start the application (or a driver script) in this session."""
        number = len(self.apps)
        output, errors = self.folder / f"stdout-{number}.txt", self.folder / f"stderr-{number}.txt"
        command = [sys.executable, script, *arguments] if script else [sys.executable, "-m", module, *arguments]
        with output.open("wb") as out, errors.open("wb") as err:
            root = Path(__file__).parents[2]
            process = subprocess.Popen(command, env=self.env, stdout=out, stderr=err, cwd=root)
        app = App(process, output, errors)
        self.apps.append(app)
        return app

    def spawn(self, *command: str, feed: bytes | None = None) -> subprocess.Popen[bytes]:
        """Start a helper of the session (a panel, a keyring); ended with it."""
        quiet = subprocess.DEVNULL
        stdin = subprocess.PIPE if feed is not None else quiet
        process = subprocess.Popen(command, env=self.env, stdin=stdin, stdout=quiet, stderr=quiet)
        if feed is not None and process.stdin is not None:
            process.stdin.write(feed)
            process.stdin.close()
        self.children.append(process)
        return process

    def run(self, *command: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a program of the session to its end."""
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout, check=False)

    async def run_python(self, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run this Python in the session, while the test's loop goes on."""
        return await asyncio.to_thread(self.run, sys.executable, *arguments, timeout=timeout)

    def log(self) -> str:
        file = self.paths.logs / "trayclaw.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def windows(self, name: str) -> list[str]:
        """Ids of the visible windows whose title matches a regular expression."""
        found = self.run("xdotool", "search", "--onlyvisible", "--name", name)
        return found.stdout.split()

    def wait_window(self, name: str, timeout: float = 20) -> str:
        """The first visible window of that title."""
        return wait_until(lambda: self.windows(name), f"a window {name!r}", timeout)[0]

    def close(self) -> None:
        for app in self.apps:
            app.end()
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(3)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def wait_until(condition: Callable[[], T], what: str | Callable[[], str], timeout: float = 20) -> T:
    """The first true value of `condition`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout} s in vain for {what if isinstance(what, str) else what()}")


def open_session(folder: Path) -> Desk:
    """Start X server and message bus, with everything a program keeps below `folder`."""
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    home = folder / "home"
    home.mkdir(mode=0o700)
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ
    }
    env = {
        **kept,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TRAYCLAW_HOME": str(folder / "tc"),
        "QT_QPA_PLATFORM": "xcb",
    }
    desk = Desk(folder, env, "")
    env["DISPLAY"] = ":" + _answer(
        desk, "Xvfb", "-displayfd", "{fd}", "-screen", "0", "1280x900x24", "-nolisten", "tcp"
    )
    config = folder / "bus.conf"
    config.write_text(BUS.format(folder=runtime))
    desk.bus = _answer(
        desk, "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address={fd}"
    )
    env["DBUS_SESSION_BUS_ADDRESS"] = desk.bus
    return desk


def _answer(desk: Desk, *command: str) -> str:
    """Start a program that writes one line (a display number, an address) to a file descriptor."""
    reading, writing = os.pipe()
    try:
        words = [word.format(fd=writing) for word in command]
        quiet = subprocess.DEVNULL
        desk.children.append(
            subprocess.Popen(words, env=desk.env, pass_fds=[writing], stdin=quiet, stdout=quiet, stderr=quiet)
        )
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        ready, _, _ = select.select([stream], [], [], 20)
        line = stream.readline().decode().strip() if ready else ""
    assert line, f"{command[0]} did not start"
    return line


async def wait_until_async(condition: Callable[[], T], what: str, timeout: float = 20) -> T:
    """The first true value of `condition`, while the test's loop goes on."""
    return await asyncio.to_thread(wait_until, condition, what, timeout)
