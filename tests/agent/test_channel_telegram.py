"""Telegram against a Bot API server: what its users see, and what survives trouble."""

import asyncio
import traceback
from pathlib import Path

import pytest
from telegram import Update

from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Inbound, Needs, Outbound
from agent.channels.telegram import TelegramChannel
from agent.channels.telegram_bot import TelegramBot
from agent.channels.telegram_inbound import fetched as fetched_of
from agent.channels.telegram_inbound import from_update
from agent.errors import ChannelError, StorageError
from agent.settings import TelegramSettings
from tests.agent.channel_kit import OWNER, MemoryNotes, connected, settings_for
from tests.conftest import LogGuard
from tests.peers.telegram_api import TelegramApi
from tests.peers.telegram_chats import ApiError, LostAfter, LostBefore, RateLimit, bad_gateway, too_many_requests


@pytest.fixture
async def api():
    async with TelegramApi(rate_limit=None) as api:
        api.add_user(OWNER)
        yield api


async def test_a_message_is_answered_and_its_marks_are_shown(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api, answer=lambda one: f"**{one.sender_name}** said `{one.text}`") as kit:
        await api.say(OWNER, "a < b")
        reply = await api.wait_for_reply(OWNER)
        assert reply.text == "Ada said a < b"
        assert [entity["type"] for entity in reply.entities] == ["bold", "code"]
        await api.wait_confirmed()
        inbound = kit.received[0]
        assert (inbound.chat_id, inbound.sender_id, inbound.direct) == ("4242", "4242", True)
        assert inbound.sent_at == api.transcript(OWNER)[0].at


async def test_the_bot_is_recognised(api: TelegramApi) -> None:
    assert await channel(api).identify() == "@trayclaw_test_bot"
    wrong = f"{api.token}-of-another-bot"
    with pytest.raises(ChannelError) as refused:
        await channel(api, wrong).identify()
    assert refused.value.kind == "wrong_token"
    shown = "".join(traceback.format_exception(refused.value))
    assert wrong not in f"{shown} {refused.value!r} {refused.value.hint}"


def channel(api: TelegramApi, token: str | None = "") -> TelegramChannel:
    async def give(_: str) -> str | None:
        return api.token if token == "" else token

    async def nobody(_: str) -> bool:
        return False

    needs = Needs(give, nobody, MemoryNotes(), AttachmentFolder(Path))
    return TelegramChannel(TelegramSettings(api_base=api.root_url), needs)


async def test_a_message_is_acknowledged_only_after_it_is_committed(tmp_path: Path, api: TelegramApi) -> None:
    release = asyncio.Event()

    async def slow(_: Inbound) -> None:
        await release.wait()

    async with connected(tmp_path, api, before_commit=slow) as kit:
        await api.say(OWNER, "first")
        await api.say(OWNER, "second")
        await api.wait_until(lambda: looks(api) >= 2, what="Telegram to be asked for others")
        assert len(api.pending_updates) == 2
        release.set()
        await api.wait_confirmed()
        assert [one.text for one in kit.received] == ["first", "second"]


def looks(api: TelegramApi) -> int:
    """How often Telegram was asked without a wait, while a message was being taken."""
    return len([one for one in api.calls if one.method == "getUpdates" and one.parameters.get("timeout", "0") == "0"])


async def test_what_was_not_committed_comes_again_after_a_crash(tmp_path: Path, api: TelegramApi) -> None:
    started = asyncio.Event()

    async def never(_: Inbound) -> None:
        started.set()
        await asyncio.Event().wait()

    async with connected(tmp_path, api, before_commit=never):
        await api.say(OWNER, "do not lose me")
        await started.wait()
    async with connected(tmp_path, api) as kit:
        reply = await api.wait_for_reply(OWNER)
        assert reply.text == "You said: do not lose me"
        assert len(kit.received) == 1


async def test_a_message_that_comes_twice_is_answered_once(
    tmp_path: Path, api: TelegramApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(tmp_path, api) as kit:
        committed = asyncio.Event()

        async def die(chat_id: str, text: str) -> int:
            committed.set()
            return await asyncio.Event().wait()

        monkeypatch.setattr(kit, "reply", die)
        await api.say(OWNER, "once")
        await committed.wait()
    assert len(api.pending_updates) == 1, "it was committed, but Telegram was not told"
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "twice")
        await api.wait_for_reply(OWNER)
        await api.wait_confirmed()
        assert [one.text for one in kit.received] == ["twice"]


