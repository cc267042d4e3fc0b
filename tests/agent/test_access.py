"""Who may talk: owners, the paired, and what strangers get. Decisions may come from another process."""

import asyncio
import contextlib
import re
import sqlite3
import time
from pathlib import Path

import pytest

from agent.channels.access import Access
from agent.channels.channel import Inbound
from agent.errors import ChannelError, UsageError
from agent.events import Event, PairingAsked, PairingResolved
from agent.settings import ChannelsSettings, Settings, TelegramSettings
from agent.storage.database import Database
from tests.agent.channel_kit import OWNER, connected
from tests.conftest import LogGuard
from tests.peers.changes import Changes
from tests.peers.telegram_api import TelegramApi

GREETING = "You are connected. Write me whatever you need."


class Desk:
    """Access with a chat that only remembers what was told to whom."""

    def __init__(self, database: Database, *, tells: bool = True) -> None:
        self.database = database
        self.settings = Settings(channels=ChannelsSettings(telegram=TelegramSettings(owners=(1,))))
        self.events: list[Event] = []
        self.told: list[tuple[str, str]] = []
        self.trouble: list[ChannelError] = []
        self.changes = Changes()
        self.access = Access(database, lambda: self.settings, self.events.append, self.tell if tells else None)

    async def tell(self, channel: str, chat_id: str, text: str) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.told.append((chat_id, text))
        self.changes.pulse()

    async def says(self, sender: int, *, direct: bool = True) -> str | None:
        number = len(self.told) + time.monotonic_ns()
        inbound = Inbound("telegram", str(number), str(sender), str(sender), f"User {sender}", "hello", direct=direct)
        role = await self.access.admit(inbound)
        await asyncio.gather(*self.access._asking)
        return role

    def code(self) -> str:
        found = re.search(r"\*\*([0-9A-Z]{4}-[0-9A-Z]{4})\*\*", self.told[-1][1])
        assert found
        return found[1]


@pytest.fixture
async def database(tmp_path: Path):
    database = await asyncio.to_thread(Database.open, tmp_path / "trayclaw.db")
    yield database
    await asyncio.to_thread(database.close)


@pytest.fixture
async def desk(database: Database):
    desk = Desk(database)
    yield desk
    await desk.access.stop()


async def test_owners_are_let_in_by_number_and_nobody_else(desk: Desk) -> None:
    assert await desk.says(1) == "owner"
    assert await desk.says(2) is None
    desk.settings = Settings()
    assert await desk.says(1) is None


async def test_a_stranger_gets_one_code_and_then_silence(desk: Desk) -> None:
    for _ in range(4):
        assert await desk.says(7) is None
    [(chat, text)] = desk.told
    assert chat == "7"
    assert "Settings > Channels" in text
    assert f"trayclaw pair approve {desk.code()}" in text
    [asked] = desk.events
    assert isinstance(asked, PairingAsked)
    assert (asked.code, asked.user_id, asked.name) == (desk.code(), "7", "User 7")
    assert 3590 < asked.expires_at - time.time() <= 3600


async def test_a_stranger_in_a_group_hears_nothing(desk: Desk) -> None:
    assert await desk.says(7, direct=False) is None
    assert desk.told == []


async def test_at_most_three_wait_on_a_channel(desk: Desk) -> None:
    for sender in range(7, 12):
        await desk.says(sender)
    assert [chat for chat, _ in desk.told] == ["7", "8", "9"]
    assert len(await desk.access.requests()) == 3


async def test_codes_differ_and_use_no_letters_that_are_misread(desk: Desk) -> None:
    codes = []
    for sender in (7, 8, 9):
        await desk.says(sender)
        codes.append(desk.code())
    assert len(set(codes)) == 3
    assert not set("".join(codes)) & set("ILOU")


