"""The Bot API peer, judged by python-telegram-bot."""

import asyncio
import datetime
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from telegram import Bot, BotCommand, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes, MessageHandler, filters

from tests.peers import telegram_html
from tests.peers.telegram_api import TelegramApi
from tests.peers.telegram_chats import LostAfter, LostBefore, RateLimit, bad_gateway, too_many_requests

ROOT = Path(__file__).parents[2]
ADA = 4242
Context = ContextTypes.DEFAULT_TYPE


@pytest.fixture(autouse=True)
def new_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    """python-telegram-bot warns about every RetryAfter until durations are asked for as timedelta."""
    monkeypatch.setenv("PTB_TIMEDELTA", "true")


def bot_of(api: TelegramApi, token: str | None = None) -> Bot:
    return Bot(token or api.token, base_url=api.base_url, base_file_url=api.base_file_url)


@asynccontextmanager
async def polling(api: TelegramApi, *handlers: Any) -> AsyncIterator[Application[Any, Any, Any, Any, Any, Any]]:
    """An application that runs the way the product runs it."""
    builder = Application.builder().token(api.token).base_url(api.base_url).base_file_url(api.base_file_url)
    application = builder.concurrent_updates(True).build()
    application.add_handlers(handlers)
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling(timeout=datetime.timedelta(seconds=10), poll_interval=0)
        try:
            yield application
        finally:
            await application.updater.stop()
            await application.stop()


async def echo(update: Update, context: Context) -> None:
    assert update.effective_message is not None
    await update.effective_message.reply_text(f"you said {update.effective_message.text}")


async def test_user_talks_to_an_application_that_polls() -> None:
    async def start(update: Update, context: Context) -> None:
        assert update.effective_message is not None
        assert update.effective_user is not None
        await update.effective_message.reply_text(f"hello {update.effective_user.first_name} {context.args}")

    handlers = [CommandHandler("start", start), MessageHandler(filters.TEXT, echo)]
    async with TelegramApi() as api, polling(api, *handlers) as application:
        assert application.bot.username == api.username
        await api.say(ADA, "/start code 7")
        assert (await api.wait_for_reply(ADA)).text == "hello Ada ['code', '7']"
        said = await api.say(ADA, "Grüße 👋")
        reply = await api.wait_for_reply(ADA)
        assert reply.text == "you said Grüße 👋"
        assert reply.at == said.at or reply.at == said.at + 1
        assert isinstance(reply.at, int)
        await api.wait_confirmed()
        await api.wait_until(lambda: api.polling, what="the next poll")
        assert [message.from_bot for message in api.transcript(ADA)] == [False, True, False, True]


async def test_update_is_confirmed_only_by_a_later_offset() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        for text in ("one", "two", "three"):
            await api.say(ADA, text)
        updates = await bot.get_updates()
        assert [update.message.text for update in updates if update.message] == ["one", "two", "three"]
        again = await bot.get_updates(offset=updates[0].update_id)
        assert [update.update_id for update in again] == [update.update_id for update in updates]
        rest = await bot.get_updates(offset=updates[1].update_id, limit=1)
        assert [update.update_id for update in rest] == [updates[1].update_id]
        assert len(api.pending_updates) == 2
        last = await bot.get_updates(offset=-1)
        assert [update.update_id for update in last] == [updates[2].update_id]
        assert await bot.get_updates(offset=updates[2].update_id + 1) == ()
        assert api.pending_updates == []


async def test_long_poll_returns_when_something_arrives_and_not_before() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        poll = asyncio.create_task(bot.get_updates(timeout=10))
        await api.wait_until(lambda: api.polling)
        assert not poll.done()
        await api.say(ADA, "hi")
        assert [update.message.text for update in await poll if update.message] == ["hi"]
        api.pending_updates.clear()
        begun = time.monotonic()
        assert await bot.get_updates(offset=10**12, timeout=1) == ()
        assert 0.9 < time.monotonic() - begun < 3


async def test_second_poller_ends_the_first_with_a_conflict() -> None:
    async with TelegramApi() as api, bot_of(api) as first, bot_of(api) as second:
        poll = asyncio.create_task(first.get_updates(timeout=10))
        await api.wait_until(lambda: api.polling)
        assert await second.get_updates(timeout=0) == ()
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await poll


async def test_client_that_drops_its_poll_is_noticed() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        poll = asyncio.create_task(bot.get_updates(timeout=10))
        await api.wait_until(lambda: api.polling)
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        await api.wait_until(lambda: not api.polling, what="the end of the poll")


async def test_allowed_updates_are_kept_to() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        await bot.get_updates(allowed_updates=["callback_query"])
        await api.say(ADA, "not wanted")
        assert api.pending_updates == []
        await bot.get_updates(allowed_updates=[])
        await api.say(ADA, "wanted")
        assert len(api.pending_updates) == 1


