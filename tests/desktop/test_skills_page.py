"""The page of skills: what is read there is what is accepted, and what happens elsewhere is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QAbstractButton, QWidget
from shiboken6 import isValid

from agent.events import Approval
from agent.service import AgentService
from agent.skills.shipped import SHIPPED
from desktop import tasks
from desktop.bridge import Bridge
from desktop.chat.approval_card import ApprovalCard
from desktop.settings.skill_row import SkillRow
from desktop.settings.skills import SkillsPage
from desktop.settings.window import SettingsWindow
from tests.desktop.waiting import until

SIMPLE = "---\nname: {name}\ndescription: {words}\n{more}---\n\n# Steps\n\n1. Read it.\n2. Write it down.\n"


def put(service: AgentService, name: str, words: str = "File invoices by supplier.", more: str = "") -> Path:
    folder = service.workspace().root / "skills" / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SIMPLE.format(name=name, words=words, more=more))
    return folder


@pytest.fixture
async def page(service: AgentService, bridge: Bridge) -> AsyncIterator[SkillsPage]:
    window = SettingsWindow(service, bridge)
    window.show_page("skills")
    window.show()
    made = window.page("skills")
    assert isinstance(made, SkillsPage)
    await until(lambda: made.place.detail.text(), "the page to read")
    yield made
    await tasks.cancel_all()
    window.close()
    window.deleteLater()
    await until(lambda: not isValid(window), "the window to go")


async def row(page: SkillsPage, name: str) -> SkillRow:
    page.entered()
    return await until(lambda: page.findChild(SkillRow, f"skill-{name}"), name)


async def test_without_skills_of_ones_own_it_says_how_to_come_by_one(page: SkillsPage) -> None:
    assert "None yet" in page.place.detail.text() and page.open_folder.isVisible()
    assert [one.title.text() for one in page.shipped.rows()] == sorted(SHIPPED)
    assert {one.status.text() for one in page.shipped.rows() if isinstance(one, SkillRow)} == {"Built in"}
    weather = await row(page, "weather")
    weather.opener.click()
    await until(weather.details.isVisible, "the text")
    assert "Open-Meteo" in weather.text.toPlainText()
    assert weather.accept.isHidden() and weather.withdraw.isHidden() and weather.folder.isHidden()
    weather.opener.click()
    assert weather.details.isHidden() and weather.opener.text() == "Show"


async def test_read_accepted_changed_and_withdrawn(page: SkillsPage, service: AgentService) -> None:
    folder = put(service, "invoices")
    invoices = await row(page, "invoices")
    assert (invoices.status.status, invoices.status.text()) == ("warn", "New")
    assert "its first use asks" in invoices.detail.text() and "workspace" in page.place.detail.text()
    assert invoices.accept.isHidden() or not invoices.accept.isVisible(), "nobody accepts unseen"
    invoices.opener.click()
    await until(invoices.accept.isVisible, "the text")
    assert "Write it down." in invoices.text.toPlainText() and invoices.withdraw.isHidden()
    invoices.accept.click()
    await until(lambda: invoices.status.text() == "Accepted", "the acceptance")
    await until(lambda: invoices.accept.isHidden() and invoices.withdraw.isVisible(), "the buttons")

    (folder / "SKILL.md").write_text((folder / "SKILL.md").read_text().replace("Write", "Send"))
    page.entered()
    await until(lambda: invoices.status.text() == "Changed", "the change")
    await until(lambda: "+2. Send it down." in invoices.text.toPlainText(), "the difference")
    assert "-2. Write it down." in invoices.text.toPlainText()
    invoices.withdraw.click()
    await until(lambda: invoices.status.text() == "New", "the withdrawal")
    assert [one.state for one in await service.skills.every() if one.name == "invoices"] == ["new"]


async def test_what_changed_after_it_was_shown_is_not_accepted(page: SkillsPage, service: AgentService) -> None:
    folder = put(service, "invoices")
    invoices = await row(page, "invoices")
    invoices.opener.click()
    await until(invoices.accept.isVisible, "the text")
    (folder / "more.md").write_text("and more")
    invoices.accept.click()
    await until(page.problem.isVisible, "the problem")
    assert "changed" in page.problem.title.text().lower()
    await until(lambda: "and more" in invoices.text.toPlainText(), "what it is now")
    assert [one.state for one in await service.skills.every() if one.name == "invoices"] == ["new"]


async def test_what_is_accepted_elsewhere_is_seen_and_what_is_gone_goes(
    page: SkillsPage, service: AgentService
) -> None:
    folder = put(service, "invoices")
    invoices = await row(page, "invoices")
    await service.skills.accept_named("invoices", (await service.skills.show("invoices")).digest)
    await until(lambda: invoices.status.text() == "Accepted", "the acceptance")
    (folder / "SKILL.md").unlink()
    page.entered()
    await until(lambda: not page.findChild(SkillRow, "skill-invoices") or invoices.isHidden(), "it to go")
    assert "None yet" in page.place.detail.text()


async def test_what_is_lacking_or_wrong_is_said(page: SkillsPage, service: AgentService) -> None:
    put(service, "needy", more='metadata: {"nanobot": {"requires": {"bins": ["no-such-program", "other"]}}}\n')
    put(service, "broken", words="")
    needy, broken = await row(page, "needy"), await row(page, "broken")
    assert (needy.status.status, needy.status.text()) == ("off", "Lacks program no-such-program")
    assert "program other" in needy.detail.text()
    assert broken.status.text() == "Cannot be used" and broken.opener.isHidden()
    assert broken.detail.text() == "skills/broken: its front matter has no description."


async def test_every_control_has_a_name(page: SkillsPage, service: AgentService) -> None:
    put(service, "invoices")
    invoices = await row(page, "invoices")
    invoices.opener.click()
    await until(invoices.accept.isVisible, "the text")
    buttons = [button for button in page.findChildren(QAbstractButton) if button.isVisible()]
    names = [button.accessibleName() or button.text() for button in buttons]
    assert all(names) and len(names) == len(set(names)), names


async def test_pictures(
    palette: object,
    page: SkillsPage,
    service: AgentService,
    screenshot: Callable[[QWidget, str], Path],
) -> None:
    put(service, "invoices")
    put(service, "meeting-notes", "Turn notes of a meeting into decisions and tasks.")
    put(
        service,
        "video",
        "Cut and convert films.",
        'metadata: {"nanobot": {"requires": {"bins": ["no-such-cutter"]}}}\n',
    )
    put(service, "broken", "")
    await service.skills.accept_named("meeting-notes", (await service.skills.show("meeting-notes")).digest)
    invoices = await row(page, "invoices")
    invoices.opener.click()
    await until(invoices.accept.isVisible, "the text")
    page.window().resize(1030, 860)
    await asyncio.sleep(0.1)  # drawn at rest
    screenshot(page.window(), "settings-skills")


async def test_the_question_offers_to_accept_and_shows_it(
    palette: object, service: AgentService, screenshot: Callable[[QWidget, str], Path]
) -> None:
    folder = put(service, "invoices")
    await service.skills.accept_named("invoices", (await service.skills.show("invoices")).digest)
    (folder / "SKILL.md").write_text((folder / "SKILL.md").read_text().replace("Write", "Send"))
    text = (await service.skills.show("invoices")).text
    reason = "nobody but its maker knows what it does"
    card = ApprovalCard(
        Approval("1", 1, 1, "c", "use_skill", "Accept the changes of a skill?", text, reason, False, "", 2e9)
    )
    card.resize(720, 420)
    card.show()
    await until(card.hint.isVisible, "the wish to have it read")
    assert not card.allow.isEnabled() and card.session.isHidden() and card.always.isHidden()
    screenshot(card, "approval-skill")
    bar = card.action.verticalScrollBar()
    bar.setValue(bar.maximum())
    assert card.allow.text() == "Accept" and card.allow.isEnabled()
    card.resolve("allow", "desktop")
    assert card.outcome.text() == "✓ Accepted, by you, here"
    card.deleteLater()