async def test_approval_lets_in_and_greets_once(desk: Desk) -> None:
    await desk.says(7)
    person = await desk.access.decide(desk.code().lower().replace("-", " "), approve=True)
    assert person is not None
    assert (person.user_id, person.role, person.name) == ("7", "paired", "User 7")
    assert await desk.says(7) == "paired"
    await desk.changes.until(lambda: ("7", GREETING) in desk.told, what="the greeting")
    await asyncio.wait_for(desk.access._watcher, 5)  # it ends when nothing is open
    assert len(desk.told) == 2
    assert await desk.access.requests() == []
    assert [event.approved for event in desk.events if isinstance(event, PairingResolved)] == [True]


async def test_refusal_is_silent_and_lasts_for_the_hour(desk: Desk) -> None:
    await desk.says(7)
    assert await desk.access.decide(desk.code(), approve=False) is None
    assert await desk.says(7) is None
    assert len(desk.told) == 1
    assert [event.approved for event in desk.events if isinstance(event, PairingResolved)] == [False]


@pytest.mark.parametrize("code", ["0000-0000", "", "nonsense"])
async def test_unknown_codes_are_an_error(desk: Desk, code: str) -> None:
    with pytest.raises(UsageError, match="no open request"):
        await desk.access.decide(code, approve=True)


async def test_a_code_works_once_and_for_one_hour(desk: Desk, tmp_path: Path) -> None:
    await desk.says(7)
    await desk.access.decide(desk.code(), approve=True)
    with pytest.raises(UsageError):
        await desk.access.decide(desk.code(), approve=True)
    await desk.says(8)
    late = desk.code()
    await desk.database.write(lambda db: db.execute("UPDATE pairing_requests SET expires_at = ?", (time.time() - 1,)))
    with pytest.raises(UsageError):
        await desk.access.decide(late, approve=True)
    await desk.says(8)
    assert desk.code() != late


async def test_a_revoked_person_is_a_stranger_again(desk: Desk) -> None:
    await desk.says(7)
    await desk.access.decide(desk.code(), approve=True)
    assert [(one.user_id, one.role) for one in await desk.access.people()] == [("1", "owner"), ("7", "paired")]
    assert await desk.access.revoke("telegram", "7")
    assert not await desk.access.revoke("telegram", "7")
    assert await desk.says(7) is None
    assert "trayclaw pair approve" in desk.told[-1][1]


async def test_a_code_that_could_not_be_sent_is_offered_again(desk: Desk, log_guard: LogGuard) -> None:
    log_guard.expect("pairing code could not be sent")
    desk.trouble.append(ChannelError("network", "gone"))
    await desk.says(7)
    assert (desk.told, await desk.access.requests()) == ([], [])
    await desk.says(7)
    assert desk.code()


async def test_another_process_approves_and_the_running_app_notices(
    database: Database, desk: Desk, tmp_path: Path
) -> None:
    await desk.says(7)
    other_database = await asyncio.to_thread(Database.open, tmp_path / "trayclaw.db")
    command = Desk(other_database, tells=False)
    await command.access.decide(desk.code(), approve=True)
    await asyncio.to_thread(other_database.close)
    assert command.told == []
    assert await desk.says(7) == "paired"
    await desk.changes.until(lambda: ("7", GREETING) in desk.told, 5, what="the greeting")
    assert [event.approved for event in desk.events if isinstance(event, PairingResolved)] == [True]


async def test_a_request_survives_a_restart_and_a_lost_greeting_is_repeated(database: Database, desk: Desk) -> None:
    await desk.says(7)
    code = desk.code()
    await desk.access.stop()
    later = Desk(database)
    later.trouble.append(ChannelError("network", "not connected yet"))
    await later.access.start()
    await later.access.decide(code, approve=True)
    await later.changes.until(lambda: later.told == [("7", GREETING)], 5, what="the greeting")
    await later.access.stop()


async def test_strangers_leave_no_trace_of_what_they_wrote(desk: Desk, tmp_path: Path) -> None:
    await desk.says(7)
    with contextlib.closing(sqlite3.connect(tmp_path / "trayclaw.db")) as db:
        assert db.execute("SELECT count(*) FROM inbox").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM conversations").fetchone() == (0,)
    db.close()


