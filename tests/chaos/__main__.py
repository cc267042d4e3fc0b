"""`python -m tests.chaos`: 200 conversations and 2,000 messages over four channels, random kills and faults.

Prints what came of it, and fails when a message was neither answered nor shown as undelivered, when answers are out of
order, or when an answer that stands there twice is not marked as such.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from agent.channels.delivery import AFTER_BREAK, AFTER_RESTART
from tests.agent.cli_kit import PROGRAM, environment
from tests.chaos.towns import TOWNS, Town
from tests.peers.model_server import ModelServer, Request
from tests.peers.replies import Reply

SECONDS_TO_SETTLE = 240.0
KEY = "sk-chaos"
TOKEN = re.compile(r"q-(\w+)-(\d+)-(\d+)")
"""In every message and its answer: channel, conversation, number."""
MARKS = (AFTER_RESTART, AFTER_BREAK)


@dataclass
class Outcome:
    """Counts over all conversations, and what was wrong in words."""

    asked: int = 0
    answered: int = 0
    interrupted: int = 0
    undelivered: int = 0
    copies: int = 0
    """Answers that stand there twice and say so."""
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = (
            f"{self.asked} asked, {self.answered} answered, {self.interrupted} interrupted, "
            f"{self.undelivered} undelivered, {self.copies} marked copies, {len(self.wrong)} wrong; "
            f"{self.kills} kills, faults {dict(sorted(self.faults.items()))}"
        )
        return "\n".join([counts, *self.wrong[:40]])


async def run(names: Sequence[str], conversations: int, messages: int, seconds: float, seed: int) -> Outcome:
    """One run; `conversations` and `messages` in all, spread over the channels."""
    rng = random.Random(seed)
    each = max(conversations // len(names), 1)
    towns = [TOWNS[name](each) for name in names]
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="tc-chaos-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(ModelServer(_Echo(rng)))
            for town in towns:
                await stack.enter_async_context(town)
            (home / "config.toml").write_text(
                f'[model]\ndefault = "local/fake-1"\n[providers.local]\nbase_url = "{model.base_url}"\n'
                + "".join(town.settings for town in towns)
            )
            secrets = {key: value for town in towns for key, value in town.secrets.items()}
            extra = {"TRAYCLAW_HOME": folder, "TRAYCLAW_KEY_LOCAL": KEY, **secrets}
            program = _Program(environment(extra))
            await program.start()
            talking = asyncio.create_task(_talk(towns, each, messages, seconds, rng, outcome))
            spoiling = asyncio.create_task(_spoil(towns, program, seconds, rng, outcome))
            await talking
            await spoiling
            await _settled(home, outcome.asked)
            await program.end()
            await _judge(towns, each, outcome, home)
    return outcome


class _Echo:
    """A model that says which questions it answers."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, request: Request) -> Reply:
        said = []
        for message in reversed(request.messages):
            if message["role"] == "assistant":
                break
            said.append(str(message["content"]))
        found = dict.fromkeys(match[0] for text in reversed(said) for match in TOKEN.finditer(text))
        return Reply(f"The answer to {', '.join(found)}.", latency=self._rng.uniform(0, 0.3))


