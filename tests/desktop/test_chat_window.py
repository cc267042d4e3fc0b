"""The chat window on a real agent: what is written is answered, stopped, allowed, denied, found again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QColor, QDesktopServices, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QMenu, QWidget

from agent.channels.channel import Inbound
from agent.errors import StorageError
from agent.service import AgentService
from desktop import tasks, theme
from desktop.bridge import Bridge
from desktop.chat.approval_card import ApprovalCard
from desktop.chat.failure_card import FailureCard
from desktop.chat.markdown.code_card import CodeCard
from desktop.chat.markdown.prose import Prose
from desktop.chat.model_menu import ModelMenu
from desktop.chat.question_card import QuestionCard
from desktop.chat.reasoning import Reasoning
from desktop.chat.sent_card import SentCard
from desktop.chat.turn_box import TurnBox
from desktop.chat.window import ChatWindow
from tests.conftest import LogGuard
from tests.desktop.waiting import until
from tests.peers import replies
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Ending, HttpFault, Reply

SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture
async def window(service: AgentService, bridge: Bridge) -> AsyncIterator[ChatWindow]:
    made = ChatWindow(service, bridge)
    made.resize(1000, 700)
    made.show()
    made.activateWindow()
    await until(lambda: made.list.nothing.text() or made.list.model.rows, "the list")
    yield made
    made.hide()
    await tasks.cancel_all()
    made.deleteLater()


def write(window: ChatWindow, text: str) -> None:
    """Type a message and press Enter."""
    window.composer.line.setPlainText(text)
    QTest.keyClick(window.composer.line, Qt.Key.Key_Return)


async def answered(window: ChatWindow, count: int = 1) -> TurnBox:
    """The last of `count` turns, when it has ended and is rendered."""
    boxes = window.timeline.boxes
    await until(lambda: len(window.timeline.boxes) >= count, "the turn")
    boxes = window.timeline.boxes
    await until(lambda: boxes[count - 1].ending is not None, "the end of the turn")
    await until(lambda: all(view.settled for view in boxes[count - 1]._views()), "the rendering")
    return boxes[count - 1]


def prose(box: QWidget) -> str:
    """All text of the answer."""
    return "\n".join(one.toPlainText() for one in box.findChildren(Prose))


async def asked(window: ChatWindow) -> ApprovalCard:
    """The question that waits for an answer."""
    await until(lambda: window.timeline.boxes and window.timeline.boxes[-1].open_approval(), "the question")
    card = window.timeline.boxes[-1].open_approval()
    assert card is not None
    return card


def qapp() -> QApplication:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app


def picture(window: QWidget, name: str) -> None:
    """Keep a picture of the window for people to look at; fails when it is blank."""
    image = window.grab().toImage()
    seen = {image.pixel(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 5)}
    assert len(seen) > 8, f"{name} is blank"
    SCREENSHOTS.mkdir(exist_ok=True)
    assert image.save(str(SCREENSHOTS / f"{name}.png"))


RUN = Reply(calls=[Call("run_command", {"command": "echo hello-from-the-shell", "network": True})])


async def test_a_message_is_answered_as_it_streams(window: ChatWindow, model: ModelServer) -> None:
    halfway = asyncio.Event()
    model.script = Reply("The first paragraph.\n\nThe second one is here.", halfway=halfway, prompt_tokens=12)
    write(window, "Hello there")
    await until(lambda: window.timeline.boxes and "first" in prose(window.timeline.boxes[0]), "the first words")
    box = window.timeline.boxes[0]
    assert box.question_text == "Hello there"
    assert window.composer.stop.isVisible() and not window.composer.send.isVisible()
    assert window.composer.line.toPlainText() == ""
    halfway.set()
    await answered(window)
    assert prose(box) == "The first paragraph.\nThe second one is here."
    assert box.ending is not None
    assert "tokens" in box.ending.facts.text() and "fake-1" in box.ending.facts.text()
    assert window.composer.send.isVisible() and not window.composer.stop.isVisible()
    await until(lambda: window.header.title.text() == "Hello there", "the title")
    await until(lambda: len(window.list.model.rows) == 1, "the list")


async def test_shift_enter_is_a_new_line(window: ChatWindow, model: ModelServer) -> None:
    line = window.composer.line
    height = line.sizeHint().height()
    for word in ("one", "two", "three", "four"):
        QTest.keyClicks(line, word)
        QTest.keyClick(line, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert line.toPlainText() == "one\ntwo\nthree\nfour\n"
    assert line.sizeHint().height() > height
    assert not model.chats


async def test_esc_stops_within_a_second_and_keeps_the_words(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("word " * 500, chunk_delay=0.02)
    write(window, "Tell me a story")
    await until(lambda: window.timeline.boxes and "word word" in prose(window.timeline.boxes[0]), "the first words")
    pressed = time.monotonic()
    QTest.keyClick(window.composer.line, Qt.Key.Key_Escape)
    box = await answered(window)
    assert time.monotonic() - pressed < 1.0
    assert box.ending is not None and box.ending.facts.text().startswith("Stopped")
    assert "word word" in prose(box)


async def test_messages_wait_for_their_turn(window: ChatWindow, model: ModelServer) -> None:
    hold = asyncio.Event()
    model.script = [Reply("one", before=hold), Reply("two")]
    write(window, "First")
    await until(lambda: window.timeline.boxes, "the first turn")
    write(window, "Second")
    await until(lambda: len(window.timeline.boxes) == 2, "the second turn")
    second = window.timeline.boxes[1]
    waiting = second.question.findChild(QWidget, "waiting")
    assert waiting is not None and waiting.isVisible()
    hold.set()
    await answered(window, 2)
    assert not waiting.isVisible()
    assert prose(second) == "two"


async def test_an_action_is_allowed(window: ChatWindow, model: ModelServer) -> None:
    model.script = [RUN, Reply("It said hello.")]
    write(window, "Run it")
    card = await asked(window)
    assert "echo hello-from-the-shell" in card.action.toPlainText()
    assert "It cannot be undone." in card.why.text()
    assert card.deny.hasFocus()
    assert not card.allow.isEnabled()
    began = time.monotonic()
    await until(card.allow.isEnabled, "Allow to wake")
    assert time.monotonic() - began > 0.5
    assert window.list.model.state(window.list.model.rows[0]).startswith("Waiting for you")
    QTest.mouseClick(card.allow, Qt.MouseButton.LeftButton)
    box = await answered(window)
    assert not card.is_open
    assert card.outcome.text() == "✓ Allowed once, by you, here"
    (tool,) = box._tools.values()
    assert tool.ok is True
    tool.line.button.click()
    details = tool.findChild(QWidget, "toolDetails")
    assert details is not None and details.isVisible()
    texts = [code.toPlainText() for code in details.findChildren(type(card.action))]
    assert any("hello-from-the-shell" in text for text in texts)


async def test_an_action_is_seen_whole_at_any_width(window: ChatWindow, model: ModelServer) -> None:
    command = "echo " + " ".join(f"word-{number}" for number in range(18))
    model.script = [Reply(calls=[Call("run_command", {"command": command, "network": True})]), Reply("Then not.")]
    write(window, "Run it")
    card = await asked(window)
    bar = card.action.verticalScrollBar()
    await until(lambda: bar.maximum() == 0, "all of it")
    before = card.action.height()
    window.resize(720, 700)
    await until(lambda: card.action.height() > before, "the new height")
    await until(lambda: bar.maximum() == 0, "all of it in a narrow window")
    theme.apply(qapp(), "light", text_scale=1.5)
    try:
        await until(lambda: card.action.height() > 1.5 * before, "the new height")
        await until(lambda: bar.maximum() == 0, "all of it in large letters")
    finally:
        theme.apply(qapp(), "light", text_scale=1.0)
    card.deny.click()
    await answered(window)


async def test_an_action_is_denied_by_the_key_that_has_the_focus(window: ChatWindow, model: ModelServer) -> None:
    model.script = [RUN, Reply("Then not.")]
    write(window, "Run it")
    card = await asked(window)
    QTest.keyClick(card.deny, Qt.Key.Key_Space)
    box = await answered(window)
    assert card.outcome.text() == "✗ Denied, by you, here"
    (tool,) = box._tools.values()
    assert tool.ok is False
    assert prose(box) == "Then not."


async def test_a_question_does_not_take_the_focus_from_who_writes(window: ChatWindow, model: ModelServer) -> None:
    hold = asyncio.Event()
    model.script = [Reply(calls=RUN.calls, before=hold), Reply("Then not.")]
    write(window, "Run it")
    await until(lambda: window.timeline.boxes, "the turn")
    window.composer.line.setFocus()
    QTest.keyClicks(window.composer.line, "and al")
    hold.set()
    card = await asked(window)
    assert window.composer.line.hasFocus()
    card.deny.click()
    await answered(window)


async def test_a_long_action_is_read_to_its_end_first(window: ChatWindow, model: ModelServer) -> None:
    text = "\n".join(f"line {number}" for number in range(200))
    model.script = [Reply(calls=[Call("write_file", {"path": "long.txt", "text": text})]), Reply("Written.")]
    write(window, "Write it")
    card = await asked(window)
    await until(card.hint.isVisible, "the hint")
    assert not card.allow.isEnabled()
    bar = card.action.verticalScrollBar()
    bar.setValue(bar.maximum())
    assert card.allow.isEnabled()
    card.allow.click()
    box = await answered(window)
    assert prose(box) == "Written."


async def test_a_decision_elsewhere_is_shown(window: ChatWindow, service: AgentService, model: ModelServer) -> None:
    model.script = [RUN, Reply("Then not.")]
    write(window, "Run it")
    card = await asked(window)
    await service.resolve_approval(card.approval.id, "deny", "telegram:4242")
    await answered(window)
    assert card.outcome.text() == "✗ Denied, on Telegram"


async def test_a_refused_key_leads_to_the_settings(window: ChatWindow, model: ModelServer) -> None:
    model.script = replies.unauthorized()
    pages: list[str] = []
    window.settings_requested.connect(pages.append)
    write(window, "Hello")
    box = await answered(window)
    card = box.findChild(FailureCard)
    assert card is not None
    assert card.title.text() and card.action.text() == "Open settings"
    card.action.click()
    assert pages == ["models"]


async def test_a_broken_answer_is_kept_and_asked_again(
    window: ChatWindow, model: ModelServer, log_guard: LogGuard
) -> None:
    model.script = [Reply("Half of it is here already", ending=Ending.CUT), Reply("All of it.")]
    write(window, "Hello")
    box = await answered(window)
    assert "Half" in prose(box)
    card = box.findChild(FailureCard)
    assert card is not None and card.action.text() == "Try again"
    card.action.click()
    again = await answered(window, 2)
    assert again.question_text == "Hello"
    assert prose(again) == "All of it."


async def test_a_conversation_is_read_again_with_its_tools(window: ChatWindow, model: ModelServer) -> None:
    model.script = [
        Reply("I look.", calls=[Call("list_dir", {"path": "."})], reasoning="Let me think."),
        Reply("```python\nprint(1)\n```\n\nEmpty."),
        HttpFault(400, "no"),
    ]
    write(window, "What is there?")
    await answered(window)
    write(window, "And now?")
    await answered(window, 2)
    number = window.conversation
    window.show_conversation(None)
    assert window.pages.currentWidget() is window.welcome
    window.show_conversation(number)
    await until(lambda: len(window.timeline.boxes) == 2, "the turns")
    assert not window.composer.stop.isVisible()
    first = await answered(window)
    assert [one.toPlainText() for one in first.findChildren(Prose)] == ["I look.", "Empty."]
    assert len(first._tools) == 1 and next(iter(first._tools.values())).ok
    card = first.findChild(CodeCard)
    assert card is not None
    card.copy.click()
    assert QGuiApplication.clipboard().text() == "print(1)"
    assert (await answered(window, 2)).findChild(FailureCard) is not None
    assert first.findChild(QWidget, "reasoning") is not None


async def test_a_running_answer_is_joined_in_the_middle(window: ChatWindow, model: ModelServer) -> None:
    halfway = asyncio.Event()
    model.script = Reply("One two three four five six", halfway=halfway)
    write(window, "Count")
    await until(lambda: window.timeline.boxes and "One two" in prose(window.timeline.boxes[0]), "the first words")
    number = window.conversation
    window.show_conversation(None)
    assert not window.composer.stop.isVisible()
    window.show_conversation(number)
    await until(lambda: window.timeline.boxes and "One two" in prose(window.timeline.boxes[0]), "the words so far")
    assert window.composer.stop.isVisible()
    halfway.set()
    box = await answered(window)
    assert prose(box) == "One two three four five six"


async def test_the_end_is_followed_only_by_who_is_there(window: ChatWindow, model: ModelServer) -> None:
    paragraphs = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(60))
    model.script = Reply(paragraphs, chunks=40)
    write(window, "One")
    await answered(window)
    bar = window.timeline.verticalScrollBar()
    await until(lambda: bar.maximum() > 500 and bar.value() == bar.maximum(), "the end in sight")
    halfway = asyncio.Event()
    model.script = Reply(paragraphs, chunks=40, halfway=halfway)
    write(window, "Two")
    await until(lambda: len(window.timeline.boxes) == 2 and prose(window.timeline.boxes[1]), "the second answer")
    await until(lambda: bar.value() == bar.maximum(), "the end in sight")
    bar.setValue(bar.maximum() // 2)
    place = bar.value()
    halfway.set()
    await answered(window, 2)
    assert bar.value() == place
    assert window.timeline.pill.isVisible()
    window.timeline.pill.click()
    assert bar.value() == bar.maximum()
    assert not window.timeline.pill.isVisible()


async def test_older_turns_come_when_they_are_wanted(
    window: ChatWindow, service: AgentService, model: ModelServer
) -> None:
    model.script = Reply("An answer that takes\n\nsome room\n\non the page.")
    number = await service.new_conversation("Long")
    for turn in range(45):
        await service.send(number, f"Question {turn}")
    await until(lambda: not service.busy_conversations() and len(model.chats) == 45, "all answers", 30)
    window.show_conversation(number)
    await until(lambda: len(window.timeline.boxes) == 20, "the first page")
    await answered(window, 20)
    assert window.timeline.boxes[-1].question_text == "Question 44"
    bar = window.timeline.verticalScrollBar()
    await until(lambda: bar.maximum() > 1000, "the layout")
    bar.setValue(0)
    await until(lambda: len(window.timeline.boxes) == 40, "the second page")
    assert window.timeline.boxes[0].question_text == "Question 5"


async def test_keys_lead_everywhere(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("Nothing special here.")
    pages: list[str] = []
    window.settings_requested.connect(pages.append)
    control = Qt.KeyboardModifier.ControlModifier
    write(window, "Hello")
    await answered(window)
    await until(lambda: window.list.model.rows, "the list")
    QTest.keyClick(window.composer.line, Qt.Key.Key_K, control)
    assert window.list.search.hasFocus()
    QTest.keyClick(window.list.search, Qt.Key.Key_N, control)
    assert window.conversation is None and window.composer.line.hasFocus()
    QTest.keyClick(window.composer.line, Qt.Key.Key_Comma, control)
    assert pages == [""]
    QTest.keyClick(window.composer.line, Qt.Key.Key_K, control)
    QTest.keyClick(window.list.search, Qt.Key.Key_Down)
    assert window.list.view.hasFocus()
    QTest.keyClick(window.list.view, Qt.Key.Key_Return)
    await until(lambda: window.timeline.boxes, "the conversation")
    assert window.composer.line.hasFocus()


async def test_words_are_found_in_the_conversation(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("The needle is here.\n\nHay.\n\n```\nneedle in code\n```")
    write(window, "Where is the needle?")
    await answered(window)
    QTest.keyClick(window.composer.line, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert window.find_bar.isVisible() and window.find_bar.field.hasFocus()
    QTest.keyClicks(window.find_bar.field, "needle")
    await until(lambda: window.find_bar.count.text() == "3 of 3", "the count")
    QTest.keyClick(window.find_bar.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert window.find_bar.count.text() == "2 of 3"
    QTest.keyClick(window.find_bar.field, Qt.Key.Key_Escape)
    assert not window.find_bar.isVisible()


async def test_what_was_not_sent_is_kept_with_its_conversation(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("Yes.")
    write(window, "Hello")
    await answered(window)
    number = window.conversation
    window.composer.line.setPlainText("half a thought")
    window.show_conversation(None)
    assert window.composer.line.toPlainText() == ""
    window.show_conversation(number)
    assert window.composer.line.toPlainText() == "half a thought"


async def test_a_picture_goes_with_the_message(window: ChatWindow, model: ModelServer, tmp_path: Path) -> None:
    picture = QImage(32, 16, QImage.Format.Format_RGB32)
    picture.fill(QColor("#C8432B"))
    file = tmp_path / "red.png"
    assert picture.save(str(file))
    note = tmp_path / "note.txt"
    note.write_text("x")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file)), QUrl.fromLocalFile(str(note))])
    window.composer.line.insertFromMimeData(mime)
    await until(lambda: len(window.composer.pictures.items) == 1, "the chip")
    assert window.composer.line.toPlainText() == f"{note} "
    model.script = Reply("It is red.")
    write(window, "What colour?")
    await answered(window)
    content = model.chats[0].messages[-1]["content"]
    assert any(part["type"] == "image_url" for part in content)
    assert not window.composer.pictures.items


async def test_a_chip_can_be_taken_away(window: ChatWindow) -> None:
    picture = QImage(8, 8, QImage.Format.Format_RGB32)
    picture.fill(QColor("#000000"))
    mime = QMimeData()
    mime.setImageData(picture)
    window.composer.line.insertFromMimeData(mime)
    await until(lambda: window.composer.pictures.items, "the chip")
    assert window.composer.send.isEnabled()
    remove = window.composer.findChild(QAbstractButton, "removeAttachment")
    assert remove is not None
    remove.click()
    assert not window.composer.pictures.items and not window.composer.send.isEnabled()


async def test_a_conversation_is_renamed_and_deleted(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("Yes.")
    write(window, "Hello")
    await answered(window)
    await until(lambda: window.list.model.rows, "the list")
    view = window.list.view
    view.setCurrentIndex(window.list.model.index(0))
    view.edit(window.list.model.index(0))
    field = view.findChild(QLineEdit, "renameField")
    assert field is not None
    field.setText("Greetings")
    QTest.keyClick(field, Qt.Key.Key_Return)
    await until(lambda: window.header.title.text() == "Greetings", "the new title")
    QTest.keyClick(view, Qt.Key.Key_Delete)
    assert window.list.confirm.isVisible()
    keep = window.list.confirm.findChild(QAbstractButton, "deleteNo")
    assert keep is not None and keep.hasFocus()
    yes = window.list.confirm.findChild(QAbstractButton, "deleteYes")
    assert yes is not None
    yes.click()
    await until(lambda: not window.list.model.rows, "the empty list")
    assert window.conversation is None and window.pages.currentWidget() is window.welcome


async def test_the_model_of_a_conversation_is_chosen(
    window: ChatWindow, service: AgentService, model: ModelServer
) -> None:
    model.script = Reply("Yes.")
    window._set_model("local/fake-2")
    assert window.header.model.text() == "fake-2"
    write(window, "Hello")
    await answered(window)
    assert model.chats[0].model == "fake-2"
    assert window.conversation is not None
    assert (await service.conversation(window.conversation)).model == "local/fake-2"


async def test_an_example_is_sent_as_it_is(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("Nothing.")
    assert window.pages.currentWidget() is window.welcome
    example = window.welcome.examples()[0]
    example.click()
    box = await answered(window)
    assert box.question_text == example.question


async def test_everything_has_a_name_and_a_place_in_the_tab_order(window: ChatWindow, model: ModelServer) -> None:
    model.script = [RUN, Reply("See [here](https://example.org).")]
    write(window, "Run it")
    card = await asked(window)
    await until(card.allow.isEnabled, "Allow to wake")
    for widget in window.findChildren(QWidget):
        if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            text = getattr(widget, "text", lambda: "")
            named = widget.accessibleName() or (isinstance(widget, QAbstractButton) and text())
            assert named, f"{type(widget).__name__} {widget.objectName()} has no name"
    card.deny.click()
    await answered(window)


async def test_pictures_of_the_window(palette: theme.Palette, window: ChatWindow, model: ModelServer) -> None:
    model.script = [
        Reply("I look at the folder first.", calls=[Call("list_dir", {"path": "."})]),
        Reply("Then I sort:", calls=[Call("run_command", {"command": "echo sorted", "network": True})]),
        Reply("**Unpaid:** two of them.\n\n| Supplier | Amount |\n|---|--:|\n| Nordlicht | 1,240.00 € |\n"),
        replies.unauthorized(),
    ]
    picture(window, f"chat-empty-{palette.name}")
    write(window, "Sort the invoices, and tell me what is still unpaid.")
    card = await asked(window)
    await until(card.allow.isEnabled, "Allow to wake")
    await until(lambda: window.header.title.text().startswith("Sort"), "the title")
    picture(window, f"chat-{palette.name}")
    card.deny.click()
    await answered(window)
    write(window, "And now?")
    await answered(window, 2)
    picture(window, f"chat-failure-{palette.name}")


async def test_the_appearance_changes_under_what_is_shown(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("Some **words**.\n\n```python\nx = 1\n```")
    write(window, "Hello")
    box = await answered(window)
    words = box.findChildren(Prose)[0]
    before = words.height()
    try:
        palette = theme.apply(qapp(), "dark", text_scale=2.0)
        assert words.textCursor().charFormat().foreground().color().name() == palette.text.lower()
        await until(lambda: words.height() > 1.6 * before, "the larger text")
        assert words.toPlainText() == "Some words."
    finally:
        theme.apply(qapp(), "light", text_scale=1.0)


async def test_thinking_is_folded_away(window: ChatWindow, model: ModelServer) -> None:
    model.script = Reply("Done.", reasoning="First this, then that.")
    write(window, "Hello")
    box = await answered(window)
    reasoning = box.findChild(Reasoning)
    assert reasoning is not None and reasoning.text == "First this, then that."
    assert "First this" not in prose(box)
    reasoning.line.button.click()
    await until(lambda: "First this, then that." in prose(box), "the thinking")


async def test_a_messenger_is_read_along_and_answered_from_here(
    window: ChatWindow, service: AgentService, model: ModelServer
) -> None:
    model.script = [Reply("Train at 17:52."), Reply("Platform 4.")]
    inbound = Inbound("telegram", "1:1", "77", "4242", "Ann", "When is the train?", sent_at=time.time())
    await service._intake.accept(inbound, "owner")
    await until(lambda: window.list.model.rows, "the conversation in the list")
    row = window.list.model.rows[0]
    assert row.channel == "telegram"
    window.show_conversation(row.id)
    first = await answered(window)
    sender = first.findChild(QLabel, "sender")
    assert sender is not None and sender.text() == "Ann"
    assert prose(first) == "Train at 17:52."
    write(window, "Which platform?")
    second = await answered(window, 2)
    assert prose(second) == "Platform 4."
    assert second.findChild(QLabel, "sender") is None
    assert second.ending is not None and "not delivered yet" in second.ending.facts.text()


async def test_what_cannot_be_sent_stays_where_it_was_written(
    window: ChatWindow, service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> int:
        raise StorageError("The disk is full.", hint="Free some space.")

    monkeypatch.setattr(service, "send", full)
    write(window, "Precious words")
    await until(window.composer.problem.isVisible, "the problem")
    assert "The disk is full." in window.composer.problem.text()
    assert window.composer.line.toPlainText() == "Precious words"


async def test_a_conversation_that_cannot_be_read_says_so(
    window: ChatWindow, service: AgentService, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script = Reply("Yes.")
    write(window, "Hello")
    await answered(window)
    number = window.conversation

    async def broken(*_: object, **__: object) -> list[object]:
        raise StorageError("The file is locked.", hint="Close the other program.")

    with monkeypatch.context() as patch:
        patch.setattr(service, "timeline", broken)
        window.show_conversation(None)
        window.show_conversation(number)
        await until(lambda: window.pages.currentWidget() is window.problem, "the problem")
        assert "The file is locked." in window.problem.text.text()
    window.problem.action.click()
    box = await answered(window)
    assert window.pages.currentWidget() is window.timeline
    assert prose(box) == "Yes."


@pytest.mark.qt_log_ignore("This plugin does not support grabbing the (keyboard|mouse)", extend=True)
async def test_the_model_menu_offers_what_the_providers_have(window: ChatWindow) -> None:
    window.header.model.click()
    menu = window.findChild(ModelMenu)
    assert menu is not None
    await until(lambda: any(action.menu() for action in menu.actions()), "the provider")
    assert menu.actions()[0].text() == "Default (fake-1)" and menu.actions()[0].isChecked()
    provider = next(action.menu() for action in menu.actions() if action.menu())
    assert isinstance(provider, QMenu)
    provider.aboutToShow.emit()
    await until(lambda: [action.text() for action in provider.actions()] == ["fake-1", "fake-2"], "the models")
    provider.actions()[1].trigger()
    assert window.header.model.text() == "fake-2"
    menu.close()


async def test_older_turns_are_searched_too(window: ChatWindow, service: AgentService, model: ModelServer) -> None:
    model.script = Reply("Hay.")
    number = await service.new_conversation("Long")
    for turn in range(25):
        await service.send(number, "A needle" if turn == 1 else "More hay")
    await until(lambda: not service.busy_conversations() and len(model.chats) == 25, "all answers", 30)
    window.show_conversation(number)
    await until(lambda: len(window.timeline.boxes) == 20, "the first page")
    await answered(window, 20)
    QTest.keyClick(window.composer.line, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(window.find_bar.field, "needle")
    await until(lambda: window.find_bar.count.text() == "1 of 1", "the place")
    assert len(window.timeline.boxes) == 25
    bar = window.timeline.verticalScrollBar()
    await until(lambda: bar.value() < bar.maximum() // 2, "the place in sight")


QUESTION = Reply(calls=[Call("ask_user", {"question": "Which city?", "choices": ["Leipzig", "Halle"]})])


async def posed(window: ChatWindow) -> QuestionCard:
    """The question of the model that waits for an answer."""
    await until(lambda: window.timeline.boxes and window.timeline.boxes[-1].open_question(), "the question")
    card = window.timeline.boxes[-1].open_question()
    assert card is not None
    return card


async def test_a_question_of_the_model_is_answered_by_a_choice(
    window: ChatWindow, bridge: Bridge, model: ModelServer
) -> None:
    model.script = [QUESTION, Reply("Halle it is.")]
    write(window, "Book a room")
    card = await posed(window)
    assert card.text.text() == "Which city?" and [one.text() for one in card.choices] == ["Leipzig", "Halle"]
    assert card.choices[0].hasFocus()
    assert bridge.state.overall == "needs_you"
    await until(lambda: window.list.model.rows, "the list")
    assert window.list.model.state(window.list.model.rows[0]) == "Waiting for you: Which city?"
    QTest.keyClick(card.choices[1], Qt.Key.Key_Space)
    box = await answered(window)
    assert not card.is_open and card.outcome.text() == "✓ Halle"
    assert prose(box) == "Halle it is."
    assert model.chats[1].messages[-1]["content"] == "The person answered: Halle"
    assert bridge.state.overall == "ready"


async def test_a_question_of_the_model_is_answered_in_own_words(window: ChatWindow, model: ModelServer) -> None:
    model.script = [QUESTION, QUESTION, Reply("Done.")]
    write(window, "Book a room")
    card = await posed(window)
    assert not card.send.isEnabled()
    QTest.keyClicks(card.line, "Dresden")
    assert card.send.isEnabled()
    QTest.keyClick(card.line, Qt.Key.Key_Return)
    await until(lambda: not card.is_open, "the answer")
    again = await posed(window)
    write(window, "No, Berlin & Bonn")
    await answered(window)
    assert card.outcome.text() == "✓ Dresden" and again.outcome.text() == "✓ No, Berlin & Bonn"
    assert len(window.timeline.boxes) == 1, "the message was the answer"
    assert window.composer.line.toPlainText() == ""
    number = window.conversation
    window.show_conversation(None)
    window.show_conversation(number)
    await until(lambda: len(window.timeline.boxes) == 1 and window.timeline.boxes[0].ending, "the turn from the record")


async def test_a_question_is_found_again_and_taken_back_by_stop(window: ChatWindow, model: ModelServer) -> None:
    model.script = [QUESTION, Reply("Done.")]
    write(window, "Book a room")
    await posed(window)
    number = window.conversation
    window.show_conversation(None)
    window.show_conversation(number)
    card = await posed(window)
    QTest.keyClick(window.composer.line, Qt.Key.Key_Escape)
    await answered(window)
    assert card.outcome.text() == "Not answered: it was stopped."


async def test_pictures_of_a_question(window: ChatWindow, model: ModelServer) -> None:
    long = [
        "Only the two that are certainly duplicates",
        "All four, and keep a copy in the archive of last year",
        "None",
    ]
    model.script = [
        QUESTION,
        Reply(calls=[Call("ask_user", {"question": "I found four invoices. Which may I move?", "choices": long}, "b")]),
        Reply("Done."),
    ]
    write(window, "Tidy up")
    first = await posed(window)
    first.choices[1].click()
    await until(lambda: not first.is_open, "the answer")
    card = await posed(window)
    for name in ("light", "dark"):
        theme.apply(qapp(), name, text_scale=1.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        picture(window, f"question-{name}")
    theme.apply(qapp(), "light", text_scale=1.0)
    window.resize(560, 700)
    await asyncio.sleep(0.1)
    assert all(button.width() <= card.width() for button in card.choices)
    picture(window, "question-narrow")
    card.choices[2].click()
    await answered(window)


async def test_the_calls_of_a_subagent_stand_below_the_one_that_started_it(
    window: ChatWindow, model: ModelServer, service: AgentService
) -> None:
    (service.workspace().root / "report.txt").write_text("Total 38.91 EUR")
    hold = asyncio.Event()

    def script(request: Request) -> Reply:
        done = [message for message in request.messages if message["role"] == "tool"]
        if "You are a subagent" in str(request.messages[0]["content"]):
            look = [Call("read_file", {"path": "report.txt"}, "r"), Call("search_text", {"pattern": "EUR"}, "t")]
            return Reply("The total is 38.91 EUR.", before=hold) if done else Reply(calls=look)
        tasks = [
            Call("spawn", {"task": f"Find the total in the invoices of {year}"}, str(year)) for year in (2025, 2026)
        ]
        return Reply("38.91 EUR.") if done else Reply("I have both years looked at.", calls=tasks)

    model.script = script
    write(window, "What did we spend?")
    await until(lambda: window.timeline.boxes and len(window.timeline.boxes[0]._tools) == 6, "the calls")
    box = window.timeline.boxes[0]
    first = box._tools["2025"]
    await until(lambda: all(card.ok for card in first.inner) and len(first.inner) == 2, "what the subagent called")
    assert all(card.isVisible() and card.parentWidget().parent() is first for card in first.inner)
    for name in ("light", "dark"):
        theme.apply(qapp(), name, text_scale=1.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        picture(window, f"subagent-{name}")
    theme.apply(qapp(), "light", text_scale=1.0)
    hold.set()
    await answered(window)
    assert "2 calls" in first.line.fact.text() and not first.inner[0].isVisible()
    first.line.button.click()
    assert first.inner[0].isVisible()
    picture(window, "subagent-open")
    number = window.conversation
    window.show_conversation(None)
    window.show_conversation(number)
    again = await answered(window)
    assert [card.line.text.text() for card in again._tools["2026"].inner] == [
        "Read report.txt",
        "Search for EUR in the workspace",
    ]


async def test_a_file_that_was_handed_over_can_be_opened_and_shown(
    window: ChatWindow, model: ModelServer, service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: bool(opened.append(url.toLocalFile())) or True)
    folder = service.workspace().root
    (folder / "Invoices 2026.pdf").write_bytes(b"x" * 48_200)
    (folder / "sort.sh").write_text("echo")
    files = ["Invoices 2026.pdf", "sort.sh"]
    sent = {"text": "Here are the invoices as **one file**, and the script.", "files": files}
    model.script = [Reply(calls=[Call("send_message", sent)]), Reply("Anything else?")]
    write(window, "Put them together for me")
    box = await answered(window)
    card = box.findChild(SentCard)
    assert card is not None
    pdf, script = card.lines
    await until(lambda: pdf.fact.text() == "48 kB" and card.words.settled, "the size and the words")
    assert prose(card) == "Here are the invoices as one file, and the script."
    assert pdf.open.isVisible() and not script.open.isVisible(), "what the system would run is only shown"
    QTest.keyClick(pdf.open, Qt.Key.Key_Space)
    script.reveal.click()
    assert [Path(path) for path in opened] == [folder / files[0], folder]
    for name in ("light", "dark"):
        theme.apply(qapp(), name, text_scale=1.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        picture(window, f"sent-{name}")
    theme.apply(qapp(), "light", text_scale=1.0)
    (folder / files[0]).unlink()
    number = window.conversation
    window.show_conversation(None)
    window.show_conversation(number)
    again = await answered(window)
    kept = again.findChild(SentCard)
    assert kept is not None and [line.path.name for line in kept.lines] == files
    await until(lambda: kept.lines[0].fact.text() == "no longer there", "the look at the file")
    assert not kept.lines[0].open.isEnabled()
    assert again.answer_text() == "Anything else?", "what was sent is not the answer"


async def test_what_another_conversation_sent_here_is_shown_without_a_question(
    window: ChatWindow, model: ModelServer, service: AgentService
) -> None:
    await service.change_settings({"channels.telegram.enabled": True})
    model.script = Reply("Hello Anna.")
    await service._intake.accept(Inbound("telegram", "1", "100", "100", "Anna", "hi", title="Anna"), "paired")
    await until(lambda: window.list.model.rows, "the list")
    anna = window.list.model.rows[0].id
    window.show_conversation(anna)
    await answered(window)
    call = Reply(calls=[Call("send_message", {"to": "Anna", "text": "Dinner at seven?"})])
    model.script = lambda request: Reply("Done.") if request.messages[-1]["role"] == "tool" else call
    await service.send(await service.new_conversation(), "invite her")
    await until(service.pending_approvals, "the question")
    await service.resolve_approval(service.pending_approvals()[0].id, "allow", "desktop")
    box = await answered(window, 2)
    assert prose(box) == "Dinner at seven?"
    assert not box.question.isVisible()
    picture(window, "sent-elsewhere")
