"""A key typed into the settings is in the desktop's own keyring afterwards, and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.session import Desk, need, wait_until_async
from tests.peers.model_server import ModelServer

KEY = "sk-test-4f9c0d7be1a2"
DRIVER = str(Path(__file__).with_name("drive_settings.py"))


async def start_keyring(desk: Desk) -> None:
    """GNOME's keyring with a fresh login collection, unlocked."""
    need("gnome-keyring-daemon", "secret-tool")
    desk.spawn("gnome-keyring-daemon", "--unlock", "--components=secrets", "--foreground", feed=b"test password")
    probe = ("secret-tool", "store", "--label=probe", "service", "probe", "username", "probe")
    await wait_until_async(
        lambda: desk.run("sh", "-c", f"printf x | {' '.join(probe)}").returncode == 0, "the keyring to answer"
    )


async def test_a_typed_key_is_in_the_keyring_and_nowhere_else(desk: Desk) -> None:
    async with ModelServer(models=("fake-1", "fake-2"), api_key=KEY) as server:
        await start_keyring(desk)
        desk.configure(f'[providers.openai]\nbase_url = "{server.base_url}"\n')
        app = desk.start("openai", KEY, script=DRIVER)
        await wait_until_async(lambda: app.process.poll() is not None, "the person to finish", 60)
        app.assert_quits(0.1)
        assert app.stdout().endswith("s · 2 models\n"), desk.log()

    found = await asyncio.to_thread(
        desk.run, "secret-tool", "lookup", "service", "trayclaw", "username", "provider:openai"
    )
    assert found.stdout == KEY
    holders = [
        file
        for file in desk.folder.rglob("*")
        if file.is_file() and "keyrings" not in file.parts and KEY.encode() in file.read_bytes()
    ]
    assert holders == []


async def test_a_refused_key_is_not_kept(desk: Desk) -> None:
    async with ModelServer(models=("fake-1",), api_key=KEY) as server:
        await start_keyring(desk)
        desk.configure(f'[providers.openai]\nbase_url = "{server.base_url}"\n')
        app = desk.start("openai", "sk-wrong", script=DRIVER)
        await wait_until_async(lambda: app.process.poll() is not None, "the person to finish", 60)
        assert app.stdout() == "Key refused\n", desk.log()

    found = await asyncio.to_thread(
        desk.run, "secret-tool", "lookup", "service", "trayclaw", "username", "provider:openai"
    )
    assert found.stdout == ""
