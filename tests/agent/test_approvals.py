"""Questions to a person: answered once, by the first; silence is a no; a stopped turn takes its question back."""

import asyncio
import time
from dataclasses import replace

import pytest

from agent.events import Approval, ApprovalAsked, ApprovalResolved
from agent.safety.approvals import ApprovalDesk
from agent.safety.effects import Effect
from agent.safety.grants import Rule

EFFECT = Effect("execute", "Run ls", title="Run a command?", action="ls -la\n\nin /home/me")


class Asking:
    def __init__(self, seconds=5.0):
        self.events = []
        self.log = []
        self.questions = []
        self.decided = []
        self.desk = ApprovalDesk(self.publish, lambda: seconds, self.on_asked, self.on_decided)

    def publish(self, event):
        self.events.append(event)
        self.log.append(type(event).__name__)

    async def on_asked(self, approval, action_hash):
        await asyncio.sleep(0)
        self.questions.append((approval, action_hash))
        self.log.append(f"saved question {action_hash}")

    async def on_decided(self, approval_id, choice, by):
        await asyncio.sleep(0)
        self.decided.append((approval_id, choice, by))
        self.log.append(f"saved {choice} by {by}")

    def ask(self):
        question = {"tool": "run_command", "action_hash": "h1", "reason": "why", "call_id": "c"}
        return asyncio.ensure_future(self.desk.ask(EFFECT, conversation_id=1, turn_id=2, **question))

    async def asked(self, count=1):
        async with asyncio.timeout(2):
            while len(self.desk.pending()) < count:
                await asyncio.sleep(0)
        return self.desk.pending()


async def test_the_first_answer_wins_and_everything_is_written_down_first():
    asking = Asking()
    task = asking.ask()
    (approval,) = await asking.asked()
    assert approval.action == EFFECT.action and approval.title == "Run a command?" and approval.always == ""
    assert 4 < approval.expires_at - time.time() <= 5
    assert asking.desk.resolve(approval.id, "allow", "desktop")
    assert not asking.desk.resolve(approval.id, "deny", "telegram:1")
    assert asking.desk.pending() == ()
    answer = await task
    assert (answer.choice, answer.by) == ("allow", "desktop")
    assert asking.log == ["saved question h1", "ApprovalAsked", "ApprovalResolved", "saved allow by desktop"]
    assert not asking.desk.resolve(approval.id, "allow", "desktop")


async def test_what_is_not_offered_or_unknown_is_no_answer():
    asking = Asking()
    task = asking.ask()
    (approval,) = await asking.asked()
    assert not asking.desk.resolve("0" * 16, "allow", "desktop")
    assert not asking.desk.resolve(approval.id, "always", "desktop")
    assert not asking.desk.resolve(approval.id, "yes", "desktop")
    assert asking.desk.pending() == (approval,)
    asking.desk.resolve(approval.id, "deny", "desktop")
    assert (await task).choice == "deny"


async def test_silence_is_a_no():
    asking = Asking(seconds=0.05)
    answer = await asking.ask()
    assert (answer.choice, answer.by) == ("deny", "timeout")
    resolved = asking.events[-1]
    assert isinstance(resolved, ApprovalResolved) and resolved.by == "timeout" and resolved.choice == "deny"


async def test_an_answer_after_the_computer_slept_is_too_late(monkeypatch):
    asking = Asking()
    task = asking.ask()
    (approval,) = await asking.asked()
    monkeypatch.setattr(time, "time", lambda: approval.expires_at + 1)
    assert not asking.desk.resolve(approval.id, "allow", "desktop")
    answer = await task
    assert (answer.choice, answer.by) == ("deny", "timeout")


async def test_stopping_the_turn_takes_the_question_back():
    asking = Asking()
    task = asking.ask()
    (approval,) = await asking.asked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asking.log[-1] == "saved deny by stopped"
    assert asking.events[-1] == ApprovalResolved(approval, "deny", "stopped")
    assert not asking.desk.resolve(approval.id, "allow", "desktop")


async def test_questions_of_several_turns_are_kept_apart():
    asking = Asking()
    one, two = asking.ask(), asking.ask()
    first, second = await asking.asked(2)
    assert first.id != second.id
    asking.desk.resolve(second.id, "allow", "desktop")
    assert (await two).choice == "allow"
    assert asking.desk.pending() == (first,)
    asking.desk.resolve(first.id, "deny", "desktop")
    assert (await one).choice == "deny"
    assert sum(isinstance(event, ApprovalAsked) for event in asking.events) == 2


async def test_everything_that_is_asked_is_on_the_question():
    asking = Asking()
    effect = replace(EFFECT, undoable=True, always=Rule("command", "execute", "x", "ls in ~"))
    task = asyncio.ensure_future(
        asking.desk.ask(
            effect,
            tool="run_command",
            action_hash="h1",
            reason="because",
            conversation_id=3,
            turn_id=4,
            call_id="c5",
            session="ls today",
            sources=("a page", "p\u0430ge"),
            sandbox="bubblewrap",
        )
    )
    (approval,) = await asking.asked()
    assert len(approval.id) == 16 and int(approval.id, 16) >= 0
    wanted = Approval(
        approval.id,
        3,
        4,
        "c5",
        "run_command",
        "Run a command?",
        "ls -la\n\nin /home/me",
        "because",
        undoable=True,
        always="ls in ~",
        expires_at=approval.expires_at,
        session="ls today",
        sources=("a page", "p‹а Cyrillic U+0430›ge"),
        sandbox="bubblewrap",
    )
    assert approval == wanted
    assert asking.desk.resolve(approval.id, "conversation", "desktop")
    assert (await task).choice == "conversation"
    assert asking.desk.pending() == () and asking.decided == [(approval.id, "conversation", "desktop")]
    assert asking.questions == [(approval, "h1")]
    assert not asking.desk.resolve(approval.id, "allow", "desktop")


@pytest.mark.parametrize("choice", ["allow", "deny", "always", "conversation"])
async def test_only_what_is_offered_can_be_chosen(choice):
    asking = Asking()
    rule = Rule("command", "execute", "x", "ls in ~")
    question = {"tool": "t", "action_hash": "h", "reason": "", "conversation_id": 1, "turn_id": 2, "call_id": "c"}
    task = asyncio.ensure_future(asking.desk.ask(replace(EFFECT, always=rule), session="today", **question))
    (approval,) = await asking.asked()
    assert asking.desk.resolve(approval.id, choice, "desktop") and (await task).choice == choice
    task = asyncio.ensure_future(asking.desk.ask(EFFECT, **question))
    (approval,) = await asking.asked()
    assert asking.desk.resolve(approval.id, choice, "desktop") is (choice in ("allow", "deny"))
    assert asking.desk.resolve(approval.id, "deny", "desktop") is (choice not in ("allow", "deny"))
    await task
    assert (approval.always, approval.session, approval.sandbox, approval.sources) == ("", "", "", ())
