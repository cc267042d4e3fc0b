"""One application a data folder: later starts and the command line speak to it over its socket."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import remote
from agent.errors import StorageError
from agent.paths import Paths
from desktop.platform.single_instance import SingleInstance
from tests.desktop.waiting import until


@pytest.fixture
def first(qapp: object, paths: Paths) -> Iterator[SingleInstance]:
    made = SingleInstance(paths)
    assert made.claim()
    yield made
    made.release()


def commands(instance: SingleInstance) -> list[str]:
    heard: list[str] = []
    instance.commanded.connect(heard.append)
    return heard


async def test_commands_arrive(first: SingleInstance, paths: Paths) -> None:
    heard = commands(first)
    for command in ("show", "toggle", "ping", "quit"):
        assert await asyncio.to_thread(remote.send, paths, command)
    assert heard == ["show", "toggle", "quit"]


async def test_another_one_cannot_claim_the_place(first: SingleInstance, paths: Paths) -> None:
    assert await asyncio.to_thread(remote.send, paths, "ping")
    second = SingleInstance(paths)
    claimed = await asyncio.to_thread(second.claim)
    assert not claimed


async def test_another_data_folder_is_another_application(first: SingleInstance, paths: Paths, tmp_path: Path) -> None:
    other = Paths(tmp_path, tmp_path / "other", tmp_path, tmp_path)
    assert not await asyncio.to_thread(remote.send, other, "ping")


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"command": "format"}\n', b"x" * 9000 + b"\n"])
async def test_nonsense_is_refused_and_changes_nothing(first: SingleInstance, paths: Paths, line: bytes) -> None:
    heard = commands(first)
    reading, writing = await asyncio.open_unix_connection(remote.endpoint(paths))
    writing.write(line)
    answer = json.loads(await asyncio.wait_for(reading.readline(), 5))
    writing.close()
    assert answer == {"ok": False, "error": "unknown command"}
    assert heard == []


async def test_pieces_of_a_line_are_put_together(first: SingleInstance, paths: Paths) -> None:
    heard = commands(first)
    _reading, writing = await asyncio.open_unix_connection(remote.endpoint(paths))
    writing.write(b'{"command":')
    await writing.drain()
    await asyncio.sleep(0.05)
    assert heard == []
    writing.write(b' "show"}\n')
    await until(lambda: heard == ["show"])
    writing.close()


def test_a_dead_socket_is_replaced(qapp: object, paths: Paths) -> None:
    """What kill -9 leaves: a socket file that nobody listens at."""
    address = remote.endpoint(paths)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(address)
    assert Path(address).exists()
    assert not remote.send(paths, "ping")
    instance = SingleInstance(paths)
    assert instance.claim()
    instance.release()
    assert not Path(address).exists()


def test_only_this_user_can_reach_it(first: SingleInstance, paths: Paths) -> None:
    assert stat.S_IMODE(Path(remote.endpoint(paths)).stat().st_mode) & 0o077 == 0


def test_a_folder_that_others_can_enter_is_not_used(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime_dir: Path
) -> None:
    runtime_dir.chmod(0o755)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert remote.endpoint(paths).startswith(str(tmp_path))
    next(tmp_path.glob("trayclaw-*")).chmod(0o777)
    with pytest.raises(StorageError, match="can be used by others"):
        remote.endpoint(paths)
    assert not remote.send(paths, "ping")


def test_the_client_needs_no_qt() -> None:
    import subprocess
    import sys

    program = "import agent.cli.remote, sys; print(any(name.startswith('PySide6') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
