"""The page of usage and limits, the tray's money and the card at a limit: what a person sees, presses and gets."""

from __future__ import annotations

import csv
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from agent.events import Failure
from agent.providers.types import Usage
from agent.service import AgentService
from agent.storage import usage
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.chat.failure_card import FailureCard
from desktop.settings.limits import AmountField
from desktop.settings.usage import UsagePage
from desktop.settings.usage_chart import MOST_SERIES, colours
from desktop.settings.window import SettingsWindow
from desktop.state import AppState
from desktop.theme import DARK, LIGHT, contrast
from desktop.widgets import Button
from tests.desktop.waiting import until

DAY = 86_400.0


async def spend(service: AgentService, model: str, usd: float, *, days_ago: float = 0, purpose: str = "chat") -> None:
    name, _, model = model.partition("/")
    tokens = Usage(1000, 100, 500)
    call = usage.Call(name, model, purpose, time.time() - days_ago * DAY, 60.0, "ok", tokens, usd, True)
    await service._database.write(lambda db: usage.add(db, None, None, call))


@pytest.fixture
async def page(service: AgentService, bridge: Bridge) -> AsyncIterator[UsagePage]:
    window = SettingsWindow(service, bridge)
    made = window.page("usage")
    assert isinstance(made, UsagePage)
    yield made
    await tasks.cancel_all()
    window.close()
    window.deleteLater()
    await until(lambda: not isValid(window), "the window to go")


async def show(page: UsagePage) -> None:
    window = page.window()
    assert isinstance(window, SettingsWindow)
    window.show_page("usage")
    window.show()
    await until(lambda: bool(page.today.value.text()), "the figures")
    assert page._reading is not None
    await page._reading


async def test_what_was_spent_is_shown_by_day_and_model(page: UsagePage, service: AgentService) -> None:
    await spend(service, "openai/gpt-5.4", 0.30)
    await spend(service, "openai/gpt-5.4", 0.20, days_ago=1)
    await spend(service, "anthropic/claude", 0.10)
    await spend(service, "openai/gpt-5.4-nano", 0.05, purpose="title")
    await show(page)

    assert (page.today.value.text(), page.today.beside.text()) == ("$0.45", "of $5.00")
    assert page.background.value.text() == "$0.05"
    assert page.table.rows[0] == ("openai/gpt-5.4", "2", "2,000", "200", "50%", "$0.50")
    assert page.chart.series == ["openai/gpt-5.4", "anthropic/claude", "openai/gpt-5.4-nano"]
    assert page.chart.days[-1].total == pytest.approx(0.45)
    assert "$0.65 in 14 days" in page.chart.accessibleDescription()
    assert page.empty.isHidden()


async def test_nothing_used_yet_says_so(page: UsagePage) -> None:
    await show(page)
    assert page.empty.isVisible()
    assert page.chart.isHidden()
    assert page.today.value.text() == "$0.00"


async def test_the_days_can_be_walked_by_keyboard(page: UsagePage, service: AgentService) -> None:
    await spend(service, "openai/gpt-5.4", 0.30)
    await show(page)
    QTest.keyClick(page.chart, Qt.Key.Key_Left)
    assert page.chart.current == len(page.chart.days) - 1
    assert "gpt-5.4 $0.30" in page.chart.accessibleDescription()
    QTest.keyClick(page.chart, Qt.Key.Key_Left)
    assert page.chart.current == len(page.chart.days) - 2


async def test_many_models_are_drawn_as_others(page: UsagePage, service: AgentService) -> None:
    for n in range(MOST_SERIES + 3):
        await spend(service, f"openai/m{n}", 0.10 + n / 100)
    await show(page)
    assert len(page.chart.series) == MOST_SERIES + 1
    assert page.chart.series[-1] == "others"
    assert sum(page.chart.days[-1].costs) == pytest.approx(page.chart.days[-1].total)
    page.chart.grab()  # draws without a complaint
    assert len(page.table.rows) == MOST_SERIES + 3


async def test_a_limit_that_is_near_or_reached_is_said_in_words(page: UsagePage, service: AgentService) -> None:
    await spend(service, "openai/gpt-5.4", 4.2)
    await show(page)
    assert "the limit is near" in page.today.beside.text()
    await spend(service, "openai/gpt-5.4", 1.0)
    await service.spending.raise_limit()
    page.entered()
    await until(lambda: "raised" in page.today.beside.text(), "the raised limit")
    assert page.today.beside.text().startswith("of $10.00, raised for now")


async def test_the_export_is_the_ledger_of_the_command_line(
    page: UsagePage, service: AgentService, tmp_path: Path
) -> None:
    await spend(service, "openai/gpt-5.4", 0.25)
    await page.export_to(tmp_path / "usage.csv")
    with (tmp_path / "usage.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert list(row)[:8] == [
        "date", "llm", "model", "module", "tokens_in", "tokens_out", "cost_usd", "duration_min",
    ]  # fmt: skip
    assert (row["llm"], row["model"], row["module"], row["cost_usd"], row["duration_min"]) == (
        "openai", "gpt-5.4", "chat", "0.25", "1.0",
    )  # fmt: skip
    await page.export_to(tmp_path / "nowhere" / "usage.csv")
    assert "could not be written" in page.problem.title.text()


async def test_limits_are_set_here(page: UsagePage, service: AgentService) -> None:
    await show(page)
    for name, usd in (("dailyLimit", 2.5), ("conversationLimit", 1.25)):
        field = page.findChild(AmountField, name)
        assert field is not None
        field.setValue(usd)
    budget = service.settings.budget
    await until(
        lambda: (service.settings.budget.daily_usd, service.settings.budget.conversation.daily_usd) == (2.5, 1.25),
        f"the settings, not {budget}",
    )


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_bars_stand_out_from_the_page(palette: theme.Palette) -> None:
    inks = [ink.name() for ink in colours(palette)]
    assert len(set(inks)) == len(inks) > MOST_SERIES
    assert all(contrast(ink, palette.bg) >= 3 for ink in inks)  # WCAG 1.4.11


def test_the_tray_says_when_the_limit_is_near_and_reached() -> None:
    said = [AppState(phase="running", spent_today=usd, daily_limit=5.0).money for usd in (0.42, 4.1, 5.0)]
    assert said == [
        "$0.42 of $5.00 today",
        "$4.10 of $5.00 today: the limit is near",
        "$5.00 of $5.00 today: the limit is reached",
    ]


@pytest.mark.parametrize(
    ("words", "label"),
    [("$5.00 of $5.00 are spent today.", "Raise today's limit"), ("… this month.", "Raise this month's limit")],
)
def test_at_a_limit_two_buttons_lead_on(qtbot: object, words: str, label: str) -> None:
    card = FailureCard(Failure("budget", "The spending limit is reached", words, "a hint", 3), "refused")
    qtbot.addWidget(card)  # type: ignore[attr-defined]
    asked: list[str] = []
    card.command_requested.connect(asked.append)
    buttons = {button.objectName(): button for button in card.findChildren(Button) if not button.isHidden()}
    assert buttons["raiseLimit"].text() == label
    for name in ("raiseLimit", "useLocalModel"):
        assert isinstance(buttons[name], QWidget)
        QTest.mouseClick(buttons[name], Qt.MouseButton.LeftButton)
    assert asked == ["/raise", "/local"]
