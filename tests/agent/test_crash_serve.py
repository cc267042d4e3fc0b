"""Thirty chats with `trayclaw serve`, killed again and again at any moment: in the end every message has one answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import re
import signal
import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agent.channels.delivery import AFTER_RESTART
from agent.paths import Paths
from tests.agent.cli_kit import PROGRAM, environment
from tests.agent.conftest import until
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Reply
from tests.peers.telegram_api import TelegramApi

TOKEN = "700700:token-of-the-bot"
USERS = range(101, 131)
MESSAGES = 4
KILLS = 9

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor SIGTERM")


@pytest.fixture
async def api(config: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TelegramApi]:
    async with TelegramApi(TOKEN, rate_limit=None) as api:
        for user in USERS:
            api.add_user(user)
        more = (
            f'[safety]\nmode = "autonomous"\n[channels.telegram]\nenabled = true\napi_base = "{api.root_url}"\n'
            f"owners = {list(USERS)}\n"
        )
        paths.config_file.write_text(config + more)
        monkeypatch.setenv("TRAYCLAW_KEY_TELEGRAM", TOKEN)
        yield api


class Thinker:
    """A model whose every request gets a number, shown in what it says and in the file that it writes.

    So an answer that was given twice, and a thing that was done twice, can be told apart.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._numbers = itertools.count(1)

    def __call__(self, request: Request) -> Reply:
        number = next(self._numbers)
        question = next(one["content"] for one in reversed(request.messages) if one["role"] == "user")
        latency, delay = self._rng.uniform(0, 0.1), self._rng.uniform(0, 0.03)
        if request.messages[-1]["role"] == "user" and question.startswith("write"):
            name = f"{question.replace(' ', '_')}_{number}.txt"
            call = Call("write_file", {"path": name, "text": "x"})
            return Reply("I write it down.", calls=[call], latency=latency, chunk_delay=delay)
        words = f"This is what I have to say about {question}, number {number}."
        return Reply(words, latency=latency, chunk_delay=delay)


async def serve() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", env=environment(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


async def talk(api: TelegramApi, rng: random.Random) -> None:
    """Everybody's messages, mixed, in order for each."""
    left = {user: iter(range(MESSAGES)) for user in USERS}
    while left:
        user = rng.choice(list(left))
        number = next(left[user], None)
        if number is None:
            del left[user]
            continue
        kind = "write" if rng.random() < 0.4 else "say"
        await api.say(user, f"{kind} {user} {number}")
        await asyncio.sleep(rng.uniform(0, 0.15))


async def a_moment(api: TelegramApi, model: ModelServer, rng: random.Random) -> None:
    """Some moment in the life of a process that was just started."""
    if rng.random() < 0.15:
        await asyncio.sleep(rng.uniform(0.2, 1.0))  # it may not even be ready
        return
    calls = len(api.calls)
    with contextlib.suppress(AssertionError):
        match rng.choice(("request", "answer", "time")):
            case "request":
                await model.wait_for_chats(len(model.chats) + rng.randint(1, 12), timeout=5)
            case "answer":
                wanted = calls + rng.randint(4, 40)
                await api.wait_until(lambda: len(api.calls) >= wanted, 5)
            case _:
                await api.wait_until(lambda: len(api.calls) > calls, 5)
                await asyncio.sleep(rng.uniform(0, 1.0))
    await asyncio.sleep(rng.uniform(0, 0.03))