async def test_a_message_that_cannot_be_saved_waits_at_telegram(
    tmp_path: Path, api: TelegramApi, monkeypatch: pytest.MonkeyPatch, log_guard: LogGuard
) -> None:
    log_guard.expect("a message from Telegram waits")
    monkeypatch.setattr("agent.channels.patience.SAVE_AGAIN_SECONDS", 0.05)
    full = [True]

    async def disk(_: Inbound) -> None:
        if full:
            raise StorageError("There is no space left.", hint="Free some space.")

    async with connected(tmp_path, api, before_commit=disk) as kit:
        await api.say(OWNER, "keep me")
        await kit.until(lambda: kit.states()[-1] == "degraded", "the trouble to be told")
        assert "no space left" in kit.supervisor.health()[0].detail
        assert len(api.pending_updates) == 1
        full.clear()
        assert (await api.wait_for_reply(OWNER)).text == "You said: keep me"
        assert kit.states()[-1] == "ready"


async def test_groups_that_nobody_enabled_are_not_heard(tmp_path: Path, api: TelegramApi) -> None:
    api.add_group(-100, "Friends")
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "/start@trayclaw_test_bot", chat_id=-100)
        await api.say(OWNER, "direct")
        await api.wait_for_reply(OWNER)
        assert [one.text for one in kit.received] == ["direct"]
        assert api.replies(-100) == []


