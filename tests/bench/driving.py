"""What the in-process drivers share: ask many turns, many at once, or watch the loop, and print the figures as JSON.

Standard library only: it also runs inside nanobot's environment.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

PROBE_SECONDS = 0.001
STAGGER_SECONDS = 0.025
"""People do not all press Enter in the same millisecond."""


class Talker(Protocol):
    """Something that answers: TrayClaw, nanobot, or the floor."""

    async def ask(self, conversation: str, text: str) -> str:
        """Return the answer when the turn is complete and kept; every piece of a streamed answer was seen."""
        ...


Opener = Callable[[str, Path], AbstractAsyncContextManager[Talker]]


def main(open_talker: Opener) -> None:
    """Parse `turns|burst|block COUNT`, run it, print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True, help="base URL of the model service")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--expect", required=True, help="the answer every turn must give")
    parser.add_argument("what", choices=("turns", "burst", "block"))
    parser.add_argument("count", type=int)
    chosen = parser.parse_args()
    result = asyncio.run(_run(open_talker, chosen))
    print(json.dumps(result), flush=True)
    # What the library under test leaves running is not part of the figures.
    os._exit(0)


async def _run(open_talker: Opener, chosen: argparse.Namespace) -> dict[str, Any]:
    async with open_talker(chosen.url, chosen.home) as talker:

        async def ask(conversation: str, text: str) -> None:
            answer = await talker.ask(conversation, text)
            if answer.strip() != chosen.expect.strip():
                raise SystemExit(f"unexpected answer: {answer!r}")

        await ask("warm-up", "hi")
        measure = {"turns": _turns, "burst": _burst, "block": _block}[chosen.what]
        return await measure(ask, chosen.count)


async def _turns(ask: Any, count: int) -> dict[str, Any]:
    """CPU (all threads, user and system) and wall of each of `count` turns of one conversation, in milliseconds."""
    cpu, wall = [], []
    for number in range(count):
        cpu_before, before = time.process_time(), time.perf_counter()
        await ask("bench", f"hi, this is message {number}")
        cpu.append((time.process_time() - cpu_before) * 1000)
        wall.append((time.perf_counter() - before) * 1000)
    return {"cpu_ms": cpu, "wall_ms": wall}


async def _burst(ask: Any, count: int) -> dict[str, Any]:
    """Wall and CPU of one turn in each of `count` conversations at once, in seconds."""
    cpu_before, before = time.process_time(), time.perf_counter()
    await asyncio.gather(*(ask(f"burst-{number}", "hi") for number in range(count)))
    return {"wall_s": time.perf_counter() - before, "cpu_s": time.process_time() - cpu_before}


async def _block(ask: Any, count: int) -> dict[str, Any]:
    """How late something due now would run while `count` conversations stream, in milliseconds.

    A timer fires every millisecond. One that fires late stands for all the milliseconds that had to wait with it, or a
    block of seconds would count as one sample among thousands.
    """
    loop = asyncio.get_running_loop()
    late: list[float] = []
    running = True

    def tick(due: float) -> None:
        now = loop.time()
        delay = (now - due) * 1000
        late.extend(delay - waited for waited in range(int(delay) + 1))
        if running:
            loop.call_at(now + PROBE_SECONDS, tick, now + PROBE_SECONDS)

    start = loop.time() + PROBE_SECONDS
    loop.call_at(start, tick, start)

    async def chat(number: int) -> None:
        await asyncio.sleep(number * STAGGER_SECONDS)
        await ask(f"block-{number}", "hi")

    await asyncio.gather(*map(chat, range(count)))
    running = False
    late.sort()
    return {"p99_ms": late[int(len(late) * 0.99)], "max_ms": late[-1], "samples": len(late)}
