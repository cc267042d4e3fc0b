"""Slack against a workspace on loopback: what its people see, and what survives trouble."""

import asyncio
import os
import time
import traceback
from pathlib import Path

import pytest

from agent.channels import slack_intake, slack_memory, slack_socket
from agent.channels.attachments import AttachmentFolder
from agent.channels.channel import Button, Inbound, Needs, Outbound
from agent.channels.slack import SlackChannel
from agent.channels.slack_bot import SlackBot
from agent.channels.slack_manifest import manifest
from agent.errors import ChannelError, StorageError
from agent.settings import SlackSettings
from tests.agent.channel_kit import MemoryNotes
from tests.agent.slack_kit import DIRECT, GENERAL, OWNER, connected, settings_for
from tests.conftest import LogGuard
from tests.peers.slack_api import BOT, SlackApi
from tests.peers.slack_chats import ApiError, LostAfter, LostBefore, Message, too_many_requests, unavailable

MENTION = f"<@{BOT}>"


@pytest.fixture
async def api():
    async with SlackApi(ack_seconds=0.5) as api:
        api.add_person(OWNER)
        api.add_channel(GENERAL)
        yield api
    assert api.sockets.violations == []


def channel(api: SlackApi, **tokens: str | None) -> SlackChannel:
    known: dict[str, str | None] = {"slack": api.token, "slack-app": api.app_token}
    known |= {name.replace("_", "-"): token for name, token in tokens.items()}

    async def give(key: str) -> str | None:
        return known[key]

    async def nobody(_: str) -> bool:
        return False

    needs = Needs(give, nobody, MemoryNotes(), AttachmentFolder(Path))
    return SlackChannel(SlackSettings(api_base=api.api_base), needs)


# What people say.


async def test_a_message_is_answered_and_its_marks_are_shown(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api, answer=lambda one: f"**{one.sender_name}** said `{one.text}`") as kit:
        said = await api.say(OWNER, "a &lt; b &amp;&amp; c")
        reply = await api.wait_for_reply(DIRECT)
        assert reply.shown == "*Ada* said `a &lt; b &amp;&amp; c`"
        await api.wait_acknowledged()
        inbound = kit.received[0]
        assert (inbound.text, inbound.chat_id, inbound.sender_id) == ("a < b && c", DIRECT, OWNER)
        assert (inbound.direct, inbound.addressed, inbound.group_id, inbound.bot) == (True, True, "", False)
        assert (inbound.transport_id, inbound.sent_at) == (f"{DIRECT}:{said.ts}", float(said.ts))
        assert reply.thread_ts == ""


async def test_a_mention_starts_a_thread_and_is_taken_once(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        said = await api.say(OWNER, f"{MENTION} how is <@{OWNER}>?", GENERAL)
        reply = await api.wait_for_reply(GENERAL, said.ts)
        await api.wait_acknowledged()
        assert (reply.shown, reply.thread_ts) == ("You said: how is @Ada?", said.ts)
        assert [one.payload["event"]["type"] for one in api.sockets.envelopes] == ["message", "app_mention"]
        [inbound] = kit.received
        assert (inbound.chat_id, inbound.group_id, inbound.title) == (f"{GENERAL}:{said.ts}", GENERAL, "#general")
        assert (inbound.direct, inbound.addressed) == (False, True)


async def test_in_its_threads_the_bot_is_meant_without_a_mention(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        said = await api.say(OWNER, f"{MENTION} hello", GENERAL)
        await api.wait_for_reply(GENERAL, said.ts)
        await api.say(OWNER, "and now?", GENERAL, thread=said.ts)
        await api.wait_for_reply(GENERAL, said.ts, lambda one: "and now" in one.shown)
        other = await api.say(OWNER, "not for the bot", GENERAL)
        await api.say(OWNER, "nor this", GENERAL, thread=other.ts)
        await kit.until(lambda: len(kit.received) == 4, "all to be heard")
        assert [one.addressed for one in kit.received] == [True, True, False, False]
        assert kit.received[1].chat_id == kit.received[0].chat_id
        assert kit.received[3].chat_id == f"{GENERAL}:{other.ts}"
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "after a restart", GENERAL, thread=said.ts)
        await kit.until(lambda: kit.received, "the message")
        assert kit.received[0].addressed


async def test_references_are_readable(tmp_path: Path, api: SlackApi) -> None:
    text = (
        f"{MENTION}: see <https://a.example/x?a=1&amp;b=2|the page>, <https://b.example>, <http://c.example|c.example>,"
        " <#C1|plans>, <mailto:a@b.example|a@b.example>, <!here>, <@U0LI|Li>, <@U0GONE>, &lt;@U1&gt;"
    )
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, text)
        await api.wait_for_reply(DIRECT)
        assert kit.received[0].text == (
            "see the page (https://a.example/x?a=1&b=2), https://b.example, http://c.example,"
            " #plans, a@b.example, @here, @Li, @U0GONE, <@U1>"
        )


