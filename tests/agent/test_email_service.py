"""The whole program with a mailbox: `trayclaw serve` in its own process, a question answered by mail, kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.channels.delivery import AFTER_RESTART
from agent.paths import Paths
from tests.agent.cli_kit import PROGRAM, environment
from tests.agent.conftest import until
from tests.agent.email_kit import deliver, mail, mails
from tests.peers.mail_servers import ADA, AGENT, AUTHSERV, BOB, PASSWORDS, MailServers, mail_servers, why_not
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Call, Reply

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no mail servers: {why_not()}")

MAILS = 10
KILLS = 5


@pytest.fixture
def servers(config: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServers]:
    with mail_servers() as found:
        paths.config_file.write_text(
            f'{config}[network]\nca_file = "{found.ca_file}"\n[channels.email]\nenabled = true\nconsent = true\n'
            f'username = "{AGENT}"\nimap_host = "localhost"\nimap_port = {found.imaps}\nsmtp_host = "localhost"\n'
            f'smtp_port = {found.smtps}\nowners = ["{ADA}"]\nallowed_senders = ["{BOB}"]\n'
            f'authentication_results = "{AUTHSERV}"\n'
        )
        monkeypatch.setenv("TRAYCLAW_KEY_EMAIL", PASSWORDS[AGENT])
        yield found


@asynccontextmanager
async def serving(*, ready: bool = True) -> AsyncIterator[asyncio.subprocess.Process]:
    """Ended with SIGTERM unless it is dead already; then it must have complained of nothing."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", "--json", env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        if ready:
            assert b'"ready"' in await asyncio.wait_for(process.stdout.readline(), 20)
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            _, errors = await asyncio.wait_for(process.communicate(), 20)
            assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def first_start(paths: Paths) -> None:
    """Mails count from the first time that the mailbox was opened: that is noted then."""

    def noted() -> bool:
        with contextlib.closing(sqlite3.connect(paths.database)) as db:
            return bool(db.execute("SELECT 1 FROM channel_notes WHERE key LIKE 'position:%'").fetchall())

    async with serving():
        await until(noted, 30)


async def test_a_question_about_a_command_is_answered_by_mail(
    servers: MailServers, model: ModelServer, paths: Paths
) -> None:
    def think(request: Request) -> Reply:
        if request.messages[-1]["role"] == "user":
            return Reply(calls=[Call("run_command", {"command": "echo done > made.txt", "network": True})])
        return Reply(f"The file is {'there' if (paths.workspace / 'made.txt').exists() else 'not there'}.")

    model.script = think
    await first_start(paths)
    async with serving():
        await deliver(servers, mail("Make the file.", message_id="<1@friend.test>"))
        [question] = await mails(servers, ADA, 1)
        body = question.get_body(("plain",))
        assert body is not None
        code = re.search(r"allow ([0-9A-Z]{6})", body.get_content())
        assert code is not None
        stranger = mail(f"allow {code[1]}", sender=BOB, in_reply_to=str(question["Message-ID"]))
        await deliver(servers, stranger, envelope_from=BOB)
        [refusal] = await mails(servers, BOB, 1)
        assert "owner" in refusal.as_string()
        assert not (paths.workspace / "made.txt").exists(), "only owners decide"
        answer = mail(f"Allow {code[1]}\n\n> old\n> lines\n", "Re: Question", in_reply_to=str(question["Message-ID"]))
        await deliver(servers, answer)
        said = ""
        for count in range(2, 5):
            said = (await mails(servers, ADA, count))[-1].as_string()
            if "The file is" in said:
                break
        assert "The file is there." in said


async def test_each_mail_has_one_answer_whenever_it_is_killed(
    servers: MailServers, model: ModelServer, paths: Paths
) -> None:
    rng = random.Random(4242)
    latency = random.Random(1)

    def think(request: Request) -> Reply:
        return Reply(f"About {request.messages[-1]['content']}", latency=latency.uniform(0, 0.4))

    model.script = think
    await first_start(paths)

    async def talk() -> None:
        for number in range(MAILS):
            who = (ADA, BOB)[number % 2]
            letter = mail(f"number {number}", "", sender=who, message_id=f"<{number}@friend.test>")
            await deliver(servers, letter, envelope_from=who)
            await asyncio.sleep(rng.uniform(0, 0.8))

    talking = asyncio.create_task(talk())
    for _ in range(KILLS):
        async with serving(ready=False) as process:
            await asyncio.sleep(rng.uniform(0.5, 2.5))
            process.kill()
            await process.communicate()
    await talking
    async with serving():
        for who in (ADA, BOB):
            await answered(servers, who)
    shown = [*await mails(servers, ADA, 1), *await mails(servers, BOB, 1)]
    first = Counter(str(one["In-Reply-To"]) for one in shown if AFTER_RESTART not in one.as_string())
    again = [one for one in shown if AFTER_RESTART in one.as_string()]
    assert max(first.values()) == 1, "only the uncertain ones come twice, and say so"
    numbers = Counter(str(one["Message-ID"]) for one in shown)
    assert len(numbers) == MAILS, "a repeat has the number of the first"
    assert {str(one["In-Reply-To"]) for one in shown} == {f"<{number}@friend.test>" for number in range(MAILS)}
    assert len(again) <= KILLS
    for file in (paths.database, *paths.logs.rglob("*")):
        if Path(file).is_file():
            assert PASSWORDS[AGENT].encode() not in Path(file).read_bytes()


async def answered(servers: MailServers, who: str) -> None:
    """Until all of a person's mails have an answer."""
    async with asyncio.timeout(60):
        while True:
            found = await mails(servers, who, 0)
            if len({one["In-Reply-To"] for one in found}) >= MAILS // 2:
                return
            await asyncio.sleep(0.3)
