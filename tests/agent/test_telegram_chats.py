"""Telegram beyond plain messages: groups, topics, edits, albums, files both ways, buttons, receipts, the menu."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.channels.channel import Button, Inbound, Outbound
from agent.channels.telegram import COMMANDS
from agent.errors import ChannelError
from agent.storage import groups
from tests.agent.channel_kit import OWNER, Kit, connected
from tests.peers.telegram_api import UPLOAD_LIMIT, TelegramApi
from tests.peers.telegram_chats import bad_request

GROUP = -100_123


@pytest.fixture
async def api() -> AsyncIterator[TelegramApi]:
    async with TelegramApi(rate_limit=None) as found:
        found.add_user(OWNER)
        found.add_group(GROUP, "Family")
        yield found


async def enable(kit: Kit) -> None:
    await kit.database.write(lambda db: groups.enable(db, "telegram", str(GROUP), "Family", str(OWNER)))


# --- groups and topics ----------------------------------------------------------------------------------------------
async def test_an_owner_enables_a_group_and_members_who_mention_the_bot_are_answered(
    tmp_path: Path, api: TelegramApi
) -> None:
    api.privacy_mode = False
    roles: list[str] = []

    async def note(inbound: Inbound) -> None:
        roles.append(inbound.sender_id)

    async with connected(tmp_path, api, before_commit=note) as kit:
        await api.say(777, "@trayclaw_test_bot hello", chat_id=GROUP)
        await api.say(OWNER, "/enable@trayclaw_test_bot", chat_id=GROUP)
        await api.wait_for_reply(GROUP, lambda one: "I answer in this group" in one.text)
        await api.say(777, "just talking", chat_id=GROUP)
        await api.say(777, "@TrayClaw_Test_Bot what is new?", chat_id=GROUP)
        await api.wait_for_reply(GROUP, lambda one: one.text == "You said: what is new?")
        [inbound] = kit.received
        assert (inbound.direct, inbound.group_id, inbound.title) == (False, str(GROUP), "Family")
        assert api.replies(777) == [], "no pairing code is sent to a member of a group"


async def test_a_reply_to_the_bot_is_meant_for_it_and_quotes_what_it_answers(tmp_path: Path, api: TelegramApi) -> None:
    api.privacy_mode = False
    async with connected(tmp_path, api) as kit:
        await enable(kit)
        await api.say(OWNER, "@trayclaw_test_bot hello", chat_id=GROUP)
        said = await api.wait_for_reply(GROUP)
        await api.say(OWNER, "why?", chat_id=GROUP, reply_to=said.message_id)
        await api.wait_for_reply(GROUP)
        assert kit.received[1].text == "> You said: hello\n\nwhy?"


async def test_a_command_for_another_bot_is_not_ours(tmp_path: Path, api: TelegramApi) -> None:
    api.privacy_mode = False
    async with connected(tmp_path, api) as kit:
        await enable(kit)
        await api.say(OWNER, "/stop@other_bot", chat_id=GROUP)
        await api.say(OWNER, "/status@trayclaw_test_bot", chat_id=GROUP)
        await api.wait_for_reply(GROUP)
        assert [one.text for one in kit.received] == ["/status"]


async def test_topics_are_conversations_of_their_own(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await enable(kit)
        await api.say_in_topic(OWNER, "@trayclaw_test_bot in seven", GROUP, 7)
        await api.say_in_topic(OWNER, "@trayclaw_test_bot in nine", GROUP, 9)
        await api.wait_until(lambda: len([one for one in api.transcript(GROUP) if one.from_bot]) == 2)
        assert sorted(one.chat_id for one in kit.received) == [f"{GROUP}:7", f"{GROUP}:9"]
        answers = [(one.topic, one.text) for one in api.transcript(GROUP) if one.from_bot]
        assert sorted(answers) == [(7, "You said: in seven"), (9, "You said: in nine")]


async def test_an_answer_in_a_group_refers_to_its_question(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        asked = await api.say(OWNER, "@trayclaw_test_bot hello", chat_id=GROUP)
        await channel.send(Outbound(0, str(GROUP), "Hello.", reply_to=f"{GROUP}:{asked.message_id}"))
        await channel.send(Outbound(0, str(OWNER), "Alone.", reply_to=f"{OWNER}:{asked.message_id}"))
        assert [one.reply_to for one in api.replies(GROUP)] == [asked.message_id]
        assert [one.reply_to for one in api.replies(OWNER)] == [None], "with one person it needs no reference"


# --- what comes in --------------------------------------------------------------------------------------------------
async def test_an_edit_names_what_it_replaces(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        said = await api.say(OWNER, "helo")
        await api.wait_for_reply(OWNER)
        await api.edit(OWNER, said, "hello")
        await kit.until(lambda: len(kit.received) == 2, "the edit")
        first, edit = kit.received
        assert (edit.text, edit.edits) == ("hello", first.transport_id)
        assert edit.transport_id != first.transport_id
        await api.wait_until(lambda: len([one for one in api.transcript(OWNER) if one.from_bot]) == 2)


async def test_an_album_is_one_message(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        await api.send_photos(OWNER, b"one", b"two", b"three", caption="which is best?")
        await api.say(OWNER, "and why?")
        await kit.until(lambda: len(kit.received) == 2, "both")
        album, after = kit.received
        assert [image.data for image in album.images] == [b"one", b"two", b"three"]
        assert (album.text, after.text) == ("which is best?", "and why?")
        await api.wait_confirmed()


async def test_files_and_voices_are_put_into_the_workspace(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        await api.send_document(OWNER, "../../report.pdf", b"%PDF-1.7 " + b"x" * 200_000, caption="read this")
        await api.send_voice(OWNER, b"OggS")
        await kit.until(lambda: len(kit.received) == 2, "both")
        report, voice = (one.files[0] for one in kit.received)
        assert (report.name, report.size, report.media_type) == ("report.pdf", 200_009, "application/pdf")
        assert report.path.read_bytes().startswith(b"%PDF-1.7 x")
        assert kit.workspace in report.path.parents
        assert (voice.name, voice.media_type, voice.path.read_bytes()) == ("voice message.ogg", "audio/ogg", b"OggS")


async def test_a_place_is_told_in_words(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.send_location(OWNER, 48.137154, 11.576124)
        await api.wait_for_reply(OWNER)
        assert kit.received[0].text == "[location: 48.137154, 11.576124]"


# --- what goes out --------------------------------------------------------------------------------------------------
async def test_buttons_stand_below_the_last_message_and_are_gone_once_pressed(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        channel = await kit.ready()
        buttons = (Button("Allow once", "/allow 3F2A9C", "primary"), Button("Deny", "/deny 3F2A9C", "danger"))
        delivered = await channel.send(Outbound(0, str(OWNER), "word " * 1500 + "Run it?", buttons=buttons))
        shown = api.replies(OWNER)
        assert [one.buttons for one in shown] == [[], ["Allow once", "Deny"]]
        assert delivered.transport_ids == tuple(str(one.message_id) for one in shown)
        query = await api.press(OWNER, shown[-1], "Allow once")
        await kit.until(lambda: kit.received, "the press")
        [pressed] = kit.received
        assert (pressed.text, pressed.pressed, pressed.chat_id) == ("/allow 3F2A9C", True, str(OWNER))
        await api.wait_until(lambda: [one["callback_query_id"] for one in api.callback_answers] == [query])
        await api.wait_until(lambda: shown[-1].buttons == [], what="the buttons to go")
        assert shown[-1].text.endswith("Run it?")


async def test_a_strangers_press_leaves_the_buttons(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        await channel.send(Outbound(0, str(GROUP), "Run it?", buttons=(Button("Allow once", "/allow 3F2A9C"),)))
        api.add_user(777)
        [shown] = api.replies(GROUP)
        await api.press(777, shown, "Allow once")
        await api.wait_confirmed()
        await api.wait_until(lambda: api.callback_answers, what="the answer to the press")
        assert kit.received == [] and shown.buttons == ["Allow once"]


async def test_a_press_that_was_not_committed_comes_again(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        await (await kit.ready()).send(Outbound(0, str(OWNER), "Run it?", buttons=(Button("Deny", "/deny 1"),)))
    [shown] = api.replies(OWNER)
    await api.press(OWNER, shown, "Deny")
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        await kit.until(lambda: kit.received, "the press")
        assert kit.received[0].text == "/deny 1"


async def test_a_file_goes_out_as_what_it_is(tmp_path: Path, api: TelegramApi) -> None:
    for name in ("chart.png", "talk.ogg", "data.csv"):
        (tmp_path / name).write_bytes(b"content of " + name.encode())
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        await channel.send(Outbound(0, str(OWNER), "**Here** it is.", files=(tmp_path / "chart.png",)))
        await channel.send(Outbound(0, str(OWNER), "word " * 400, files=(tmp_path / "talk.ogg", tmp_path / "data.csv")))
        shown = [(one.file_kind if one.file else "", one.text.strip()[:11]) for one in api.replies(OWNER)]
        assert shown == [("photo", "Here it is."), ("", "word word w"), ("voice", ""), ("document", "")]
        assert api.replies(OWNER)[3].file and api.replies(OWNER)[3].file["file_name"] == "data.csv"  # type: ignore[index]


async def test_a_file_that_is_gone_or_too_large_is_refused_in_words(tmp_path: Path, api: TelegramApi) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(UPLOAD_LIMIT + 1)
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        for path, words in ((tmp_path / "gone.txt", "cannot be read"), (large, "Telegram takes 50 MB")):
            with pytest.raises(ChannelError, match=words) as refused:
                await channel.send(Outbound(0, str(OWNER), "", files=(path,)))
            assert not refused.value.retryable


async def test_what_was_sent_is_not_sent_again_after_an_error(tmp_path: Path, api: TelegramApi) -> None:
    (tmp_path / "data.csv").write_bytes(b"1;2")
    api.fail("sendDocument", bad_request("WHATEVER"))
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        message = Outbound(5, str(OWNER), "word " * 400, files=(tmp_path / "data.csv",))
        with pytest.raises(ChannelError):
            await channel.send(message)
        delivered = await channel.send(message)
        assert [bool(one.file) for one in api.replies(OWNER)] == [False, True]
        assert len(delivered.transport_ids) == 2


async def test_a_draft_gets_the_buttons_of_its_answer(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(str(OWNER))
        draft.update("A text that is long enough to be shown.")
        await api.wait_for_reply(OWNER)
        await draft.finish(Outbound(1, str(OWNER), "Which?", buttons=(Button("This", "/answer 1"),)))
        [shown] = api.replies(OWNER)
        assert (shown.text, shown.buttons) == ("Which?", ["This"])


async def test_receipts_are_reactions(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        said = await api.say(OWNER, "hello")
        for mark, emoji in (("seen", "👀"), ("done", "👌"), ("failed", "😢")):
            await channel.mark(str(OWNER), f"{OWNER}:{said.message_id}", mark)  # type: ignore[arg-type]
            assert said.reactions == [emoji]
        api.fail("setMessageReaction", bad_request("REACTION_INVALID"))
        await channel.mark(str(OWNER), f"{OWNER}:{said.message_id}", "done")
        await channel.mark(str(OWNER), "press:77", "done")


async def test_the_menu_of_commands_is_set_once(tmp_path: Path, api: TelegramApi) -> None:
    for _ in range(2):
        async with connected(tmp_path, api):
            assert [(one["command"], one["description"]) for one in api.commands] == list(COMMANDS)
    assert len([one for one in api.calls if one.method == "setMyCommands"]) == 1


async def test_a_draft_that_a_crash_left_is_taken_away(tmp_path: Path, api: TelegramApi) -> None:
    async with connected(tmp_path, api) as kit:
        channel = await kit.ready()
        cut, finished = channel.draft(str(OWNER)), channel.draft(str(GROUP))
        cut.update("The beginning of an answer that")
        finished.update("Another answer that comes to its end")
        await api.wait_for_reply(OWNER)
        await api.wait_for_reply(GROUP)
        await finished.finish(Outbound(1, str(GROUP), "Another answer."))
    assert [one.text for one in api.replies(OWNER)] == ["The beginning of an answer that"], "as a crash leaves it"
    async with connected(tmp_path, api):
        assert api.replies(OWNER) == []
        assert [one.text for one in api.replies(GROUP)] == ["Another answer."]