async def test_answer_edited_in_is_seen_as_one_message() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        await api.say(ADA, "hi")
        await bot.send_chat_action(ADA, "typing")
        sent = await bot.send_message(ADA, "Hel")
        for text in ("Hello", "Hello <b>you</b>"):
            edited = await bot.edit_message_text(text, ADA, sent.message_id, parse_mode="HTML")
            assert not isinstance(edited, bool)
            assert edited.edit_date is not None
        [reply] = api.replies(ADA)
        assert (reply.text, reply.edits, reply.versions) == ("Hello you", 2, ["Hel", "Hello", "Hello you"])
        assert reply.entities == [{"type": "bold", "offset": 6, "length": 3}]
        assert reply.source == "Hello <b>you</b>"
        assert [action for action, _ in api.chat(ADA).actions] == ["typing"]
        with pytest.raises(BadRequest, match="Message is not modified"):
            await bot.edit_message_text("Hello <b>you</b>", ADA, sent.message_id, parse_mode="HTML")
        with pytest.raises(BadRequest, match="Message to edit not found"):
            await bot.edit_message_text("x", ADA, 999)
        with pytest.raises(BadRequest, match="Message can't be edited"):
            await bot.edit_message_text("x", ADA, api.transcript(ADA)[0].message_id)
        with pytest.raises(BadRequest, match="Message_too_long"):
            await bot.edit_message_text("x" * 4097, ADA, sent.message_id)
        assert await bot.delete_message(ADA, sent.message_id)
        assert api.replies(ADA) == []


async def test_text_length_is_counted_in_utf16_after_parsing() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        api.add_user(ADA)
        await bot.send_message(ADA, "👋" * 2048)
        with pytest.raises(BadRequest, match="Message is too long"):
            await bot.send_message(ADA, "👋" * 2048 + "x")
        await bot.send_message(ADA, "<b>" + "&lt;" * 4096 + "</b>", parse_mode="HTML")
        for empty in (" \n ", "<b></b>"):
            with pytest.raises(BadRequest, match="Message text is empty"):
                await bot.send_message(ADA, empty, parse_mode="HTML")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a <b>bold", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<p>x</p>", 'Unsupported start tag "p" at byte offset 0'),
        ("ü 1 < 2", 'Unsupported start tag "" at byte offset 5'),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b", "Unclosed start tag at byte offset 0"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
async def test_markup_that_does_not_parse_is_refused(text: str, problem: str) -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        api.add_user(ADA)
        with pytest.raises(BadRequest) as caught:
            await bot.send_message(ADA, text, parse_mode="HTML")
        assert caught.value.message.lower() == f"can't parse entities: {problem}".lower()
        assert api.transcript(ADA) == []


def test_markup_that_parses() -> None:
    source = (
        ' 👋 <b>a<i>b</i></b> &amp;&nbsp;<a href="https://example.org/?a=1&amp;b=2">link</a>'
        '<pre><code class="language-python">x &lt; 1</code></pre><blockquote expandable>q</blockquote> '
    )
    text, entities = telegram_html.parse(source)
    assert text == "👋 ab &&nbsp;linkx < 1q"
    assert entities == [
        {"type": "bold", "offset": 3, "length": 2},
        {"type": "italic", "offset": 4, "length": 1},
        {"type": "text_link", "url": "https://example.org/?a=1&b=2", "offset": 13, "length": 4},
        {"type": "pre", "language": "python", "offset": 17, "length": 5},
        {"type": "expandable_blockquote", "offset": 22, "length": 1},
    ]


async def test_wrong_tokens_and_unreachable_chats() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        for token in ("4242:wrong", "nonsense"):
            with pytest.raises(InvalidToken):
                async with bot_of(api, token):
                    pass
        with pytest.raises(BadRequest, match="Chat not found"):
            await bot.send_message(ADA, "hi")
        with pytest.raises(BadRequest, match="Chat not found"):
            await bot.send_message("@nobody", "hi")
        api.block(ADA)
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await bot.send_message(ADA, "hi")
        await api.say(ADA, "back again")
        await bot.send_message(ADA, "hi")
        with pytest.raises(BadRequest, match="Wrong parameter action in request"):
            await bot.send_chat_action(ADA, "thinking")


async def test_more_than_the_burst_gets_retry_after() -> None:
    limit = RateLimit(per_second=0.5, burst=2)
    async with TelegramApi(rate_limit=limit, edit_limit=RateLimit(burst=1)) as api, bot_of(api) as bot:
        api.add_user(ADA)
        api.add_user(7)
        sent = [await bot.send_message(ADA, "1"), await bot.send_message(ADA, "2")]
        with pytest.raises(RetryAfter) as caught:
            await bot.send_message(ADA, "3")
        assert caught.value.retry_after == datetime.timedelta(seconds=2)
        await bot.send_message(7, "another chat is free")
        await bot.edit_message_text("one", ADA, sent[0].message_id)
        with pytest.raises(RetryAfter):
            await bot.edit_message_text("two", ADA, sent[1].message_id)
        assert [message.text for message in api.transcript(ADA)] == ["one", "2"]


