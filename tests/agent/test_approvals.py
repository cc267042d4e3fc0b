"""Questions to a person: answered once, by the first; silence is a no; a stopped turn takes its question back."""

import asyncio
import time

import pytest

from agent.events import ApprovalAsked, ApprovalResolved
from agent.safety.approvals import ApprovalDesk
from agent.safety.effects import Effect

EFFECT = Effect("execute", "Run ls", title="Run a command?", action="ls -la\n\nin /home/me")


class Asking:
    def __init__(self, seconds=5.0):
        self.events = []
        self.log = []
        self.desk = ApprovalDesk(self.publish, lambda: seconds, self.on_asked, self.on_decided)

    def publish(self, event):
        self.events.append(event)
        self.log.append(type(event).__name__)

    async def on_asked(self, approval, action_hash):
        await asyncio.sleep(0)
        self.log.append(f"saved question {action_hash}")

    async def on_decided(self, approval_id, choice, by):
        await asyncio.sleep(0)
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