def rows(paths: Paths, query: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(paths.database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def idle(paths: Paths) -> bool:
    """Nothing waits to be answered or delivered."""
    query = (
        "SELECT (SELECT COUNT(*) FROM inbox WHERE state != 'done')"
        " + (SELECT COUNT(*) FROM outbox WHERE state IN ('waiting', 'sending')) AS open"
    )
    return bool(rows(paths, query)[0]["open"] == 0)


def asked(api: TelegramApi, user: int) -> list[str]:
    return [one.text for one in api.transcript(user) if not one.from_bot]


@pytest.fixture
def whatever_is_left() -> Iterator[list[asyncio.subprocess.Process]]:
    processes: list[asyncio.subprocess.Process] = []
    yield processes
    for process in processes:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


async def test_nothing_is_lost_or_repeated_whenever_it_is_killed(
    api: TelegramApi,
    model: ModelServer,
    paths: Paths,
    whatever_is_left: list[asyncio.subprocess.Process],
) -> None:
    rng = random.Random(int(os.environ.get("TRAYCLAW_TEST_SEED", "4242")))
    model.script = Thinker(random.Random(rng.random()))
    talking = asyncio.create_task(talk(api, random.Random(rng.random())))
    for _ in range(KILLS):
        process = await serve()
        whatever_is_left.append(process)
        await a_moment(api, model, rng)
        process.kill()
        await process.communicate()
    process = await serve()
    whatever_is_left.append(process)
    await talking
    await api.wait_confirmed(30)
    await until(lambda: idle(paths), 30)
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")

    everything_was_taken_in_once_and_in_order(api, paths)
    turns = every_message_has_one_end(paths)
    nothing_was_done_twice(paths, turns)
    for user in USERS:
        the_chat_shows_each_answer_once(api, user, [turn for turn in turns if turn["chat_id"] == str(user)])
    assert {turn["status"] for turn in turns} >= {"answered"}


def everything_was_taken_in_once_and_in_order(api: TelegramApi, paths: Paths) -> None:
    taken: dict[str, list[str]] = defaultdict(list)
    for row in rows(paths, "SELECT chat_id, json_extract(parts, '$[0].text') AS text FROM inbox ORDER BY id"):
        taken[row["chat_id"]].append(row["text"])
    assert taken == {str(user): asked(api, user) for user in USERS}
    assert sum(map(len, taken.values())) == len(USERS) * MESSAGES


def every_message_has_one_end(paths: Paths) -> list[dict[str, Any]]:
    """One turn a message, answered or shown as interrupted, and one delivery that arrived. Returns them in order."""
    turns = rows(
        paths,
        "SELECT i.chat_id, json_extract(i.parts, '$[0].text') AS question, t.status, t.failure, o.text,"
        " o.state AS delivery FROM inbox i LEFT JOIN turns t ON t.inbox_id = i.id"
        " LEFT JOIN outbox o ON o.turn_id = t.id ORDER BY i.id",
    )
    assert len(turns) == len(USERS) * MESSAGES
    assert [turn["failure"] for turn in turns if turn["status"] not in ("answered", "interrupted")] == []
    assert {turn["delivery"] for turn in turns} == {"sent"}
    for turn in turns:
        expected = f"about {turn['question']}, number" if turn["status"] == "answered" else "**Interrupted.**"
        assert expected in turn["text"]
    said = rows(paths, "SELECT turn_id, role, parts FROM messages ORDER BY conversation_id, id")
    order = [one["turn_id"] for one in said]
    assert [key for key, _ in itertools.groupby(order)] == list(dict.fromkeys(order)), "turns lie one after the other"
    assert Counter(one["turn_id"] for one in said if one["role"] == "user") == Counter(dict.fromkeys(order, 1))
    return turns


def nothing_was_done_twice(paths: Paths, turns: list[dict[str, Any]]) -> None:
    done = Counter(re.sub(r"_\d+\.txt$", "", file.name).replace("_", " ") for file in paths.workspace.glob("write*"))
    assert all(count == 1 for count in done.values()), done
    for turn in turns:
        wanted = turn["question"].startswith("write")
        if turn["status"] == "answered":
            assert done[turn["question"]] == int(wanted)
        else:
            assert wanted, "only what had acted is interrupted"
            assert turn["question"].replace(" ", "_") in turn["text"], "and it says with what"


def the_chat_shows_each_answer_once(api: TelegramApi, user: int, turns: list[dict[str, Any]]) -> None:
    """Besides, there may be the beginnings of answers that were cut off, and copies that say so."""
    shown = [one.text for one in api.transcript(user) if one.from_bot]
    copies = {text.removeprefix(AFTER_RESTART).strip() for text in shown if text.startswith(AFTER_RESTART)}
    first: list[int] = []
    for turn in turns:
        if turn["status"] == "interrupted":
            name = turn["question"].replace(" ", "_")
            found = [n for n, text in enumerate(shown) if "Interrupted." in text and name in text]
        else:
            ending = turn["text"].rpartition("\n\n")[2]
            found = [n for n, text in enumerate(shown) if text.endswith(ending)]
        marked = [n for n in found if shown[n].startswith(AFTER_RESTART)]
        assert found, f"{turn['question']} has no answer in {shown}"
        assert len(found) - len(marked) <= 1, f"{turn['question']} has unmarked copies in {shown}"
        first.append(found[0])
    assert first == sorted(first), f"out of order: {shown}"
    assert len(copies) <= KILLS
