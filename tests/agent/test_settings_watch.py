"""A running agent follows changes that another process or an editor makes to config.toml."""

from __future__ import annotations

import asyncio

import pytest

from agent.core import watch
from agent.events import ChannelChanged, SettingsChanged
from agent.paths import Paths
from agent.service import AgentService
from agent.settings import SettingsFile
from tests.agent.conftest import Heard, until
from tests.conftest import LogGuard
from tests.peers.telegram_api import TelegramApi

TOKEN = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)


async def test_a_channel_that_is_switched_on_elsewhere_connects_and_off_again(
    paths: Paths, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAYCLAW_KEY_TELEGRAM", TOKEN)
    async with TelegramApi(TOKEN) as api:
        service = await AgentService.start(paths, resident=True)
        try:
            heard = Heard(service)
            other = SettingsFile(paths.config_file)
            values = {"channels.telegram.api_base": api.root_url, "channels.telegram.enabled": True}
            await asyncio.to_thread(other.set, values)
            await until(lambda: any(event.state == "ready" for event in heard.of(ChannelChanged)))
            await asyncio.to_thread(other.set, {"channels.telegram.enabled": False})
            await until(lambda: service.channels()[0].state == "stopped")
        finally:
            await service.stop()


async def test_a_mistake_is_logged_and_the_old_settings_stay(paths: Paths, config: str, log_guard: LogGuard) -> None:
    log_guard.expect(r"cannot be used: .*line 1")
    service = await AgentService.start(paths, resident=True)
    try:
        heard = Heard(service)
        paths.config_file.write_text("[model\n")
        await until(lambda: bool(log_guard.records))
        assert service.settings.model.default == "local/fake-1"
        assert heard.of(SettingsChanged) == []
        paths.config_file.write_text(config.replace("fake-1", "fake-2"))
        await heard.wait(SettingsChanged)
        assert service.settings.model.default == "local/fake-2"
    finally:
        await service.stop()
