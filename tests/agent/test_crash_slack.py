"""Slack with `trayclaw serve`, killed and cut off again and again: every message has one answer, in order."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from agent.channels.delivery import AFTER_BREAK, AFTER_RESTART
from agent.paths import Paths
from tests.agent.conftest import until
from tests.agent.test_crash_serve import idle, rows, serve, whatever_is_left
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Reply
from tests.peers.slack_api import SlackApi

PEOPLE = [f"U0P{number:02}" for number in range(8)]
MESSAGES = 4
KILLS = 4

__all__ = ["whatever_is_left"]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor SIGTERM")


@pytest.fixture
async def api(config: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlackApi]:
    async with SlackApi(ack_seconds=0.5, retry_seconds=(0.1, 0.5)) as api:
        for person in PEOPLE:
            api.add_person(person)
        more = f'[channels.slack]\nenabled = true\napi_base = "{api.api_base}"\nowners = {PEOPLE!r}\n'
        paths.config_file.write_text(config + more.replace("'", '"'))
        monkeypatch.setenv("TRAYCLAW_KEY_SLACK", api.token)
        monkeypatch.setenv("TRAYCLAW_KEY_SLACK_APP", api.app_token)
        yield api


def answer(request: Request) -> Reply:
    question = next(one["content"] for one in reversed(request.messages) if one["role"] == "user")
    return Reply(f"This is what I have to say about {question}.", chunk_delay=0.02)


async def talk(api: SlackApi, rng: random.Random) -> None:
    """Everybody's messages, mixed, in order for each; now and then Slack forgets those without a connection, or a
    connection breaks."""
    left = {person: iter(range(MESSAGES)) for person in PEOPLE}
    while left:
        person = rng.choice(list(left))
        number = next(left[person], None)
        if number is None:
            del left[person]
            continue
        api.offline_lost = rng.random() < 0.7
        await api.say(person, f"number {number} of {person}")
        if rng.random() < 0.1:
            api.sockets.drop()
        await asyncio.sleep(rng.uniform(0, 0.3))


async def test_nothing_is_lost_or_repeated_whenever_it_is_killed(
    api: SlackApi,
    model: ModelServer,
    paths: Paths,
    whatever_is_left: list[asyncio.subprocess.Process],
) -> None:
    rng = random.Random(int(os.environ.get("TRAYCLAW_TEST_SEED", "4242")))
    model.script = answer
    process = await serve()
    whatever_is_left.append(process)
    await api.wait_until(lambda: api.sockets.alive, 20, what="the first connection")
    talking = asyncio.create_task(talk(api, random.Random(rng.random())))
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.5, 2.0))
        process.kill()
        await process.communicate()
        process = await serve()
        whatever_is_left.append(process)
    await talking
    wanted = len(PEOPLE) * MESSAGES
    await until(lambda: rows(paths, "SELECT COUNT(*) AS n FROM inbox")[0]["n"] >= wanted, 40)
    await until(lambda: idle(paths), 40)
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert api.sockets.violations == []

    taken: dict[str, list[str]] = defaultdict(list)
    for row in rows(paths, "SELECT chat_id, json_extract(parts, '$[0].text') AS text FROM inbox ORDER BY id"):
        taken[row["chat_id"]].append(row["text"])
    for person in PEOPLE:
        chat = f"D{person[1:]}"
        expected = [f"number {number} of {person}" for number in range(MESSAGES)]
        assert taken[chat] == expected
        shown = [one.shown for one in api.transcript(chat) if one.from_bot]
        whole = [text for text in shown if text.endswith(f"of {person}.")]
        first = [text for text in whole if not text.startswith((AFTER_RESTART, AFTER_BREAK))]
        numbers = [int(re.search(r"number (\d)", text)[1]) for text in whole]  # type: ignore[index]
        assert list(dict.fromkeys(numbers)) == list(range(MESSAGES)), shown
        assert len(first) == len(set(first)), f"unmarked copies: {shown}"
