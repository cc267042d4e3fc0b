"""Many conversations over the Telegram peer at once, and what thousands of messages leave in memory.

`python -m tests.bench.channels` prints both; `--messages 10000` is the number of the second part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.agent.cli_kit import PROGRAM, environment
from tests.peers.model_server import ModelServer
from tests.peers.replies import Reply
from tests.peers.telegram_api import TelegramApi

TOKEN = "700700:token-of-the-bot"
CONVERSATIONS = 100
LATENCY = 1.0
"""Seconds that the model takes."""
ROUNDS = 5


@asynccontextmanager
async def serving(api: TelegramApi, model: ModelServer, home: Path) -> AsyncIterator[int]:
    """`trayclaw serve` with all users of the peer as owners; its process id."""
    home.joinpath("config.toml").write_text(
        f'[model]\ndefault = "local/fake-1"\n[providers.local]\nbase_url = "{model.base_url}"\n'
        f'[channels.telegram]\nenabled = true\napi_base = "{api.root_url}"\nowners = {users()}\n'
    )
    extra = {"TRAYCLAW_HOME": str(home), "TRAYCLAW_KEY_TELEGRAM": TOKEN, "TRAYCLAW_KEY_LOCAL": "sk-loopback"}
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", "--json", env=environment(extra), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), 30)
        await api.wait_until(lambda: api.polling, 30, "polling")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def users() -> list[int]:
    """The ids of everybody who talks."""
    return list(range(1001, 1001 + CONVERSATIONS))


async def crowd(api: TelegramApi, words: str) -> float:
    """Everybody asks at the same moment; seconds until the last one has the whole answer."""
    began = time.perf_counter()
    for user in users():
        await api.say(user, words)
    await asyncio.gather(*(api.wait_for_reply(user, lambda one: one.text.endswith(words), 60) for user in users()))
    return time.perf_counter() - began


def memory(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.channels", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    chosen = parser.parse_args()
    model = ModelServer(lambda request: Reply(f"You said {request.last_text}"))
    async with TelegramApi(TOKEN, rate_limit=None) as api, model:
        for user in users():
            api.add_user(user)
        with tempfile.TemporaryDirectory() as folder:
            async with serving(api, model, Path(folder)) as pid:
                await crowd(api, "warm up")
                model.latency = LATENCY
                walls = [await crowd(api, f"round {number}") for number in range(ROUNDS)]
                model.latency = 0.0
                print(f"{CONVERSATIONS} conversations, model of {LATENCY:g} s: median {statistics.median(walls):.2f} s")
                print(json.dumps({"walls": [round(wall, 2) for wall in walls]}))
                sizes = []
                for number in range(chosen.messages // CONVERSATIONS):
                    await crowd(api, f"message {number}")
                    api.calls.clear()
                    model.requests.clear()
                    if number % 10 == 9:
                        sizes.append(memory(pid))
                        print(f"{(number + 1) * CONVERSATIONS:6d} messages: {sizes[-1]:.1f} MiB", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