async def test_pairing_in_telegram(tmp_path: Path) -> None:
    async with TelegramApi() as api, connected(tmp_path, api) as kit:
        assert OWNER != 555
        await api.say(555, "hi, who are you?")
        invitation = await api.wait_for_reply(555)
        code = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", invitation.text)
        assert code
        await api.say(555, "hello?")
        await api.wait_confirmed()
        await kit.access.decide(code[0], approve=True)
        await api.wait_for_reply(555, lambda one: one.text == GREETING)
        await api.say(555, "now?")
        await api.wait_for_reply(555, lambda one: one.text == "You said: now?")
        assert [one.text for one in kit.received] == ["now?"]


# --- groups, programs, floods ----------------------------------------------------------------------------------------
async def in_group(desk: Desk, sender: int, text: str, *, addressed: bool = True, bot: bool = False) -> str | None:
    number = str(time.monotonic_ns())
    inbound = Inbound(
        "telegram",
        number,
        "-100:7",
        str(sender),
        f"User {sender}",
        text,
        title="Family",
        direct=False,
        group_id="-100",
        addressed=addressed,
        bot=bot,
    )
    role = await desk.access.admit(inbound)
    await asyncio.gather(*desk.access._asking)
    return role


async def test_a_group_is_silent_until_an_owner_enables_it(desk: Desk) -> None:
    assert await in_group(desk, 1, "hello") is None
    assert await in_group(desk, 7, "/enable") is None
    assert desk.told == [], "nobody is written to, neither members nor with a code"
    assert await in_group(desk, 1, "/enable@my_bot") is None
    assert [chat for chat, _ in desk.told] == ["-100:7"]
    assert await in_group(desk, 1, "hello") == "owner"
    assert await in_group(desk, 7, "hello") == "member"
    assert await in_group(desk, 7, "hello", addressed=False) is None
    assert [(group.group_id, group.title) for group in await desk.access.groups()] == [("-100", "Family")]
    assert await in_group(desk, 7, "/disable") == "member", "for members it is a command like others, and refused"
    assert await in_group(desk, 1, "/disable") is None
    assert await in_group(desk, 1, "hello") is None


async def test_a_paired_person_is_a_member_in_a_group(desk: Desk, database: Database) -> None:
    await desk.says(7)
    await desk.access.decide(desk.code(), approve=True)
    await in_group(desk, 1, "/enable")
    assert await desk.says(7) == "paired"
    assert await in_group(desk, 7, "hello") == "member"


async def test_a_group_may_be_answered_without_a_mention(desk: Desk) -> None:
    telegram = TelegramSettings(owners=(1,), group_mention=False)
    desk.settings = Settings(channels=ChannelsSettings(telegram=telegram))
    await in_group(desk, 1, "/enable")
    assert await in_group(desk, 7, "hello", addressed=False) == "member"


async def test_other_programs_are_never_answered(desk: Desk) -> None:
    await in_group(desk, 1, "/enable")
    assert await in_group(desk, 7, "hello", bot=True) is None
    assert await in_group(desk, 1, "hello", bot=True) is None


async def test_a_flood_is_cut_and_its_sender_told_once(desk: Desk) -> None:
    desk.settings = Settings(channels=ChannelsSettings(telegram=TelegramSettings(owners=(1,))))
    await in_group(desk, 1, "/enable")
    told = len(desk.told)
    roles = [await in_group(desk, 7, f"message {number}") for number in range(40)]
    taken = roles.count("member")
    assert 15 <= taken < 25
    assert roles[:15] == ["member"] * 15
    assert [text[:33] for _, text in desk.told[told:]] == ["You write faster than I can answe"]
    assert await in_group(desk, 8, "hello") == "member", "nobody else is held up"


async def test_wrong_codes_are_not_tried_for_ever(desk: Desk) -> None:
    await desk.says(7)
    code = desk.code()
    for number in range(5):
        with pytest.raises(UsageError):
            await desk.access.decide(f"0000-000{number}", approve=True)
    with pytest.raises(UsageError, match="Too many wrong codes"):
        await desk.access.decide(code, approve=True)
