"""The shared widgets: keyboard, screen reader names, secrets, long text, both appearances, text up to 200 %."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from desktop import theme, widgets
from desktop.widgets.gallery import Gallery

Screenshot = Callable[[QWidget, str], Path]
LONG = "Reconnecting in 4 s: the network was away. 1 answer waits to be delivered. " * 2


def _show(qtbot: QtBot, widget: QWidget, width: int = 600, height: int = 400) -> None:
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    qtbot.waitExposed(widget)
    QApplication.processEvents()


def _clipped(root: QWidget) -> list[str]:
    """Every visible plain label that has less room than its text needs, and every button cut by its parent."""
    wrong = []
    for label in root.findChildren(QLabel):
        if not label.isVisibleTo(root) or isinstance(label, widgets.ElidedLabel) or not label.text():
            continue
        if label.wordWrap():
            needed = label.heightForWidth(label.width())
            if needed > label.height():
                wrong.append(f"{label.text()!r}: {label.height()} px of {needed} px high")
        elif label.sizeHint().width() > label.width():
            wrong.append(f"{label.text()!r}: {label.width()} px of {label.sizeHint().width()} px wide")
    for button in root.findChildren(QAbstractButton):
        parent = button.parentWidget()
        if button.isVisibleTo(root) and parent is not None and not parent.rect().contains(button.geometry()):
            wrong.append(f"button {button.text()!r} at {button.geometry()} leaves {parent.rect()}")
        elif button.isVisibleTo(root) and button.width() < button.minimumSizeHint().width():
            wrong.append(f"button {button.text()!r}: {button.width()} of {button.minimumSizeHint().width()} px")
    return wrong


def test_switch_by_keyboard_and_mouse(palette: theme.Palette, qtbot: QtBot) -> None:
    switch = widgets.ToggleSwitch(accessible_name="Telegram", object_name="telegram_switch")
    _show(qtbot, switch)
    seen: list[bool] = []
    switch.toggled.connect(seen.append)
    off = switch.grab().toImage()
    switch.setFocus()
    QTest.keyClick(switch, Qt.Key.Key_Space)
    QTest.mouseClick(switch, Qt.MouseButton.LeftButton, pos=QPoint(4, 4))
    QTest.mouseClick(switch, Qt.MouseButton.LeftButton, pos=QPoint(switch.width() - 4, 4))
    assert seen == [True, False, True]
    assert switch.grab().toImage() != off
    spoken = QAccessible.queryAccessibleInterface(switch)
    assert spoken.role() == QAccessible.Role.CheckBox
    assert spoken.text(QAccessible.Text.Name) == "Telegram"
    assert spoken.state().checked


def test_switch_moves_unless_less_motion_is_wanted(qapp: QApplication, qtbot: QtBot) -> None:
    theme.set_reduced_motion(False)
    switch = widgets.ToggleSwitch()
    _show(qtbot, switch)
    switch.setChecked(True)
    assert switch.property("knob") < 1.0
    qtbot.waitUntil(lambda: switch.property("knob") == 1.0, timeout=2000)
    theme.set_reduced_motion(True)
    switch.setChecked(False)
    assert switch.property("knob") == 0.0
    theme.set_reduced_motion(None)


def test_switch_shows_what_was_set_in_silence(palette: theme.Palette, qtbot: QtBot) -> None:
    switch, told = widgets.ToggleSwitch(), widgets.ToggleSwitch(True)
    _show(qtbot, switch)
    _show(qtbot, told)
    switch.blockSignals(True)
    switch.setChecked(True)
    switch.blockSignals(False)
    assert switch.property("knob") == 1.0
    assert switch.grab().toImage() == told.grab().toImage()


@pytest.mark.parametrize("status", ["ok", "busy", "warn", "bad", "off"])
def test_status_is_a_word_a_shape_and_a_colour(palette: theme.Palette, qtbot: QtBot, status: widgets.Status) -> None:
    dot = widgets.StatusDot(status, "Word", subject="Telegram")
    other = widgets.StatusDot("ok" if status != "ok" else "off", "Word")
    for label in (dot, other):
        _show(qtbot, label, *label.sizeHint().toTuple())
    assert dot.text() == "Word"
    assert dot.accessibleName() == "Telegram: Word"
    assert dot.grab().toImage() != other.grab().toImage()
    assert dot.sizeHint().width() > dot.fontMetrics().horizontalAdvance("Word") + 8


def test_secret_is_sent_once_and_never_read_back(palette: theme.Palette, qtbot: QtBot) -> None:
    field = widgets.SecretField(accessible_name="OpenAI key", object_name="openai")
    _show(qtbot, field)
    assert not field.save.isEnabled()
    sent: list[str] = []
    field.submitted.connect(sent.append)
    QTest.keyClicks(field.input, "  sk-secret ")
    assert field.input.echoMode() == QLineEdit.EchoMode.Password
    QTest.keyClick(field.input, Qt.Key.Key_Return)
    assert sent == ["sk-secret"]
    spoken = QAccessible.queryAccessibleInterface(field.input)
    assert "sk-secret" not in spoken.text(QAccessible.Text.Value)

    field.set_stored(True, hint="cret")
    assert field.input.text() == ""
    assert not field.input.isVisible()
    assert field.stored_mask.text().endswith("•cret")
    assert field.replace.accessibleName() == "Replace OpenAI key"
    with qtbot.waitSignal(field.remove_requested):
        field.remove.click()

    field.replace.click()
    assert field.input.isVisible()
    QTest.keyClicks(field.input, "half-typed")
    QTest.keyClick(field.input, Qt.Key.Key_Escape)
    assert not field.input.isVisible()
    assert field.input.text() == ""
    assert sent == ["sk-secret"]

    field.set_stored(False)
    assert field.input.isVisible()
    assert not field.remove.isVisible()


def test_refused_secret_can_be_corrected(palette: theme.Palette, qtbot: QtBot) -> None:
    field = widgets.SecretField()
    _show(qtbot, field)
    QTest.keyClicks(field.input, "wrong")
    field.set_busy(True)
    assert not field.save.isEnabled()
    field.set_busy(False)
    field.set_invalid(True)
    assert field.save.isEnabled()
    QTest.keyClicks(field.input, "!")
    assert field.input.property("invalid") is False


def test_ampersand_is_shown(qtbot: QtBot, palette: theme.Palette) -> None:
    plain, escaped = widgets.Button("Save test"), widgets.Button("Save & test")
    for button in (plain, escaped):
        _show(qtbot, button)
    assert escaped.sizeHint().width() > plain.sizeHint().width()
    assert QAccessible.queryAccessibleInterface(escaped).text(QAccessible.Text.Name) == "Save & test"


@pytest.mark.parametrize("width", [360, 520, 900])
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
def test_rows_wrap_and_clip_nothing(qapp: QApplication, qtbot: QtBot, width: int, scale: float) -> None:
    theme.apply(qapp, "light", text_scale=scale)
    page = widgets.Page(widgets.PageHeader("Channels", LONG))
    card = widgets.Card()
    page.add(card)
    state, switch = widgets.StatusDot("warn", "Degraded"), widgets.ToggleSwitch()
    card.add_row("Discord", LONG, state, switch, icon=theme.badge("D", "#111111"))
    pair, deny = widgets.Button("Pair", "primary"), widgets.Button("Deny")
    card.add_row("Someone new wants to talk to TrayClaw", LONG, pair, deny)
    card.add_row("OpenAI").add_below(widgets.SecretField(save_text="Save & test"))
    page.add(widgets.Banner("error", "The model did not answer", LONG, "Try again", closable=True))
    _show(qtbot, page, max(width, page.minimumSizeHint().width()), 500)
    for _ in range(3):
        qapp.processEvents()
    assert _clipped(page) == []
    assert page.horizontalScrollBar().maximum() == 0
    theme.apply(qapp, "light", text_scale=1.0)


def test_controls_move_below_narrow_text_and_back(palette: theme.Palette, qtbot: QtBot) -> None:
    card = widgets.Card()
    button = widgets.Button("A rather long action")
    row = card.add_row("Title of the row", LONG, button)
    _show(qtbot, card, 700)
    beside = button.mapTo(row, QPoint(0, 0))
    assert beside.x() > 400
    card.resize(330, 400)
    QApplication.processEvents()
    assert button.mapTo(row, QPoint(0, 0)).y() > row.detail.geometry().bottom()
    card.resize(700, 400)
    QApplication.processEvents()
    assert button.mapTo(row, QPoint(0, 0)).x() == beside.x()


def test_card_keeps_its_lines_when_rows_go(palette: theme.Palette, qtbot: QtBot) -> None:
    card = widgets.Card()
    first, second, third = (card.add_row(name) for name in ("one", "two", "three"))
    _show(qtbot, card)
    assert [row.property("rule") for row in card.rows()] == [False, True, True]
    card.remove_row(first)
    assert [row.property("rule") for row in card.rows()] == [False, True]
    assert second.property("first") is True
    assert third.property("last") is True
    card.clear()
    assert card.rows() == []


def test_a_hidden_row_leaves_no_line(palette: theme.Palette, qtbot: QtBot) -> None:
    card = widgets.Card()
    first, second = card.add_row("First"), card.add_row("Second")
    _show(qtbot, card, 400)
    assert (first.property("rule"), second.property("rule")) == (False, True)
    first.hide()
    assert second.property("rule") is False
    first.show()
    assert (first.property("rule"), second.property("rule")) == (False, True)


def test_a_hidden_field_takes_no_room(palette: theme.Palette, qtbot: QtBot) -> None:
    card = widgets.Card()
    card.add_row("First")
    plain, other = card.add_row("Plain", "Detail"), card.add_row("With a field", "Detail")
    field = widgets.SecretField()
    other.add_below(field)
    field.hide()
    _show(qtbot, card, 500)
    assert other.sizeHint().height() == plain.sizeHint().height()
    field.show()
    assert other.sizeHint().height() > plain.sizeHint().height() + field.sizeHint().height()


def test_markup_from_outside_is_text(palette: theme.Palette, qtbot: QtBot) -> None:
    card = widgets.Card()
    qtbot.addWidget(card)
    row = card.add_row("<b>bold</b>", "<img src=x>")
    for label in (row.title, row.detail):
        assert label.textFormat() == Qt.TextFormat.PlainText


def test_elided_label_tells_the_rest_in_its_tooltip(palette: theme.Palette, qtbot: QtBot) -> None:
    label = widgets.ElidedLabel(LONG)
    _show(qtbot, label, 120, 20)
    assert label.elided().endswith("…")
    assert label.toolTip() == LONG
    label.setText("short")
    assert label.elided() == "short"
    assert label.toolTip() == ""


def test_banner_says_what_it_is(palette: theme.Palette, qtbot: QtBot) -> None:
    banner = widgets.Banner("error", "No answer", "Connection refused", "Try again", closable=True, object_name="b")
    _show(qtbot, banner)
    assert banner.accessibleName() == "Error: No answer"
    with qtbot.waitSignal(banner.action_triggered):
        banner.action.click()
    banner.set_message("info", "All well")
    assert banner.accessibleName() == "Note: All well"
    assert not banner.action.isVisible()
    with qtbot.waitSignal(banner.closed):
        banner.close_button.click()
    assert not banner.isVisible()


def test_a_strip_takes_one_line(palette: theme.Palette, qtbot: QtBot) -> None:
    texts = "No tray here", "Closing this window ends TrayClaw."
    strip, card = widgets.Banner("info", *texts, closable=True, strip=True), widgets.Banner("info", *texts)
    _show(qtbot, strip, 900)
    _show(qtbot, card, 900)
    assert strip.heightForWidth(900) < card.heightForWidth(900)
    assert strip.text.x() > strip.title.geometry().right()


def test_side_bar_by_keyboard(palette: theme.Palette, qtbot: QtBot) -> None:
    host = QWidget()
    bar = widgets.SideBar(object_name="nav", accessible_name="Pages")
    outside = QLineEdit()
    column = QVBoxLayout(host)
    column.addWidget(bar)
    column.addWidget(outside)
    for key in ("models", "channels", "general"):
        bar.add(key, key.title())
    bar.add("about", "Usage & limits", footer=True, trailing="3")
    _show(qtbot, host)
    seen: list[str] = []
    bar.selected.connect(seen.append)
    assert bar.current() == "models"
    bar.entry("models").setFocus()
    QTest.keyClick(bar.entry("models"), Qt.Key.Key_Down)
    assert bar.current() == "channels"
    QTest.keyClick(bar.entry("channels"), Qt.Key.Key_Up)
    assert seen == ["channels", "models"]
    QTest.keyClick(bar.entry("models"), Qt.Key.Key_Tab)
    assert outside.hasFocus(), "Tab leaves the bar"
    bar.select("about")
    assert seen[-1] == "about"
    assert host.findChild(QWidget, "nav_about") is bar.entry("about")
    with pytest.raises(KeyError):
        bar.select("nowhere")


def test_empty_state_leads_on(palette: theme.Palette, qtbot: QtBot) -> None:
    empty = widgets.EmptyState("No jobs yet", "Ask for one.", "Add a job", glyph="clock")
    _show(qtbot, empty)
    with qtbot.waitSignal(empty.action_triggered):
        empty.action.click()
    empty.set_message("Nothing found")
    assert not empty.action.isVisible()
    assert empty.accessibleName() == "Nothing found"


def test_glyphs_follow_the_theme(qapp: QApplication, qtbot: QtBot) -> None:
    theme.apply(qapp, "light")
    button = widgets.GlyphButton("plus", "New conversation")
    _show(qtbot, button)
    light = button.icon().cacheKey()
    theme.apply(qapp, "dark")
    qapp.processEvents()
    assert button.icon().cacheKey() == theme.glyph("plus", "dim").cacheKey() != light
    assert button.toolTip() == button.accessibleName() == "New conversation"


def test_nothing_flashes_up_as_a_window_of_its_own(palette: theme.Palette, qtbot: QtBot) -> None:
    before = set(QApplication.topLevelWidgets())
    gallery = Gallery()
    qtbot.addWidget(gallery)
    extra = [w for w in QApplication.topLevelWidgets() if w not in before and w is not gallery and w.isVisible()]
    assert extra == []


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
def test_gallery(
    qapp: QApplication, palette: theme.Palette, qtbot: QtBot, screenshot: Screenshot, scale: float
) -> None:
    theme.apply(qapp, palette.name, text_scale=scale)
    gallery = Gallery()
    _show(qtbot, gallery, 1030, 690)
    for key, page in gallery.pages.items():
        gallery.side.select(key)
        for _ in range(3):
            qapp.processEvents()
        screenshot(gallery, f"gallery-{key}-{round(scale * 100)}")
        assert _clipped(page) == []
        nameless = [
            f"{type(w).__name__} {w.objectName()}"
            for w in page.findChildren(QAbstractButton)
            if w.isVisible() and not QAccessible.queryAccessibleInterface(w).text(QAccessible.Text.Name)
        ]
        assert nameless == []


def test_right_to_left_mirrors(qapp: QApplication, qtbot: QtBot, palette: theme.Palette) -> None:
    gallery = Gallery()
    gallery.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    _show(qtbot, gallery, 1030, 690)
    assert gallery.side.geometry().left() > 700
    dot = gallery.pages["models"].findChild(widgets.StatusDot)
    assert dot is not None
    assert dot.contentsMargins().right() > dot.contentsMargins().left()
