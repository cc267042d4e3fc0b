"""A panel on D-Bus finds the icon, reads the menu and drives it by label; a Telegram user is paired and answered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.session import TOKEN, Desk, wait_until_async
from tests.e2e.status_notifier import Watcher
from tests.peers.model_server import ModelServer
from tests.peers.telegram_api import TelegramApi

ADA = 88210934


@pytest.fixture
async def watcher(desk: Desk) -> AsyncIterator[Watcher]:
    started = await Watcher.start(desk.bus)
    yield started
    started.stop()


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramApi]:
    async with TelegramApi(TOKEN) as api:
        api.add_user(ADA, "Ada")
        yield api


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer("Hello from the fake model.") as server:
        yield server


def configure(desk: Desk, telegram: TelegramApi, model: ModelServer) -> None:
    desk.env["TRAYCLAW_KEY_TELEGRAM"] = TOKEN
    desk.configure(
        f"""
[model]
default = "local/fake-1"
[providers.local]
base_url = "{model.base_url}"
[channels.telegram]
api_base = "{telegram.root_url}"
"""
    )


async def test_telegram_is_started_and_stopped_from_the_menu(
    desk: Desk, watcher: Watcher, telegram: TelegramApi, model: ModelServer
) -> None:
    configure(desk, telegram, model)
    app = desk.start("--background")
    item = await watcher.item()

    assert (await item.wait_for("Telegram: off")).checked is False
    labels = await item.labels()
    assert labels[0] == "Ready"
    assert labels[1] == "$0.00 of $5.00 today"
    assert labels[2] == "Telegram: off"
    assert labels[3:6] == ["Discord: not set up", "Slack: not set up", "E-mail: not set up"]
    assert labels[6:] == ["Open TrayClaw", "Stop all now", "Settings…", "Quit"]

    await item.click("Telegram")
    assert (await item.wait_for("Telegram: ready")).checked is True
    await telegram.wait_until(lambda: telegram.polling, timeout=10, what="the bot to listen")
    assert "enabled = true" in desk.paths.config_file.read_text()

    await item.click("Telegram")
    assert (await item.wait_for("Telegram: off")).checked is False
    await telegram.wait_until(lambda: not telegram.polling, timeout=10, what="the bot to leave")
    assert "enabled = false" in desk.paths.config_file.read_text()

    await item.click("Quit")
    await wait_until_async(lambda: app.process.poll() is not None, "the end", 5)
    app.assert_quits(0.1)


async def test_somebody_new_shows_in_the_menu_until_paired_and_is_then_answered(
    desk: Desk, watcher: Watcher, telegram: TelegramApi, model: ModelServer
) -> None:
    configure(desk, telegram, model)
    app = desk.start("--background")
    item = await watcher.item()
    await item.wait_for("Telegram: off")
    await item.click("Telegram")
    await item.wait_for("Telegram: ready")

    await telegram.say(ADA, "Hello?")
    assert (await item.wait_for("1 person asks to be paired")).enabled
    labels = await item.labels()
    assert labels[0] == "Waiting for you"
    code = (await telegram.wait_for_reply(ADA)).text
    assert model.chats == []

    approved = await desk.run_python("-m", "agent", "pair", "approve", _code_in(code))
    assert approved.returncode == 0, approved.stderr

    await telegram.say(ADA, "And now?")
    await telegram.wait_until(
        lambda: any("fake model" in reply.text for reply in telegram.replies(ADA)), timeout=20, what="an answer"
    )
    app.process.terminate()
    await wait_until_async(lambda: app.process.poll() is not None, "the end", 5)
    app.assert_quits(0.1)


async def test_the_icon_appears_when_a_tray_comes_later(desk: Desk) -> None:
    desk.configure()
    app = desk.start("--background")
    await wait_until_async(lambda: "desktop.app: ready" in desk.log(), "the start")
    watcher = await Watcher.start(desk.bus)
    try:
        item = await watcher.item(timeout=15)
        assert "Quit" in await item.labels()
        await item.click("Quit")
        await wait_until_async(lambda: app.process.poll() is not None, "the end", 5)
        app.assert_quits(0.1)
    finally:
        watcher.stop()


def _code_in(text: str) -> str:
    import re

    found = re.search(r"\b[A-Z0-9]{4}-?[A-Z0-9]{4}\b", text)
    assert found, f"no code in {text!r}"
    return found[0]
