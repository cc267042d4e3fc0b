"""Ring 2: Qt on the offscreen platform, away from the real home, with every Qt warning a failure."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before the first import of Qt
os.environ["QT_ACCESSIBILITY"] = "1"

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from agent.paths import Paths
from agent.service import AgentService
from desktop import tasks, theme
from desktop.bridge import Bridge
from tests.peers.model_server import ModelServer

SCREENSHOTS = Path(__file__).parent / "screenshots"


def pytest_configure(config: pytest.Config) -> None:
    # The offscreen platform has no window manager to tell; Qt says so at every window that has a
    # minimum size or is raised.
    config.addinivalue_line("qt_log_ignore", r"This plugin does not support (propagateSizeHints|raise)\(\)")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Asynchronous tests run on the loop that the application runs on. Never process Qt's events inside a coroutine
    (`qtbot.wait...`): await `tests.desktop.waiting.until` instead."""
    return {"qt": _qt_loop}


def _qt_loop() -> asyncio.AbstractEventLoop:
    from tests.desktop.patient_loop import PatientLoop

    app = QApplication.instance() or QApplication(["trayclaw"])
    if isinstance(app, QApplication):
        app.setQuitOnLastWindowClosed(False)  # as the application does
    app.setProperty("kept", app)  # pytest-qt takes it over once one of its fixtures is used
    return PatientLoop(app)


@pytest.fixture(autouse=True)
def garbage(request: pytest.FixtureRequest) -> Iterator[None]:
    """As in the application: what belongs to Qt is collected on Qt's thread only, here between the tests."""
    gc.disable()
    yield
    gc.collect(0 if hash(request.node.nodeid) % 8 else 2)


@pytest.fixture(autouse=True)
def runtime_dir(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where sockets go: a folder of this test with a short name, since their paths may not exceed 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="tc-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture(params=["light", "dark"])
def palette(qapp: QApplication, request: pytest.FixtureRequest) -> Iterator[theme.Palette]:
    """Runs the test in both appearances, without motion, at 100 % text."""
    theme.set_reduced_motion(True)
    yield theme.apply(qapp, request.param, text_scale=1.0)
    theme.set_reduced_motion(None)
    theme.apply(qapp, request.param, text_scale=1.0)


@pytest.fixture
def screenshot(qapp: QApplication) -> Callable[[QWidget, str], Path]:
    """`screenshot(widget, "name")` shows the widget, saves name-light.png or name-dark.png and fails if it is blank."""

    def take(widget: QWidget, name: str) -> Path:
        if not widget.isVisible():
            widget.show()
            QTest.qWaitForWindowExposed(widget.window())
        qapp.processEvents()
        image = widget.grab().toImage()
        step_x, step_y = max(1, image.width() // 160), max(1, image.height() // 160)
        columns, rows = range(0, image.width(), step_x), range(0, image.height(), step_y)
        seen = {image.pixel(x, y) for x in columns for y in rows}
        assert len(seen) > 3, f"{name} is blank: {len(seen)} colours"
        SCREENSHOTS.mkdir(exist_ok=True)
        file = SCREENSHOTS / f"{name}-{theme.current().name}.png"
        assert image.save(str(file)), file
        return file

    return take


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What is in the keyring, by user name ("provider:openai"): one in memory, empty at first."""
    from tests.desktop.memory_keyring import MemoryKeyring

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.desktop.memory_keyring.MemoryKeyring")
    MemoryKeyring.secrets.clear()
    yield MemoryKeyring.secrets
    MemoryKeyring.secrets.clear()


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """Set `model.script` to what it shall answer."""
    async with ModelServer(models=("fake-1", "fake-2")) as server:
        yield server


@pytest.fixture
def config(paths: Paths, model: ModelServer) -> str:
    """config.toml for the loopback model, as "local"."""
    text = f'[model]\ndefault = "local/fake-1"\n[providers.local]\nbase_url = "{model.base_url}"\n'
    paths.config_file.write_text(text)
    return text


@pytest.fixture
async def service(paths: Paths, config: str, stored: dict[str, str]) -> AsyncIterator[AgentService]:
    """A started agent, the way the tray application starts it."""
    found = await AgentService.start(paths, resident=True)
    yield found
    await found.stop()


@pytest.fixture
async def bridge(service: AgentService) -> AsyncIterator[Bridge]:
    """The service's events as signals."""
    made = Bridge()
    await made.attach(service)
    yield made
    made.detach()
    await tasks.cancel_all()
