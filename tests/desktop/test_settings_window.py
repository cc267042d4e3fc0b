"""The settings: what a person types and presses there is what the agent and the keyring hold afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from agent.providers.types import Usage
from agent.service import AgentService
from agent.settings import STARTER
from agent.storage import usage
from desktop import tasks
from desktop.bridge import Bridge
from desktop.settings.keyring import PassphraseDialog
from desktop.settings.limits import LimitsCard
from desktop.settings.safety import SafetyCard
from desktop.settings.window import SettingsWindow
from desktop.widgets import Button
from tests.desktop.waiting import until
from tests.peers.discord_api import DiscordApi
from tests.peers.model_server import ModelServer
from tests.peers.slack_api import SlackApi
from tests.peers.telegram_api import TelegramApi

Screenshot = Callable[[QWidget, str], Path]
W = TypeVar("W", bound=QWidget)
TOKEN = "700700:test-token"


@pytest.fixture
async def window(service: AgentService, bridge: Bridge) -> AsyncIterator[SettingsWindow]:
    made = SettingsWindow(service, bridge)
    made.show()
    yield made
    await tasks.cancel_all()
    made.close()
    made.deleteLater()
    await until(lambda: not isValid(made), "the window to go")


def find(window: QWidget, kind: type[W], name: str) -> W:
    found = window.findChild(kind, name)
    assert found is not None, name
    return found


async def ready(window: SettingsWindow) -> QWidget:
    """The page of models, once it has read."""
    page = window.page("models")
    await until(lambda: find(window, Button, "addProviderOpen").isEnabled(), "the providers")
    return page


async def test_the_page_names_where_keys_are_kept_and_what_answers(window: SettingsWindow) -> None:
    page = await ready(window)
    assert "Keys are kept in your keyring (tests.desktop.memory_keyring)" in page.header.subtitle.text()
    assert page.choice.currentText() == "local · fake-1"
    assert [row.title.text() for row in page.rows()] == ["local", "Starter model"]


async def test_a_key_is_tested_and_kept(window: SettingsWindow, stored: dict[str, str], model: ModelServer) -> None:
    model.api_key = "sk-right"
    page = await ready(window)
    row = page.rows()[0]
    row.enter_key()
    QTest.keyClicks(row.field.input, "sk-right")
    row.field.save.click()
    await until(lambda: row.status.text().startswith("Works, "), "the test")
    assert row.status.text().endswith("s · 2 models")
    assert stored == {"provider:local": "sk-right"}
    assert row.field.input.text() == ""
    await until(lambda: row.detail.text().startswith("Key stored"))
    await until(lambda: page.choice.findData("local/fake-2") >= 0, "its models in the list")


async def test_a_refused_key_is_not_kept_and_can_be_corrected(
    window: SettingsWindow, stored: dict[str, str], model: ModelServer
) -> None:
    model.api_key = "sk-right"
    page = await ready(window)
    row = page.rows()[0]
    row.enter_key()
    QTest.keyClicks(row.field.input, "sk-wrong")
    row.field.save.click()
    await until(lambda: row.status.text() == "Key refused")
    assert row.status.status == "bad"
    assert stored == {}
    assert row.field.input.text() == "sk-wrong"
    assert row.detail.text()


async def test_removing_a_key_asks_once(window: SettingsWindow, service: AgentService, stored: dict[str, str]) -> None:
    await service.set_key("local", "sk-1")
    page = await ready(window)
    row = page.rows()[0]
    await until(lambda: row.view.has_key and row.isVisible())  # a layout shows what it is given with the next event
    row._ask_removal()
    assert row.confirm.isVisible()
    row.keep.click()
    assert not row.confirm.isVisible()
    assert stored == {"provider:local": "sk-1"}
    row._ask_removal()
    row.confirm.click()
    await until(lambda: "local" not in service.settings.providers, "the provider to go")
    assert stored == {}
    await until(lambda: "Choose another" in page.answer_row.detail.text(), "that nothing answers now")


async def test_another_provider_is_added_by_address(
    window: SettingsWindow, service: AgentService, stored: dict[str, str]
) -> None:
    async with ModelServer(models=("big",), api_key="sk-2") as other:
        page = await ready(window)
        page.add_button.click()
        form = page.form
        form.choice.setCurrentIndex(form.choice.count() - 1)
        assert not form.save.isEnabled()
        QTest.keyClicks(form.name, "my server")
        QTest.keyClicks(form.address, other.base_url)
        form.save.click()
        await until(lambda: "lower case letters" in form.message.text())
        form.name.setText("my-server")
        QTest.keyClicks(form.key, "sk-wrong")
        form.save.click()
        await until(lambda: form.status.text() == "Key refused")
        assert "my-server" not in service.settings.providers
        form.key.setText("sk-2")
        form.save.click()
        await until(lambda: stored == {"provider:my-server": "sk-2"})
        assert service.settings.providers["my-server"].base_url == other.base_url
        row = await until(lambda: find_row(page, "my-server"), "its row")
        await until(lambda: row.status.text().endswith("1 model"))
        row.use_button.click()
        await until(lambda: service.settings.model.default == "my-server/big")


def find_row(page: QWidget, title: str):
    return next((row for row in page.rows() if row.title.text() == title), None)


async def test_what_answers_can_be_typed_and_a_mistake_is_named(window: SettingsWindow, service: AgentService) -> None:
    page = await ready(window)
    page.choice.setEditText("local/fake-9")
    page.choice.lineEdit().editingFinished.emit()
    await until(lambda: service.settings.model.default == "local/fake-9")
    page.choice.setEditText("nobody/x")
    page.choice.lineEdit().editingFinished.emit()
    await until(lambda: "no provider “nobody”" in page.answer_row.detail.text())
    assert service.settings.model.default == "local/fake-9"
    assert page.choice.currentText() == "local · fake-9"
    page.starter.use_button.click()
    await until(lambda: service.settings.model.default == STARTER)
    await until(lambda: page.starter.use_button.text() == "In use")


async def test_a_dead_server_is_said_in_its_row(window: SettingsWindow, model: ModelServer) -> None:
    await model.stop()
    page = await ready(window)
    row = page.rows()[0]
    row.test_button.click()
    await until(lambda: row.status.text() == "Not reached")
    assert "127.0.0.1" in row.detail.text()


async def test_a_locked_keyring_says_so_and_what_to_do(
    window: SettingsWindow, monkeypatch: pytest.MonkeyPatch, service: AgentService
) -> None:
    page = await ready(window)
    from tests.desktop.memory_keyring import LockedKeyring

    monkeypatch.setattr(service.secrets, "_backend", LockedKeyring())
    row = page.rows()[0]
    row.enter_key()
    QTest.keyClicks(row.field.input, "sk-1")
    row.field.save.click()
    await until(lambda: page.keyring.isVisible())
    assert page.keyring.title.text() == "The keyring is locked"
    assert page.keyring.action.text() == "Try again"
    assert row.status.text() == "Not saved"


async def test_without_a_keyring_an_encrypted_file_is_offered_and_made_only_with_consent(
    window: SettingsWindow, monkeypatch: pytest.MonkeyPatch, service: AgentService
) -> None:
    page = await ready(window)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    service.secrets._backend = None
    page.entered()
    await until(lambda: page.keyring.isVisible())
    assert page.keyring.title.text() == "This computer has no keyring"
    assert not service.paths.secrets_file.exists()
    page.keyring.action.click()
    dialog = page.keyring.dialog
    assert isinstance(dialog, PassphraseDialog)
    QTest.keyClicks(dialog.first, "short")
    dialog.ok.click()
    assert "at least" in dialog.mistake.text()
    dialog.first.setText("correct horse battery")
    dialog.second.setText("correct horse")
    dialog.ok.click()
    assert dialog.mistake.text() == "The two are not the same."
    dialog.second.setText("correct horse battery")
    dialog.ok.click()
    await until(lambda: page.keyring.isHidden(), "the file to be used")
    await service.set_key("local", "sk-in-the-file")
    assert service.paths.secrets_file.exists()
    assert b"sk-in-the-file" not in service.paths.secrets_file.read_bytes()


async def test_telegram_is_set_up_paired_and_revoked(
    window: SettingsWindow, service: AgentService, stored: dict[str, str]
) -> None:
    async with TelegramApi(TOKEN) as api:
        api.add_user(88210934, "Ada")
        await service.change_settings({"channels.telegram.api_base": api.root_url})
        window.show_page("channels")
        page = window.page("channels")
        row = await until(lambda: page._channels.get("telegram"), "the row")
        row.set_up.click()
        QTest.keyClicks(row.field.input, "700700:wrong")
        row.field.save.click()
        await until(lambda: row.detail.property("role") == "bad", "the refusal")
        assert stored == {}
        row.field.input.setText(TOKEN)
        row.field.save.click()
        await until(lambda: row.status.text() == "Ready", "the bot")
        assert stored == {"channel:telegram": TOKEN}
        assert row.switch.isChecked()

        await api.say(88210934, "Hello?")
        await api.wait_for_reply(88210934)
        pair = await until(
            lambda: next((b for b in page.pairings.findChildren(Button) if b.objectName().startswith("pair-")), None),
            "the request",
        )
        assert "88210934" in page.pairings.rows()[0].title.text()
        pair.click()
        revoke = await until(lambda: page.findChild(Button, "revoke-telegram-88210934"), "the person")
        assert page.pairings.isHidden()
        revoke.click()
        await until(lambda: page.people.isHidden(), "the person to go")

        row.switch.click()
        await until(lambda: row.status.text() == "Stopped")
        assert service.settings.channels.telegram.enabled is False


async def test_slack_is_set_up_with_its_two_tokens(
    window: SettingsWindow, service: AgentService, stored: dict[str, str]
) -> None:
    async with SlackApi() as api:
        await service.change_settings({"channels.slack.api_base": api.api_base})
        window.show_page("channels")
        row = await until(lambda: window.page("channels")._channels.get("slack"), "the row")
        row.set_up.click()
        assert row.manifest is not None
        row.manifest.click()
        assert '"socket_mode_enabled": true' in QGuiApplication.clipboard().text()
        bot, app = row.fields["slack"], row.fields["slack-app"]
        await until(lambda: not app.isEnabled(), "the second token to wait for the first")
        QTest.keyClicks(bot.input, "xoxb-1-wrong")
        bot.save.click()
        await until(lambda: row.detail.property("role") == "bad", "the refusal")
        assert stored == {}
        bot.input.setText(api.token)
        bot.save.click()
        await until(lambda: app.isEnabled() and bot.stored, "the second token to be asked for")
        assert stored == {"channel:slack": api.token}
        assert "app-level token" in row.detail.text()
        app.input.setText("xapp-1-wrong")
        app.save.click()
        await until(lambda: row.detail.property("role") == "bad", "the refusal")
        app.input.setText(api.app_token)
        app.save.click()
        await until(lambda: row.status.text() == "Ready", "the app")
        assert stored == {"channel:slack": api.token, "channel:slack-app": api.app_token}
        assert bot.isHidden()
        assert row.manifest.isHidden()

        row.enter_token()
        await until(lambda: bot.isVisible() and bot.stored and app.stored, "both to be shown as stored")
        app.remove.click()
        await until(lambda: not app.stored, "one of them to be removed")
        assert stored == {"channel:slack": api.token}
        row.set_up.click()
        row._ask_removal()
        row.confirm.click()
        await until(lambda: stored == {}, "the removal")
        await until(lambda: row.set_up.isVisible() and row.set_up.text() == "Set up")


async def test_discord_says_what_is_missing_and_is_set_up(
    window: SettingsWindow, service: AgentService, stored: dict[str, str]
) -> None:
    async with DiscordApi() as api:
        where = {"channels.discord.api_base": api.api_base, "channels.discord.gateway_url": api.gateway_url}
        await service.change_settings(where)
        window.show_page("channels")
        row = await until(lambda: window.page("channels")._channels.get("discord"), "the row")
        row.set_up.click()
        assert "Message Content Intent" in row.detail.text()
        api.gateway.allowed_intents &= ~(1 << 15)
        row.field.input.setText(api.token)
        row.field.save.click()
        await until(lambda: row.detail.property("role") == "bad", "the missing intent")
        assert "may not read messages" in row.detail.text()
        assert stored == {}
        api.gateway.allowed_intents |= 1 << 15
        row.field.input.setText(api.token)
        row.field.save.click()
        await until(lambda: row.status.text() == "Ready", "the bot")
        assert stored == {"channel:discord": api.token}
        assert "is in no server yet" in row.detail.text()


async def test_a_token_stored_from_elsewhere_is_found_when_the_page_opens(
    window: SettingsWindow, service: AgentService, stored: dict[str, str]
) -> None:
    stored["channel:telegram"] = TOKEN
    assert not service.channels()[0].configured
    window.show_page("channels")
    row = await until(lambda: window.page("channels")._channels.get("telegram"), "its row")
    await until(lambda: row.switch.isVisible(), "the switch")
    assert not row.set_up.isVisible()
    assert row.status.text() == "Stopped"


async def test_general_settings_apply_at_once(
    window: SettingsWindow, service: AgentService, private_home: Path
) -> None:
    window.show_page("general")
    page = window.page("general")
    await until(lambda: page.folder_row.detail.text())
    page.look.setCurrentIndex(page.look.findData("dark"))
    page.look.activated.emit(page.look.currentIndex())
    await until(lambda: service.settings.desktop.theme == "dark")
    page.text_size.setCurrentIndex(page.text_size.findData(125))
    page.text_size.activated.emit(0)
    await until(lambda: service.settings.desktop.text_percent == 125)
    page.tray.click()
    await until(lambda: service.settings.desktop.close_to_tray is False)
    page.login.click()
    entry = private_home / "config" / "autostart" / "trayclaw.desktop"
    await until(entry.exists, "the autostart entry")
    assert "--background" in entry.read_text()
    page.login.click()
    await until(lambda: not entry.exists(), "the entry to go")


async def limits(window: SettingsWindow) -> LimitsCard:
    """The limits on the page "Usage & limits", once it has read."""
    window.show_page("usage")
    card = find(window, LimitsCard, "limits")
    await until(lambda: card.day_row.detail.text(), "the page to read")
    return card


async def test_limits_apply_at_once(window: SettingsWindow, service: AgentService) -> None:
    card = await limits(window)
    window.show_page("safety")
    safety = find(window, SafetyCard, "safety")
    await until(lambda: safety.mode_row.detail.text(), "the page to read")
    assert (card.daily.text(), card.monthly.text(), safety.mode.currentText()) == ("$5.00", "$50.00", "Balanced")
    window.show_page("usage")
    card.daily.selectAll()
    QTest.keyClicks(card.daily, "2.5")
    assert service.settings.budget.daily_usd == 5, "not before it is all typed"
    QTest.keyClick(card.daily, Qt.Key.Key_Return)
    await until(lambda: service.settings.budget.daily_usd == 2.5)
    QTest.keyClick(card.monthly, Qt.Key.Key_Up)
    QTest.keyClick(card.monthly, Qt.Key.Key_Up)
    await until(lambda: service.settings.budget.monthly_usd == 52)
    for mode, says in (("careful", "Asks before every"), ("autonomous", "Changes files"), ("balanced", "fenced")):
        safety.mode.setCurrentIndex(safety.mode.findData(mode))
        safety.mode.activated.emit(safety.mode.currentIndex())
        await until(lambda mode=mode: service.settings.safety.mode == mode)
        assert says in safety.mode_row.detail.text()
    written = service.paths.config_file.read_text()
    assert "daily_usd = 2.5" in written
    assert "monthly_usd = 52.0" in written
    assert 'mode = "balanced"' in written


async def test_limits_changed_elsewhere_are_shown_but_not_over_what_is_being_typed(
    window: SettingsWindow, service: AgentService
) -> None:
    card = await limits(window)
    card.daily.selectAll()
    QTest.keyClicks(card.daily, "12")
    await service.change_settings({"budget.monthly_usd": 20.0})
    await until(lambda: card.monthly.text() == "$20.00")
    assert card.daily.text() == "$12"


async def test_what_was_spent_stands_beside_the_limits(window: SettingsWindow, service: AgentService) -> None:
    def call(usd: float) -> usage.Call:
        return usage.Call("openai", "gpt-5", "chat", time.time(), 1.0, "ok", Usage(100, 10), usd, True)

    card = await limits(window)
    assert card.day_row.detail.text() == "$0.00 spent today"
    await service._database.write(lambda db: usage.add(db, None, None, call(0.004)))
    window.page("usage").entered()
    await until(lambda: card.day_row.detail.text() == "less than $0.01 spent today")
    await service._database.write(lambda db: usage.add(db, None, None, call(5.2)))
    conversation = await service.new_conversation()
    await service.send(conversation, "/status")  # ends a turn: the page reads again by itself
    await until(lambda: card.day_row.detail.text() == "$5.20 spent today · the limit is reached")
    assert card.month_row.detail.text() == "$5.20 spent this month"
    await service.change_settings({"budget.monthly_usd": 0.0})
    await until(lambda: "only models on this computer answer" in card.month_row.detail.text())


async def test_settings_that_cannot_be_written_are_told_and_shown_as_they_are(
    window: SettingsWindow, service: AgentService
) -> None:
    window.show_page("general")
    page = window.page("general")
    service.paths.config_file.write_text("this is = = not toml")
    page.tray.click()
    await until(lambda: page.problem.isVisible())
    assert "config.toml" in page.problem.text.text()
    await until(lambda: page.tray.isChecked(), "the switch to tell the truth")


async def test_every_page_opens_and_every_control_has_a_name(window: SettingsWindow) -> None:
    from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit

    for key in ("models", "channels", "tools", "usage", "general", "about"):
        window.show_page(key)
        await until(lambda key=key: window.page(key).isVisible())
    await ready(window)
    nameless = [
        f"{type(widget).__name__} {widget.objectName()}"
        for kind in (QAbstractButton, QComboBox, QLineEdit)
        for widget in window.findChildren(kind)
        if not widget.isHidden()
        and not (widget.accessibleName() or getattr(widget, "text", str)() or widget.objectName().startswith("qt_"))
    ]
    assert nameless == []


@pytest.mark.parametrize("page", ["models", "channels", "general", "about"])
async def test_pictures(window: SettingsWindow, palette: object, screenshot: Screenshot, page: str) -> None:
    await ready(window)
    window.show_page(page)
    await until(lambda: window.page(page).isVisible())
    await asyncio.sleep(0.1)  # drawn at rest
    screenshot(window, f"settings-{page}")


async def test_picture_of_slacks_two_tokens(
    window: SettingsWindow, service: AgentService, stored: dict[str, str], palette: object, screenshot: Screenshot
) -> None:
    stored["channel:slack"] = "xoxb-1"
    window.show_page("channels")
    row = await until(lambda: window.page("channels")._channels.get("slack"), "the row")
    row.enter_token()
    await until(lambda: row.field.stored, "the stored token")
    await asyncio.sleep(0.1)  # drawn at rest
    screenshot(window, "settings-channels-slack")