async def test_edits_name_what_they_replace_and_previews_are_none(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        said = await api.say(OWNER, "frist")
        await api.wait_for_reply(DIRECT)
        await api.unfurl(said)
        await api.edit(said, "first")
        await kit.until(lambda: len(kit.received) == 2, "the edit")
        edit = kit.received[1]
        assert (edit.text, edit.edits, edit.chat_id) == ("first", f"{DIRECT}:{said.ts}", DIRECT)
        assert edit.transport_id == f"{DIRECT}:{said.ts}:{said.edited_ts}"
        await api.delete(said)
        await api.say(OWNER, "last")
        await kit.until(lambda: len(kit.received) == 3, "the last one")
        assert kit.received[2].text == "last"


async def test_bots_are_told_as_such_and_its_own_messages_are_none(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "beep", GENERAL, bot_id="B0OTHER")
        await api.say(BOT, "me", GENERAL, bot_id="B0BOT")
        await api.say(OWNER, "person", GENERAL)
        await kit.until(lambda: len(kit.received) == 2, "both")
        assert [(one.text, one.bot) for one in kit.received] == [("beep", True), ("person", False)]


async def test_strangers_are_given_a_code(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.say("U0LI", "let me in", files=[("a.png", b"x" * 10)])
        reply = await api.wait_for_reply("D0LI")
        assert "Your code is" in reply.shown
        assert kit.received == []
        assert api.downloads == [], "strangers get no download out of us"


# Acknowledgement.


async def test_a_message_is_acknowledged_after_it_is_committed(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncio.Event()

    async def slow(_: Inbound) -> None:
        await release.wait()

    async with connected(tmp_path, api, before_commit=slow) as kit:
        await api.say(OWNER, "first")
        await api.wait_until(lambda: api.sockets.envelopes[0].attempts == 2, what="the second attempt")
        assert len(api.unacknowledged) == 1
        release.set()
        await api.wait_acknowledged()
        assert [one.text for one in kit.received] == ["first"]


async def test_slack_hears_in_time_even_when_the_commit_is_slow(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was acknowledged so is not lost by a crash: it is read from the history."""
    monkeypatch.setattr(slack_intake, "ACKNOWLEDGE_SECONDS", 0.1)

    async def never(_: Inbound) -> None:
        await asyncio.Event().wait()

    async with connected(tmp_path, api, before_commit=never) as kit:
        await api.wait_until(lambda: api.called("conversations.history"), what="the history to be read")
        await api.say(OWNER, "do not lose me")
        await api.wait_acknowledged()
        assert (kit.received, api.sockets.envelopes[0].attempts) == ([], 1)
        assert api.sockets.envelopes[0].seconds >= 0.1
    api.sockets.envelopes.clear()
    async with connected(tmp_path, api) as kit:
        assert (await api.wait_for_reply(DIRECT)).shown == "You said: do not lose me"
        assert api.sockets.envelopes == [], "Slack did not send it again"


async def test_what_history_would_not_give_back_waits_for_its_commit(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_intake, "ACKNOWLEDGE_SECONDS", 0.05)
    slow = asyncio.Event()
    slow.set()

    async def wait(_: Inbound) -> None:
        await slow.wait()

    async with connected(tmp_path, api, before_commit=wait, answer=lambda _: "") as kit:
        said = await api.say(OWNER, "text")
        await api.wait_acknowledged()
        slow.clear()
        await api.edit(said, "edited")
        edit = api.sockets.envelopes[-1]
        command = await api.command(OWNER, "stop")
        await api.wait_until(lambda: edit.attempts == 2 and command.lost, what="Slack to get impatient")
        assert not edit.acknowledged
        slow.set()
        await kit.until(lambda: len(kit.received) == 3, "both to be taken")
        await api.wait_until(lambda: edit.acknowledged, what="the acknowledgement")


async def test_what_was_not_committed_comes_again_after_a_crash(tmp_path: Path, api: SlackApi) -> None:
    started = asyncio.Event()

    async def never(_: Inbound) -> None:
        started.set()
        await asyncio.Event().wait()

    async with connected(tmp_path, api, before_commit=never):
        await api.say(OWNER, "do not lose me")
        await started.wait()
    async with connected(tmp_path, api) as kit:
        assert (await api.wait_for_reply(DIRECT)).shown == "You said: do not lose me"
        await api.wait_acknowledged()
        assert len(kit.received) == 1


async def test_a_message_that_comes_twice_is_answered_once(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(tmp_path, api) as kit:
        committed = asyncio.Event()

        async def die(chat_id: str, text: str) -> int:
            committed.set()
            return await asyncio.Event().wait()

        monkeypatch.setattr(kit, "reply", die)
        await api.say(OWNER, "once")
        await committed.wait()
    assert len(api.unacknowledged) == 1, "it was committed, but Slack was not told"
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "twice")
        await api.wait_for_reply(DIRECT)
        await api.wait_acknowledged()
        assert [one.text for one in kit.received] == ["twice"]


async def test_a_message_that_cannot_be_saved_waits(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch, log_guard: LogGuard
) -> None:
    log_guard.expect("a message from Slack waits")
    monkeypatch.setattr("agent.channels.patience.SAVE_AGAIN_SECONDS", 0.05)
    full = [True]

    async def disk(_: Inbound) -> None:
        if full:
            raise StorageError("There is no space left.", hint="Free some space.")

    async with connected(tmp_path, api, before_commit=disk) as kit:
        await api.say(OWNER, "keep me")
        await kit.until(lambda: kit.states()[-1] == "degraded", "the trouble to be told")
        assert "no space left" in kit.supervisor.health()[0].detail
        full.clear()
        assert (await api.wait_for_reply(DIRECT)).shown == "You said: keep me"
        assert kit.states()[-1] == "ready"


# What was missed.


async def test_what_was_said_while_nobody_listened_is_read_up(tmp_path: Path, api: SlackApi) -> None:
    api.offline_lost = True
    early = await api.say(OWNER, "before the first start")
    early.ts = f"{time.time() - 60:.6f}"
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "one")
        said = await api.say(OWNER, f"{MENTION} two", GENERAL)
        await api.wait_for_reply(DIRECT)
        await api.wait_for_reply(GENERAL, said.ts)
    await api.say(OWNER, "three")
    await api.say(OWNER, "four")
    await api.say(OWNER, "five", GENERAL, thread=said.ts)
    await api.say(OWNER, f"{MENTION} six", GENERAL)
    await api.say("U0LI", "who are you?")
    async with connected(tmp_path, api) as kit:
        await kit.until(lambda: len(kit.received) == 4, "all that was missed")
        assert [one.text for one in kit.received if one.direct] == ["three", "four"]
        assert {one.text: one.addressed for one in kit.received if not one.direct} == {"five": True, "six": True}
        await api.wait_for_reply("D0LI")
        assert early.text not in [one.text for one in kit.received]
        assert [one.shown for one in api.replies(DIRECT)] == ["You said: three", "You said: four"]


async def test_reading_up_waits_when_slack_says_so(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(tmp_path, api):
        await api.say(OWNER, "one")
        await api.wait_for_reply(DIRECT)
    api.offline_lost = True
    await api.say(OWNER, "two")
    api.fail("conversations.history", too_many_requests(0), unavailable())
    monkeypatch.setattr(slack_intake, "AGAIN_SECONDS", 0.05)
    async with connected(tmp_path, api) as kit:
        await kit.until(lambda: kit.received, "the missed message")
        assert kit.received[0].text == "two"


async def test_it_is_said_when_missed_messages_cannot_be_read(tmp_path: Path, api: SlackApi) -> None:
    api.fail("users.conversations", ApiError("missing_scope", needed="im:read"))
    async with connected(tmp_path, api) as kit:
        await kit.until(lambda: "im:read" in kit.supervisor.health()[0].detail, "it to be told")
        await api.say(OWNER, "works all the same")
        await api.wait_for_reply(DIRECT)


async def test_a_new_message_waits_for_those_that_were_missed_before_it(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api):
        await api.say(OWNER, "one")
        await api.wait_for_reply(DIRECT)
    api.offline_lost = True
    await api.say(OWNER, "two")
    await api.say(OWNER, "three")
    api.fail("users.conversations", too_many_requests(1))
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        await api.say(OWNER, "four")
        await api.press(OWNER, await a_question(api), "Yes")
        await kit.until(lambda: len(kit.received) == 4, "all of them")
        assert [one.text for one in kit.received] == ["/yes", "two", "three", "four"], "a button does not wait"
        await api.wait_acknowledged()


async def a_question(api: SlackApi) -> Message:
    """One that the bot asked at some time."""
    button = {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "Yes"}, "value": "/yes"}
    blocks = [{"type": "actions", "elements": [button]}]
    message = Message(DIRECT, f"{time.time() - 3600:.6f}", BOT, "?", from_bot=True, bot_id="B0BOT", blocks=blocks)
    api.conversations[DIRECT].messages.insert(0, message)
    return message


async def test_the_position_does_not_pass_what_is_under_way() -> None:
    notes = MemoryNotes()
    memory = slack_memory.SlackMemory(notes)
    await memory.load(1000.0)
    await memory.read_up()
    memory.begin("slow", "2000.000000")
    memory.begin("fast", "3000.000000")
    await memory.committed("fast")
    again = slack_memory.SlackMemory(notes)
    await again.load(9000.0)
    assert 1000.0 <= float(again.oldest(0.0)) < 2000.0
    assert memory.can_be_read_again("2000.000000", DIRECT, "")
    assert not memory.can_be_read_again("2000.000000", f"{DIRECT}:1.1", "1.1"), "a thread that is not stored"
    await memory.committed("slow")
    await again.load(9000.0)
    assert float(again.oldest(0.0)) == 3000.0
    assert float(again.oldest(1e9)) == 1000.0, "never before the first start"


# Connections.


async def test_a_refresh_loses_nothing(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.sockets.ask_for_new("warning")
        await api.wait_until(lambda: len(api.sockets.links) == 2, what="the second connection")
        await api.say(OWNER, "on the new one")
        await api.wait_for_reply(DIRECT)
        await api.sockets.ask_for_new("refresh_requested")
        await api.wait_until(lambda: api.sockets.opened == 3, what="the third connection")
        await api.sockets.close_old()
        await api.say(OWNER, "and now")
        await api.wait_for_reply(DIRECT, "", lambda one: "and now" in one.shown)
        assert "degraded" not in kit.states()


async def test_a_connection_that_breaks_is_made_again(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.sockets.drop()
        await kit.until(lambda: "degraded" in kit.states(), "the break to be told")
        await kit.ready()
        await api.say(OWNER, "back?")
        await api.wait_for_reply(DIRECT)


async def test_a_connection_that_died_silently_is_noticed(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_socket, "PING_SECONDS", 0.1)
    monkeypatch.setattr(slack_socket, "PONG_SECONDS", 0.2)
    async with connected(tmp_path, api) as kit:
        await api.wait_until(lambda: api.sockets.links[0].pings, what="a ping")
        api.sockets.freeze()
        await api.wait_until(lambda: api.sockets.opened == 2, what="a new connection")
        await kit.ready()
        await api.say(OWNER, "alive?")
        await api.wait_for_reply(DIRECT)


async def test_after_a_sleep_a_dead_connection_is_left_at_once(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "good night")
        await api.wait_for_reply(DIRECT)
        api.sockets.freeze()
        api.offline_lost = True
        await api.say(OWNER, "said in the meantime")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        woke = time.monotonic()
        await kit.until(lambda: len(kit.received) == 2, "the message that was missed")
        assert time.monotonic() - woke < 5.0


async def test_socket_mode_that_was_switched_off_is_named(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.sockets.switch_off()
        await kit.until(lambda: "degraded" in kit.states(), "it to be told")
        assert "Socket Mode is switched off" in kit.supervisor.health()[0].detail
        api.sockets.enabled = True
        await kit.ready()


async def test_too_many_connections_are_named(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.sockets.ask_for_new("too_many_websockets")
        await kit.until(lambda: "degraded" in kit.states(), "it to be told")
        assert "Too many programs" in kit.supervisor.health()[0].detail
        await kit.ready()


async def test_a_network_that_goes_and_comes_back(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.stop()
        await kit.until(lambda: "cannot be reached" in kit.supervisor.health()[0].detail, "the loss to be noticed")
        outbox_id = await kit.reply(DIRECT, "written while offline")
        await api.start()
        await kit.ready()
        await kit.delivered(outbox_id)
        assert [one.shown for one in api.replies(DIRECT)] == ["written while offline"]


@pytest.mark.parametrize(
    ("key", "said"), [("slack", "does not accept the bot token"), ("slack-app", "does not accept the app-level token")]
)
async def test_a_wrong_token_stops_the_channel_and_is_named(tmp_path: Path, api: SlackApi, key: str, said: str) -> None:
    async with connected(tmp_path, api, start=False) as kit:
        right = kit.tokens[key]
        kit.tokens[key] = f"{right}-wrong"
        kit.supervisor.start("slack")
        await kit.until(lambda: kit.states()[-1:] == ["wrong_token"], "the wrong token to be told")
        assert said in kit.supervisor.health()[0].detail
        kit.tokens[key] = None
        await kit.supervisor.restart("slack")
        await kit.until(lambda: kit.states()[-1:] == ["wrong_token"], "the missing token to be told")
        assert "There is no" in kit.supervisor.health()[0].detail
        kit.tokens[key] = right
        await kit.supervisor.restart("slack")
        await kit.ready()


async def test_a_token_that_is_revoked_while_connected(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.revoke()
        outbox_id = await kit.reply(DIRECT, "hello")
        await kit.delivered(outbox_id, "waiting")
        assert "was revoked" in str((await kit.row(outbox_id))["error"])


async def test_the_account_is_recognised_and_no_error_holds_a_token(api: SlackApi) -> None:
    assert await channel(api).identify() == "@trayclaw in Example"
    assert await channel(api, slack_app=None).identify() == "@trayclaw in Example"
    for tokens in ({"slack": "xoxb-secret-a"}, {"slack_app": "xapp-secret-b"}):
        with pytest.raises(ChannelError) as refused:
            await channel(api, **tokens).identify()
        assert refused.value.kind == "wrong_token"
        shown = "".join(traceback.format_exception(refused.value))
        assert "secret" not in f"{shown} {refused.value!r} {refused.value.hint}"
    api.fail("auth.test", LostBefore())
    with pytest.raises(ChannelError) as error:
        await channel(api).identify()
    assert (error.value.kind, str(error.value)) == ("network", "Slack cannot be reached.")
    with pytest.raises(ChannelError) as error:
        await channel(api).send(Outbound(1, DIRECT, "hello"))
    assert error.value.retryable
    assert settings_for(api).channels.slack.owners == ()


async def test_the_proxy_of_the_system_is_used_but_not_for_this_computer(
    api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await channel(api).identify() == "@trayclaw in Example"
    elsewhere = SlackSettings(api_base="http://slack.invalid/api/")
    with pytest.raises(ChannelError) as unreachable:
        await SlackChannel(elsewhere, channel(api)._needs).identify()
    assert (unreachable.value.kind, unreachable.value.uncertain) == ("network", False)
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ChannelError, match="socks5:// cannot be used"):
        await SlackChannel(elsewhere, channel(api)._needs).identify()


async def test_stop_is_quick(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        started = time.monotonic()
        await kit.supervisor.stop("slack")
        assert time.monotonic() - started < 2.0
        await api.wait_until(lambda: not api.sockets.links, what="the connection to end")
        kit.supervisor.start("slack")
        await kit.ready()
        api.sockets.freeze()
        started = time.monotonic()
        await kit.supervisor.stop("slack")
        assert time.monotonic() - started < 2.0


# Answers.


async def test_the_answer_grows_in_one_message(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(DIRECT)
        draft.update("The first words of ")
        draft.update("The first words of **an answer**")
        assert (await api.wait_for_reply(DIRECT)).shown == "The first words of *an answer*"
        draft.update("The first words of **an answer** that goes on")
        await api.wait_for_reply(DIRECT, "", lambda one: one.shown.endswith("goes on"))
        final = "The first words of **an answer** that goes on and ends."
        await kit.delivered(await kit.reply(DIRECT, final, draft))
        [message] = api.replies(DIRECT)
        assert (message.shown, message.edits) == ("The first words of *an answer* that goes on and ends.", 2)
        calls = [one.at for one in api.calls if one.method in ("chat.postMessage", "chat.update")]
        assert calls[1] - calls[0] >= 1.45


async def test_the_final_text_is_complete_whatever_happened_before(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(DIRECT)
        draft.update("A text that will be deleted")
        (await api.wait_for_reply(DIRECT)).deleted = True
        await kit.delivered(await kit.reply(DIRECT, "The answer", draft))
        assert [one.shown for one in api.replies(DIRECT)] == ["The answer"]
        draft = (await kit.ready()).draft(DIRECT)
        api.fail("chat.postMessage", LostAfter())
        draft.update("This one arrives but nobody knows")
        await api.wait_for_reply(DIRECT, "", lambda one: one.shown.startswith("This"))
        await kit.delivered(await kit.reply(DIRECT, "This one, whole", draft))
        assert "you may see it twice" in api.replies(DIRECT)[-1].shown
        draft = (await kit.ready()).draft(DIRECT)
        draft.update("Hm")
        await api.wait_for_reply(DIRECT, "", lambda one: one.shown == "Hm")
        await draft.discard()
        assert "Hm" not in [one.shown for one in api.replies(DIRECT)]


async def test_an_assistant_thread_shows_that_it_is_worked_on(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        thread = await api.open_assistant(OWNER)
        await api.wait_acknowledged()
        await api.say(OWNER, "think", thread=thread)
        await kit.until(lambda: kit.received, "the question")
        assert kit.received[0].chat_id == f"{DIRECT}:{thread}"
        draft = (await kit.ready()).draft(f"{DIRECT}:{thread}")
        await api.wait_until(lambda: (thread, "is thinking…") in api.conversations[DIRECT].statuses, what="the status")
        await draft.discard()
        assert api.conversations[DIRECT].statuses[-1] == (thread, "")
    async with connected(tmp_path, api) as kit:
        draft = (await kit.ready()).draft(f"{DIRECT}:{thread}")
        await api.wait_until(
            lambda: api.conversations[DIRECT].statuses[-1][1] == "is thinking…", what="the status after a restart"
        )
        await draft.discard()
        await (await kit.ready()).draft(DIRECT).discard()
        assert [one.error for one in api.called("assistant.threads.setStatus")] == [""] * 4


async def test_a_long_answer_becomes_several_whole_messages(tmp_path: Path, api: SlackApi) -> None:
    paragraphs = [f"Paragraph {number}: " + "word " * 300 for number in range(20)]
    code = "```python\n" + "\n".join(f"line_{number} = '<&>'" for number in range(400)) + "\n```"
    text = "\n\n".join([*paragraphs, code])
    async with connected(tmp_path, api) as kit:
        await kit.delivered(await kit.reply(DIRECT, text))
        messages = api.replies(DIRECT)
        assert 3 <= len(messages) <= 8
        sections = [block["text"]["text"] for one in messages for block in one.blocks]
        assert all(one.count("```") % 2 == 0 for one in sections)
        shown = " ".join(sections).replace("```", " ").split()
        assert shown == text.replace("```python", "").replace("```", "").replace("<&>", "&lt;&amp;&gt;").split()
        assert not any(one.unfurl for one in messages)


async def test_a_long_answer_that_breaks_off_goes_on_where_it_was(tmp_path: Path, api: SlackApi) -> None:
    text = "\n\n".join(f"Part {number} " + "word " * 550 for number in range(12))
    async with connected(tmp_path, api) as kit:
        outbox_id = await kit.reply(DIRECT, text)
        await api.wait_until(lambda: api.replies(DIRECT), what="the first piece")
        api.fail("chat.postMessage", too_many_requests(1))
        await kit.delivered(outbox_id)
        parts = [word for one in api.replies(DIRECT) for word in one.shown.split() if word.isdigit()]
        assert parts == [str(number) for number in range(12)]


async def test_slack_is_given_the_time_that_it_asks_for(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("chat.postMessage", too_many_requests(1))
        outbox_id = await kit.reply(DIRECT, "patience")
        await kit.delivered(outbox_id)
        first, second = api.called("chat.postMessage")
        assert second.at - first.at >= 0.9
        assert kit.deliveries(outbox_id) == ["waiting", "sent"]
        assert [one.shown for one in api.replies(DIRECT)] == ["patience"]


async def test_an_answer_that_may_have_arrived_says_so(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("chat.postMessage", LostAfter())
        outbox_id = await kit.reply(DIRECT, "**important**")
        await kit.delivered(outbox_id)
        first, second = api.replies(DIRECT)
        assert first.shown == "*important*"
        assert second.shown == "(sent again, the connection broke; you may see it twice)\n\n*important*"
        assert kit.deliveries(outbox_id) == ["uncertain", "sent"]
        api.fail("chat.postMessage", unavailable())
        await kit.delivered(await kit.reply(DIRECT, "once"))
        assert api.replies(DIRECT)[-1].shown == "once"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("channel_not_found", "the app is not in it"),
        ("is_archived", "archived"),
        ("msg_too_long", "too long"),
        ("something_new", "something_new"),
    ],
)
async def test_what_slack_refuses_for_good_is_given_up(tmp_path: Path, api: SlackApi, code: str, said: str) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("chat.postMessage", ApiError(code))
        outbox_id = await kit.reply(DIRECT, "hello?")
        await kit.delivered(outbox_id, "failed")
        assert said in str((await kit.row(outbox_id))["error"])
        assert kit.supervisor.health()[0].state == "ready"


async def test_a_permission_that_lacks_is_named(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        api.fail("chat.postMessage", ApiError("missing_scope", needed="chat:write", provided="im:history"))
        outbox_id = await kit.reply(DIRECT, "hello?")
        await kit.delivered(outbox_id, "failed")
        row = await kit.row(outbox_id)
        assert "lacks the permission chat:write" in str(row["error"])


async def test_an_owner_is_reached_by_the_id_of_the_person(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await kit.delivered(await kit.reply(OWNER, "a question for you"))
        assert [one.shown for one in api.replies(DIRECT)] == ["a question for you"]


async def test_a_model_cannot_wake_a_channel_up(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await kit.delivered(await kit.reply(DIRECT, "<!channel> @channel <@U0LI>"))
        [message] = api.replies(DIRECT)
        assert message.shown == "&lt;!channel&gt; @channel &lt;@U0LI&gt;"
        assert message.blocks[0]["text"]["verbatim"] is True
        assert "<!" not in message.text


async def test_reactions_tell_how_far_a_message_is(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        said = await api.say(OWNER, "hello")
        await api.wait_for_reply(DIRECT)
        running = await kit.ready()
        await running.mark(DIRECT, f"{DIRECT}:{said.ts}", "seen")
        assert said.reactions == ["eyes"]
        await running.mark(DIRECT, f"{DIRECT}:{said.ts}", "done")
        assert said.reactions == ["white_check_mark"]
        await running.mark(DIRECT, f"{DIRECT}:command:1", "failed")
        api.fail("reactions.add", ApiError("missing_scope", needed="reactions:write"))
        await running.mark(DIRECT, f"{DIRECT}:{said.ts}", "seen")
        count = len(api.calls)
        await running.mark(DIRECT, f"{DIRECT}:{said.ts}", "failed")
        assert len(api.calls) == count, "it is not tried again"


# Buttons and commands.

CHOICES = (Button("Allow", "/allow 3F2A9C", "primary"), Button("Deny", "/deny 3F2A9C", "danger"), Button("Why", "why"))


async def test_a_button_says_its_command_even_after_a_restart(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await kit.delivered(await kit.reply(DIRECT, "Shall I **delete** it?", buttons=CHOICES))
        [question] = api.replies(DIRECT)
        assert question.buttons == ["Allow", "Deny", "Why"]
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        envelope = await api.press(OWNER, question, "Allow")
        await kit.until(lambda: kit.received, "the press")
        [pressed] = kit.received
        assert (pressed.text, pressed.pressed, pressed.chat_id, pressed.direct) == ("/allow 3F2A9C", True, DIRECT, True)
        assert (pressed.sender_id, pressed.sender_name) == (OWNER, "Ada")
        await api.wait_until(lambda: envelope.acknowledged, what="the acknowledgement")
        await api.wait_until(lambda: question.edits, what="the buttons to go")
        assert question.buttons == []
        assert question.shown == "Shall I *delete* it?\n\nAllow · Ada"


async def test_a_button_in_a_thread_belongs_to_the_thread(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        said = await api.say(OWNER, f"{MENTION} ask me", GENERAL)
        await kit.until(lambda: kit.received, "the mention")
        chat = kit.received[0].chat_id
        await kit.delivered(await kit.reply(chat, "Well?", buttons=CHOICES))
        api.add_person("U0EVE", "Eve")
        [question] = api.replies(GENERAL, said.ts)
        await api.press("U0EVE", question, "Deny")
        await api.press(OWNER, question, "Deny")
        await kit.until(lambda: len(kit.received) == 2, "the press")
        assert (kit.received[1].chat_id, kit.received[1].sender_id) == (chat, OWNER)
        await api.wait_until(lambda: not question.buttons, what="the buttons to go")
        assert question.shown.endswith("Deny · Ada")


async def test_more_buttons_and_longer_ones_than_slack_takes(tmp_path: Path, api: SlackApi) -> None:
    many = tuple(Button(f"Choice {number} " + "x" * 100, f"/pick {number}") for number in range(12))
    async with connected(tmp_path, api) as kit:
        await kit.delivered(await kit.reply(DIRECT, "Choose", buttons=(*many, Button("Long", "y" * 2001))))
        messages = api.replies(DIRECT)
        assert sum(len(one.buttons) for one in messages) == 12
        assert "y" * 2001 in messages[-1].text


async def test_commands_by_slash_by_mention_and_behind_a_space(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api, answer=lambda _: "") as kit:
        slash = await api.command(OWNER, "stop")
        await kit.until(lambda: kit.received, "the command")
        await api.command(OWNER, "")
        await api.say(OWNER, " /status")
        await api.say(OWNER, f"{MENTION} /new", GENERAL)
        await kit.until(lambda: len(kit.received) == 4, "all commands")
        assert {one.text for one in kit.received} == {"/stop", "/help", "/status", "/new"}
        assert (kit.received[0].chat_id, slash.answer) == (DIRECT, None)
        elsewhere = await api.command(OWNER, "stop", GENERAL)
        await api.wait_until(lambda: elsewhere.acknowledged, what="the answer")
        assert elsewhere.answer is not None
        assert "works in the direct chat" in elsewhere.answer["text"]
        assert len(kit.received) == 4
        said = await api.say(OWNER, "in a thread", thread=(await api.say(OWNER, "top")).ts)
        await kit.until(lambda: len(kit.received) == 6, "both")
        await api.command(OWNER, "stop")
        await kit.until(lambda: len(kit.received) == 7, "the command")
        assert kit.received[-1].chat_id == f"{DIRECT}:{said.thread_ts}", "where the person wrote last"


# Files.


async def test_files_arrive_pictures_for_the_model_others_on_the_disk(tmp_path: Path, api: SlackApi) -> None:
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "look", files=[("cat.png", b"\x89PNG fake"), ("notes.pdf", b"%PDF " + b"x" * 200_000)])
        await api.wait_for_reply(DIRECT)
        [inbound] = kit.received
        assert inbound.text == "look"
        assert [(one.media_type, one.data) for one in inbound.images] == [("image/png", b"\x89PNG fake")]
        [file] = inbound.files
        assert (file.name, file.media_type, file.size) == ("notes.pdf", "application/pdf", 200_005)
        assert file.path.read_bytes().startswith(b"%PDF")
        assert tmp_path / "workspace" in file.path.parents
    async with connected(tmp_path, api) as kit:
        await api.wait_until(lambda: api.called("conversations.history"), what="the history to be read")
        await api.say(OWNER, "next")
        await api.wait_for_reply(DIRECT)
        assert len(api.downloads) == 2, "what is known is not fetched again"


async def test_the_token_is_never_sent_to_another_host(tmp_path: Path, api: SlackApi) -> None:
    async with SlackApi() as foreign, connected(tmp_path, api) as kit:
        await api.say(OWNER, "trap", files=[foreign.add_file("trap.pdf", b"x")])
        await api.wait_for_reply(DIRECT)
        assert kit.received[0].text == (
            "trap\n\n[the file trap.pdf could not be fetched: The file does not lie at Slack.]"
        )
        assert foreign.downloads == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://files.slack.com/files-pri/T1-F1/a.png", True),
        ("https://slack.com/x", True),
        ("http://files.slack.com/a", False),
        ("https://files.slack.com:8443/a", False),
        ("https://files.slack.com.attacker.example/a", False),
        ("https://attackerslack.com/a", False),
        ("https://files.slack.com@attacker.example/a", False),
        ("http://[::1", False),
        ("https://user.blob.example/a", False),
    ],
)
def test_which_hosts_are_slacks_own(url: str, own: bool) -> None:
    bot = SlackBot(None, None, "", "https://slack.com/api/")  # type: ignore[arg-type]
    assert bot.is_own_host(url) is own


async def test_what_cannot_be_fetched_is_named(tmp_path: Path, api: SlackApi) -> None:
    huge = api.add_file("huge.zip", b"x", size=10**9)
    gone = api.add_file("gone.txt", b"x")
    hidden = api.add_file("hidden.txt", b"x", media_type="text/plain")
    async with connected(tmp_path, api) as kit:
        del api.files[gone.id]
        api.unreadable.add(hidden.id)
        await api.say(OWNER, "all", files=[huge, gone, hidden])
        await api.wait_for_reply(DIRECT)
        assert kit.received[0].text.split("\n\n") == [
            "all",
            "[the file huge.zip could not be fetched: It has 1000 MB; 100 MB are the most.]",
            "[the file gone.txt could not be fetched: Slack does not give the file out (status 404).]",
            "[the file hidden.txt could not be fetched: The Slack app lacks the permission files:read.]",
        ]


async def test_a_full_disk_loses_the_file_and_not_the_message(
    tmp_path: Path, api: SlackApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AttachmentFolder, "take", full)
    async with connected(tmp_path, api) as kit:
        await api.say(OWNER, "keep this", files=[("a.pdf", b"x")])
        await api.wait_for_reply(DIRECT)
        assert kit.received[0].text == "keep this\n\n[the file a.pdf could not be saved: No space left on device]"


async def test_files_are_sent_behind_the_text(tmp_path: Path, api: SlackApi) -> None:
    report, table = tmp_path / "report.pdf", tmp_path / "table.csv"
    report.write_bytes(os.urandom(300_000))
    table.write_text("a,b\n")
    async with connected(tmp_path, api) as kit:
        said = await api.say(OWNER, f"{MENTION} files?", GENERAL)
        await api.wait_for_reply(GENERAL, said.ts)
        api.fail("files.completeUploadExternal", too_many_requests(0))
        outbox_id = await kit.reply(f"{GENERAL}:{said.ts}", "Here they are", files=(report, table))
        await kit.delivered(outbox_id)
        _, text, first, second = api.replies(GENERAL, said.ts)
        assert text.shown == "Here they are"
        assert [(one.name, one.data) for one in first.files] == [("report.pdf", report.read_bytes())]
        assert [one.name for one in second.files] == ["table.csv"]
        assert all(authorization == "" for _, authorization in api.uploads)
        api.fail("files.completeUploadExternal", LostAfter())
        await kit.delivered(await kit.reply(DIRECT, "One", files=(table,)))
        one, sent, note, again = api.replies(DIRECT)
        assert (one.shown, sent.files[0].name, again.files[0].name) == ("One", "table.csv", "table.csv")
        assert "you may see it twice" in note.shown
        outbox_id = await kit.reply(DIRECT, "gone", files=(tmp_path / "missing.txt",))
        await kit.delivered(outbox_id, "failed")
        assert "missing.txt cannot be read" in str((await kit.row(outbox_id))["error"])


def test_the_manifest_in_the_documents_is_the_one_that_the_window_copies() -> None:
    text = (Path(__file__).parents[2] / "docs" / "slack.md").read_text(encoding="utf-8")
    assert f"```json\n{manifest()}\n```" in text
