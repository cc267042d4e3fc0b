"""What did not arrive is seen and sent again from the window; groups; the options of a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget
from shiboken6 import isValid

from agent.channels.channel import Inbound
from agent.service import AgentService
from agent.storage import groups, outbox
from desktop import tasks
from desktop.bridge import Bridge
from desktop.chat.window import ChatWindow
from desktop.settings.window import SettingsWindow
from desktop.tray_menu import entries
from desktop.widgets import Button
from tests.desktop.waiting import until
from tests.peers.model_server import ModelServer
from tests.peers.replies import Reply

Screenshot = Callable[[QWidget, str], Path]


async def lost(service: AgentService, model: ModelServer, number: int = 1) -> tuple[int, int]:
    """An answer that a messenger refused: its conversation and its number in the outbox."""
    model.script = Reply(f"The train leaves at 17:5{number} from platform 4.")
    inbound = Inbound("telegram", f"m{number}", str(number), "1", "Ada", "When does it leave?", title="Ada")
    finished = asyncio.Event()
    unsubscribe = service.events.subscribe(
        lambda event: finished.set() if type(event).__name__ == "TurnFinished" else None
    )
    await service._intake.accept(inbound, "owner")
    await finished.wait()
    unsubscribe()

    def fail(db: object) -> tuple[int, int]:
        row = db.execute("SELECT id, conversation_id FROM outbox ORDER BY id DESC LIMIT 1").fetchone()  # type: ignore[attr-defined]
        outbox.mark_failed(db, row["id"], "Forbidden: bot was blocked by the user")  # type: ignore[arg-type]
        return int(row["conversation_id"]), int(row["id"])

    return await service._database.write(fail)


@pytest.fixture
async def settings(service: AgentService, bridge: Bridge) -> AsyncIterator[SettingsWindow]:
    made = SettingsWindow(service, bridge)
    yield made
    await tasks.cancel_all()
    made.close()
    made.deleteLater()
    await until(lambda: not isValid(made), "the window to go")


@pytest.fixture
async def chat(service: AgentService, bridge: Bridge) -> AsyncIterator[ChatWindow]:
    made = ChatWindow(service, bridge)
    made.resize(900, 600)
    made.show()
    yield made
    await tasks.cancel_all()
    made.close()
    made.deleteLater()
    await until(lambda: not isValid(made), "the window to go")


def button(window: QWidget, name: str) -> Button | None:
    return window.findChild(Button, name)


@pytest.mark.usefixtures("palette")
async def test_undelivered_answers_and_groups_stand_on_the_page_of_channels(
    service: AgentService, model: ModelServer, bridge: Bridge, settings: SettingsWindow, screenshot: Screenshot
) -> None:
    _, first = await lost(service, model)
    _, second = await lost(service, model, 2)
    await service._database.write(lambda db: groups.enable(db, "telegram", "-100123", "Family", "1"))
    await bridge.refresh()
    menu = {entry.name: entry.text for entry in entries(bridge.state)}
    assert menu["trayUndelivered"] == "2 answers did not arrive… Show"
    settings.resize(980, 760)
    settings.show_page("channels")
    settings.show()
    await until(lambda: button(settings, f"resend{first}"), "the list")
    screenshot(settings, "settings-undelivered")

    found = button(settings, f"resend{first}")
    assert found is not None
    found.click()
    await until(lambda: button(settings, f"resend{first}") is None, "it to be tried again")
    assert [row.outbox_id for row in await service.deliveries.undelivered()] == [second]
    dismiss = button(settings, f"dismiss{second}")
    assert dismiss is not None
    dismiss.click()
    await until(lambda: button(settings, f"dismiss{second}") is None, "it to go")
    await bridge.refresh()  # as the application does at every change of the settings
    await until(lambda: "trayUndelivered" not in {entry.name for entry in entries(bridge.state)}, "the tray to know")
    leave = button(settings, "leave-telegram--100123")
    assert leave is not None
    leave.click()
    await until(lambda: button(settings, "leave-telegram--100123") is None, "the group to go")
    assert await service.groups() == []


async def test_an_answer_that_did_not_arrive_is_sent_again_from_its_foot(
    service: AgentService, model: ModelServer, chat: ChatWindow
) -> None:
    conversation, number = await lost(service, model)
    chat.show_conversation(conversation)
    await until(lambda: chat.timeline.boxes and chat.timeline.boxes[0].ending, "the turn")
    ending = chat.timeline.boxes[0].ending
    assert ending is not None and ending.resend.isVisible()
    assert "could not be delivered" in ending.facts.text()
    ending.resend.click()
    await until(lambda: not ending.resend.isVisible(), "the button to go")
    assert await service.deliveries.undelivered() == []
    row = await service._database.read(lambda db: outbox.get(db, number))
    assert row is not None and row.attempts == 0


@pytest.mark.usefixtures("palette")
@pytest.mark.qt_log_ignore("This plugin does not support grabbing the (keyboard|mouse)", extend=True)
async def test_the_options_of_a_conversation_are_chosen_from_its_header(
    service: AgentService, model: ModelServer, chat: ChatWindow, screenshot: Screenshot
) -> None:
    assert not chat.header.options.isVisible(), "a conversation that does not exist has none"
    model.script = Reply("Hello.")
    conversation = await service.new_conversation()
    chat.show_conversation(conversation)
    await until(lambda: chat._conversation is not None, "the conversation")
    for name, check in (("queue-steer", "steer"), ("safety-careful", "careful")):
        chat.header.options.click()
        menu = chat.findChild(QMenu, "optionsMenu")
        assert menu is not None
        screenshot(menu, "conversation-options")
        action = menu.findChild(QAction, name)
        assert action is not None
        action.trigger()
        menu.close()
        await until(
            lambda check=check: (
                chat._conversation and check in (chat._conversation.queue_mode, chat._conversation.safety_mode)
            ),
            "the choice",
        )  # type: ignore[misc]
        await until(lambda: chat.findChild(QMenu, "optionsMenu") is None, "the menu to go")
    found = await service.conversation(conversation)
    assert (found.queue_mode, found.safety_mode) == ("steer", "careful")


async def test_a_joined_message_says_that_the_turn_above_answers_it(
    service: AgentService, model: ModelServer, chat: ChatWindow
) -> None:
    go_on = asyncio.Event()
    model.script = [Reply("One.", before=go_on), Reply("Both.")]
    conversation = await service.new_conversation()
    await service.set_conversation_modes(conversation, queue="collect")
    chat.show_conversation(conversation)
    for text in ("one", "two", "three"):
        await service.send(conversation, text)
        await model.wait_for_chats()
    go_on.set()
    await until(lambda: len(chat.timeline.boxes) == 3 and not chat.transcript.running, "the answers")
    notes = [box.findChild(QWidget, "joinedNote") is not None for box in chat.timeline.boxes]
    assert notes == [False, False, True]
    assert [box.answer_text() for box in chat.timeline.boxes] == ["One.", "Both.", ""]
