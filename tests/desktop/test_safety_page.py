"""The safety page, the standing permissions a question offers, and receipts and undo below an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from PySide6.QtWidgets import QLabel
from shiboken6 import isValid

from agent.events import Approval
from agent.providers.types import Usage
from agent.safety.grants import Rule
from agent.service import AgentService
from agent.views import CommandRun, FileChange, Receipt, UndoReport, UndoStep
from desktop import tasks
from desktop.bridge import Bridge
from desktop.chat.approval_card import ApprovalCard
from desktop.chat.receipt_panel import ReceiptPanel
from desktop.settings.safety import SafetyPage
from desktop.settings.window import SettingsWindow
from desktop.widgets import Button, ComboBox
from tests.desktop.waiting import until


@pytest.fixture
async def page(service: AgentService, bridge: Bridge) -> AsyncIterator[SafetyPage]:
    window = SettingsWindow(service, bridge)
    window.show_page("safety")
    window.show()
    made = window.page("safety")
    assert isinstance(made, SafetyPage)
    await until(lambda: made.safety.fence_row.detail.text(), "the fence")
    yield made
    await tasks.cancel_all()
    window.close()
    window.deleteLater()
    await until(lambda: not isValid(window), "the window to go")


async def test_the_fence_is_named_and_tried_out(page: SafetyPage) -> None:
    if page.safety.try_out.isHidden():
        assert "every command asks" in page.safety.fence_row.detail.text()
        return
    page.safety.try_out.click()
    await until(lambda: page.safety.proof.text(), "the proof")
    lines = page.safety.proof.text().splitlines()
    assert len(lines) >= 5 and all(line.startswith("✓") for line in lines), lines


async def test_folders_are_added_changed_and_removed(page: SafetyPage, service: AgentService) -> None:
    page.folders.add("/srv/documents")
    await until(lambda: service.settings.safety.folders, "the folder")
    await until(lambda: page.findChild(ComboBox, "folderAccess0"), "its row")
    assert not service.settings.safety.folders[0].write
    access = page.findChild(ComboBox, "folderAccess0")
    assert access is not None
    access.setCurrentIndex(1)
    access.activated.emit(1)
    await until(lambda: service.settings.safety.folders[0].write, "the change")
    assert service.workspace().place("/srv/documents/a.txt").access == "write"
    remove = page.findChild(Button, "folderRemove0")
    assert remove is not None
    remove.click()
    await until(lambda: not service.settings.safety.folders, "it to go")


async def test_a_permission_is_listed_and_revoked(page: SafetyPage, service: AgentService) -> None:
    await service._grants.add(Rule("command", "execute", "x", "git status in the workspace"), None, "desktop")
    await until(lambda: page.findChild(Button, "grantRevoke1"), "the row")
    shown = [label.text() for label in page.grants.findChildren(QLabel)]
    assert "Git status in the workspace" in shown
    revoke = page.findChild(Button, "grantRevoke1")
    assert revoke is not None
    revoke.click()
    await until(
        lambda: page.findChild(QLabel, "") is not None and not page.findChild(Button, "grantRevoke1"), "it to go"
    )
    assert await service.grants() == []


async def test_an_engine_that_needs_a_key_asks_for_it(page: SafetyPage, service: AgentService) -> None:
    assert page.search.key_row.isHidden() and page.search.address_row.isHidden()
    page.search.engine.setCurrentIndex(page.search.engine.findData("brave"))
    page.search.engine.activated.emit(1)
    await until(lambda: not page.search.key_row.isHidden(), "the field")
    page.search.key.submitted.emit("brave-key-123456")
    await until(lambda: page.search.key._stored, "the key to be kept")
    assert "brave" in await service.stored_keys()


def question(**more: object) -> Approval:
    fields = {"always": "", "expires_at": 2e9, **more}
    return Approval("1", 1, 1, "c", "run_command", "Run a command?", "git status", "it runs", False, **fields)  # type: ignore[arg-type]


async def test_a_question_offers_exact_permissions_and_names_what_was_read(qtbot: object) -> None:
    plain = ApprovalCard(question())
    assert plain.session.isHidden() and plain.always.isHidden()
    card = ApprovalCard(
        question(
            always="git status in the workspace",
            session="git status in the workspace",
            sources=("the web page evil.example/a",),
            sandbox="bubblewrap",
        )
    )
    chosen: list[str] = []
    card.decided.connect(lambda _id, choice: chosen.append(choice))
    card.show()
    assert not card.always.isEnabled(), "it wakes like Allow once"
    await until(card.always.isEnabled, "Always to wake")
    assert "evil.example/a" in card.why.text() and "bubblewrap" in card.why.text()
    card.always.click()
    assert chosen == ["always"] and not card.allow.isEnabled()
    card.resolve("always", "desktop")
    assert "Allowed always" in card.outcome.text()
    for widget in (plain, card):
        widget.deleteLater()


async def test_a_receipt_says_what_was_done_and_undo_what_came_of_it(qtbot: object) -> None:
    panel = ReceiptPanel()
    panel.show_receipt(
        Receipt(
            turn_id=1,
            conversation_id=1,
            status="answered",
            started_at=0.0,
            model="m",
            files=(FileChange("a.txt", "created", None, 3, True), FileChange("big", "changed", 9, 3, False)),
            commands=(CommandRun("ls", 0, 0.1, "bubblewrap"), CommandRun("sleep", None, 9.0, "")),
            hosts=("example.com",),
            messages=(),
            sources=("the web page example.com",),
            denied=("Run rm",),
            gaps=(),
            usage=Usage(),
            cost_usd=0.0,
            undone=False,
            undoable=True,
            hash="ab" * 32,
            intact=False,
        )
    )
    words = "\n".join(panel.lines())
    for part in (
        "a.txt: created",
        "too large",
        "exit code 0, behind bubblewrap",
        "by force, without a fence",
        "Run rm",
    ):
        assert part in words
    assert "was changed after the turn" in words and "abababababab" in words
    panel.show_undo(UndoReport((1,), False, (UndoStep("a.txt", "conflict", "it was changed since"),)))
    assert panel.lines() == ["✗ Not undone, and nothing was touched", "a.txt: in the way (it was changed since)"]
    panel.deleteLater()
