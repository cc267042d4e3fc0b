"""The state that everything renders, and the function that keeps it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.events import (
    Approval,
    ApprovalAsked,
    ApprovalResolved,
    ChannelChanged,
    ConversationChanged,
    Failure,
    PairingAsked,
    PairingResolved,
    Question,
    QuestionAsked,
    QuestionResolved,
    TurnFinished,
    TurnStarted,
    TurnText,
)
from agent.providers.types import Usage
from agent.views import ChannelHealth
from desktop.state import AppState, PhaseChanged, Snapshot, reduce

APPROVAL = Approval("a1", 7, 70, "c1", "run_command", "Run a command?", "ls", "it asks", False, "", 0.0)
TELEGRAM = ChannelHealth("telegram", "Telegram", "stopped", "", True)
REFUSED = Failure("auth", "The key was refused", "401", "Make a new one", 4)
OFFLINE = Failure("network", "Not reached", "refused", "Check the network", 4)


def snapshot(**values: object) -> Snapshot:
    empty = Snapshot((), (), (), (TELEGRAM,), 0.42, 3.0, 5.0, "openai/gpt-5")
    return replace(empty, **values)  # type: ignore[arg-type]


def finished(status: str, failure: Failure | None = None, conversation: int = 7, cost: float = 0.0) -> TurnFinished:
    return TurnFinished(conversation, 70, status, "", "m", Usage(), cost, 1.0, failure)  # type: ignore[arg-type]


@pytest.fixture
def ready() -> AppState:
    return reduce(AppState(), snapshot())


def started(conversation: int) -> TurnStarted:
    return TurnStarted(conversation, 70, "m")


def test_before_the_agent_is_there_it_is_stopped() -> None:
    state = AppState()
    assert (state.overall, state.words) == ("stopped", "Starting…")


def test_a_snapshot_makes_it_ready(ready: AppState) -> None:
    assert (ready.overall, ready.words) == ("ready", "Ready")
    assert ready.money == "$0.42 of $5.00 today"
    assert ready.model == "gpt-5"


def test_without_a_limit_only_what_was_spent_is_said() -> None:
    assert reduce(AppState(), snapshot(daily_limit=0.0)).money == "$0.42 today"


def test_turns_are_counted_by_conversation(ready: AppState) -> None:
    one = reduce(ready, started(7))
    assert (one.overall, one.words) == ("working", "Working on 1 conversation")
    two = reduce(reduce(one, started(8)), started(8))
    assert two.words == "Working on 2 conversations"
    assert reduce(reduce(two, finished("answered", conversation=8)), finished("answered")).overall == "ready"


def test_what_waits_for_a_person_comes_first(ready: AppState) -> None:
    state = reduce(reduce(ready, started(7)), ApprovalAsked(APPROVAL))
    assert state.overall == "needs_you"
    assert reduce(state, ApprovalAsked(APPROVAL)).approvals == (APPROVAL,)
    assert reduce(state, ApprovalResolved(APPROVAL, "allow", "desktop")).overall == "working"


def test_a_question_dies_with_its_turn(ready: AppState) -> None:
    state = reduce(reduce(ready, started(7)), ApprovalAsked(APPROVAL))
    assert reduce(state, finished("stopped")).overall == "ready"


def test_pairing(ready: AppState) -> None:
    state = reduce(ready, PairingAsked("QK7M-2XPD", "telegram", "88", "Ada", 9.0))
    assert (state.overall, state.words) == ("needs_you", "Waiting for you")
    assert reduce(state, PairingResolved("QK7M-2XPD", "telegram", "88", True)) == ready


def test_a_refused_key_is_an_error_until_an_answer_comes(ready: AppState) -> None:
    state = reduce(ready, finished("failed", REFUSED))
    assert (state.overall, state.words) == ("error", "The key was refused")
    assert reduce(state, finished("stopped")).overall == "error"
    assert reduce(state, finished("answered")).overall == "ready"


def test_no_network_is_offline_and_no_error(ready: AppState) -> None:
    state = reduce(ready, finished("failed", OFFLINE))
    assert state.overall == "offline"
    assert reduce(state, finished("answered")).overall == "ready"


def test_money_grows_with_each_turn(ready: AppState) -> None:
    assert reduce(ready, finished("answered", cost=0.08)).money == "$0.50 of $5.00 today"


def test_a_channel_that_only_a_person_can_mend_is_an_error(ready: AppState) -> None:
    state = reduce(ready, ChannelChanged("telegram", "wrong_token", "refused"))
    assert (state.overall, state.words) == ("error", "Telegram: the token was refused")
    assert reduce(state, ChannelChanged("telegram", "ready", "@bot")).overall == "ready"
    assert state.channels[0].label == "Telegram"


def test_a_channel_whose_token_is_found_later_can_be_started_at_once(ready: AppState) -> None:
    unknown = reduce(ready, ChannelChanged("telegram", "stopped", configured=False))
    assert not unknown.channels[0].configured
    assert reduce(unknown, ChannelChanged("telegram", "stopped")).channels[0].configured


def test_what_does_not_concern_it_leaves_the_very_same_state(ready: AppState) -> None:
    assert reduce(ready, TurnText(7, 70, "x")) is ready
    assert reduce(ready, ConversationChanged(7)) is ready


def test_a_failed_start_says_why() -> None:
    state = reduce(AppState(), PhaseChanged("failed", Failure("config", "The settings file has a mistake", "", "")))
    assert (state.overall, state.words) == ("error", "The settings file has a mistake")
    assert reduce(state, PhaseChanged("starting")).words == "Starting…"


QUESTION = Question("q1", 7, 70, "c1", "Which city?", ("Leipzig",), 0.0)


def test_a_question_of_the_model_waits_for_the_person_until_it_is_answered(ready: AppState) -> None:
    asked = reduce(ready, QuestionAsked(QUESTION))
    assert (asked.overall, asked.words) == ("needs_you", "Waiting for you")
    assert reduce(asked, QuestionAsked(QUESTION)).questions == (QUESTION,)
    assert reduce(asked, QuestionResolved(QUESTION, "Leipzig", "desktop")).overall == "ready"
    assert reduce(asked, finished("stopped")).questions == ()
    assert reduce(ready, snapshot(questions=(QUESTION,))).overall == "needs_you"
