"""Whether a channel has its token: asked of the keyring only where somebody may want to know."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agent.channels.connectors import CHANNEL_NAMES, OTHER_SECRETS
from agent.events import ChannelChanged
from agent.keys import SecretStore
from agent.paths import Paths
from agent.service import AgentService
from tests.agent.conftest import Heard, until


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything the keyring was asked for; it has it all."""
    found: list[str] = []

    async def known(_store: SecretStore, users: Iterable[str]) -> list[str]:
        new = list(users)
        found.extend(new)
        return new

    monkeypatch.setattr(SecretStore, "known", known)
    return found


async def test_a_start_without_channels_leaves_the_keyring_alone(paths: Paths, config: str, asked: list[str]) -> None:
    service = await AgentService.start(paths, resident=True)
    try:
        heard = Heard(service)
        await service.change_settings({"desktop.theme": "dark"})
        await service.conversations()
        assert asked == []
        service.look_for_tokens()
        await heard.wait(ChannelChanged)
        assert asked == [f"channel:{name}" for name in (*CHANNEL_NAMES, *OTHER_SECRETS)]
        assert service.channels()[0].configured
    finally:
        await service.stop()


async def test_a_channel_with_settings_is_looked_at_from_the_start(paths: Paths, config: str, asked: list[str]) -> None:
    paths.config_file.write_text(f"{config}[channels.telegram]\nenabled = false\n")
    service = await AgentService.start(paths, resident=True)
    try:
        await until(lambda: service.channels()[0].configured)
        assert asked == [f"channel:{name}" for name in (*CHANNEL_NAMES, *OTHER_SECRETS)]
    finally:
        await service.stop()
