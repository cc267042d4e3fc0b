"""Ring 3: the whole application as a process of its own, on a private X server, D-Bus session and home."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.session import Desk, need, open_session


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "e2e: ring 3, needs the programs that `make test` installs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A private session: X server, message bus, home. Short paths, because a socket's path may have 104 bytes."""
    need("Xvfb", "dbus-daemon")
    folder = Path(tempfile.mkdtemp(prefix="tc-"))
    session = None
    try:
        session = open_session(folder)
        yield session
    finally:
        if session is not None:
            session.close()
        shutil.rmtree(folder, ignore_errors=True)
