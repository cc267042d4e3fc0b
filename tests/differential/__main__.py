"""`python -m tests.differential [WORD]`: run the cases (those with the word in them) and print the table.

Exit code 1 when something came out otherwise than written down. Without nanobot's environment it says so and tries
TrayClaw alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.differential.cases import CASES, Case, Stage, clean
from tests.differential.contenders import NANOBOT, PLANTED, Contender, carry_out, nanobot, trayclaw
from tests.peers.model_server import ModelServer


class Door:
    """A listener on this computer that counts who comes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    def visits(self) -> int:
        count = 0
        while True:
            try:
                self.socket.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1


@asynccontextmanager
async def contestants(root: Path) -> AsyncIterator[list[tuple[Contender, ModelServer]]]:
    async with AsyncExitStack() as stack:
        found: list[tuple[Contender, ModelServer]] = []
        for name, start in (("nanobot", nanobot), ("trayclaw", trayclaw)):
            if name == "nanobot" and not NANOBOT.exists():
                continue
            server = await stack.enter_async_context(
                ModelServer(flavour="lmstudio")
            )  # nanobot sends what OpenAI refuses
            found.append((await stack.enter_async_context(start(root / name, server.base_url)), server))
        yield found


async def run(case: Case, contender: Contender, server: ModelServer, door: Door) -> str:
    stage = Stage(contender.workspace, door.port, door.visits)
    keep = frozenset(one.name for folder in (stage.folder, stage.beside) for one in folder.iterdir())
    case.prepare(stage)
    door.visits()
    try:
        heard = await carry_out(contender, server, case.calls(stage), "allow" if case.allowed else "deny")
        return await asyncio.to_thread(case.look, stage, heard)
    finally:
        clean(stage, keep)


async def main(word: str) -> int:
    cases = [case for case in CASES if word in f"{case.kind} {case.name}"]
    wrong = 0
    # Not below /tmp: the fence has one of its own, and nothing there would prove anything.
    root = Path(tempfile.mkdtemp(prefix="differential-", dir="/var/tmp"))
    os.environ["TRAYCLAW_KEY_LOCAL"] = PLANTED
    door = Door()
    print(f"{'kind':8} {'case':38} {'nanobot 0.3.5':24} {'TrayClaw':24} verdict")
    async with contestants(root) as both:
        if len(both) == 1:
            print("nanobot is not installed in tests/bench/.nanobot (scripts/differential does it): TrayClaw alone")
        for case in cases:
            found = {one.name: await run(case, one, server, door) for one, server in both}
            expected = {"nanobot": case.nanobot, "trayclaw": case.trayclaw}
            bad = [name for name, outcome in found.items() if outcome != expected[name]]
            if not bad and case.nanobot != case.trayclaw and not case.why:
                bad = ["no reason is given"]
            verdict = f"NOT AS WRITTEN: {', '.join(bad)}" if bad else f"better: {case.why}" if case.why else "same"
            wrong += bool(bad)
            print(
                f"{case.kind:8} {case.name:38} {found.get('nanobot', '-'):24} {found['trayclaw']:24} {verdict}",
                flush=True,
            )
    shutil.rmtree(root, ignore_errors=True)
    better = sum(bool(case.why) for case in cases)
    print(
        f"{len(cases)} cases: {len(cases) - better} the same, {better} documented improvements, {wrong} not as written"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(" ".join(sys.argv[1:]))))