async def test_a_picture_arrives_with_its_caption(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.send_document(OWNER, "cat.png", b"\x89PNG fake", caption="what is this?")
        await api.wait_for_reply(OWNER)
        inbound = kit.received[0]
        assert inbound.text == "what is this?"
        assert [(one.media_type, one.data) for one in inbound.images] == [("image/png", b"\x89PNG fake")]


async def test_what_cannot_be_read_is_named(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("getFile", bad_gateway())
        await api.send_document(OWNER, "cat.png", b"x", caption="look")
        await api.wait_for_reply(OWNER)
        assert kit.received[0].text.startswith("look\n\n[a file that could not be fetched: ")
        assert api.token not in kit.received[0].text


class Shelf:
    """Files by id, and what was fetched."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    async def download(self, file_id: str) -> bytes:
        self.fetched.append(file_id)
        return b"data"


def photo_update(**sizes: int) -> Update:
    photos = [
        {"file_id": name, "file_unique_id": name, "width": 10 * number, "height": 10 * number, "file_size": size}
        for number, (name, size) in enumerate(sizes.items(), start=1)
    ]
    sender = {"id": 5, "is_bot": False, "first_name": "Bo", "last_name": "Li"}
    message = {"message_id": 1, "date": 1_700_000_000, "chat": {"id": 5, "type": "private"}, "from": sender}
    update = Update.de_json({"update_id": 1, "message": {**message, "photo": photos}})
    assert update is not None
    return update


@pytest.mark.parametrize(
    ("sizes", "fetched", "note"),
    [
        ({"small": 100, "large": 200}, ["large"], ""),
        ({"small": 100, "huge": 30_000_000}, ["small"], ""),
        ({"huge": 30_000_000}, [], "[a picture of 30 MB, too large to be read here]"),
    ],
)
async def test_the_best_photo_that_is_small_enough_is_taken(
    sizes: dict[str, int], fetched: list[str], note: str
) -> None:
    found = from_update(photo_update(**sizes), "my_bot", 99)
    assert found
    inbound = found.inbound
    assert (inbound.sender_name, inbound.transport_id, inbound.sent_at) == ("Bo Li", "5:1", 1_700_000_000.0)
    shelf = Shelf()
    whole = await fetched_of(shelf, [found], AttachmentFolder(Path))  # type: ignore[arg-type]
    assert (shelf.fetched, whole.text) == (fetched, note)
    assert [one.media_type for one in whole.images] == ["image/jpeg"] * len(fetched)


async def test_a_slow_picture_holds_up_nobody_else(
    tmp_path: Path, api: TelegramApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrives = asyncio.Event()

    async def slow(self: TelegramBot, file_id: str) -> bytes:
        await arrives.wait()
        return b"picture"

    monkeypatch.setattr(TelegramBot, "download", slow)
    async with connected(tmp_path, api) as kit:
        kit.settings = settings_for(api, OWNER, 5)
        await api.send_document(OWNER, "cat.png", b"x", caption="first")
        await api.say(OWNER, "second")
        await api.wait_until(lambda: looks(api), what="Telegram to be asked for others")
        await api.say(5, "other chat")
        await api.wait_for_reply(5)
        assert [one.text for one in kit.received] == ["other chat"]
        assert len(api.pending_updates) == 3, "nothing is acknowledged before the first one is committed"
        arrives.set()
        await api.wait_confirmed()
        assert [one.text for one in kit.received] == ["other chat", "first", "second"]


async def test_strangers_get_no_download_out_of_us(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.send_document(777, "big.png", b"x" * 100)
        await api.wait_for_reply(777)
        assert not [one for one in api.calls if one.method == "getFile"]
        assert kit.received == []


async def test_the_answer_grows_in_one_message(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        await api.wait_until(lambda: api.chat(OWNER).actions, what="typing")
        draft.update("The first words of ")
        draft.update("The first words of **an answer**")
        first = await api.wait_for_reply(OWNER)
        assert first.text == "The first words of an answer"
        assert first.source == "The first words of <b>an answer</b>"
        draft.update("The first words of **an answer** that goes on")
        await api.wait_for_reply(OWNER, lambda one: one.text.endswith("goes on"))
        final = "The first words of **an answer** that goes on and ends."
        await kit.delivered(await kit.reply(str(OWNER), final, draft))
        [message] = api.replies(OWNER)
        assert message.text == "The first words of an answer that goes on and ends."
        assert message.edits == 2
        calls = [one.at for one in api.calls if one.method in ("sendMessage", "editMessageText")]
        assert calls[1] - calls[0] >= 0.95


async def test_a_short_text_is_shown_soon_as_well(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        draft.update("Hm")
        assert (await api.wait_for_reply(OWNER)).text == "Hm"
        await draft.discard()
        assert api.transcript(OWNER) == []


async def test_typing_goes_on_while_the_turn_runs(
    tmp_path: Path, api: TelegramApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.channels.telegram_draft.TYPING_SECONDS", 0.05)
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        await api.wait_until(lambda: len(api.chat(OWNER).actions) >= 3, what="typing to be refreshed")
        await draft.discard()
        count = len(api.chat(OWNER).actions)
        await api.say(OWNER, "still there?")
        await api.wait_for_reply(OWNER)
        assert len(api.chat(OWNER).actions) == count


async def test_the_final_text_is_complete_even_if_nothing_could_be_edited_before(
    tmp_path: Path, api: TelegramApi
) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        draft.update("The beginning of an answer")
        await api.wait_for_reply(OWNER)
        api.fail("editMessageText", too_many_requests(1), too_many_requests(1))
        draft.update("The beginning of an answer, middle")
        await kit.delivered(await kit.reply(str(OWNER), "The beginning of an answer, middle, end", draft))
        assert [one.text for one in api.replies(OWNER)] == ["The beginning of an answer, middle, end"]


async def test_an_answer_that_did_not_change_is_delivered(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        draft.update("Nothing to add to this text")
        await api.wait_for_reply(OWNER)
        outbox_id = await kit.reply(str(OWNER), "Nothing to add to this text", draft)
        await kit.delivered(outbox_id)
        assert len(api.replies(OWNER)) == 1
        assert kit.deliveries(outbox_id) == ["sent"]


async def test_a_draft_that_the_person_deleted_is_sent_anew(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        draft.update("A text that will be deleted")
        (await api.wait_for_reply(OWNER)).deleted = True
        await kit.delivered(await kit.reply(str(OWNER), "The answer", draft))
        assert [one.text for one in api.replies(OWNER)] == ["The answer"]


async def test_a_long_answer_becomes_several_messages(tmp_path: Path, api: TelegramApi) -> None:
    paragraphs = [f"Paragraph {number}: " + "word " * 150 for number in range(12)]
    text = "\n\n".join(paragraphs)
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        draft.update(text)
        await api.wait_for_reply(OWNER, lambda one: one.text.endswith("…"))
        await kit.delivered(await kit.reply(str(OWNER), text, draft))
        messages = api.replies(OWNER)
        assert len(messages) == 3
        shown = "\n\n".join(one.text for one in messages)
        assert shown.split() == text.split()
        assert all(one.text.startswith("Paragraph") for one in messages)


async def test_a_crowd_of_pieces_waits_for_the_flood_limit(tmp_path: Path, api: TelegramApi) -> None:
    api.rate_limit = RateLimit(per_second=2.0, burst=2)
    text = "\n\n".join(f"Part {number} " + "word " * 700 for number in range(4))
    async with connected(tmp_path, api) as kit:
        outbox_id = await kit.reply(str(OWNER), text)
        await kit.delivered(outbox_id)
        assert [one.text[:6] for one in api.replies(OWNER)] == ["Part 0", "Part 1", "Part 2", "Part 3"]
        assert "waiting" in kit.deliveries(outbox_id)


async def test_refused_mark_up_is_sent_as_plain_text(tmp_path: Path, api: TelegramApi) -> None:
    refusal = ApiError(400, "Bad Request: can't parse entities: Unsupported start tag")
    async with connected(tmp_path, api) as kit:
        api.fail("sendMessage", refusal)
        await kit.delivered(await kit.reply(str(OWNER), "**bold** & plain"))
        [message] = api.replies(OWNER)
        assert (message.text, message.parse_mode) == ("bold & plain", None)


async def test_links_are_not_previewed(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await kit.delivered(await kit.reply(str(OWNER), "see https://attacker.example/?stolen=data"))
        [call] = [one for one in api.calls if one.method == "sendMessage"]
        assert '"is_disabled": true' in call.parameters["link_preview_options"]


async def test_somebody_who_blocked_the_bot_is_given_up(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.block(OWNER)
        outbox_id = await kit.reply(str(OWNER), "hello?")
        await kit.delivered(outbox_id, "failed")
        row = await kit.row(outbox_id)
        assert row["state"] == "failed"
        assert "blocked by the user" in str(row["error"])
        assert kit.supervisor.health()[0].state == "ready"


async def test_a_wrong_token_stops_the_channel(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api, start=False) as kit:
        kit.token = "700700:wrong"
        kit.supervisor.start("telegram")
        await kit.until(lambda: kit.states()[-1:] == ["wrong_token"], "the wrong token to be told")
        calls = len(api.calls)
        assert "BotFather" in kit.supervisor.health()[0].detail
        kit.token = api.token
        await kit.supervisor.restart("telegram")
        await kit.ready()
        assert len(api.calls) > calls


async def test_no_token_at_all_says_how_to_get_one(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api, start=False) as kit:
        kit.token = None
        kit.supervisor.start("telegram")
        await kit.until(lambda: kit.states()[-1:] == ["wrong_token"], "the missing token to be told")
        health = kit.supervisor.health()[0]
        assert not health.configured
        assert "no bot token" in health.detail
        assert api.calls == []


async def test_another_program_with_the_same_bot_is_named(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("getUpdates", ApiError(409, "Conflict: terminated by other getUpdates request"))
        await api.say(OWNER, "hello")
        await kit.until(lambda: "degraded" in kit.states(), "the conflict to be told")
        details = [one.detail for one in kit.events if getattr(one, "state", "") == "degraded"]
        assert "Another program is using this bot" in details[0]
        await api.wait_for_reply(OWNER)


async def test_a_network_that_goes_and_comes_back(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.stop()
        await kit.until(lambda: kit.states()[-1] == "degraded", "the loss to be noticed")
        assert "cannot be reached" in kit.supervisor.health()[0].detail
        outbox_id = await kit.reply(str(OWNER), "written while offline")
        await api.start()
        await kit.ready()
        await kit.delivered(outbox_id)
        assert [one.text for one in api.replies(OWNER)] == ["written while offline"]
        await api.say(OWNER, "back?")
        await api.wait_for_reply(OWNER)


async def test_an_answer_that_may_have_arrived_says_so(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("sendMessage", LostAfter())
        outbox_id = await kit.reply(str(OWNER), "**important**")
        await kit.delivered(outbox_id)
        first, second = api.replies(OWNER)
        assert first.text == "important"
        assert second.text == "(sent again, the connection broke; you may see it twice)\n\nimportant"
        assert kit.deliveries(outbox_id) == ["uncertain", "sent"]


async def test_a_call_that_never_left_is_repeated_without_remark(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("sendMessage", bad_gateway())
        await kit.delivered(await kit.reply(str(OWNER), "once"))
        assert [one.text for one in api.replies(OWNER)] == ["once"]


async def test_stop_is_quick_and_nothing_is_sent_afterwards(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        started = asyncio.get_running_loop().time()
        await kit.supervisor.stop("telegram")
        assert asyncio.get_running_loop().time() - started < 2.0
        assert kit.supervisor.health()[0].state == "stopped"
        assert not api.polling or api.pending_updates == []
        outbox_id = await kit.reply(str(OWNER), "later")
        await api.say(OWNER, "anybody?")
        assert (await kit.row(outbox_id))["state"] == "waiting"
        kit.supervisor.start("telegram")
        await kit.delivered(outbox_id)


async def test_sending_without_a_connection_is_an_error_to_try_again(api: TelegramApi) -> None:
    with pytest.raises(ChannelError) as error:
        await channel(api).send(Outbound(1, str(OWNER), "hello"))
    assert error.value.retryable
    api.fail("getMe", LostBefore())
    with pytest.raises(ChannelError) as error:
        await channel(api).identify()
    assert (error.value.kind, str(error.value)) == ("network", "Telegram cannot be reached.")
    assert settings_for(api).channels.telegram.owners == ()
