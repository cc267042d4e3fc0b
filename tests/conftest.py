"""What holds for every test: no real home, no keys from outside, and an unexpected warning in the log is a failure."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agent.paths import Paths

# The same examples in every run there: a rare find belongs to a developer's run, not to somebody else's change.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

_PREFIXES = ("TRAYCLAW_", "XDG_")


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that is kept "at home" goes into this test's own folder."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in list(os.environ):
        if name.startswith(_PREFIXES) and name != "XDG_RUNTIME_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("TRAYCLAW_HOME", str(home / "trayclaw"))
    for variable, folder in (("CONFIG", "config"), ("DATA", "data"), ("CACHE", "cache"), ("STATE", "state")):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(home / folder))
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return home


@pytest.fixture
def paths(private_home: Path) -> Paths:
    """The folders of a fresh installation."""
    found = Paths.locate()
    found.prepare()
    return found


class LogGuard(logging.Handler):
    """Collects warnings and errors; a test names those that it provokes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []
        self.expected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def expect(self, pattern: str) -> None:
        """From here on a warning that matches this regular expression is part of the test."""
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        """Everything else that was logged."""
        lines = [f"{record.levelname} {record.name}: {record.getMessage()}" for record in self.records]
        return [line for line in lines if not any(re.search(pattern, line) for pattern in self.expected)]


@pytest.fixture(autouse=True)
def log_guard() -> Iterator[LogGuard]:
    """Fails a test that logs a warning or worse which it did not `expect`."""
    guard = LogGuard()
    root = logging.getLogger()
    root.addHandler(guard)
    yield guard
    root.removeHandler(guard)
    assert not guard.unexpected(), "unexpected log messages:\n" + "\n".join(guard.unexpected())
