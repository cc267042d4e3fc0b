"""The first run: each of the three ways leads to a first answer on the same page, and it is shown once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from agent.service import AgentService
from agent.settings import STARTER
from desktop import tasks
from desktop.bridge import Bridge
from desktop.onboarding.key_form import recommended
from desktop.onboarding.window import WelcomeWindow
from tests.desktop.waiting import until
from tests.peers.model_server import ModelServer
from tests.peers.replies import Reply, server_error

Screenshot = Callable[[QWidget, str], Path]


@pytest.fixture
async def welcome(service: AgentService, bridge: Bridge) -> AsyncIterator[WelcomeWindow]:
    made = WelcomeWindow(service, bridge)
    made.show()
    await until(lambda: made.key_form.provider.count() > 3, "the list of providers")
    yield made
    await tasks.cancel_all()
    made.hide()
    made.deleteLater()
    await until(lambda: not isValid(made), "the window to go")


def finished(welcome: WelcomeWindow) -> list[int]:
    heard: list[int] = []
    welcome.finished.connect(heard.append)
    return heard


async def test_skip_is_remembered(welcome: WelcomeWindow, service: AgentService) -> None:
    heard = finished(welcome)
    welcome.skip.click()
    await until(lambda: heard == [0])
    assert service.settings.desktop.welcomed


async def test_closing_the_window_skips(welcome: WelcomeWindow, service: AgentService) -> None:
    heard = finished(welcome)
    welcome.close()
    await until(lambda: heard == [0])
    assert service.settings.desktop.welcomed


async def test_the_starter_is_chosen_at_first(welcome: WelcomeWindow, service: AgentService) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `starter` is not installed")
    assert welcome.cards["starter"].isChecked()
    welcome.go.click()
    await until(lambda: welcome.steps.currentIndex() == 1, "the second step")
    assert service.settings.model.default == STARTER


async def test_a_key_leads_to_a_first_answer(
    welcome: WelcomeWindow, service: AgentService, model: ModelServer, stored: dict[str, str]
) -> None:
    model.api_key = "sk-right"
    await service.change_settings({"providers.openai.base_url": model.base_url})
    form = welcome.key_form
    welcome.cards["key"].click()
    form.provider.setCurrentIndex(form.provider.findData("openai"))
    assert not welcome.go.isEnabled()

    QTest.keyClicks(form.key, "sk-wrong")
    welcome.go.click()
    await until(lambda: "Key refused" in form.message.text())
    assert stored == {}
    assert welcome.steps.currentIndex() == 0

    form.key.setText("sk-right")
    model.script = Reply("I am **here** to help.")
    welcome.go.click()
    await until(lambda: welcome.steps.currentIndex() == 1, "the second step")
    assert stored == {"provider:openai": "sk-right"}
    assert service.settings.model.default.startswith("openai/")

    welcome.hello.say.click()
    await until(lambda: welcome.telegram.isVisible(), "the answer")
    assert welcome.hello.answer.toPlainText() == "I am here to help."
    assert not welcome.skip.isVisible()
    heard = finished(welcome)
    welcome.go.click()
    await until(lambda: heard == [welcome.hello.conversation])
    assert (await service.timeline(heard[0]))[0].status == "answered"


async def test_a_failing_model_is_said_on_the_page_and_one_can_go_back(
    welcome: WelcomeWindow, service: AgentService, model: ModelServer
) -> None:
    welcome._show_step(1)
    model.script = server_error(400)
    welcome.hello.say.click()
    await until(lambda: welcome.hello.status.property("role") == "bad")
    assert welcome.hello.say.isEnabled()
    welcome.back.click()
    assert welcome.steps.currentIndex() == 0


async def test_what_runs_on_this_computer_is_found_when_chosen(
    welcome: WelcomeWindow, service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    welcome.cards["local"].click()
    await until(lambda: welcome.cards["local"].fact.text() == "Not found", "the search")
    assert not welcome.go.isEnabled()
    assert "ollama.com" in welcome.cards["local"].meaning.text()


async def test_connect_telegram_goes_to_the_channels(welcome: WelcomeWindow, qtbot) -> None:
    heard: list[str] = []
    welcome.channels_requested.connect(lambda: heard.append("channels"))
    welcome._show_step(1)
    welcome.telegram.click()
    await until(lambda: heard == ["channels"])


@pytest.mark.parametrize(
    ("provider", "models", "expected"),
    [
        ("openai", ["a", "gpt-5.4-mini"], "openai/gpt-5.4-mini"),
        ("openai", ["a", "b"], "openai/a"),
        ("my-server", ["big"], "my-server/big"),
        ("my-server", [], ""),
    ],
)
def test_the_model_to_start_with(provider: str, models: list[str], expected: str) -> None:
    assert recommended(provider, models) == expected


async def test_pictures(welcome: WelcomeWindow, palette: object, screenshot: Screenshot, model: ModelServer) -> None:
    screenshot(welcome, "welcome")
    welcome.cards["key"].click()
    screenshot(welcome, "welcome-key")
    welcome._show_step(1)
    model.script = Reply("Hello! I can **read files**, run commands and talk to you on Telegram.")
    welcome.hello.say.click()
    await until(lambda: welcome.telegram.isVisible(), "the answer")
    screenshot(welcome, "hello")
