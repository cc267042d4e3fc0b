"""Delivery: in order within a chat, chats independent of each other, nothing lost or silently repeated."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.channels.channel import Channel, Delivered, Draft, Outbound, Receive, ReportHealth
from agent.channels.delivery import AFTER_RESTART, Delivery
from agent.channels.live import LiveAnswers
from agent.errors import ChannelError
from agent.events import DeliveryChanged, Event, ToolCalled, TurnFinished, TurnStarted, TurnText
from agent.providers.types import Usage
from agent.storage import conversations, outbox
from agent.storage.database import Database
from tests.conftest import LogGuard
from tests.peers.changes import Changes


class Paper:
    """A channel whose chats are lists; `trouble` holds what the next deliveries to a chat raise."""

    name = "paper"
    label = "Paper"

    def __init__(self) -> None:
        self.chats: defaultdict[str, list[str]] = defaultdict(list)
        self.trouble: defaultdict[str, list[BaseException]] = defaultdict(list)
        self.slow: dict[str, asyncio.Event] = {}
        self.drafts: list[PaperDraft] = []
        self.calls = 0

    async def run(self, receive: Receive, report: ReportHealth) -> None:
        raise NotImplementedError

    async def send(self, message: Outbound) -> Delivered:
        self.calls += 1
        if (gate := self.slow.get(message.chat_id)) is not None:
            await gate.wait()
        if self.trouble[message.chat_id]:
            raise self.trouble[message.chat_id].pop(0)
        self.chats[message.chat_id].append(f"{message.note} {message.text}".strip())
        return Delivered((str(self.calls),))

    def draft(self, chat_id: str) -> Draft:
        self.drafts.append(PaperDraft(self, chat_id))
        return self.drafts[-1]

    async def identify(self) -> str:
        return "@paper"


class PaperDraft:
    def __init__(self, paper: Paper, chat_id: str) -> None:
        self.paper = paper
        self.chat_id = chat_id
        self.shown = ""
        self.discarded = False

    def update(self, text: str) -> None:
        self.shown = text

    async def finish(self, message: Outbound) -> Delivered:
        text = f"[draft] {message.text}"
        return await self.paper.send(Outbound(message.outbox_id, message.chat_id, text, message.note))

    async def discard(self) -> None:
        self.discarded = True


class Office:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.paper = Paper()
        self.online = True
        self.events: list[Event] = []
        self.changes = Changes()
        self.delivery = Delivery(database, self.channel, self.publish, first_retry=0.02)
        self.live = LiveAnswers(database, self.channel, self.delivery)

    def channel(self, name: str) -> Channel | None:
        return self.paper if self.online and name == "paper" else None

    def publish(self, event: Event) -> None:
        self.events.append(event)
        self.changes.pulse()

    async def commit(self, chat: str, text: str) -> int:
        def work(db):  # type: ignore[no-untyped-def]
            return outbox.add(db, conversations.ensure(db, "paper", chat), "paper", chat, None, text)

        return await self.database.write(work)

    async def put(self, chat: str, text: str) -> int:
        outbox_id = await self.commit(chat, text)
        self.delivery.put(outbox_id)
        return outbox_id

    def states(self, outbox_id: int) -> list[str]:
        return [one.state for one in self.events if isinstance(one, DeliveryChanged) and one.outbox_id == outbox_id]

    async def until(self, predicate: Callable[[], object], what: str) -> None:
        await self.changes.until(predicate, 5, what=what)

    async def ends(self, outbox_id: int, state: str) -> None:
        await self.until(lambda: self.states(outbox_id)[-1:] == [state], f"{outbox_id} {state}")

    async def stored(self, outbox_id: int) -> tuple[str, str | None]:
        row = await self.database.read(
            lambda db: db.execute("SELECT state, error FROM outbox WHERE id = ?", (outbox_id,)).fetchone()
        )
        return row["state"], row["error"]


@pytest.fixture
async def office(tmp_path: Path):
    database = await asyncio.to_thread(Database.open, tmp_path / "trayclaw.db")
    office = Office(database)
    yield office
    await office.live.stop()
    await office.delivery.stop()
    await asyncio.to_thread(database.close)


def lost(uncertain: bool = False, retry_after: float | None = None) -> ChannelError:
    return ChannelError("network", "The line is dead.", uncertain=uncertain, retry_after=retry_after)


async def test_answers_arrive_in_order_even_if_the_first_one_fails_for_a_while(office: Office) -> None:
    office.paper.trouble["a"] = [lost(), lost()]
    ids = [await office.put("a", str(number)) for number in range(5)]
    await office.ends(ids[-1], "sent")
    assert office.paper.chats["a"] == ["0", "1", "2", "3", "4"]
    assert office.states(ids[0]) == ["waiting", "waiting", "sent"]
    assert await office.stored(ids[0]) == ("sent", None)


async def test_a_slow_chat_does_not_hold_up_another(office: Office) -> None:
    office.paper.slow["slow"] = asyncio.Event()
    first = await office.put("slow", "one")
    second = await office.put("quick", "two")
    await office.ends(second, "sent")
    assert office.paper.chats["slow"] == []
    office.paper.slow["slow"].set()
    await office.ends(first, "sent")


async def test_it_is_marked_before_it_is_sent(office: Office) -> None:
    office.paper.slow["a"] = asyncio.Event()
    outbox_id = await office.put("a", "text")
    while office.paper.calls == 0:
        await asyncio.sleep(0)
    assert (await office.stored(outbox_id))[0] == "sending"
    office.paper.slow["a"].set()
    await office.ends(outbox_id, "sent")


async def test_what_was_being_sent_when_the_app_died_is_sent_again_and_says_so(office: Office) -> None:
    outbox_id = await office.commit("a", "text")
    untouched = await office.commit("b", "other")
    await office.database.write(lambda db: outbox.mark_sending(db, outbox_id))
    await office.delivery.recover()
    assert office.states(outbox_id) == ["uncertain"]
    office.delivery.resume("paper")
    await office.ends(outbox_id, "sent")
    await office.ends(untouched, "sent")
    assert office.paper.chats["a"] == [f"{AFTER_RESTART} text"]
    assert office.paper.chats["b"] == ["other"]


async def test_a_final_refusal_fails_and_the_next_answer_goes_on(office: Office) -> None:
    office.paper.trouble["a"] = [ChannelError("forbidden", "They blocked us.")]
    first, second = await office.put("a", "one"), await office.put("a", "two")
    await office.ends(second, "sent")
    assert await office.stored(first) == ("failed", "They blocked us.")
    assert office.states(first) == ["failed"]
    assert office.paper.chats["a"] == ["two"]


async def test_the_wish_to_wait_is_honoured(office: Office) -> None:
    office.paper.trouble["a"] = [ChannelError("rate_limit", "Slow down.", retry_after=0.4)]
    started = time.monotonic()
    outbox_id = await office.put("a", "one")
    await office.until(lambda: office.states(outbox_id) == ["waiting"], "the refusal")
    office.delivery.resume("paper")  # a new connection is no reason to be impolite
    await office.ends(outbox_id, "sent")
    assert time.monotonic() - started >= 0.4


async def test_a_connection_that_is_back_ends_the_wait(office: Office) -> None:
    office.paper.trouble["a"] = [lost(retry_after=3600)]
    outbox_id = await office.put("a", "one")
    await office.until(lambda: office.states(outbox_id) == ["waiting"], "the loss")
    office.delivery.resume("paper")
    await office.ends(outbox_id, "sent")


async def test_without_a_connection_answers_wait_for_it(office: Office) -> None:
    office.online = False
    outbox_id = await office.put("a", "one")
    await asyncio.gather(*office.delivery._tasks)
    assert (await office.stored(outbox_id))[0] == "waiting"
    office.online = True
    office.delivery.resume("paper")
    await office.ends(outbox_id, "sent")


async def test_after_a_day_it_is_given_up(office: Office) -> None:
    outbox_id = await office.commit("a", "old")
    day = 24 * 3600
    await office.database.write(lambda db: db.execute("UPDATE outbox SET created_at = created_at - ?", (day + 1,)))
    office.paper.trouble["a"] = [lost()]
    office.delivery.put(outbox_id)
    await office.ends(outbox_id, "failed")
    assert await office.stored(outbox_id) == ("failed", "The line is dead.")


async def test_what_may_have_arrived_is_marked_for_good(office: Office) -> None:
    office.paper.trouble["a"] = [lost(uncertain=True), lost()]
    outbox_id = await office.put("a", "text")
    await office.ends(outbox_id, "sent")
    assert office.states(outbox_id) == ["uncertain", "uncertain", "sent"]
    assert office.paper.chats["a"][0].startswith("(sent again, the connection broke")


async def test_a_defect_in_a_channel_does_not_stop_the_chat(office: Office, log_guard: LogGuard) -> None:
    log_guard.expect("an answer could not be sent on paper")
    office.paper.trouble["a"] = [ZeroDivisionError() for _ in range(20)]
    outbox_id = await office.put("a", "one")
    await office.ends(outbox_id, "failed")
    assert office.paper.calls == 6
    office.paper.trouble["a"].clear()
    await office.ends(await office.put("a", "two"), "sent")


async def test_stop_lets_the_current_answer_arrive_and_keeps_the_rest(office: Office) -> None:
    office.paper.slow["a"] = asyncio.Event()
    first, second = await office.put("a", "one"), await office.put("a", "two")
    while office.paper.calls == 0:
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, office.paper.slow["a"].set)
    await office.delivery.stop()
    assert await office.stored(first) == ("sent", None)
    assert (await office.stored(second))[0] == "waiting"


async def test_stop_does_not_wait_for_a_dead_line(office: Office) -> None:
    office.paper.slow["a"] = asyncio.Event()
    outbox_id = await office.put("a", "one")
    while office.paper.calls == 0:
        await asyncio.sleep(0)
    started = time.monotonic()
    await office.delivery.stop()
    assert time.monotonic() - started < 2.0
    assert (await office.stored(outbox_id))[0] == "sending"


async def test_many_chats_at_once(office: Office) -> None:
    ids = [await office.put(f"chat {number % 50}", str(number)) for number in range(200)]
    await office.until(lambda: sum("sent" in office.states(one) for one in ids[-50:]) == 50, "all sent")
    for chat, texts in office.paper.chats.items():
        assert texts == [str(number) for number in range(int(chat.split()[1]), 200, 50)]


# An answer while it grows


def finished(turn_id: int, conversation_id: int, outbox_id: int | None) -> TurnFinished:
    return TurnFinished(conversation_id, turn_id, "answered", "", "m", Usage(), 0.0, 0.0, outbox_id=outbox_id)


def started(turn_id: int, conversation_id: int) -> TurnStarted:
    return TurnStarted(conversation_id, turn_id, "m")


async def conversation(office: Office, channel: str, chat: str) -> int:
    return await office.database.write(lambda db: conversations.ensure(db, channel, chat))


async def test_a_turn_is_shown_in_its_chat_and_its_answer_takes_the_place(office: Office) -> None:
    own = await conversation(office, "paper", "a")
    office.live.on_event(started(1, own))
    office.live.on_event(TurnText(own, 1, "I look "))
    office.live.on_event(TurnText(own, 1, "it up."))
    await asyncio.gather(*office.live._tasks)
    [draft] = office.paper.drafts
    office.live.on_event(ToolCalled(own, 1, "c", "read_file", {}, "read"))
    office.live.on_event(TurnText(own, 1, "Here."))
    assert draft.shown == "I look it up.\n\nHere."
    outbox_id = await office.commit("a", "Here.")
    office.live.on_event(finished(1, own, outbox_id))
    await office.ends(outbox_id, "sent")
    assert office.paper.chats["a"] == ["[draft] Here."]


async def test_a_turn_without_an_answer_takes_its_draft_back(office: Office) -> None:
    own = await conversation(office, "paper", "a")
    office.live.on_event(started(1, own))
    office.live.on_event(finished(1, own, None))
    await asyncio.gather(*office.live._tasks)
    assert all(draft.discarded for draft in office.paper.drafts)


async def test_local_turns_have_no_draft_and_commands_are_delivered(office: Office) -> None:
    local = await conversation(office, "local", "main")
    office.live.on_event(started(1, local))
    await asyncio.gather(*office.live._tasks)
    office.live.on_event(finished(1, local, None))
    own = await conversation(office, "paper", "a")
    outbox_id = await office.commit("a", "help text")
    office.live.on_event(finished(2, own, outbox_id))
    await office.ends(outbox_id, "sent")
    assert office.paper.drafts == []
    assert office.paper.chats["a"] == ["help text"]


async def test_a_number_that_comes_back_as_another_chat_is_looked_up_again(office: Office) -> None:
    own = await conversation(office, "paper", "a")
    office.live.on_event(started(1, own))
    await asyncio.gather(*office.live._tasks)
    office.live.on_event(finished(1, own, None))
    await office.database.write(lambda db: conversations.delete(db, own))
    assert await conversation(office, "local", "private") == own
    office.live.on_event(started(2, own))
    office.live.on_event(TurnText(own, 2, "nobody's business"))
    await asyncio.gather(*office.live._tasks)
    assert [draft.shown for draft in office.paper.drafts] == [""]


async def test_a_draft_fails_and_is_finished_later(office: Office) -> None:
    own = await conversation(office, "paper", "a")
    office.live.on_event(started(1, own))
    await asyncio.gather(*office.live._tasks)
    office.paper.trouble["a"] = [lost()]
    outbox_id = await office.commit("a", "text")
    office.live.on_event(finished(1, own, outbox_id))
    await office.ends(outbox_id, "sent")
    assert office.paper.chats["a"] == ["[draft] text"]


async def test_what_is_still_shown_at_the_end_is_taken_back(office: Office) -> None:
    own = await conversation(office, "paper", "a")
    office.live.on_event(started(1, own))
    await asyncio.gather(*office.live._tasks)
    await office.live.stop()
    assert office.paper.drafts[0].discarded
