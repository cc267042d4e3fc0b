"""Runs the real program in its own process, with or without a terminal around it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.in_thread import PeerThread, in_thread
from tests.peers.model_server import ModelServer, Script

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "agent"]
KEY = "sk-planted-0123456789abcdef"
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>78()][0AB]?")


@dataclass(frozen=True)
class Outcome:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of the test, without a display."""
    values = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **(extra or {})}
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR"):
        values.pop(name, None)
    return values


def trayclaw(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None, timeout: float = 60) -> Outcome:
    """Run to the end."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(env),
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def config_file() -> Path:
    """config.toml of the test's home."""
    return Path(os.environ["TRAYCLAW_HOME"]) / "config.toml"


def configure(text: str) -> Path:
    """Write config.toml."""
    file = config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def use_model(base_url: str, more: str = "") -> None:
    """Let `local/fake-1` at this address be the default model."""
    configure(f'[model]\ndefault = "local/fake-1"\n[providers.local]\nbase_url = "{base_url}"\n{more}')


@contextlib.contextmanager
def model(script: Script | str, **options: Any) -> Iterator[PeerThread[ModelServer]]:
    """A model server that the settings point to."""
    with in_thread(ModelServer(script, **options)) as peer:
        use_model(peer.peer.base_url)
        yield peer


class Terminal:
    """The program on a pseudo-terminal of 80 columns; POSIX only."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, height: int = 24) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, 80, 0, 0))
        values = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(env or {})}
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(values),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.raw = ""
        self._seen = 0
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything that was shown, in order, without control sequences."""
        return ANSI.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press keys; Enter is \\r, Ctrl+C is \\x03."""
        os.write(self._fd, keys.encode())

    def wait_for(self, text: str, timeout: float = 30) -> None:
        """Wait until this is shown, after what was waited for before."""
        with self._changed:
            shown = self._changed.wait_for(lambda: text in self.text[self._seen :], timeout)
            assert shown, f"{text!r} was not shown within {timeout:g} s; shown was:\n{self.text[-3000:]}"
            self._seen = self.text.index(text, self._seen) + len(text)

    def wait_for_prompt(self) -> None:
        """Wait until a message can be typed."""
        self.wait_for("❯")

    def end(self, timeout: float = 20) -> int:
        """Wait for the end of the program; returns its exit code."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        os.close(self._fd)
        return code

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.end()

    def _read(self) -> None:
        pieces = b""
        while True:
            try:
                piece = os.read(self._fd, 65536)
            except OSError:
                return
            if not piece:
                return
            pieces += piece
            with self._changed:
                self.raw = pieces.decode("utf-8", "replace")
                self._changed.notify_all()


def wait_until(condition: Any, what: str, timeout: float = 20) -> None:
    """Poll a condition of another process."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.02)