async def test_scripted_faults() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        api.add_user(ADA)
        api.fail("sendMessage", too_many_requests(7), bad_gateway(), LostBefore(), LostAfter())
        with pytest.raises(RetryAfter, match="Retry in"):
            await bot.send_message(ADA, "a")
        with pytest.raises(NetworkError, match="Bad Gateway"):
            await bot.send_message(ADA, "b")
        for text in ("c", "d"):
            with pytest.raises(NetworkError):
                await bot.send_message(ADA, text)
        await bot.send_message(ADA, "e")
        assert [message.text for message in api.transcript(ADA)] == ["d", "e"]
        assert [call.status for call in api.calls if call.method == "sendMessage"] == [429, 502, 0, 0, 200]


async def test_group_gives_the_bot_what_privacy_mode_allows() -> None:
    group = -1001
    async with TelegramApi() as api, bot_of(api) as bot:
        await api.say(ADA, "among ourselves", chat_id=group)
        assert api.pending_updates == []
        await api.say(ADA, f"/ask@{api.username} now", chat_id=group)
        sent = await bot.send_message(group, "an answer")
        await api.say(ADA, "thanks", chat_id=group, reply_to=sent.message_id)
        updates = await bot.get_updates()
        assert [update.message.text for update in updates if update.message] == [f"/ask@{api.username} now", "thanks"]
        last = updates[-1].message
        assert last is not None
        assert last.chat.type == "supergroup"
        assert last.reply_to_message is not None
        assert last.reply_to_message.text == "an answer"


async def test_buttons_commands_files_and_drafts() -> None:
    pressed: list[str | None] = []

    async def on_button(update: Update, context: Context) -> None:
        assert update.callback_query is not None
        pressed.append(update.callback_query.data)
        await update.callback_query.answer("done")
        await update.callback_query.edit_message_text("allowed")

    async with TelegramApi() as api, polling(api, CallbackQueryHandler(on_button)) as application:
        bot = application.bot
        api.add_user(ADA)
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Allow", callback_data="yes"), _button("No")]])
        await bot.send_message(ADA, "run it?", reply_markup=keyboard)
        [question] = api.replies(ADA)
        assert question.buttons == ["Allow", "No"]
        await api.press(ADA, question, "Allow")
        assert (await api.wait_for_reply(ADA, lambda message: message.text == "allowed")).buttons == []
        assert pressed == ["yes"]
        assert api.callback_answers[0]["text"] == "done"
        with pytest.raises(BadRequest, match="Button_data_invalid"):
            await bot.send_message(ADA, "x", reply_markup=InlineKeyboardMarkup([[_button("x" * 65)]]))

        await bot.set_my_commands([BotCommand("new", "Start over")])
        assert api.commands == [{"command": "new", "description": "Start over"}]

        sent = await bot.send_document(ADA, b"\x00\x01", filename="a.bin", caption="<i>here</i>", parse_mode="HTML")
        assert sent.document is not None
        assert await (await bot.get_file(sent.document.file_id)).download_as_bytearray() == b"\x00\x01"
        assert api.replies(ADA)[-1].text == "here"
        assert await bot.send_message_draft(ADA, 1, "thinking")
        assert api.chat(ADA).drafts == ["thinking"]


def _button(label: str) -> InlineKeyboardButton:
    return InlineKeyboardButton(label, callback_data=label)


async def test_bot_receives_a_document() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        await api.send_document(ADA, "notes.txt", b"remember", caption="read this")
        [update] = await bot.get_updates()
        message = update.message
        assert message is not None
        assert message.document is not None
        assert (message.caption, message.document.file_name, message.document.mime_type) == (
            "read this",
            "notes.txt",
            "text/plain",
        )
        assert bytes(await (await message.document.get_file()).download_as_bytearray()) == b"remember"


async def test_missing_reply_says_what_the_chat_shows() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        await api.say(ADA, "hi")
        await bot.send_message(ADA, "something else")
        with pytest.raises(AssertionError, match="the chat shows \\['something else'\\]"):
            await api.wait_for_reply(ADA, lambda message: message.text == "hello", timeout=0.05)


async def test_unknown_method() -> None:
    async with TelegramApi() as api, bot_of(api) as bot:
        with pytest.raises(TelegramError, match="Endpoint 'sendSmoke' not found"):
            await bot.do_api_request("sendSmoke")
        assert api.calls[-1].status == 404


async def test_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.peers.telegram_api", "--token", "1:abc"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    async with Bot("1:abc", base_url=f"{ready['api_base']}/bot") as bot:
        process.stdin.write(b"hello\n")
        [update] = await bot.get_updates(timeout=10)
        assert update.message is not None
        assert update.message.text == "hello"
        sent = await bot.send_message(ready["user"], "yes?")
        assert await process.stdout.readline() == b"bot #2: yes?\n"
        await bot.edit_message_text("yes!", ready["user"], sent.message_id)
        assert await process.stdout.readline() == b"bot #2 (edit 1): yes!\n"
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert process.stderr is not None
    assert await process.stderr.read() == b""
