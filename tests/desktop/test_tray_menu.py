"""The tray's menu: what it says for a state, and what its lines ask for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtGui import QAction

from agent.events import Approval, Question
from agent.views import ChannelHealth, PairingRequest
from desktop.state import AppState
from desktop.tray import Tray
from desktop.tray_menu import entries

APPROVAL = Approval("a1", 7, 70, "c1", "run_command", "Run a command?", "ls", "it asks", False, "", 0.0)
QUESTION = Question("q1", 7, 70, "c1", "Which city?", (), 0.0)
ASKED = PairingRequest("QK7M-2XPD", "telegram", "88", "Ada", 1.0, 2.0)
TELEGRAM = ChannelHealth("telegram", "Telegram", "ready", "@bot", True)
READY = AppState(phase="running", channels=(TELEGRAM,), daily_limit=5.0)


@pytest.fixture
def tray(qapp: object) -> Iterator[Tray]:
    made = Tray()
    yield made
    made.close()


def texts(tray: Tray) -> list[str]:
    return [action.text() for action in tray.menu.actions() if not action.isSeparator()]


def line(tray: Tray, name: str) -> QAction:
    (found,) = [action for action in tray.menu.actions() if action.objectName() == name]
    return found


def test_it_says_what_there_is_and_nothing_else() -> None:
    assert [entry.text for entry in entries(READY) if entry.text] == [
        "Ready",
        "$0.00 of $5.00 today",
        "Telegram: ready",
        "Open TrayClaw",
        "Stop all now",
        "Settings…",
        "Quit",
    ]


def test_no_two_separators_meet_and_none_stands_at_an_end() -> None:
    for state in (
        AppState(),
        READY,
        replace(READY, approvals=(APPROVAL,), pairings=(ASKED,)),
        replace(READY, channels=()),
    ):
        names = [entry.name for entry in entries(state)]
        assert names[0] and names[-1]
        assert all(one or other for one, other in itertools.pairwise(names))


def test_while_it_starts_one_can_only_open_and_quit(tray: Tray) -> None:
    assert texts(tray) == ["Starting…", "Open TrayClaw", "Quit"]


def test_what_waits_is_counted(tray: Tray) -> None:
    tray.render(replace(READY, approvals=(APPROVAL, replace(APPROVAL, id="a2")), pairings=(ASKED,)))
    assert "2 approvals wait… Show" in texts(tray)
    assert "1 person asks to be paired… Show" in texts(tray)
    tray.render(replace(READY, questions=(QUESTION,)))
    assert "1 question waits… Show" in texts(tray)


@pytest.mark.parametrize(
    ("state", "configured", "signal"),
    [
        ("ready", True, "channel_stop_requested"),
        ("connecting", True, "channel_stop_requested"),
        ("degraded", True, "channel_stop_requested"),
        ("stopped", True, "channel_start_requested"),
        ("wrong_token", True, "channel_setup_requested"),
        ("stopped", False, "channel_setup_requested"),
    ],
)
def test_a_channel_is_started_stopped_or_set_up(qtbot, tray: Tray, state, configured: bool, signal: str) -> None:
    tray.render(replace(READY, channels=(replace(TELEGRAM, state=state, configured=configured),)))
    with qtbot.waitSignal(getattr(tray, signal)) as heard:
        line(tray, "trayChannel-telegram").trigger()
    assert heard.args == ["telegram"]


def test_the_check_mark_follows_the_channel_not_the_click(tray: Tray) -> None:
    tray.render(READY)
    action = line(tray, "trayChannel-telegram")
    assert action.isChecked()
    action.trigger()
    assert action.isChecked()
    tray.render(replace(READY, channels=(replace(TELEGRAM, state="stopped"),)))
    assert not action.isChecked()


def test_lines_that_stay_keep_their_action(tray: Tray) -> None:
    """A panel on D-Bus that read the menu a moment ago still reaches what it showed."""
    tray.render(READY)
    quits = line(tray, "trayQuit")
    tray.render(replace(READY, busy=(1,), spent_today=1.5))
    assert line(tray, "trayQuit") is quits
    assert texts(tray)[:2] == ["Working on 1 conversation", "$1.50 of $5.00 today"]
    assert line(tray, "trayStopAll").isEnabled()


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("trayOpen", "open_requested"),
        ("trayApprovals", "approvals_requested"),
        ("trayQuestions", "questions_requested"),
        ("trayPairings", "pairings_requested"),
        ("trayStopAll", "stop_all_requested"),
        ("traySettings", "settings_requested"),
        ("trayQuit", "quit_requested"),
    ],
)
def test_every_line_tells_its_intent(qtbot, tray: Tray, name: str, signal: str) -> None:
    tray.render(replace(READY, busy=(1,), approvals=(APPROVAL,), questions=(QUESTION,), pairings=(ASKED,)))
    with qtbot.waitSignal(getattr(tray, signal)):
        line(tray, name).trigger()


def test_where_there_is_no_tray_nothing_is_shown_and_nothing_breaks(tray: Tray) -> None:
    assert not tray.appear()  # the offscreen platform has none
    assert not tray.show_message("a", "b")
    tray.render(READY)