class _Program:
    """`trayclaw serve`, started again as often as it is killed."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *PROGRAM, "serve", env=self._env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, f"the program ended by itself: {self._process.returncode}"
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), 20)


async def _talk(
    towns: Sequence[Town], each: int, messages: int, seconds: float, rng: random.Random, outcome: Outcome
) -> None:
    """All messages, mixed, in order for each conversation."""
    lines = [(town, conversation) for town in towns for conversation in range(each)]
    queue = [line for line in lines for _ in range(messages // len(lines))]
    rng.shuffle(queue)
    numbers: Counter[tuple[str, int]] = Counter()
    began = time.monotonic()
    for position, (town, conversation) in enumerate(queue):
        key = (town.name, conversation)
        await town.say(conversation, f"Please answer q-{town.name}-{conversation}-{numbers[key]}")
        numbers[key] += 1
        outcome.asked += 1
        await asyncio.sleep(max(0.0, began + seconds * position / len(queue) - time.monotonic()))


async def _spoil(
    towns: Sequence[Town], program: _Program, seconds: float, rng: random.Random, outcome: Outcome
) -> None:
    """Kill the program and trouble the services, as long as people talk."""
    ends = time.monotonic() + seconds
    next_kill = time.monotonic() + rng.uniform(3, 8)
    while time.monotonic() < ends:
        await asyncio.sleep(rng.uniform(0.1, 0.6))
        town = rng.choice(list(towns))
        outcome.faults[f"{town.name}: {await town.trouble(rng)}"] += 1
        if time.monotonic() >= next_kill:
            await program.kill()
            outcome.kills += 1
            await program.start()
            next_kill = time.monotonic() + rng.uniform(3, 8)


async def _settled(home: Path, asked: int) -> None:
    """Until all that was asked came in and nothing waits any more, for some seconds in a row."""
    ends, quiet = time.monotonic() + SECONDS_TO_SETTLE, 0
    while quiet < 6:
        await asyncio.sleep(0.5)
        with closing(sqlite3.connect(home / "trayclaw.db")) as db:
            [(taken, waiting)] = db.execute(
                "SELECT (SELECT COUNT(*) FROM inbox), (SELECT COUNT(*) FROM inbox WHERE state != 'done')"
                " + (SELECT COUNT(*) FROM outbox WHERE state IN ('waiting', 'sending'))"
            )
        quiet = quiet + 1 if taken >= asked and waiting == 0 else 0
        if time.monotonic() > ends:
            return  # what is left is found wrong by the judge


async def _judge(towns: Sequence[Town], each: int, outcome: Outcome, home: Path) -> None:
    with closing(sqlite3.connect(home / "trayclaw.db")) as db:
        failed = "\n".join(row[0] for row in db.execute("SELECT text FROM outbox WHERE state = 'failed'"))
        cut = "\n".join(
            row[0]
            for row in db.execute(
                "SELECT i.parts FROM turns t JOIN inbox i ON i.id = t.inbox_id WHERE t.status = 'interrupted'"
            )
        )
        asked = Counter(
            match[0] for (parts,) in db.execute("SELECT parts FROM inbox") for match in TOKEN.finditer(parts)
        )
    outcome.wrong += [f"{token} was taken in {count} times" for token, count in asked.items() if count > 1]
    per_conversation = outcome.asked // (len(towns) * each)
    for town in towns:
        for conversation in range(each):
            shown = await town.shown(conversation)
            _judge_one(town.name, conversation, per_conversation, shown, failed, cut, outcome)


def _judge_one(
    channel: str, conversation: int, count: int, shown: list[str], failed: str, cut: str, outcome: Outcome
) -> None:
    order: list[int] = []
    for number in range(count):
        token = f"q-{channel}-{conversation}-{number}"
        exact = re.compile(rf"{token}(?!\d)")
        found = [at for at, text in enumerate(shown) if exact.search(text)]
        plain = [at for at in found if not any(mark in shown[at].replace("\n", " ") for mark in MARKS)]
        if not found:
            if exact.search(failed):
                outcome.undelivered += 1
            elif exact.search(cut):
                outcome.interrupted += 1
            else:
                outcome.wrong.append(f"{token} has neither an answer nor a word about it")
            continue
        outcome.answered += 1
        outcome.copies += len(found) - 1
        if len(plain) > 1:
            outcome.wrong.append(
                f"{token} is answered {len(plain)} times without a mark: {[shown[at] for at in plain]}"
            )
        order.append(found[0])
    if order != sorted(order):
        outcome.wrong.append(f"{channel} {conversation} is out of order: {order}")


def main() -> int:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--channels", default=",".join(TOWNS))
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long people write")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TRAYCLAW_TEST_SEED", "4242")))
    chosen = parser.parse_args()
    began = time.monotonic()
    names = chosen.channels.split(",")
    outcome = asyncio.run(run(names, chosen.conversations, chosen.messages, chosen.seconds, chosen.seed))
    print(outcome)
    print(json.dumps({"seconds": round(time.monotonic() - began), "seed": chosen.seed}))
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
